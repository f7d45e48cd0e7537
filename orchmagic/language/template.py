"""Checks and renders prompt templates (Jinja). They are rendered once: `{{ x }}` inside a value is plain text.

Only `{{ }}` and `{% %}` are special. `{#` is text (bash's `${#a}`, LaTeX's `{#1}`): a prompt has no comments.
`core.portable.as_text`, which exported modules contain too, formats the values.
"""

from __future__ import annotations

import builtins
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from orchmagic.core.portable import as_text
from orchmagic.core.user_code import contained, described
from orchmagic.errors import EndsRun, InputError, nearest

if TYPE_CHECKING:
    from collections.abc import Mapping

    import jinja2
    from jinja2 import nodes

# Jinja cannot switch comments off, so their markers are private-use characters that no prompt contains.
_NO_COMMENT = ("\uf8ff{#no comments\uf8ff", "\uf8ffno comments#}\uf8ff")
_TOO_DEEP = "the template is nested too deeply"


@dataclass(frozen=True, slots=True)
class Message:
    """One chat message; `text` is a template."""

    role: str
    text: str


@lru_cache(maxsize=1)
def _environment() -> jinja2.Environment:
    import jinja2  # noqa: PLC0415 - heavy

    return jinja2.Environment(
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # noqa: S701 - prompts are text for a model, not HTML
        keep_trailing_newline=True,
        comment_start_string=_NO_COMMENT[0],
        comment_end_string=_NO_COMMENT[1],
        optimized=False,  # no constant folding: compiling must not evaluate anything
        finalize=as_text,
    )


@lru_cache(maxsize=1024)
def _compiled(template: str) -> jinja2.Template:
    return _environment().from_string(template)


@lru_cache(maxsize=1024)
def tree(template: str) -> nodes.Template:
    """Returns the template's syntax tree, for the export to f-strings."""
    return _environment().parse(template)


def check(template: str) -> tuple[str, int] | None:
    """Returns the syntax error and its line in the template (from 0), or None if the template is valid."""
    import jinja2  # noqa: PLC0415 - heavy
    from jinja2 import nodes  # noqa: PLC0415 - as above

    try:
        _compiled(template)
        kinds = (nodes.Include, nodes.Import, nodes.FromImport, nodes.Extends)
        foreign = next(tree(template).find_all(kinds), None)
    except jinja2.TemplateSyntaxError as error:
        message = (error.message or "syntax error").splitlines()[0]
        return message.rstrip("."), max(error.lineno - 1, 0)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return _TOO_DEEP, 0
    if foreign is not None:
        return "a prompt cannot take in other templates", foreign.lineno - 1
    return None


@lru_cache(maxsize=1024)
def names(template: str) -> frozenset[str]:
    """Returns the names that a scope must supply: without builtins that are only called, as in `{{ len(docs) }}`."""
    from jinja2 import meta  # noqa: PLC0415 - heavy

    free = meta.find_undeclared_variables(tree(template))
    return frozenset(free - _builtin_calls(template))


@lru_cache(maxsize=1024)
def _builtin_calls(template: str) -> frozenset[str]:
    from jinja2 import nodes  # noqa: PLC0415 - heavy

    found = tree(template)
    called = [call.node for call in found.find_all(nodes.Call) if isinstance(call.node, nodes.Name)]
    used = [name.name for name in found.find_all(nodes.Name)]
    counts = {name.name: sum(1 for c in called if c.name == name.name) for name in called}
    return frozenset(n for n, count in counts.items() if hasattr(builtins, n) and used.count(n) == count)


@lru_cache(maxsize=1024)
def calls(template: str) -> bool:
    """Whether the template calls anything but builtins: it may be code of the notebook."""
    from jinja2 import nodes  # noqa: PLC0415 - heavy

    found = [call.node for call in tree(template).find_all(nodes.Call)]
    return any(not (isinstance(n, nodes.Name) and n.name in _builtin_calls(template)) for n in found)


def render(template: str, scope: Mapping[str, object]) -> str:
    """Renders the template with the scope's values.

    Raises:
        InputError: a name is missing, or rendering raises.
    """
    import jinja2  # noqa: PLC0415 - heavy

    wanted = names(template)
    given = {name: scope[name] for name in wanted if name in scope}
    calls = {name: scope.get(name, getattr(builtins, name)) for name in _builtin_calls(template)}
    try:
        with contained():
            return _compiled(template).render(calls | given)
    except jinja2.UndefinedError as error:
        raise InputError(_explain(error, wanted, scope)) from error
    except EndsRun:  # of a tool that writes, or of an orchestration that a function runs
        raise
    except Exception as error:  # templates call the user's code, which may raise anything
        raise InputError(f"the template cannot be filled in: {described(error)}") from error


def _explain(error: jinja2.UndefinedError, wanted: frozenset[str], scope: Mapping[str, object]) -> str:
    for name in sorted(wanted - scope.keys()):
        if str(error) == f"{name!r} is undefined":
            return f"{name!r} is not defined{nearest(name, scope)}"
    nothing = sorted(name for name in wanted & scope.keys() if scope[name] is None)
    where = f" (None: {', '.join(nothing)})" if nothing and "'None'" in str(error) else ""
    return f"the template cannot be filled in: {error}{where}"
