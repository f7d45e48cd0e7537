"""Exports a graph as a Python module that needs langgraph, openai and pydantic, but not orchmagic.

    module = mark, docstring, imports, constants, prompts, notebook code, types, state, model calls, nodes, graph,
             the same for each inner graph, main

The module sends the same requests in the same order and gives the same values as the notebook; a test compares them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from orchmagic.errors import ExportError
from orchmagic.graph.model import Graph
from orchmagic.graph.resolution import CallDefaults
from orchmagic.models.types import Deployment, Pool

__all__ = ["module", "write"]


def module(
    graph: Graph,
    namespace: Mapping[str, object],
    deployments: Callable[[str], Deployment],
    defaults: CallDefaults,
    *,
    served: bool = False,
    thread: str | None = None,
    pool: Callable[[str], Pool | None] = lambda _: None,
) -> str:
    """Returns the source of the module: the same bytes for the same graph, notebook code and settings.

    `served` adds the function that a `langgraph.json` names. Not exported, but listed in the module's docstring: the
    conversation `thread`, and all deployments of a `pool` but the first.

    Raises:
        ExportError: lists everything that cannot be exported.
    """
    from orchmagic.export.assemble import assembled  # noqa: PLC0415 - heavy: jinja2, openai
    from orchmagic.export.module_plan import whole  # noqa: PLC0415 - as above

    return assembled(whole(graph, namespace, deployments, defaults, thread=thread, pool=pool), served=served)


def write(
    graph: Graph,
    namespace: Mapping[str, object],
    deployments: Callable[[str], Deployment],
    defaults: CallDefaults,
    file: Path,
    pool: Callable[[str], Pool | None] = lambda _: None,
    *,
    overwrite: bool = False,
    langgraph_json: bool = False,
    thread: str | None = None,
) -> Path:
    """Writes the module to `file`. Replaces a file that orchmagic did not write, or was edited, only if `overwrite`.

    `langgraph_json` adds the graph to the `langgraph.json` in the same folder, for LangGraph's server.

    Raises:
        ExportError: the file may not or cannot be written, or something cannot be exported.
    """
    from orchmagic.export.header import is_ours  # noqa: PLC0415 - as above
    from orchmagic.export.langgraph_json import FILE, named  # noqa: PLC0415 - as above

    if file.suffix != ".py" or not file.stem.isidentifier():
        raise ExportError(f"{file} is no module: write a name such as {graph.name}.py")
    if file.exists() and not overwrite and not is_ours(file.read_text(encoding="utf-8", errors="replace")):
        raise ExportError(f"{file} was not written by orchmagic, or was edited since: choose another name, or --force")
    text = module(graph, namespace, deployments, defaults, served=langgraph_json, thread=thread, pool=pool)
    _keyless(text)
    config = named(file, graph.name) if langgraph_json else None
    try:
        _place(file, text)
        if config is not None:
            _place(file.with_name(FILE), config)
    except OSError as error:
        raise ExportError(f"{file} cannot be written: {error.strerror or error}") from error
    return file


def _keyless(text: str) -> None:
    """Checks that the module, which may be committed, contains no API key.

    Raises:
        ExportError: a prompt or a notebook value contains one.
    """
    from orchmagic.guards.detectors.secrets import published  # noqa: PLC0415 - on demand

    if found := published(text):
        named = ", ".join(f"{f.what} (line {text.count(chr(10), 0, f.start) + 1} of the module)" for f in found)
        raise ExportError(f"a key would be written into a file: {named}; read it from the environment: os.environ")


def _place(file: Path, text: str) -> None:
    """Writes the file atomically."""
    beside = file.with_name(f".{file.name}.{os.getpid()}")
    beside.write_text(text, encoding="utf-8")
    beside.replace(file)
