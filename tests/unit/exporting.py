"""What the export tests share: cells that ran in a notebook, their graphs, and exported modules."""

from __future__ import annotations

import importlib.util
import linecache
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from orchmagic.cell import parse
from orchmagic.graph import Graph
from orchmagic.models import Deployment
from orchmagic.options import parse_options
from orchmagic.patterns import PATTERNS


def ran(source: str, name: str = "<ipython-input-1-cell>") -> dict[str, Any]:
    """The namespace of a notebook after this cell; its text is where IPython would keep it."""
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
    space: dict[str, Any] = {"__name__": "__main__", "In": ["", source]}
    exec(compile(source, name, "exec", dont_inherit=True), space)
    return space


def graph_of(cell: str, space: dict[str, Any]) -> Graph:
    head, _, body = cell.partition("\n")
    magic, _, line = head.removeprefix("%%").partition(" ")
    plug = PATTERNS.get(magic)
    options = parse_options(magic, line, plug.options)
    return plug.build(parse(magic, line, body, one_prompt=plug.one_prompt), options, space)


def served(**fields: Any) -> Callable[[str], Deployment]:
    """Every alias is a model of one endpoint."""
    base = {"provider": "openai", "base_url": "https://api.openai.com/v1", "max_tokens_field": "max_completion_tokens"}
    return lambda alias: Deployment(**{**base, "alias": alias, "model": f"{alias}-model", **fields})


def loaded(text: str, folder: Path, name: str) -> ModuleType:
    """The module, imported from a file. Pydantic finds its classes through `sys.modules`."""
    file = folder / f"{name}.py"
    file.write_text(text, encoding="utf-8")
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
