"""`%config OrchMagic`: the settings that a notebook can change for itself, as traits with help texts.

Written by `make docs` from the fields of core/settings.py: change them there. Nothing of Pydantic is imported here, so
that `%load_ext` stays fast: values are checked when the settings are read.
"""

from __future__ import annotations

from typing import Any

from traitlets import Any as AnyTrait
from traitlets import Bool
from traitlets.config import Configurable


class OrchMagic(Configurable):
    """Defaults of all cells of this notebook; a magic line still overrides them. None: not set here."""

    model = AnyTrait(help="model or alias that answers when a cell names none").tag(config=True)
    fallback = AnyTrait(help="models to try next, separated by commas").tag(config=True)
    retry = AnyTrait(help="how often a transient failure is tried again").tag(config=True)
    reask = AnyTrait(help="most further calls for a reply that does not fit").tag(config=True)
    timeout = AnyTrait(help="seconds an attempt may take").tag(config=True)
    deadline = AnyTrait(help="seconds a run may take").tag(config=True)
    budget = AnyTrait(help="US dollars a run may spend").tag(config=True)
    max_tokens = AnyTrait(help="tokens a run may spend, in and out").tag(config=True)
    reply_tokens = AnyTrait(help="tokens one reply may have").tag(config=True)
    max_steps = AnyTrait(help="steps a run may take").tag(config=True)
    max_iterations = AnyTrait(help="turns a loop may take").tag(config=True)
    concurrency = AnyTrait(help="items of one step that run at once").tag(config=True)
    history = AnyTrait(help="on or off: keep runs, so that they survive a restart").tag(config=True)
    history_dir = AnyTrait(help="folder of the run history").tag(config=True)
    checkpoints = AnyTrait(help="postgresql://… for LangGraph's checkpoints; SQLite otherwise").tag(config=True)
    otel = AnyTrait(help="on or off: send runs to the collector that the environment names").tag(config=True)
    audit = AnyTrait(help="file of the audit log").tag(config=True)
    notebook_budget = AnyTrait(help="what all runs of a kernel may spend: 0.50, 100k tokens, or off").tag(config=True)
    guard = AnyTrait(help="rules for every cell: secrets=block,pii=redact").tag(config=True)
    cache = AnyTrait(help="how long answers are kept: 10s to 365d; semantic; semantic,1d; off").tag(config=True)
    semantic = AnyTrait(help="threshold=0.97,verifier=small of the semantic cache, or bound=0.02").tag(config=True)
    cache_dir = AnyTrait(help="folder of the cache").tag(config=True)
    cache_url = AnyTrait(help="redis://… or valkey://… to share answers; cache_dir otherwise").tag(config=True)
    batch_quiet = AnyTrait(help="seconds without a new request, after which a batch is sent").tag(config=True)
    batch_poll = AnyTrait(help="most seconds between two looks at a batch").tag(config=True)
    models = AnyTrait(help="aliases: {'small': {'model': …, 'base_url': …}}").tag(config=True)
    live = Bool(True, help="show each step while a cell runs").tag(config=True)

    def chosen(self) -> dict[str, Any]:
        """The settings that were set here, as they were written."""
        values = {name: getattr(self, name) for name in self.trait_names(config=True) if name != "live"}
        return {name: value for name, value in values.items() if value is not None and value != ""}
