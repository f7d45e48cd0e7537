"""What is kept between calls: the cache of answers, and the questions that the semantic cache knows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from orchmagic.core.semantic_policy import parse as policy

if TYPE_CHECKING:
    from orchmagic.core.settings import Settings
    from orchmagic.models.cache import Cache
    from orchmagic.models.semantic.semantic_cache import SemanticCache
    from orchmagic.runtime.event_loop import EventLoopThread


class Caches:
    """Opened at the first use, by the settings as they are then; after `close` opened anew."""

    def __init__(self, settings: Callable[[], Settings], bridge: EventLoopThread) -> None:
        self._settings = settings
        self._bridge = bridge
        self._answers: Cache | None = None
        self._questions: SemanticCache | None = None

    @property
    def answers(self) -> Cache | None:
        """The cache of answers; None when it is switched off."""
        chosen = self._settings()
        if self._answers is None and chosen.cache != "off":
            from orchmagic.models.cache import at  # noqa: PLC0415 - heavy

            self._answers = at(chosen.cache_url, Path(chosen.cache_dir) / "answers")
        return self._answers

    @property
    def questions(self) -> SemanticCache | None:
        """What the semantic cache knows, beside the answers; None without a cache. Nothing is loaded before its use."""
        if self._questions is None and self.answers is not None:
            from orchmagic.models.semantic.semantic_cache import opened  # noqa: PLC0415 - first run

            chosen = self._settings()
            self._questions = opened(Path(chosen.cache_dir), policy(chosen.semantic))
        return self._questions

    def close(self) -> None:
        """Close what is open: on the loop's thread, too, where there is one. Safe to call twice."""
        questions, self._questions = self._questions, None
        if questions is not None:
            questions.close()
        answers, self._answers = self._answers, None
        if answers is not None:
            self._bridge.on_loop(answers.close)
            answers.close()
