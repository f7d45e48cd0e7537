"""RunPlan: the graph, options and inputs of a run, and the run that it replays, if any."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from orchmagic.graph.model import Graph
from orchmagic.language.magic_line import RunOptions
from orchmagic.runtime.replay import ReplaySpec

if TYPE_CHECKING:
    from orchmagic.runtime.caller import Caller, EarlierRun


@dataclass(frozen=True, slots=True)
class RunPlan:
    """`parent` is the id of the replayed run; `replay` holds the differences (already applied to `graph`).

    `caller` is the step of another run whose code starts this run, `earlier` the run that it started before a resume.
    `turn` is the key of the run's turn in its threads: equal for runs of one cell with equal inputs.
    """

    graph: Graph
    options: RunOptions
    inputs: Mapping[str, Any]
    parent: str | None = None
    replay: ReplaySpec = field(default_factory=ReplaySpec)
    caller: Caller | None = None
    earlier: EarlierRun | None = None
    turn: str = ""

    @property
    def thread(self) -> str | None:
        """The thread that receives the turns of the run; None for a replay."""
        return None if self.parent else self.options.thread
