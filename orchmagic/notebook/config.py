"""`%config OrchMagic`: the settings that a notebook can change for itself, as traits with help texts."""

from __future__ import annotations

from typing import Any

from traitlets import Any as AnyTrait
from traitlets import Bool, Float, Int, Unicode
from traitlets.config import Configurable


class OrchMagic(Configurable):
    """Defaults of all cells of this notebook; a magic line still overrides them."""

    model = Unicode(help="model or alias that answers when a cell names none").tag(config=True)
    fallback = Unicode(help="models to try next, separated by commas").tag(config=True)
    retry = Int(None, allow_none=True, help="how often a transient failure is tried again").tag(config=True)
    reask = Int(None, allow_none=True, help="how often a reply that does not fit is asked again").tag(config=True)
    timeout = Float(None, allow_none=True, help="seconds an attempt may take").tag(config=True)
    deadline = Float(None, allow_none=True, help="seconds a run may take").tag(config=True)
    budget = Float(None, allow_none=True, help="US dollars a run may spend").tag(config=True)
    max_tokens = Int(None, allow_none=True, help="tokens a run may spend, in and out").tag(config=True)
    reply_tokens = Int(None, allow_none=True, help="tokens one reply may have").tag(config=True)
    max_steps = Int(None, allow_none=True, help="steps a run may take").tag(config=True)
    max_iterations = Int(None, allow_none=True, help="turns a loop may take").tag(config=True)
    concurrency = Int(None, allow_none=True, help="items of one step that run at once").tag(config=True)
    history = Unicode(help="on or off: keep runs, so that they survive a restart").tag(config=True)
    history_dir = Unicode(help="folder of the run history").tag(config=True)
    checkpoints = Unicode(help="postgresql://… for LangGraph's checkpoints; SQLite otherwise").tag(config=True)
    otel = Unicode(help="on or off: send runs to the collector that the environment names").tag(config=True)
    audit = Unicode(help="file of the audit log; none: no log").tag(config=True)
    notebook_budget = Unicode(help='what all runs of this kernel may spend: "0.50", "100k tokens"').tag(config=True)
    guard = Unicode(help="rules for every cell: secrets=block,pii=redact").tag(config=True)
    cache = Unicode(help="how long answers are kept: 10s to 365d; semantic; semantic,1d; off").tag(config=True)
    semantic = Unicode(help="threshold=0.97,verifier=small of the semantic cache, or bound=0.02").tag(config=True)
    cache_dir = Unicode(help="folder of the cache").tag(config=True)
    cache_url = Unicode(help="redis://… or valkey://… to share answers; cache_dir otherwise").tag(config=True)
    live = Bool(True, help="show each step while a cell runs").tag(config=True)
    models = AnyTrait(None, allow_none=True, help="aliases: {'small': {'model': …, 'base_url': …}}").tag(config=True)

    def chosen(self) -> dict[str, Any]:
        """The settings that were really set."""
        found = {name: getattr(self, name) for name in self.trait_names(config=True) if name != "live"}
        found["fallback"] = tuple(w.strip() for w in found["fallback"].split(",") if w.strip())
        return {name: value for name, value in found.items() if value not in (None, "", ())}
