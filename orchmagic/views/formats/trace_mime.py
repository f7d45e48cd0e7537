"""The record as versioned JSON, for our own renderer and for other programs."""

from __future__ import annotations

from orchmagic.trace.record import MIME, Record
from orchmagic.views import View

plug = View("record", MIME, Record.to_json)
