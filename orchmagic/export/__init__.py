"""A graph as a module that runs without orchmagic: langgraph, openai and pydantic are all it needs.

    module = mark, docstring, imports, constants, prompts, notebook code, types, state, model calls, nodes, graph,
             the same for each graph inside it, main

The same requests in the same order and the same values as in the notebook: one test compares the two.
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
    """The source of the module: the same bytes for the same graph, notebook code and settings.

    `served` adds the function that a `langgraph.json` names; `thread` is a conversation that stays behind, and
    so are the deployments of a `pool` beside its first.

    Raises:
        ExportError: names everything that cannot leave the notebook.
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
    """Write the module to `file`; a file that orchmagic did not write, or that was edited, stays unless `overwrite`.

    `langgraph_json` writes that file beside it, for LangGraph's server; graphs that it names already stay.

    Raises:
        ExportError: the file is no place for it, or something cannot leave the notebook.
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
    """A module is written to be committed: whoever reads it would have the key.

    Raises:
        ExportError: there is one in it, in a prompt or in a value of the notebook.
    """
    from orchmagic.guards.detectors.secrets import published  # noqa: PLC0415 - on demand

    if found := published(text):
        named = ", ".join(f"{f.what} (line {text.count(chr(10), 0, f.start) + 1} of the module)" for f in found)
        raise ExportError(f"a key would be written into a file: {named}; read it from the environment: os.environ")


def _place(file: Path, text: str) -> None:
    """Write it whole or not at all."""
    beside = file.with_name(f".{file.name}.{os.getpid()}")
    beside.write_text(text, encoding="utf-8")
    beside.replace(file)
