"""The one place where the parts are wired: settings, aliases, providers, cache, pipeline, loop, runs."""

from __future__ import annotations

import atexit
import itertools
import keyword
import os
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchmagic.bridge import Bridge
from orchmagic.cell import parse
from orchmagic.checks import reads
from orchmagic.context import CallDefaults, Context
from orchmagic.errors import InputError, SettingsError, nearest
from orchmagic.events import Event
from orchmagic.graph import Graph, Node
from orchmagic.models import PROVIDERS, Deployment, Handler, Provider, aliases, endpoint
from orchmagic.options import RunOptions, parse_options, ttl
from orchmagic.orchestration import Orchestration
from orchmagic.patterns import PATTERNS
from orchmagic.run import Run
from orchmagic.settings import Settings, load
from orchmagic.trace import Trace

if TYPE_CHECKING:
    from orchmagic.caches import Cache
    from orchmagic.estimate import Estimate
    from orchmagic.models.middleware.budget import Budget
    from orchmagic.models.middleware.single_flight import SingleFlight


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
        self.environ = os.environ if environ is None else environ
        self.bridge = Bridge()
        self.runs: list[Run] = []
        self.defined: dict[str, Orchestration] = {}
        self._config = config
        self._notify = notify
        self._said_local = False
        self._providers: dict[str, Provider] = {}
        self._cache: Cache | None = None
        self._flights: SingleFlight | None = None
        self._numbers = itertools.count(1)
        self._settings: Settings | None = None
        atexit.register(self.close)

    @property
    def settings(self) -> Settings:
        """Settings as they are now; `reload` forgets them."""
        if self._settings is None:
            self._settings = load(self._config(), self.environ, Path.cwd())
        return self._settings

    def reload(self) -> None:
        """Read the settings again at their next use (a `%config` line changed one)."""
        self._settings = None
        self._drop_cache()

    def define(self, pattern: str, line: str, body: str) -> Orchestration:
        """Read a cell and bind nothing: parse, lower, check.

        Raises:
            CellError: with everything that is wrong with the cell.
        """
        plug = PATTERNS.get(pattern)
        options = parse_options(pattern, line, plug.options)
        if options.result and (not options.result.isidentifier() or keyword.iskeyword(options.result)):
            raise InputError(f"-o {options.result} is no variable name: write for example -o result")
        if options.result and options.background:
            raise InputError(
                "-o with --background has nothing to store yet: leave -o out and read NAME.last.output later"
            )
        cell = parse(pattern, line, body, one_prompt=plug.one_prompt)
        graph = plug.build(cell, self._with_settings(options), self.namespace)
        made = Orchestration(graph, options, self)
        self.defined[graph.name] = made
        return made

    def _with_settings(self, options: RunOptions) -> RunOptions:
        """Limits that the magic line leaves open come from the settings."""
        chosen = self.settings
        return replace(
            options,
            fallback=options.fallback or chosen.fallback,
            retry=chosen.reask if options.retry is None else options.retry,
            max_iterations=options.max_iterations or chosen.max_iterations,
            max_steps=options.max_steps or chosen.max_steps,
            max_tokens=options.max_tokens or chosen.max_tokens,
            deadline=options.deadline or chosen.deadline,
            budget=options.budget if options.budget is not None else chosen.budget,
        )

    def new_run(self, graph: Graph, options: RunOptions, compiled: Any, inputs: Mapping[str, Any]) -> Run:
        """A run that has not begun, with its own budget, trace and pipeline."""
        from orchmagic.draw import picture  # noqa: PLC0415 - only runs are drawn
        from orchmagic.models.middleware.budget import Budget  # noqa: PLC0415 - first run

        limits = graph.limits
        self._check_models(graph)
        budget = Budget(max_tokens=limits.max_tokens, money=limits.budget)
        number = f"r{next(self._numbers)}"
        trace = Trace(
            number,
            graph.name,
            graph.pattern,
            picture=picture(graph),
            limits=asdict(limits),
            started=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        left = _left(limits.deadline, trace)
        context = self.context(graph, options, trace.add, budget, left)
        run = Run(number, context, compiled, trace, budget, inputs, self.bridge)
        self.runs.append(run)
        return run

    def context(
        self,
        graph: Graph,
        options: RunOptions,
        emit: Callable[[Event], None],
        budget: Budget,
        left: Callable[[], float | None] = lambda: None,
    ) -> Context:
        """What the nodes of one run work with."""
        return Context(
            graph=graph,
            handler=self.handler(emit, budget, left),
            emit=emit,
            namespace=self.namespace,
            deployment=self.deployment,
            defaults=self.defaults(options),
            ttl=_ttl,
        )

    def compiled(self, graph: Graph, options: RunOptions) -> Any:
        """The LangGraph of `graph`; called without a context it runs untraced, on the caller's own loop."""
        from orchmagic.compile import compile_graph  # noqa: PLC0415 - heavy

        return compile_graph(graph, lambda: self._untraced(graph, options))

    def _untraced(self, graph: Graph, options: RunOptions) -> Context:
        from orchmagic.models.middleware.budget import Budget  # noqa: PLC0415 - first run

        budget = Budget(max_tokens=graph.limits.max_tokens, money=graph.limits.budget)
        context = self.context(graph, options, lambda _: None, budget)
        context.handler = self.bridge.across(context.handler)
        return context

    def defaults(self, options: RunOptions) -> CallDefaults:
        """What a call uses when its step says nothing: the magic line, else the settings."""
        chosen = self.settings
        off = options.no_cache or options.cache == "off" or (options.cache is None and chosen.cache == "off")
        kept = options.cache if options.cache is not None else ttl(chosen.cache)
        return CallDefaults(
            model=options.model or chosen.model,
            fallback=options.fallback or chosen.fallback,
            timeout=options.timeout or chosen.timeout,
            max_tokens=chosen.reply_tokens,
            cache="off" if off else "refresh" if options.refresh else "use",
            ttl=kept if isinstance(kept, float) else None,
            retries=chosen.retry,
        )

    def handler(self, emit: Callable[[Event], None], budget: Budget, left: Callable[[], float | None]) -> Handler:
        """The pipeline of one run, outermost first: tracing … provider."""
        from orchmagic.models import pipeline  # noqa: PLC0415 - first run
        from orchmagic.models.middleware.single_flight import SingleFlight  # noqa: PLC0415 - first run

        if self._flights is None:
            self._flights = SingleFlight()
        return pipeline.build(
            emit=emit,
            resolve=self.deployment,
            provider=self.provider,
            cache=self.cache,
            flights=self._flights,
            budget=budget,
            retry=self.settings.retry,
            time_left=left,
        )

    def deployment(self, name: str) -> Deployment:
        """The endpoint behind an alias or model name."""
        found = aliases.resolve(name, self.settings, self.environ)
        if found.provider == "local" and not name.startswith("local") and not self._said_local:
            self._said_local = True
            self._notify(
                "No OPENAI_API_KEY is set, so the small local model answers (a demo model: expect mistakes). "
                "Set a key or --model to use another."
            )
        return found

    def provider(self, name: str) -> Provider:
        """The session's one instance of a provider."""
        if name not in self._providers:
            self._providers[name] = PROVIDERS.get(name).create()
        return self._providers[name]

    @property
    def cache(self) -> Cache | None:
        """The cache of answers, opened at its first use; None when it is switched off."""
        if self._cache is None and self.settings.cache != "off":
            from orchmagic.caches.disk import DiskCache  # noqa: PLC0415 - heavy

            self._cache = DiskCache(Path(self.settings.cache_dir) / "answers")
        return self._cache

    def _drop_cache(self) -> None:
        cache, self._cache = self._cache, None
        if cache is not None:
            self.bridge.on_loop(cache.close)
            cache.close()

    def _check_models(self, graph: Graph) -> None:
        """An unknown alias or an unset key is one clear line before anything starts."""
        for name in {graph.model or self.settings.model, *graph.fallback, *_models(graph)}:
            deployment = self.deployment(name)
            if not aliases.ready(deployment, self.environ):
                key = deployment.key_env or endpoint.KEY_ENV
                raise SettingsError(f"model {name!r} needs a key and {key} is not set: set it, or name another model")

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
        from orchmagic.estimate import estimate  # noqa: PLC0415 - on demand

        known = {n: inputs.get(n, self.namespace.get(n)) for n in graph.inputs if n in inputs or n in self.namespace}
        return estimate(graph, known, self.namespace, self.deployment, self.defaults(options), self.settings.retry)

    def export(self, graph: Graph, options: RunOptions, file: Path, *, overwrite: bool) -> Path:
        """See `Orchestration.export`."""
        from orchmagic.export import write  # noqa: PLC0415 - on demand

        return write(graph, self.namespace, self.deployment, self.defaults(options), file, overwrite=overwrite)

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
        self._drop_cache()
        self.bridge.close()


def _left(deadline: float | None, trace: Trace) -> Callable[[], float | None]:
    """Seconds until the deadline: no wait is begun that would pass it."""
    return lambda: None if deadline is None else deadline - trace.now


def _models(graph: Graph) -> list[str]:
    named = [(getattr(n, "model", None), getattr(n, "fallback", None) or ()) for n in graph.nodes]
    return [m for model, fallback in named for m in (model, *fallback) if m]


def _ttl(word: str) -> float | None:
    kept = ttl(word)
    return kept if isinstance(kept, float) else None
