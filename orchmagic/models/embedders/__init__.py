"""The embedder plug-in interface: turns a text into a unit vector; dot products of vectors are cosine similarities.

Vectors of different embedders are never compared: `name` and `version` are stored with them.
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
    """The text has more tokens than the model reads. It is not cut: the vector would ignore its end."""


class Embedder(Protocol):
    """Embeds texts; `size` is the number of dimensions. Created at its first use; safe to call from several threads."""

    name: str
    version: str
    size: int

    def embed(self, text: str) -> NDArray[float32]:
        """Return the vector of a text, shape (size,), of length 1.

        Raises:
            TooLongError: the text has more tokens than the model reads.
        """


@dataclass(frozen=True, slots=True)
class EmbedderPlug:
    """The registry entry of an embedder. `create` may raise a SettingsError that says what to install."""

    name: str
    create: Callable[[], Embedder]


EMBEDDERS: Registry[EmbedderPlug] = Registry("orchmagic.models.embedders", "plug", EmbedderPlug, "orchmagic.embedders")
