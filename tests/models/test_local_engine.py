"""The engine's process, with stand-ins for xllamacpp: what it is told, how it ends, what a failure says."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from orchmagic.errors import OrchError, SettingsError, WeightsError
from orchmagic.models.local_engine import engine
from orchmagic.models.providers import local

WORKS = """
import json, os, pathlib
class Record:
    def __getattr__(self, name):
        value = Record(); self.__dict__[name] = value; return value
CommonParams = llama_load_mode = Record
llama_load_mode = Record()
class Server:
    def __init__(self, p):
        seen = {"path": p.model.path, "threads": p.cpuparams.n_threads, "hosts": p.hostnames, "keys": p.api_keys,
                "alias": sorted(p.model_alias), "omp": os.environ["OMP_WAIT_POLICY"]}
        pathlib.Path(p.model.path + ".seen").write_text(json.dumps(seen))
        print("noise on stdout", flush=True)
    listening_address = "http://127.0.0.1:1"
"""
Stand = Callable[[str], str]


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stand]:
    """Puts a module called xllamacpp before the real one in the engine's process; gives a model's path."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    model = tmp_path / "mine.gguf"
    model.write_bytes(b"GGUF")

    def write(source: str) -> str:
        (tmp_path / "xllamacpp.py").write_text(source)
        return str(model)

    yield write
    engine.stop()


def quiet(_line: str) -> None:
    pass


def test_the_process_gets_the_file_a_key_of_its_own_and_the_cores_it_may_use(stand_in: Stand) -> None:
    model = stand_in(WORKS)
    found = engine.start(model, quiet)
    seen = json.loads(Path(model + ".seen").read_text())
    assert found.base_url == "http://127.0.0.1:1/v1"
    assert seen["path"] == model
    assert seen["hosts"] == ["127.0.0.1"]
    assert seen["keys"] == [found.api_key]
    assert len(found.api_key) > 16
    assert seen["alias"] == ["mine"]
    assert seen["omp"] == "PASSIVE"
    assert "OMP_WAIT_POLICY" not in os.environ
    assert 1 <= seen["threads"] <= (os.cpu_count() or 1)


def test_a_model_is_loaded_once_and_says_so_once(stand_in: Stand) -> None:
    said: list[str] = []
    model = stand_in(WORKS)
    assert engine.running(model) is None
    assert engine.start(model, said.append) is engine.start(model, said.append)
    assert said == [f"Loading the local model {model} (a few seconds) ..."]


@pytest.mark.parametrize(("shell", "out", "err"), [(None, "", "Loading\n"), ("kernel", "Loading\n", "")])
def test_a_kernel_shows_the_loading_line_without_alarm(
    shell: str | None, out: str, err: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    here = shell and SimpleNamespace(kernel=object())
    monkeypatch.setattr("IPython.core.getipython.get_ipython", lambda: here)
    local.say("Loading")
    assert capsys.readouterr() == (out, err)


def test_stopping_ends_the_process_and_a_later_start_makes_a_new_one(stand_in: Stand) -> None:
    model = stand_in(WORKS)
    first = engine.start(model, quiet)
    process = engine._engines[model].process
    engine.stop()
    assert process.returncode is not None
    assert engine.running(model) is None
    assert engine.start(model, quiet).api_key != first.api_key


def test_a_process_that_has_died_is_started_again(stand_in: Stand) -> None:
    model = stand_in(WORKS)
    engine.start(model, quiet)
    dead = engine._engines[model]
    dead.process.kill()
    dead.process.wait()
    assert engine.running(model) is None
    assert engine.start(model, quiet) != dead.endpoint


def test_the_endpoint_is_given_as_the_variables_every_client_reads_and_hides_its_key(stand_in: Stand) -> None:
    found = engine.start(stand_in(WORKS), quiet)
    assert found.env() == {"OPENAI_BASE_URL": found.base_url, "OPENAI_API_KEY": found.api_key}
    assert found.api_key not in repr(found)


@pytest.mark.parametrize(
    ("source", "kind", "says"),
    [
        ("raise ModuleNotFoundError('No module named xllamacpp')", SettingsError, 'pip install "orchmagic'),
        ("raise ImportError('libgomp.so.1: cannot open shared object file')", SettingsError, "libgomp1"),
        ("raise ImportError('GLIBC_2.99 not found')", WeightsError, "GLIBC_2.99 not found. Is it a GGUF"),
        ("import os; os._exit(9)", WeightsError, "died while loading"),
    ],
)
def test_what_cannot_start_is_one_line_with_what_to_do(
    stand_in: Stand, source: str, kind: type[OrchError], says: str
) -> None:
    model = stand_in(source)
    with pytest.raises(kind) as caught:
        engine.start(model, quiet)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
    assert engine.running(model) is None


def test_a_missing_file_is_said_before_anything_is_loaded(tmp_path: Path) -> None:
    said: list[str] = []
    with pytest.raises(WeightsError, match="no file"):
        engine.start(str(tmp_path / "none.gguf"), said.append)
    assert said == []
