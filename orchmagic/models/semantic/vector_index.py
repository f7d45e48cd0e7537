"""Searches the vectors of one scope exactly, but reads only about a sixth of the memory.

The vectors are rotated so that their first dimensions have most of the variance (PCA of the first vectors added).
The dot product over these, plus the product of the lengths of both rests, is an upper bound of the cosine
(Cauchy-Schwarz). Vectors whose bound is below the floor are skipped without reading their rest; none is missed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy import float32
    from numpy.typing import NDArray

_HEAD = 64  # dimensions that are always read
_FIRST = 2048  # vectors needed before they are rotated
_ROOM = 256  # initial capacity in vectors; doubled when full


class Index:
    """Maps entry numbers to vectors, shape (size,), of length 1. Not safe to use from several threads at once."""

    def __init__(self, size: int) -> None:
        import numpy as np  # noqa: PLC0415 - an extra

        self._np: Any = np
        self._size = size
        self._head = min(_HEAD, size)
        self._turn: Any = None
        self._count = 0
        self._gone: set[int] = set()
        self._numbers = np.zeros(_ROOM, dtype=np.int64)
        self._heads = np.zeros((_ROOM, self._head), dtype=np.float32)
        self._rests = np.zeros((_ROOM, size - self._head), dtype=np.float16)
        self._lengths = np.zeros(_ROOM, dtype=np.float32)

    def __len__(self) -> int:
        return self._count - len(self._gone)

    def add(self, number: int, vector: NDArray[float32]) -> None:
        """Add one vector."""
        if self._count == len(self._numbers):
            self._grow()
        self._put(self._count, vector if self._turn is None else vector @ self._turn)
        self._numbers[self._count] = number
        self._count += 1
        if self._count == _FIRST and self._turn is None and self._size > self._head:
            self._turn_all()

    def remove(self, number: int) -> None:
        """Exclude a vector from searches; its memory is not freed."""
        self._gone.add(number)

    def vector(self, number: int) -> NDArray[float32]:
        """The vector of an entry as it was added, to half precision."""
        at = int(self._np.flatnonzero(self._numbers[: self._count] == number)[0])
        whole = self._np.concatenate([self._heads[at], self._rests[at].astype(self._np.float32)])
        found: NDArray[float32] = whole if self._turn is None else self._turn @ whole
        return found

    def nearest(self, vector: NDArray[float32], floor: float, most: int) -> list[tuple[int, float]]:
        """At most `most` (number, cosine) not below `floor`, the highest first; cosines are exact to about 0.001."""
        np, count = self._np, self._count
        if not count:
            return []
        turned = vector if self._turn is None else vector @ self._turn
        head, rest = turned[: self._head], turned[self._head :]
        sums = self._heads[:count] @ head
        bounds = sums + self._lengths[:count] * np.float32(np.linalg.norm(rest))
        near = np.flatnonzero(bounds >= floor)
        scores = sums[near] + self._rests[near].astype(np.float32) @ rest
        best = near[order := np.argsort(-scores, kind="stable")]
        found = zip(self._numbers[best].tolist(), scores[order].tolist(), strict=True)
        return [(n, s) for n, s in found if s >= floor and n not in self._gone][:most]

    def _put(self, at: int, turned: Any) -> None:
        self._heads[at] = turned[: self._head]
        self._rests[at] = turned[self._head :]
        self._lengths[at] = self._np.linalg.norm(turned[self._head :]) + 1e-3  # rounding error of half precision

    def _grow(self) -> None:
        np = self._np
        for name in ("_numbers", "_heads", "_rests", "_lengths"):
            old = getattr(self, name)
            setattr(self, name, np.concatenate([old, np.zeros_like(old)]))

    def _turn_all(self) -> None:
        """Rotate all vectors to their principal axes, the largest first; a rotation keeps dot products."""
        np, count = self._np, self._count
        whole = np.concatenate([self._heads[:count], self._rests[:count].astype(np.float32)], axis=1)
        _, axes = np.linalg.eigh(whole.T @ whole)
        self._turn = np.ascontiguousarray(axes[:, ::-1].astype(np.float32))
        for at, turned in enumerate(whole @ self._turn):
            self._put(at, turned)
