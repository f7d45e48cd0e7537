"""Generates the text of `langgraph.json`, which lists the graphs of LangGraph's server and their modules."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from orchmagic.errors import ExportError

FILE = "langgraph.json"


def named(module: Path, name: str) -> str:
    """Returns the text of the `langgraph.json` in the folder of `module` with graph `name` added.

    Raises:
        ExportError: the file exists and cannot be parsed.
    """
    file = module.with_name(FILE)
    found: dict[str, Any] = {"dependencies": ["."], "graphs": {}}
    if file.exists():
        found = _read(file)
    found["graphs"] = {**found.get("graphs", {}), name: f"./{module.name}:serve"}
    return json.dumps(found, indent=2, ensure_ascii=False) + "\n"


def _read(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, OSError):
        found = None
    if not isinstance(found, dict) or not isinstance(found.get("graphs", {}), dict):
        raise ExportError(f"{file} is no {FILE} that can be read: mend it, or move it away")
    return found
