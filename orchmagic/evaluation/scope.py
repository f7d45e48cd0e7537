"""The names that a metric sees.

They are the columns of its row, the steps of the run, `output`, `run`, `row`, `expect`, `calls`, `fields`, and the
notebook.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from orchmagic.errors import nearest
from orchmagic.graph.model import Branch, Code
from orchmagic.runtime.context import result
from orchmagic.runtime.frames import Row
from orchmagic.runtime.row_outcome import Outcome
from orchmagic.runtime.row_runs import Subject

OWN = ("output", "run", "row", "expect", "calls", "fields")
RESERVED = ("cost", "seconds", "tokens", "failed", "waiting")
"""Metrics that every evaluation has."""


class Fields:
    """The values of a row, or of what is expected of it, as attributes: `row.source`; also `row["source"]`."""

    def __init__(self, values: Mapping[str, Any], what: str) -> None:
        self._values = values
        self._what = what

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self[name]

    def __getitem__(self, name: str) -> Any:
        if name in self._values:
            return self._values[name]
        known = ", ".join(self._values) or "nothing"
        raise AttributeError(f"{self._what} has no {name!r} (it has {known}){nearest(name, self._values)}")

    def __contains__(self, name: object) -> bool:
        return name in self._values

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def items(self) -> Any:
        return self._values.items()

    def __repr__(self) -> str:
        return repr(dict(self._values))


class Calls(Sequence[str]):
    """The tool calls of a run in order, by name: `"refund" in calls`, `calls.before("find", "refund")`."""

    def __init__(self, calls: Sequence[tuple[str, Any]]) -> None:
        self.names = [name for name, _ in calls]
        self.arguments = [arguments for _, arguments in calls]

    def __getitem__(self, index: Any) -> Any:
        return self.names[index]

    def __len__(self) -> int:
        return len(self.names)

    def before(self, first: str, then: str) -> bool:
        """Whether each run that calls `then` called `first` before it; True if it never calls `then`."""
        return then not in self.names or first in self.names[: self.names.index(then)]

    def __repr__(self) -> str:
        return repr(self.names)


class Named(dict[str, Any]):
    """A JSON object whose entries are attributes, too: `d["id"]` and `d.id`, as of what it was before it was stored."""

    __slots__ = ()

    def __getattr__(self, name: str) -> Any:
        if name in self:
            return self[name]
        if name.startswith("__"):
            raise AttributeError(name)
        raise AttributeError(f"there is no {name!r} (there are {', '.join(self) or 'none'}){nearest(name, self)}")


def _named(value: Any) -> Any:
    """The JSON value of a code step, with the entries of its objects as attributes."""
    if isinstance(value, Mapping):
        return Named({name: _named(part) for name, part in value.items()})
    return [_named(part) for part in value] if isinstance(value, list) else value


class Label(str):
    """A label that a router gave without other fields: `router.label`, as of a router that is a model, or `router`."""

    __slots__ = ()

    @property
    def label(self) -> str:
        """The label itself."""
        return str(self)


def _value(subject: Subject, outcome: Outcome, name: str) -> Any:
    """Returns the value of a step. One metric reads `router.label` of every kind of router, also of code."""
    value = subject.value(outcome, name)
    node = subject.graph.node(name)
    if not isinstance(node, Code) or node.like is not None:
        return value
    if isinstance(subject.graph.link(name), Branch) and isinstance(value, str):
        return Label(value)
    return _named(value)


def _output(subject: Subject, outcome: Outcome) -> Any:
    """Returns the output of a run, as the value of its step."""
    name, _ = result(subject.graph, outcome.values)
    return _value(subject, outcome, name) if name else subject.output(outcome)


class RunView:
    """What a metric sees of the run: status, error, cost, seconds, tokens, verified, and the steps' values."""

    def __init__(self, subject: Subject, outcome: Outcome) -> None:
        self._subject = subject
        self._outcome = outcome

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if name in _RUN:
            return getattr(self._outcome, name)
        steps = [n.name for n in self._subject.graph.nodes]
        if name in steps:
            return _value(self._subject, self._outcome, name)
        known = ", ".join((*_RUN, *steps))
        raise AttributeError(f"a run has no {name!r} (it has {known}){nearest(name, (*_RUN, *steps))}")


_RUN = ("status", "error", "error_kind", "cost", "seconds", "tokens", "verified")


def fields(found: object, expected: object) -> dict[str, bool]:
    """Compares each expected field with the field found: `{"product": True}`; an expected None is not compared."""
    if expected is None:
        return {}
    wanted = dict(expected.items()) if hasattr(expected, "items") else vars(expected)
    return {name: _field(found, name) == value for name, value in wanted.items() if value is not None}


def _field(found: object, name: str) -> Any:
    return found.get(name) if isinstance(found, Mapping) else getattr(found, name, None)


def expected(row: Row) -> Any:
    """What a row expects: its column `expect`, or its columns `expect.NAME` as fields; None without either."""
    whole = row.get("expect")
    if isinstance(whole, Mapping):
        return Fields(whole, "expect")
    parts = {name.partition(".")[2]: value for name, value in row.items() if name.startswith("expect.")}
    return whole if whole is not None or not parts else Fields(parts, "expect")


class Scope:
    """The names for the metrics of one case; values are made when they are read."""

    def __init__(self, subject: Subject, outcome: Outcome, row: Row) -> None:
        self._subject = subject
        self._outcome = outcome
        self._row = row
        self.steps = [n.name for n in subject.graph.nodes]
        self.values: dict[str, Any] = {
            **{name: value for name, value in row.items() if name.isidentifier()},
            **{name: _value(subject, outcome, name) for name in self.steps if name in outcome.values},
            **{name: None for name in self.steps if name not in outcome.values},
            "output": _output(subject, outcome),
            "run": RunView(subject, outcome),
            "row": Fields(row, "row"),
            "expect": expected(row),
            "calls": Calls(outcome.calls),
            "fields": fields,
        }

    def over(self, namespace: Mapping[str, object], whole: Iterable[str] = ()) -> Mapping[str, Any]:
        """These names, and below them the notebook's. Names read `whole`, without a field, are columns first."""
        columns = {name: self._row[name] for name in whole if name in self._row and name in self.steps}
        return ChainMap(columns, self.values, namespace)  # type: ignore[arg-type]  # it is only read
