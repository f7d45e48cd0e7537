"""Searches the answered questions by meaning, with embedder, vector index, text comparison and store."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchmagic.core.semantic_policy import SemanticCacheConfig
from orchmagic.models.embedders import EMBEDDERS, Embedder, TooLongError
from orchmagic.models.semantic import ComparedQuestion, Match
from orchmagic.models.semantic.differences import difference
from orchmagic.models.semantic.store import SemanticStore
from orchmagic.models.semantic.text_features import english
from orchmagic.models.semantic.threshold import learned
from orchmagic.models.semantic.vector_index import Index

if TYPE_CHECKING:
    from numpy import float32
    from numpy.typing import NDArray

_COMPARED = 8  # nearest entries whose words are compared
_GROWTH = 1.01  # growth of the number of labels until the threshold is learned again
_FEWEST_WORDS = 3  # a shorter text is a name or a code, and must be equal


@dataclass(frozen=True, slots=True)
class EmbeddedQuestion:
    """A question with its vector: the concatenated vectors of its texts, scaled to length 1."""

    question: ComparedQuestion
    vector: NDArray[float32]


class SemanticCache:
    """The cache of one user, opened at the first use. `create` makes the embedder at the first comparison.

    All methods are safe to call from several threads; they are too slow for an event loop (10 ms).
    """

    def __init__(
        self, store: SemanticStore, create: Callable[[], Embedder], policy: SemanticCacheConfig | None = None
    ) -> None:
        self.store = store
        self.policy = policy or SemanticCacheConfig()
        self._create = create
        self._embedder: Embedder | None = None
        self._indexes: dict[str, tuple[Index, int]] = {}
        self._learned: tuple[tuple[int, int], float | None] | None = None
        self._opened = 0
        self._lock = threading.RLock()

    @property
    def embedder(self) -> Embedder:
        """The embedder, loaded at its first use (half a second)."""
        with self._lock:
            if self._embedder is None:
                self._embedder = self._create()
            return self._embedder

    def embed(self, parts: Mapping[str, str], scope: Callable[[Mapping[str, str]], str]) -> EmbeddedQuestion | None:
        """Embed the parts of a question that can be compared; `scope` hashes the other parts, which must be equal.

        None if no part can be compared: too short, too long, not English, or data.
        """
        vectors: dict[str, Any] = {}
        for name in sorted(parts):
            if comparable(parts[name]):
                try:
                    vectors[name] = self.embedder.embed(parts[name])
                except TooLongError:  # then it must be equal
                    continue
        if not vectors:
            return None
        import numpy as np  # noqa: PLC0415 - an extra

        equal = {name: text for name, text in parts.items() if name not in vectors}
        named = scope({**equal, "": f"{self.embedder.name} {self.embedder.version} {' '.join(vectors)}"})
        joined: NDArray[float32] = np.concatenate(list(vectors.values()), dtype=np.float32)
        joined /= np.float32(np.sqrt(len(vectors)))
        return EmbeddedQuestion(ComparedQuestion(named, {name: parts[name] for name in vectors}), joined)

    def nearest(self, embedded: EmbeddedQuestion) -> Match | None:
        """The nearest entry without a difference, else the nearest one with its difference; None below the floor."""
        with self._lock:
            index = self._index(embedded.question.scope, len(embedded.vector))
            first = None
            for number, score in index.nearest(embedded.vector, self.policy.floor, _COMPARED):
                match = self._match(embedded, index, number, score)
                if match is not None and not match.difference:
                    return match
                first = first or match
        return first

    def add(self, embedded: EmbeddedQuestion, key: str, now: float) -> None:
        """Add a question; its answer is in the exact cache under `key`. `now` in seconds since the epoch."""
        self.store.add(embedded.question, key, embedded.vector, now)

    def threshold(self) -> float | None:
        """The least cosine of a hit, fixed or learned; None if nothing may be served yet."""
        if self.policy.bound is None:
            return self.policy.threshold
        with self._lock:
            count, right = self.store.counted()
            (count_then, right_then), threshold = self._learned or ((0, 0), None)
            # learn again after each error, but only after 1 % more labels without one
            if count - right != count_then - right_then or count < count_then or count > count_then * _GROWTH:
                threshold = learned(self.store.labels(), self.policy.bound, self.policy.floor)
                self._learned = ((count, right), threshold)
            return threshold

    def forget(self, number: int) -> bool:
        """Remove an entry; whether it existed."""
        with self._lock:
            for index, _ in self._indexes.values():
                index.remove(number)
            return self.store.remove(number)

    def used(self) -> bool:
        """Whether the store exists, so that a look-up does not create its file."""
        return self.store.path is None or self.store.path.exists()

    def clear(self) -> int:
        """Remove all questions; returns their number. The labels for the threshold stay."""
        with self._lock:
            self._indexes.clear()
            return self.store.clear() if self.used() else 0

    def close(self) -> None:
        """Close the file and free the vectors; a later use opens it again."""
        with self._lock:
            self._indexes.clear()
            self.store.close()

    def _index(self, scope: str, size: int) -> Index:
        """The vectors of a scope, updated with entries that other kernels have added."""
        import numpy as np  # noqa: PLC0415 - an extra

        self.store.database.ready()
        if self.store.database.opened != self._opened:  # a new file has other entry numbers
            self._indexes.clear()
            self._opened = self.store.database.opened
        index, last = self._indexes.get(scope, (None, 0))
        if index is None:
            index = Index(size)
        for number, packed in self.store.after(scope, last):
            index.add(number, np.frombuffer(packed, dtype=np.float16).astype(np.float32))
            last = number
        self._indexes[scope] = (index, last)
        return index

    def _match(self, embedded: EmbeddedQuestion, index: Index, number: int, mean: float) -> Match | None:
        entry = self.store.entry(number)
        if entry is None:  # another kernel removed it
            index.remove(number)
            return None
        texts = entry.question.texts
        score = mean if len(texts) == 1 else self._least(embedded, index.vector(number))
        if score < self.policy.floor:
            return None
        differences = (d for name, text in embedded.question.texts.items() if (d := difference(text, texts[name])))
        return Match(entry, score, next(differences, "") or self._denied(embedded, number, mean))

    def _least(self, embedded: EmbeddedQuestion, vector: NDArray[float32]) -> float:
        """The least cosine among the pairs of texts."""
        parts = len(embedded.question.texts)
        both = embedded.vector.reshape(parts, -1) * vector.reshape(parts, -1)
        return float(both.sum(axis=1).min()) * parts

    def _denied(self, embedded: EmbeddedQuestion, number: int, mean: float) -> str:
        """A difference if the question is nearer to one of the entry's negatives than to the entry's own question."""
        import numpy as np  # noqa: PLC0415 - an extra

        for packed in self.store.negatives(number):
            if float(np.frombuffer(packed, dtype=np.float16).astype(np.float32) @ embedded.vector) >= mean:
                return "marked as wrong"
        return ""


def opened(folder: Path, policy: SemanticCacheConfig, embedder: str = "minilm") -> SemanticCache:
    """Make the semantic cache in `folder/semantic.sqlite`; nothing is loaded or created before its first use."""
    return SemanticCache(SemanticStore(folder / "semantic.sqlite"), lambda: EMBEDDERS.get(embedder).create(), policy)


def comparable(text: str) -> bool:
    """Whether the text is English prose of three words or more; other texts must be equal."""
    return (
        len(re.findall(r"[^\W\d_]+", text)) >= _FEWEST_WORDS
        and text.lstrip()[:1] not in {"{", "[", "<"}
        and english(text)
    )
