"""RunPlan: the graph, options and inputs of a run, and the run that it replays, if any."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from orchmagic.graph.model import Graph
from orchmagic.language.magic_line import RunOptions
from orchmagic.runtime.replay import ReplaySpec


@dataclass(frozen=True, slots=True)
class RunPlan:
    """`parent` is the id of the replayed run; `replay` holds the differences (already applied to `graph`)."""

    graph: Graph
    options: RunOptions
    inputs: Mapping[str, Any]
    parent: str | None = None
    replay: ReplaySpec = field(default_factory=ReplaySpec)

    @property
    def thread(self) -> str | None:
        """The thread that receives the turns of the run; None for a replay."""
        return None if self.parent else self.options.thread
