"""Services: everything that the runs of one kernel share. The session builds it once.

Its parts are cheap to create and open their files at first use: caches, health of deployments, history.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from orchmagic.core.money import SpendLimit
from orchmagic.core.redaction import KeyValues
from orchmagic.core.semantic_policy import parse as semantic_policy
from orchmagic.graph.resolution import CallDefaults, call_defaults
from orchmagic.guards import rules
from orchmagic.guards.rules import Rule
from orchmagic.language.magic_line import RunOptions
from orchmagic.models import PROVIDERS, Provider
from orchmagic.models.batching.desk import BatchDesk, BatchPolicy
from orchmagic.models.budget import SharedBudget
from orchmagic.models.middleware.single_flight import SingleFlight
from orchmagic.models.routing import aliases, api_keys
from orchmagic.models.types import Deployment, Pool
from orchmagic.runtime.async_functions import AsyncFunctions
from orchmagic.runtime.event_loop import EventLoopThread
from orchmagic.runtime.history import History
from orchmagic.runtime.live_settings import LiveSettings
from orchmagic.runtime.secret_values import SHORTEST, secrets_in

if TYPE_CHECKING:
    from orchmagic.models.cache import Cache
    from orchmagic.models.routing.health import Health
    from orchmagic.models.semantic.semantic_cache import SemanticCache

_OF_PARENT: list[object] = []  # in a forked process: SQLite's connections must not be closed there
_LOCAL = (
    "No OPENAI_API_KEY is set, so the small local model answers (a demo model: expect mistakes). "
    "Set a key or --model to use another."
)


class SessionModels:
    """Looks up deployments, pools and providers with the current settings, and holds the deployments' health.

    `notify` gets one line when the small local model replaces a model without an API key.
    """

    def __init__(self, settings: LiveSettings, notify: Callable[[str], None] = print) -> None:
        self._settings = settings
        self._notify = notify
        self._has_notified = False
        self._providers: dict[str, Provider] = {}
        self._health: Health | None = None

    def deployment(self, name: str) -> Deployment:
        """Looks up an alias or model name for a call.

        Raises:
            SettingsError: there is no such model.
        """
        deployment = self.resolve(name)
        if deployment.provider == "local" and not name.startswith("local") and not self._has_notified:
            self._has_notified = True
            self._notify(_LOCAL)
        return deployment

    def resolve(self, name: str) -> Deployment:
        """Like `deployment`, without the notice to the user."""
        return aliases.resolve(name, self._settings.now, self._settings.environ)

    def is_named(self, name: str) -> bool:
        """Whether a name is an alias of the settings or a model that orchmagic knows by itself."""
        return name in self._settings.now.models or name in {*aliases.OPENAI_MODELS, *aliases.NO_KEY}

    def pool(self, name: str) -> Pool | None:
        """The pool of an alias with several deployments or its own limits; None for other names."""
        return aliases.pool(name, self._settings.now, self._settings.environ)

    def provider(self, name: str) -> Provider:
        """The session's one instance of a provider."""
        if name not in self._providers:
            self._providers[name] = PROVIDERS.get(name).create()
        return self._providers[name]

    def price_advice(self, deployment: Deployment) -> str:
        """Advice on how to set the price of a deployment that has none."""
        from orchmagic.models.routing import price_advice  # noqa: PLC0415 - heavy: the list of prices

        return price_advice.advice(deployment, self._settings.now, self._settings.environ)

    @property
    def health(self) -> Health:
        """Health of the deployments, shared with other kernels of this machine if `history` is on."""
        if self._health is None:
            from orchmagic.models import shared_rates  # noqa: PLC0415 - first run
            from orchmagic.models.routing.health import opened  # noqa: PLC0415 - as above

            settings = self._settings.now
            folder = None if settings.history == "off" else Path(settings.history_dir)
            self._health = opened(folder, shared_rates.opened(settings.cache_url))
        return self._health

    def close_health(self) -> None:
        """Closes the health store; the next use opens it with the settings of that time."""
        health, self._health = self._health, None
        if health is not None:
            health.close()

    def forget(self) -> None:
        """Drops providers and health in a forked process, without closing them: they are the parent's."""
        _OF_PARENT.append((self._providers, self._health))
        self._providers, self._health = {}, None

    @property
    def has_providers(self) -> bool:
        """Whether a provider is open."""
        return bool(self._providers)

    async def close(self) -> None:
        """Close all providers. Safe to call twice."""
        providers, self._providers = self._providers, {}
        for provider in providers.values():
            await provider.close()


class Caches:
    """The answer cache and the semantic cache, opened with the settings at first use; after `close`, opened again."""

    def __init__(self, settings: LiveSettings, loop: EventLoopThread) -> None:
        self._settings = settings
        self._loop = loop
        self._answers: Cache | None = None
        self._semantic: SemanticCache | None = None

    @property
    def answers(self) -> Cache:
        """The exact cache of answers; also if `cache` is off, since a line or a step may ask for it."""
        if self._answers is None:
            from orchmagic.models.cache import at  # noqa: PLC0415 - heavy

            settings = self._settings.now
            self._answers = at(settings.cache_url, Path(settings.cache_dir) / "answers")
        return self._answers

    @property
    def semantic(self) -> SemanticCache:
        """The semantic cache."""
        if self._semantic is None:
            from orchmagic.models.semantic.semantic_cache import opened  # noqa: PLC0415 - heavy

            settings = self._settings.now
            self._semantic = opened(Path(settings.cache_dir), semantic_policy(settings.semantic))
        return self._semantic

    def forget(self) -> None:
        """Drops both in a forked process, without closing them: they are the parent's."""
        _OF_PARENT.append((self._answers, self._semantic))
        self._answers = self._semantic = None

    def close(self) -> None:
        """Closes both caches, the answer cache also on the loop's thread if there is one. Safe to call twice."""
        semantic, self._semantic = self._semantic, None
        if semantic is not None:
            semantic.close()
        answers, self._answers = self._answers, None
        if answers is not None:
            self._loop.on_loop(answers.close)
            answers.close()


class KernelBudget:
    """Shared budgets: one of the kernel, below it one per orchestration name, below that the runs' own.

    The kernel's limit comes from the settings or from `limit`, whichever was set last.
    """

    def __init__(self, settings: LiveSettings) -> None:
        self.names: dict[str, SharedBudget] = {}
        self._settings = settings
        self._followed: SpendLimit | None = None
        self._whole = SharedBudget()

    @property
    def whole(self) -> SharedBudget:
        """The kernel's budget with its current limits."""
        now = self._settings.now.notebook_budget
        if now != self._followed:
            self._followed = now
            self._whole.money, self._whole.max_tokens = now.money, now.tokens
        return self._whole

    def forget(self) -> None:
        """Drops in a forked process the reservations of calls that only the parent makes."""
        for budget in (self._whole, *self.names.values()):
            budget.forget_reservations()

    def of(self, name: str) -> SharedBudget:
        """The shared budget of the runs called `name`."""
        whole = self.whole
        return self.names.setdefault(name, SharedBudget(whole))

    def limit(self, allowance: SpendLimit) -> None:
        """Sets the limit of money or tokens, whichever `allowance` has; the other stays. Empty: removes both."""
        whole = self.whole
        if allowance == SpendLimit():
            whole.money = whole.max_tokens = None
            return
        whole.money = whole.money if allowance.money is None else allowance.money
        whole.max_tokens = whole.max_tokens if allowance.tokens is None else allowance.tokens


@dataclass(frozen=True, slots=True)
class Services:
    """The parts of a session that runs use. `namespace` holds the names that cells see; only `-o` writes one.

    `cell` returns the ids of the notebook cell that runs and of its execution, "" if unknown.
    `notify` shows one text to the user. `keys` are the values of API keys, which nothing shows or stores.
    """

    settings: LiveSettings
    environ: Mapping[str, str]
    namespace: MutableMapping[str, object]
    loop: EventLoopThread
    functions: AsyncFunctions
    models: SessionModels
    caches: Caches
    budget: KernelBudget
    history: History
    flights: SingleFlight
    batches: BatchDesk
    keys: KeyValues
    cell: Callable[[], tuple[str, str]] = lambda: ("", "")
    notify: Callable[[str], None] = print

    @classmethod
    def of(
        cls,
        namespace: MutableMapping[str, object],
        environ: Mapping[str, str],
        config: Callable[[], Mapping[str, object]],
        notify: Callable[[str], None],
    ) -> Services:
        """The services of one kernel; see `Session`."""
        settings, loop = LiveSettings(environ, config), EventLoopThread(notify=notify)
        keys = KeyValues()
        history = History(settings, loop, namespace, keys)

        def policy() -> BatchPolicy:
            return BatchPolicy(settings.now.batch_quiet, settings.now.batch_poll)

        return cls(
            settings=settings,
            environ=environ,
            namespace=namespace,
            loop=loop,
            functions=AsyncFunctions(notify),
            models=SessionModels(settings, notify),
            caches=Caches(settings, loop),
            budget=KernelBudget(settings),
            history=history,
            flights=SingleFlight(),
            batches=BatchDesk(lambda: history.batches, policy, notify),
            keys=keys,
            notify=notify,
        )

    def call_defaults(self, options: RunOptions) -> CallDefaults:
        """Default settings of model calls, used where a step sets none."""
        return call_defaults(options, self.settings.now)

    def guard_rules(self, cell: tuple[str, ...]) -> tuple[Rule, ...]:
        """The guard rules of a cell, from its magic line and the settings.

        Raises:
            SettingsError: one of them is wrong.
        """
        return rules.parse(rules.merge(self.settings.now.guard, cell), self.namespace, self.environ)

    def learn_keys(self) -> None:
        """Reads the API keys of the environment and the settings, and the secrets in variables of the notebook."""
        self.keys.learn(api_keys.in_use(self.settings.now, self.environ))
        self.keys.learn(secrets_in(self.namespace), SHORTEST)

    def reload(self) -> None:
        """Applies changed settings: they are read again, and affected parts opened again, at the next use."""
        before = self.settings.forget()
        self.caches.close()
        self.models.close_health()
        self.history.reload(before)

    def begin_after_fork(self) -> None:
        """Drops in a forked process what belongs to its parent: threads, loops, clients, connections, open calls."""
        parts = (self.loop, self.functions, self.models, self.caches, self.budget, self.history, self.flights)
        for part in (*parts, self.batches):
            part.forget()

    def close(self) -> None:
        """Close everything that is open. Safe to call twice."""
        if self.models.has_providers:
            self.loop.finish(self.batches.close())
            self.loop.finish(self.models.close())
        self.caches.close()
        self.models.close_health()
        self.history.close()
        self.functions.close()
        self.loop.close()
