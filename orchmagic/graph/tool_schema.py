"""Turns notebook functions into tools: schema from type hints and docstring, validation of the arguments.

A failed tool call does not fail the run: the error is returned to the model as text.
"""

from __future__ import annotations

import inspect
import keyword
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, get_type_hints

from pydantic import BaseModel, ConfigDict, create_model

from orchmagic.core.portable import read_arguments
from orchmagic.core.user_code import contained
from orchmagic.errors import CodeExit
from orchmagic.graph.output_types import camel
from orchmagic.models.types import ToolSpec

_POSITIONAL = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that a model may call. `arguments` is the Pydantic class of its arguments."""

    name: str
    function: Callable[..., object]
    arguments: type[BaseModel]

    @property
    def spec(self) -> ToolSpec:
        """The tool's name, description and JSON schema for the request."""
        return ToolSpec(self.name, description(self.function), self.arguments.model_json_schema())

    def read(self, arguments: str) -> Mapping[str, Any]:
        """Parses the model's JSON text into keyword arguments.

        Raises:
            ValueError: it is not a JSON object, or does not fit; the text is for the model.
        """
        with contained():
            return read_arguments(self.name, self.arguments, arguments)


def problem(name: str, value: object) -> str | None:
    """Returns why `value` cannot be a tool, as text; None if it can."""
    if value is None:
        return f"there is no function {name!r} in the notebook"
    if isinstance(value, type) or not callable(value):
        return f"{name!r} is {_kind(value)}, not a function"
    try:
        parameters = inspect.signature(value).parameters.values()
        with contained():
            hints = get_type_hints(value)
    except (ValueError, TypeError, NameError, CodeExit) as error:
        return f"the type hints of {name!r} cannot be read ({error})"
    if odd := [p.name for p in parameters if p.kind not in _POSITIONAL]:
        return f"{name!r} takes {', '.join(odd)} by position or as * or **: a model passes arguments by name"
    if bare := [p.name for p in parameters if p.name not in hints]:
        return f"{name!r} has no type hint for {', '.join(bare)}: write for example {bare[0]}: str"
    return _unseen(name, value)


def _unseen(name: str, value: Callable[..., object]) -> str | None:
    """Returns why a model would not be told of a parameter; None if it is told of all."""
    parameters = inspect.signature(value).parameters
    if lost := [p for p in parameters if p.startswith("_") or p == "model_config"]:
        free = lost[0].strip("_").replace("model_config", "settings") or "value"
        free += "_" * keyword.iskeyword(free)
        return f"{name!r} takes {', '.join(lost)}, a name that a tool cannot have: rename it, for example {free}"
    try:
        tool(name, value).spec  # noqa: B018 - whether it can be made
    except Exception as error:  # noqa: BLE001 - Pydantic and the classes of hints may raise anything
        return f"{name!r} has a parameter whose type has no JSON schema ({str(error).splitlines()[0]})"
    return None


def tool(name: str, function: Callable[..., object]) -> Tool:
    """Makes a tool of a function for which `problem` returns None."""
    hints = get_type_hints(function, include_extras=True)
    fields: dict[str, Any] = {
        p.name: (hints[p.name], ... if p.default is p.empty else p.default)
        for p in inspect.signature(function).parameters.values()
    }
    config = ConfigDict(extra="forbid", arbitrary_types_allowed=False, protected_namespaces=())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a parameter may be called `copy` or `json`
        return Tool(name, function, create_model(camel(name), __config__=config, **fields))


def description(function: Callable[..., object]) -> str:
    """Returns the docstring, or the function's name with spaces if there is none."""
    return inspect.getdoc(function) or getattr(function, "__name__", "tool").replace("_", " ")


def _kind(value: object) -> str:
    name = "class" if isinstance(value, type) else type(value).__name__
    return f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"
