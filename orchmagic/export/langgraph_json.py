"""`langgraph.json`: which graphs LangGraph's server serves, and from which modules."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from orchmagic.errors import ExportError

FILE = "langgraph.json"


def named(module: Path, name: str) -> str:
    """The text of the file beside `module`, with the graph in it; what it held before stays.

    Raises:
        ExportError: there is such a file, and it cannot be read.
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
