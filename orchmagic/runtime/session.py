"""The one place where the parts are wired: settings, aliases, providers, cache, pipeline, loop, runs."""

from __future__ import annotations

import atexit
import keyword
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchmagic.core.process import notebook
from orchmagic.core.settings import Settings, load
from orchmagic.errors import InputError, SettingsError, nearest
from orchmagic.graph.checks import reads
from orchmagic.graph.composition import definition, nested
from orchmagic.graph.model import Graph, Node
from orchmagic.graph.resolution import CallDefaults, call_defaults, options_with_settings
from orchmagic.guards import rules
from orchmagic.guards.rules import Rule
from orchmagic.language.cell import parse
from orchmagic.language.magic_line import RunOptions, parse_options
from orchmagic.models import PROVIDERS, Deployment, Pool, Provider
from orchmagic.models.routing import alias_advice, aliases, api_keys
from orchmagic.patterns import PATTERNS
from orchmagic.runtime.budgets import KernelBudget
from orchmagic.runtime.caches import Caches
from orchmagic.runtime.event_loop import EventLoopThread
from orchmagic.runtime.history import History
from orchmagic.runtime.orchestration import Orchestration
from orchmagic.runtime.run import Run
from orchmagic.runtime.runner import Runner, split

if TYPE_CHECKING:
    from orchmagic.graph.estimate import Estimate
    from orchmagic.models.cache import Cache
    from orchmagic.models.routing.health import Health
    from orchmagic.models.semantic.semantic_cache import SemanticCache


class Session:
    """Everything that lives as long as the kernel. `namespace` is the notebook's (looked at, never written here)."""

    def __init__(
        self,
        namespace: MutableMapping[str, object] | None = None,
        *,
        environ: Mapping[str, str] | None = None,
        config: Callable[[], Mapping[str, object]] = dict,
        notify: Callable[[str], None] = print,
    ) -> None:
        self.namespace: MutableMapping[str, object] = {} if namespace is None else namespace
        self.environ = api_keys.key_environment() if environ is None else environ
        self.bridge = EventLoopThread()
        self.runs: list[Run] = []
        self.defined: dict[str, Orchestration] = {}
        self._config = config
        self._notify = notify
        self._said_local = False
        self._providers: dict[str, Provider] = {}
        self._kept = Caches(lambda: self.settings, self.bridge)
        self._health: Health | None = None
        self.purse = KernelBudget(lambda: self.settings.notebook_budget)
        self.history = History(lambda: self.settings, self.bridge, lambda: notebook(self.namespace, self.environ))
        self.runner = Runner(self)
        self._settings: Settings | None = None
        self._added: dict[str, Mapping[str, object]] = {}
        atexit.register(self.close)

    @property
    def settings(self) -> Settings:
        """Settings as they are now; `reload` forgets them."""
        if self._settings is None:
            given = self._config()
            models = given.get("models") or {}
            own = {**models, **self._added} if isinstance(models, Mapping) else models
            self._settings = load({**given, "models": own} if self._added else given, self.environ, Path.cwd())
        return self._settings

    def reload(self) -> None:
        """Read the settings again at their next use (a `%config` line changed one)."""
        before, self._settings = self._settings, None
        self._kept.close()
        self._drop_health()
        self.history.reload(before)

    def define(self, pattern: str, line: str, body: str) -> Orchestration:
        """Read a cell and bind nothing: parse, lower, check.

        Raises:
            CellError: with everything that is wrong with the cell.
        """
        made = self.read(pattern, line, body, self.namespace)
        self.defined[made.definition.name] = made
        return made

    def read(self, pattern: str, line: str, body: str, namespace: Mapping[str, object]) -> Orchestration:
        """`define` without keeping it, in another namespace than the notebook's."""
        plug = PATTERNS.get(pattern)
        options = parse_options(pattern, line, plug.options)
        if options.result and (not options.result.isidentifier() or keyword.iskeyword(options.result)):
            raise InputError(f"-o {options.result} is no variable name: write for example -o result")
        if options.result and options.background:
            raise InputError(
                "-o with --background has nothing to store yet: leave -o out and read NAME.last.output later"
            )
        self.rules(options)  # a wrong one is told before anything runs
        cell = parse(pattern, line, body, one_prompt=plug.one_prompt)
        graph = plug.build(cell, options_with_settings(options, self.settings), namespace)
        return Orchestration(graph, options, self)

    def current(self, made: Orchestration) -> Graph:
        """Its graph with the orchestrations that it names as they are now: a cell below may have been edited."""
        inner = {g.name: g for g in nested(made.definition)}
        now = {n: definition(self.namespace.get(n)) for n in inner}
        if all(found is None or found is inner[n] for n, found in now.items()):
            return made.definition
        return self.reread(made.definition.source, made.definition.name, self.namespace).definition

    def reread(self, source: str, name: str, namespace: Mapping[str, object]) -> Orchestration:
        """The orchestration of a cell's text, or, by a `name` such as "triage.extract", that step of it alone."""
        made = self.read(*split(source), namespace)
        _, _, step = name.rpartition(".")
        return made.step(step) if name == f"{made.definition.name}.{step}" else made

    def defaults(self, options: RunOptions) -> CallDefaults:
        """What a call uses when its step says nothing."""
        return call_defaults(options, self.settings)

    def rules(self, options: RunOptions) -> tuple[Rule, ...]:
        """What guards a run: the rules of the magic line beside those of the settings."""
        return rules.parse(rules.merge(self.settings.guard, options.guard), self.namespace, self.environ)

    def deployment(self, name: str) -> Deployment:
        """The endpoint behind an alias or model name."""
        found = self.known(name)
        if found.provider == "local" and not name.startswith("local") and not self._said_local:
            self._said_local = True
            self._notify(
                "No OPENAI_API_KEY is set, so the small local model answers (a demo model: expect mistakes). "
                "Set a key or --model to use another."
            )
        return found

    def add_models(self, entries: Mapping[str, Mapping[str, object]]) -> None:
        """More aliases, for as long as the kernel lives."""
        self._added |= entries
        self.reload()

    def remove_model(self, name: str) -> None:
        """Take an alias back that was added in this kernel; those of the settings stay."""
        if name not in self._added:
            raise InputError(alias_advice.cannot_remove(name, self.settings, self._added))
        del self._added[name]
        self.reload()

    def pool(self, name: str) -> Pool | None:
        """The deployments behind an alias that has several, or limits of its own."""
        return aliases.pool(name, self.settings, self.environ)

    @property
    def health(self) -> Health:
        """How the deployments do, shared with the other kernels of this machine while there is a history."""
        if self._health is None:
            from orchmagic.models.routing.health import opened  # noqa: PLC0415 - first run

            chosen = self.settings
            self._health = opened(None if chosen.history == "off" else Path(chosen.history_dir))
        return self._health

    def _drop_health(self) -> None:
        health, self._health = self._health, None
        if health is not None:
            health.close()

    def known(self, name: str) -> Deployment:
        """The same, only looked up: nothing is said to the user."""
        return aliases.resolve(name, self.settings, self.environ)

    def provider(self, name: str) -> Provider:
        """The session's one instance of a provider."""
        if name not in self._providers:
            self._providers[name] = PROVIDERS.get(name).create()
        return self._providers[name]

    @property
    def cache(self) -> Cache | None:
        """The cache of answers; None when it is switched off."""
        return self._kept.answers

    @property
    def memory(self) -> SemanticCache | None:
        """What the semantic cache knows; None without a cache."""
        return self._kept.questions

    def new_run(self, made: Orchestration, inputs: Mapping[str, Any]) -> Run:
        """A run that has not begun."""
        return self.runner.new_run(made, inputs)

    def compiled(self, graph: Graph, options: RunOptions) -> Any:
        """The LangGraph of `graph`; called without a context it runs untraced, on the caller's own loop."""
        return self.runner.compiled(graph, options)

    def revive(self, number: str) -> Run:
        """A run of this session or of the history, ready to be looked at, answered, resumed or replayed.

        Raises:
            InputError: there is no such run, or its notebook functions are not defined here.
        """
        return self.runner.revive(number)

    def alone(self, graph: Graph, node: Node) -> Graph:
        """A graph of just `node`; other steps that it reads become inputs."""
        used = reads(node)
        others = [n.name for n in graph.nodes if n.name != node.name and n.name in used]
        return replace(
            graph,
            name=f"{graph.name}.{node.name}",
            nodes=(node,),
            links=(),
            results=(node.name,),
            inputs=(*(n for n in graph.inputs if n in used), *others),
        )

    def estimate(self, graph: Graph, options: RunOptions, inputs: Mapping[str, object]) -> Estimate:
        """See `Orchestration.estimate`."""
        from orchmagic.graph.estimate import Models, estimate  # noqa: PLC0415 - on demand

        known = {n: inputs.get(n, self.namespace.get(n)) for n in graph.inputs if n in inputs or n in self.namespace}
        models = Models(self.deployment, self.pool, self.settings, self.environ)
        return estimate(graph, known, self.namespace, models, self.defaults(options))

    def export(self, graph: Graph, options: RunOptions, file: Path, **how: bool) -> Path:
        """See `Orchestration.export`."""
        from orchmagic.export import write  # noqa: PLC0415 - on demand

        said, pool = options.thread, self.pool
        return write(graph, self.namespace, self.deployment, self.defaults(options), file, pool, thread=said, **how)

    def find(self, name: str) -> Orchestration:
        """The orchestration called `name`.

        Raises:
            SettingsError: there is none; the nearest name is offered.
        """
        if name not in self.defined:
            known = ", ".join(self.defined) or "none yet: run a cell with a name, such as %%chain triage"
            raise SettingsError(f"no orchestration {name!r} (known: {known}){nearest(name, self.defined)}")
        return self.defined[name]

    def close(self) -> None:
        """Stop what runs, close providers, cache and loop. Safe to call twice."""
        atexit.unregister(self.close)
        for run in self.runs:
            run.cancel()
        for provider in self._providers.values():
            self.bridge.run(provider.close())
        self._providers.clear()
        self._kept.close()
        self._drop_health()
        self.history.close()
        self.bridge.close()
