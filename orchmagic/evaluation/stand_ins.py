"""Stand-ins: functions that take the place of tools while rows run, so that nothing is written."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, get_type_hints

from orchmagic.errors import InputError, nearest


def stand_ins(given: Mapping[str, Callable[..., Any]], notebook: Mapping[str, object]) -> dict[str, Callable[..., Any]]:
    """The stand-ins by the name of their tool, each with the tool's parameters and description.

    Raises:
        InputError: there is no such tool, or a stand-in is no function.
    """
    for name, function in given.items():
        if not callable(notebook.get(name)):
            raise InputError(f"there is no function {name!r} to stand in for{nearest(name, notebook)}")
        if not callable(function):
            raise InputError(f"the stand-in of {name} is of type {type(function).__name__}, not a function")
    return {name: _standing(notebook[name], function) for name, function in given.items()}


def _standing(tool: Any, function: Callable[..., Any]) -> Callable[..., Any]:
    """The function as a model sees it: with name, parameters and docstring of the tool."""

    def stand_in(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    async def stand_in_async(*args: Any, **kwargs: Any) -> Any:
        return await function(*args, **kwargs)

    made: Any = stand_in_async if inspect.iscoroutinefunction(function) else stand_in
    made.__name__, made.__doc__ = getattr(tool, "__name__", "tool"), tool.__doc__
    made.is_stand_in = True  # for an engine, which cannot take it
    try:
        made.__signature__, made.__annotations__ = inspect.signature(tool), get_type_hints(tool)
    except (ValueError, TypeError, NameError):
        made.__signature__ = inspect.signature(function)
    return made  # type: ignore[no-any-return]  # a function
