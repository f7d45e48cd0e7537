"""What all runs of a kernel share, as one record that the session builds once.

Everything in it is cheap to make, and opened at its first use: the caches, the health of the deployments, the history.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from orchmagic.core.money import SpendLimit
from orchmagic.core.semantic_policy import parse as semantic_policy
from orchmagic.graph.resolution import CallDefaults, call_defaults
from orchmagic.guards import rules
from orchmagic.guards.rules import Rule
from orchmagic.language.magic_line import RunOptions
from orchmagic.models import PROVIDERS, Provider
from orchmagic.models.budget import SharedBudget
from orchmagic.models.middleware.single_flight import SingleFlight
from orchmagic.models.routing import aliases
from orchmagic.models.types import Deployment, Pool
from orchmagic.runtime.event_loop import EventLoopThread
from orchmagic.runtime.history import History
from orchmagic.runtime.live_settings import LiveSettings

if TYPE_CHECKING:
    from orchmagic.models.cache import Cache
    from orchmagic.models.routing.health import Health
    from orchmagic.models.semantic.semantic_cache import SemanticCache

_LOCAL = (
    "No OPENAI_API_KEY is set, so the small local model answers (a demo model: expect mistakes). "
    "Set a key or --model to use another."
)


class SessionModels:
    """Finds deployments, pools and providers by the settings of now, and knows how they do.

    `notify` gets one line when the small local model answers instead of one that has no key.
    """

    def __init__(self, settings: LiveSettings, notify: Callable[[str], None] = print) -> None:
        self._settings = settings
        self._notify = notify
        self._has_notified = False
        self._providers: dict[str, Provider] = {}
        self._health: Health | None = None

    def deployment(self, name: str) -> Deployment:
        """The endpoint behind an alias or model name, for a call that is to be made.

        Raises:
            SettingsError: there is no such model.
        """
        deployment = self.resolve(name)
        if deployment.provider == "local" and not name.startswith("local") and not self._has_notified:
            self._has_notified = True
            self._notify(_LOCAL)
        return deployment

    def resolve(self, name: str) -> Deployment:
        """The same, only looked up: the user is not notified."""
        return aliases.resolve(name, self._settings.now, self._settings.environ)

    def pool(self, name: str) -> Pool | None:
        """The deployments of an alias that has several, or limits of its own."""
        return aliases.pool(name, self._settings.now, self._settings.environ)

    def provider(self, name: str) -> Provider:
        """The session's one instance of a provider."""
        if name not in self._providers:
            self._providers[name] = PROVIDERS.get(name).create()
        return self._providers[name]

    def price_advice(self, deployment: Deployment) -> str:
        """What to write for a deployment without a price."""
        from orchmagic.models.routing import price_advice  # noqa: PLC0415 - heavy: the list of prices

        return price_advice.advice(deployment, self._settings.now, self._settings.environ)

    @property
    def health(self) -> Health:
        """How the deployments do, shared with the other kernels of this machine while there is a history."""
        if self._health is None:
            from orchmagic.models.routing.health import opened  # noqa: PLC0415 - first run

            settings = self._settings.now
            self._health = opened(None if settings.history == "off" else Path(settings.history_dir))
        return self._health

    def close_health(self) -> None:
        """Its next use opens it by the settings of then."""
        health, self._health = self._health, None
        if health is not None:
            health.close()

    @property
    def has_providers(self) -> bool:
        """Whether there is one to close."""
        return bool(self._providers)

    async def close(self) -> None:
        """Close all providers. Safe to call twice."""
        providers, self._providers = self._providers, {}
        for provider in providers.values():
            await provider.close()


class Caches:
    """The cache of answers and the semantic cache: opened by the settings of their first use, anew after `close`."""

    def __init__(self, settings: LiveSettings, loop: EventLoopThread) -> None:
        self._settings = settings
        self._loop = loop
        self._answers: Cache | None = None
        self._semantic: SemanticCache | None = None

    @property
    def answers(self) -> Cache | None:
        """The cache of answers; None when it is switched off."""
        settings = self._settings.now
        if self._answers is None and settings.cache != "off":
            from orchmagic.models.cache import at  # noqa: PLC0415 - heavy

            self._answers = at(settings.cache_url, Path(settings.cache_dir) / "answers")
        return self._answers

    @property
    def semantic(self) -> SemanticCache | None:
        """The questions whose answers are cached; None without a cache of answers."""
        if self._semantic is None and self.answers is not None:
            from orchmagic.models.semantic.semantic_cache import opened  # noqa: PLC0415 - heavy

            settings = self._settings.now
            self._semantic = opened(Path(settings.cache_dir), semantic_policy(settings.semantic))
        return self._semantic

    def close(self) -> None:
        """Close what is open: on the loop's thread, too, where there is one. Safe to call twice."""
        semantic, self._semantic = self._semantic, None
        if semantic is not None:
            semantic.close()
        answers, self._answers = self._answers, None
        if answers is not None:
            self._loop.on_loop(answers.close)
            answers.close()


class KernelBudget:
    """What all runs of a kernel spend together: a budget above that of each run, and one for each name between them.

    The limit is that of the settings or of `limit`, whichever was set last.
    """

    def __init__(self, settings: LiveSettings) -> None:
        self.names: dict[str, SharedBudget] = {}
        self._settings = settings
        self._followed: SpendLimit | None = None
        self._whole = SharedBudget()

    @property
    def whole(self) -> SharedBudget:
        """The budget of the kernel; its limits are those of now."""
        now = self._settings.now.notebook_budget
        if now != self._followed:
            self._followed = now
            self._whole.money, self._whole.max_tokens = now.money, now.tokens
        return self._whole

    def of(self, name: str) -> SharedBudget:
        """The budget above that of a run called `name`."""
        whole = self.whole
        return self.names.setdefault(name, SharedBudget(whole))

    def limit(self, allowance: SpendLimit) -> None:
        """Set the side that it has, money or tokens; the other stays. Without any: no limit."""
        whole = self.whole
        if allowance == SpendLimit():
            whole.money = whole.max_tokens = None
            return
        whole.money = whole.money if allowance.money is None else allowance.money
        whole.max_tokens = whole.max_tokens if allowance.tokens is None else allowance.tokens


@dataclass(frozen=True, slots=True)
class Services:
    """The parts of a session that its runs use. `namespace` is the notebook's: looked at, never written."""

    settings: LiveSettings
    environ: Mapping[str, str]
    namespace: MutableMapping[str, object]
    loop: EventLoopThread
    models: SessionModels
    caches: Caches
    budget: KernelBudget
    history: History
    flights: SingleFlight

    @classmethod
    def of(
        cls,
        namespace: MutableMapping[str, object],
        environ: Mapping[str, str],
        config: Callable[[], Mapping[str, object]],
        notify: Callable[[str], None],
    ) -> Services:
        """The services of one kernel; see `Session`."""
        settings, loop = LiveSettings(environ, config), EventLoopThread()
        return cls(
            settings=settings,
            environ=environ,
            namespace=namespace,
            loop=loop,
            models=SessionModels(settings, notify),
            caches=Caches(settings, loop),
            budget=KernelBudget(settings),
            history=History(settings, loop, namespace),
            flights=SingleFlight(),
        )

    def call_defaults(self, options: RunOptions) -> CallDefaults:
        """What a call uses when its step says nothing."""
        return call_defaults(options, self.settings.now)

    def guard_rules(self, options: RunOptions) -> tuple[Rule, ...]:
        """What guards a run: the rules of the magic line beside those of the settings.

        Raises:
            SettingsError: one of them is wrong.
        """
        return rules.parse(rules.merge(self.settings.now.guard, options.guard), self.namespace, self.environ)

    def reload(self) -> None:
        """The settings changed: what they say is read and opened anew at its next use."""
        before = self.settings.forget()
        self.caches.close()
        self.models.close_health()
        self.history.reload(before)

    def close(self) -> None:
        """Close everything that is open. Safe to call twice."""
        if self.models.has_providers:
            self.loop.run(self.models.close())
        self.caches.close()
        self.models.close_health()
        self.history.close()
        self.loop.close()
