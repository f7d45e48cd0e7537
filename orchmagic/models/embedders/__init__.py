"""The socket for embedders: text becomes a vector whose dot product with another says how alike they are.

Vectors of different embedders are never compared: `name` and `version` are part of what is stored beside them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from orchmagic.core.plugins import Registry

if TYPE_CHECKING:
    from numpy import float32
    from numpy.typing import NDArray


class TooLongError(ValueError):
    """The text has more tokens than the model reads; a vector of its beginning would say nothing of its end."""


class Embedder(Protocol):
    """`size` is the length of a vector. Made at the first use; safe to call from several threads."""

    name: str
    version: str
    size: int

    def embed(self, text: str) -> NDArray[float32]:
        """A vector of length 1.

        Raises:
            TooLongError: the text would have to be cut.
        """


@dataclass(frozen=True, slots=True)
class EmbedderPlug:
    """An embedder as the registry finds it. `create` raises a SettingsError that says what to install."""

    name: str
    create: Callable[[], Embedder]


EMBEDDERS: Registry[EmbedderPlug] = Registry("orchmagic.models.embedders", "plug", EmbedderPlug, "orchmagic.embedders")
