"""Which models of a graph are called through a Batch API, and what a cell must say about it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from orchmagic.core.limits import OPEN
from orchmagic.errors import SettingsError
from orchmagic.graph.model import Call, Graph, Sub
from orchmagic.graph.paths import repeats
from orchmagic.language.magic_line import RunOptions
from orchmagic.models.batching import HOURS, in_batch
from orchmagic.models.types import Deployment
from orchmagic.runtime.cost_reference import model_uses
from orchmagic.runtime.services import Services

if TYPE_CHECKING:
    from orchmagic.runtime.context import Context

_DAY = HOURS * 3600.0  # seconds


def in_batches(graph: Graph, options: RunOptions, services: Services) -> bool:
    """Whether a call of the graph may go through a Batch API."""
    return any(m.batch for m, _ in _called(graph, options, services))


def remarks(graph: Graph, options: RunOptions, services: Services) -> Iterator[str]:
    """Yields what a person should know before a run that waits for batches, or that was to and does not."""
    called = [*_called(graph, options, services)]
    if direct := dict.fromkeys(m.alias for m, wanted in called if wanted and not m.batch):
        yield f"--batch: {', '.join(direct)} has no Batch API, and is called directly at its full price"
    if not any(m.batch for m, _ in called):
        return
    if (most := turns(graph)) > 1:
        yield (
            f"Each turn of {graph.name} waits for a batch of its own, up to {HOURS} h: up to {most} in a row. "
            "Batches suit steps that run on many items or rows"
        )
    deadline = graph.limits.deadline
    if deadline is not None and deadline < _DAY:
        yield (
            f"A batch may take {HOURS} h, and the deadline is {deadline:g} s: the run ends then and the batch goes on. "
            "Run the cell again to collect its answers"
        )
    if options.timeout not in {None, OPEN}:
        yield "--timeout does not hold for calls in a batch: they wait until it has ended"


def turns(graph: Graph) -> int:
    """The most visits of a step that calls a model: 1 without loops."""
    times = repeats(graph)
    calls = [n for n in graph.nodes if isinstance(n, Call | Sub)]
    return max((times[n.name] * (turns(n.graph) if isinstance(n, Sub) else 1) for n in calls), default=1)


def say_room(node: Call | Sub, items: int, ctx: Context) -> None:
    """Says if the run's limit of tokens has no room for the calls of all items in one batch."""
    most = ctx.budget.max_tokens
    if not isinstance(node, Call) or most is None:
        return
    model = ctx.deployment(ctx.defaults.models(node)[0])
    room = most // ctx.defaults.reply_tokens(node)
    if (in_batch(model) if ctx.defaults.batch else model).batch and room < items:
        ctx.services.notify(
            f"{node.name}: --max-tokens {most:,} has room for {room:,} of {items:,} calls at a time: the others "
            "wait for a later batch. Raise it, or write --max-tokens none"
        )


def _called(graph: Graph, options: RunOptions, services: Services) -> Iterator[tuple[Deployment, bool]]:
    """Yields the deployments that may be called, as they are called, and whether the cell says --batch for them."""
    for name, wanted in dict.fromkeys(model_uses(graph, services.call_defaults(options))):
        try:
            pool = services.models.pool(name)
            members = pool.members if pool else (services.models.resolve(name),)
        except SettingsError:  # said when it runs
            continue
        yield from ((in_batch(m) if wanted else m, wanted) for m in members)
