"""What every expression of a cell may call beside the notebook's own functions.

They are never inputs. All but those in `STAYS` are pure and of the standard library only, and what they call in turn
stands in their own modules, so that an export copies all of it by source.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from orchmagic.graph.functions.chunking import pack, split
from orchmagic.graph.functions.planning import flaws, ready
from orchmagic.graph.functions.semantic_routing import by_meaning

FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "split": split,
    "pack": pack,
    "ready": ready,
    "flaws": flaws,
    "by_meaning": by_meaning,
}

# What no module can take along, and what to write instead.
STAYS: Mapping[str, str] = {
    "by_meaning": "its router compares meanings with an embedding model that only orchmagic loads: give the handlers "
    'match="…", write `router = your_function(question)`, or let a model decide',
}
