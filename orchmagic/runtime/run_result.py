"""The readable results of a run: step values as attributes, output, cost, receipt, dead letters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from orchmagic.core.text_format import counted
from orchmagic.errors import nearest
from orchmagic.graph.model import Graph, Node, Sub
from orchmagic.runtime.context import Context, result
from orchmagic.runtime.conversation import Message, summary_turn
from orchmagic.runtime.recovery import dead_letters
from orchmagic.trace.events import Status
from orchmagic.trace.record import Record, Span
from orchmagic.trace.run_trace import Trace

if TYPE_CHECKING:
    from pandas import DataFrame  # type: ignore[import-untyped]  # optional, and without stubs

    from orchmagic.trace.item_table import ItemTable
    from orchmagic.trace.receipt import Receipt
    from orchmagic.views.comparison import Comparison


class RunResult:
    """The read-only part of a run; `Run` adds start, answer, resume and replay."""

    def __init__(self, id_: str, inputs: Mapping[str, Any], context: Context, trace: Trace) -> None:
        self.id = id_
        self.inputs = inputs
        self.status: Status = "running"
        self.error: str | None = None
        self.reason: str | None = None
        self.trace = trace
        self._context = context
        self._has_output = True  # False: a person rejected a value, or an inner cell stopped the run
        self._is_stopped = False  # by its cell: gate … else stop
        self._replayed: RunResult | None = None  # the run that this one was copied from
        self._stored: Record | None = None  # the record of a run of the history

    @property
    def graph(self) -> Graph:
        """The graph that was run."""
        return self._context.graph

    @property
    def name(self) -> str:
        """The name of the orchestration."""
        return self.graph.name

    @property
    def output(self) -> Any:
        """The result: the value of the last result step that ran."""
        if not self._has_output:
            return None
        if self._replayed is not None:
            return self._replayed.output
        name, value = result(self.graph, self._context.values)
        kinds = self._context.kinds
        if self._stored is not None and kinds.json(name, value) != self._stored.output:  # edited by a person
            return self._stored.output
        return kinds.typed(name, value) if name else value

    @property
    def verified(self) -> bool | None:
        """Whether the answers passed the checks of their cascades, also of inner ones; None if there are none.

        In a cell with a step of this name, that step's value.
        """
        own = any(n.name == "verified" for n in self.graph.nodes)
        return self._typed("verified") if own else self.record.verified

    @property
    def record(self) -> Record:
        """The run as plain data, for views and files."""
        return self._stored or self.trace.snapshot()

    @property
    def cost(self) -> float | None:
        """US dollars spent, without calls of unknown price (`trace.unpriced`); None if no price is known."""
        record = self.record
        return None if record.unpriced and not record.cost else record.cost

    @property
    def tokens(self) -> int:
        """Tokens used, input plus output."""
        return self.record.usage.total

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        known = [n.name for n in self.graph.nodes]
        if name in known:
            return self._typed(name)
        raise AttributeError(f"a run has no {name!r} (steps: {', '.join(known)}){nearest(name, known)}")

    def __getitem__(self, step: str) -> Any:
        """The value of a step whose name is also one of the run's own attributes; `run["messages"]` of an agent."""
        if step == "messages":
            return self._context.values.get(self.graph.own_key(step), [])
        self.graph.node(step)
        return self._typed(step)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *(n.name for n in self.graph.nodes)})

    def __repr__(self) -> str:
        record = self.record
        tokens = counted(record.usage.total, "token")
        return f"<Run {self.id} {self.name} {self.status} {record.seconds:.2f} s {tokens}>"

    def receipt(self) -> Receipt:
        """A list of dicts, one per answer: step, model, provider, why that model, tokens, dollars, seconds, cache.

        Displays as a table, which is also `.text`. `.totals` has the sums, and estimates for one call of the strongest
        model and for all calls on it.
        """
        from orchmagic.trace.receipt import Receipt  # noqa: PLC0415 - read on demand

        return Receipt(self.record)

    def df(self) -> DataFrame:
        """The receipt as a pandas DataFrame.

        Raises:
            ImportError: pandas is not installed; says what to write.
        """
        try:
            import pandas as pd  # noqa: PLC0415 - optional
        except ImportError:
            raise ImportError("run.df() needs pandas: pip install pandas; run.receipt() works without") from None
        return pd.DataFrame(self.receipt())

    def table(self, step: str | None = None) -> ItemTable:
        """The items of a step beside what was made of them: failed ones first, then those in doubt, then by number.

        Without `step`, the last step that worked on items. A list of dicts; `pandas.DataFrame(run.table())` is a frame.
        """
        from orchmagic.trace.item_table import ItemTable  # noqa: PLC0415 - read on demand

        return ItemTable(self.record, step)

    def compare(self, *others: RunResult) -> Comparison:
        """Compares this run with one to five others: timelines on one axis, cost, quality and differences.

        Raises:
            InputError: there are fewer or more.
        """
        from orchmagic.views.comparison import compare  # noqa: PLC0415 - read on demand

        return compare([run.record for run in (self, *others)])

    @property
    def dead_letters(self) -> list[dict[str, Any]]:
        """The items that failed after all retries, each with step, item (from 1), input, error, attempts."""
        return dead_letters(self.record)

    @property
    def turn_key(self) -> str:
        """The key of this run's turn in its threads."""
        return self._context.turn_key

    def summary_of(self, thread: str) -> tuple[str, list[Message]] | None:
        """The summary that this run made of the thread's older turns: (key of the first turn after them, messages)."""
        known = (self._context.thread, *self._context.threads.values())
        return next(((c.first, summary_turn(c.summary)) for c in known if c.name == thread and c.summary), None)

    def turns_by_thread(self, own: str | None) -> dict[str, list[Mapping[str, Any]]]:
        """The messages that this run adds to its thread `own`, if any, and to the threads of inner cells.

        None if it is not done, or was stopped by its cell: what a person rejected and what failed is not remembered.
        """
        added: dict[str, list[Mapping[str, Any]]] = {}
        if self.status != "done" or self._is_stopped:
            return added
        for thread, turn in self._context.inner_turns.values():
            added.setdefault(thread, []).extend(turn)
        if own is not None and self.output is not None:
            added.setdefault(own, []).extend(self._context.turn())
        return {thread: messages for thread, messages in added.items() if messages}

    def _typed(self, name: str) -> Any:
        return self._context.kinds.typed(name, self._context.values.get(name))


def values(record: Record, graph: Graph) -> dict[str, Any]:
    """Rebuilds the state from a record: step values; for inner graphs, also the step that gave the output."""
    return _values(record, record.steps, graph)


def _values(record: Record, spans: Iterable[Span], graph: Graph) -> dict[str, Any]:
    nodes = {n.name: n for n in graph.nodes}
    return {s.name: _value(record, s, nodes[s.name]) for s in spans if s.status == "done" and s.name in nodes}


def _value(record: Record, span: Span, node: Node) -> Any:
    if not isinstance(node, Sub):
        return span.output
    if span.output is None:  # stopped by its own cell
        return None
    if node.each is None or span.kind == "item":
        step, value = result(node.graph, _values(record, record.inside(span), node.graph))
        return {"step": step, "value": value}
    return [_value(record, item, node) if item.status == "done" else None for item in record.inside(span)]
