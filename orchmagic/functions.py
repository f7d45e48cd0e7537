"""What every expression of a cell may call beside the notebook's own functions: pure, standard library only.

They are never inputs. What they call in turn stands in their own modules, so that an export copies all of it by source.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from orchmagic.chunks import pack, split
from orchmagic.tasks import flaws, ready

FUNCTIONS: Mapping[str, Callable[..., Any]] = {"split": split, "pack": pack, "ready": ready, "flaws": flaws}
