"""What a run is to do: its graph, options and inputs, and the run that it replays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from orchmagic.graph.model import Graph
from orchmagic.language.magic_line import RunOptions
from orchmagic.runtime.replay import ReplaySpec


@dataclass(frozen=True, slots=True)
class RunPlan:
    """`parent` is the id of the run that is replayed, `replay` what differs from it (`graph` has it already)."""

    graph: Graph
    options: RunOptions
    inputs: Mapping[str, Any]
    parent: str | None = None
    replay: ReplaySpec = field(default_factory=ReplaySpec)

    @property
    def thread(self) -> str | None:
        """The conversation that the turns of the run are added to; a replay adds none."""
        return None if self.parent else self.options.thread
