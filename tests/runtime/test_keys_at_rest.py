"""A planted key is in no file that a session writes, and a run whose values held it is resumed with it or refused."""

from __future__ import annotations

import json
import sqlite3
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pydantic
import pytest

from orchmagic import Script, Session, install, tool
from orchmagic.core.redaction import MARK
from orchmagic.errors import InputError
from orchmagic.models.providers.scripted import remove
from orchmagic.models.routing import api_keys
from orchmagic.notebook import commands
from orchmagic.runtime.secret_values import secrets_in
from orchmagic.storage.sqlite_files import StoreWarning

KEY = "sk-canary-0123456789"


class Settings(pydantic.BaseModel):
    password: pydantic.SecretStr


@dataclass
class Held:
    secrets: list[object]


@pytest.fixture(autouse=True)
def script():
    yield install(Script(lambda body: f"heard {body['messages'][-1]['content']}"))
    remove()


class Kernel:
    """A session whose files are in `folder`."""

    def __init__(self, folder: Path, **space: object) -> None:
        self.folder, self.space = folder, space
        places = {"HISTORY_DIR": "history", "CACHE_DIR": "cache", "AUDIT": "audit.jsonl"}
        environ = {f"ORCHMAGIC_{name}": str(folder / place) for name, place in places.items()}
        self.session = Session(space, environ={"ORCHMAGIC_MODEL": "scripted", "OPENAI_API_KEY": KEY, **environ})

    def define(self, cell: str):
        head, _, body = cell.partition("\n")
        magic, _, line = head.removeprefix("%%").partition(" ")
        return self.session.define(magic, line, body)

    def found(self) -> list[str]:
        """Where the key is, among all files and their compressed values."""
        self.session.close()
        return [place for place, data in _stored(self.folder) if KEY.encode() in data]


def _stored(folder: Path):
    for file in folder.rglob("*"):
        if file.is_file():
            yield str(file), file.read_bytes()
            if file.suffix == ".sqlite":
                yield from _blobs(file)


def _blobs(file: Path):
    with sqlite3.connect(file) as connection:
        for (table,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            for row in connection.execute(f"SELECT * FROM {table}"):
                for value in row:
                    if isinstance(value, bytes) and value[:1] == b"\x78":
                        yield f"{file} {table}", zlib.decompress(value)


def shout(text):
    return {"loud": text.upper(), "kept": [text]}


@tool(writes=True)
def pay(text):
    return f"paid with {text}"


def fails(text):
    raise ValueError(f"refused: {text}")


@pytest.mark.parametrize(
    "cell",
    [
        pytest.param("%%chain t\na\n    Say {{ text }}", id="a prompt and its answer"),
        pytest.param(f"%%chain t\na\n    Say {KEY}", id="the cell's own text"),
        pytest.param("%%chain t\nx = shout(text)\na\n    {{ x.kept }}", id="the result of code"),
        pytest.param("%%chain t\nx = fails(text)", id="an error"),
        pytest.param("%%chain t\nx = pay(text)", id="a write"),
        pytest.param("%%chain t --thread talk\na\n    Say {{ text }}", id="a thread"),
        pytest.param('%%chain t\na\n    Say {{ text }}\napprove "Send it?"', id="a run that waits"),
        pytest.param(
            '%%chain t\na\n    Hi\napprove "Go on?"\nx = reveal()\nb\n    Say {{ x }}\napprove "Send it?"',
            id="a run that waits before and after it has the key",
        ),
        pytest.param("%%chain t --cache semantic\na\n    Say {{ text }}", id="the semantic cache"),
        pytest.param("%%chain t\na(over=[text, 'b'], item=it)\n    Say {{ it }}", id="items"),
        pytest.param("%%chain t\nx = shout(long)", id="a large value"),
    ],
)
def test_a_key_is_in_no_file(tmp_path, cell):
    space = {"text": f"with {KEY}", "long": f"{KEY} " * 5_000, "reveal": lambda: KEY}
    kernel = Kernel(tmp_path, **space, shout=shout, pay=pay, fails=fails)
    run = kernel.define(cell)()
    while run.status == "waiting":
        run.approve()
    assert run.status == ("failed" if "fails" in cell else "done")
    again = kernel.define("%%chain other\na\n    Say hello")
    assert again().status == "done"
    assert kernel.session.lookup.run(run.id).status == run.status
    assert kernel.found() == []


@pytest.mark.parametrize(
    "held",
    [
        pydantic.SecretStr(KEY),
        pydantic.SecretBytes(KEY.encode()),
        pydantic.Secret[str](KEY),
        Settings(password=KEY),
        {"a": [Settings(password=KEY)]},
        Held([pydantic.SecretStr(KEY)]),
    ],
    ids=["str", "bytes", "any", "in a model", "deep", "in a dataclass"],
)
def test_a_secret_of_pydantic_is_readable_nowhere(tmp_path, held):
    kernel = Kernel(tmp_path, held=held, reveal=lambda: f"the password is {KEY}")
    kernel.session.services.environ.pop("OPENAI_API_KEY")
    run = kernel.define("%%chain t\nx = reveal()\na\n    Use {{ x }}")()
    assert run.state["x"] == f"the password is {KEY}"
    assert KEY not in json.dumps(run.record.to_json(), default=str)
    assert MARK in str(run.record.output)
    assert kernel.found() == []


def test_large_data_hides_no_secret():
    data = {f"v{i}": [{"a": n, "b": [n]} for n in range(50)] for i in range(300)}
    held = {"late": Settings(password=KEY), "listed": [1, Settings(password=KEY[::-1])]}
    assert {*secrets_in(data | held)} == {KEY, KEY[::-1]}


@pytest.mark.parametrize("broken", [SystemExit, ValueError, KeyboardInterrupt])
def test_a_class_that_raises_hides_no_other_secret(broken):
    class Odd(type):
        def __getattr__(cls, name):
            raise broken

    class Bad(metaclass=Odd):
        pass

    def on_a_thread():
        return [*secrets_in({"bad": Bad(), "good": pydantic.SecretStr(KEY)})]

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(on_a_thread).result() == [KEY]


@pytest.mark.parametrize(
    ("name", "value", "is_one"),
    [
        ("ANTHROPIC_API_KEY", "abc-def-0123", True),
        ("SERVICE_TOKEN", "t0ken-of-mine", True),
        ("DB_PASSWORD", "correct-h0rse", True),
        ("ORCHMAGIC_CACHE_URL", "redis://me:pass%20word-1@host/0", True),
        ("DB_PASSWORD", "password", False),
        ("MAX_TOKEN", "1000000000", False),
        ("HOME", "a-home-of-1-person", False),
    ],
)
def test_keys_are_known_by_the_names_of_their_variables(name, value, is_one):
    session = Session({}, environ={name: value})
    session.services.learn_keys()
    said = "pass%20word-1" if "://" in value else value
    assert session.services.keys.holds(f"it is {said}") is is_one
    session.close()


def test_a_key_of_the_keyring_is_known_once_it_was_read(monkeypatch):
    monkeypatch.setattr(api_keys, "_OF_KEYRING", {"ring-of-keys-1"})
    assert "ring-of-keys-1" in {*api_keys.in_use(Session({}, environ={}).settings, {})}


def _failing(kernel: Kernel, script, cell: str = "%%chain t\nx = shout(text)\na\n    {{ x.kept }}"):
    install(Script(lambda body: 1 / 0))
    run = kernel.define(cell)()
    assert run.status == "failed"
    install(script)
    return run


def test_in_its_own_kernel_a_run_is_resumed_with_its_key(tmp_path, script):
    kernel = Kernel(tmp_path, text=f"with {KEY}", shout=shout)
    run = _failing(kernel, script)
    kernel.space["shout"] = fails  # the result of the code is there
    assert run.resume().status == "done"
    assert KEY in script.requests[-1]["messages"][-1]["content"]
    assert kernel.found() == []


def test_in_another_kernel_the_input_is_taken_from_the_notebook(tmp_path, script):
    first = Kernel(tmp_path, text=f"with {KEY}", shout=shout)
    run = _failing(first, script)
    first.session.close()
    later = Kernel(tmp_path, text=f"with {KEY}", shout=shout)
    with pytest.warns(StoreWarning, match="held an API key: its step runs again"):
        assert later.session.lookup.run(run.id).resume().status == "done"
    assert KEY in script.requests[-1]["messages"][-1]["content"]
    assert later.found() == []


@pytest.mark.parametrize("space", [{}, {"text": "another"}, {"text": f"with {MARK}"}])
def test_without_it_the_run_is_shown_and_not_resumed(tmp_path, script, space):
    first = Kernel(tmp_path, text=f"with {KEY}", shout=shout)
    run = _failing(first, script)
    first.session.close()
    later = Kernel(tmp_path, shout=shout, **space)
    found = later.session.lookup.run(run.id)
    assert found.record.run == run.id
    with pytest.raises(InputError, match="its input 'text', which held an API key, which is not stored"):
        found.resume()
    later.session.close()


def test_a_cell_that_held_a_key_is_not_run_without_it(tmp_path, script):
    first = Kernel(tmp_path)
    run = _failing(first, script, f"%%chain t\na\n    Say {KEY}")
    first.session.close()
    later = Kernel(tmp_path)
    with pytest.raises(InputError, match="its cell held an API key, which is not stored: run the cell again"):
        later.session.lookup.run(run.id).resume()
    later.session.close()


def test_a_run_that_waits_starts_again_in_another_kernel(tmp_path):
    cell = '%%chain t\na\n    Say {{ text }}\napprove "Send it?"'
    first = Kernel(tmp_path, text=f"with {KEY}")
    run = first.define(cell)()
    first.session.close()
    later = Kernel(tmp_path, text=f"with {KEY}")
    found = later.session.lookup.run(run.id)
    assert found.status == "cancelled"
    with pytest.warns(StoreWarning, match="its step runs again"):
        assert found.resume().status == "waiting"
    assert found.approve().status == "done"
    assert KEY in found.output
    assert later.found() == []


def test_writes_with_other_keys_are_other_writes_and_a_lost_result_is_asked_for(tmp_path):
    others = [KEY, "another-key-0123"]
    kernel = Kernel(tmp_path, pay=pay)
    kernel.session.services.environ["OTHER_API_KEY"] = "another-key-0123"
    cell = kernel.define("%%chain t\nx = pay(text)")
    assert [cell(text=text).output for text in others] == [f"paid with {text}" for text in others]
    assert cell(text=others[0]).output == f"paid with {others[0]}"
    kernel.session.close()
    later = Kernel(tmp_path, pay=pay, text=others[0])
    again = later.define("%%chain t\nx = pay(text)")()
    assert again.status == "failed"
    assert "its end is unknown" in again.error
    assert later.found() == []


def test_no_file_of_rows_gets_an_input_with_a_key(tmp_path):
    kernel = Kernel(tmp_path, text=f"with {KEY}")
    run = kernel.define("%%chain t\na\n    Say {{ text }}")()
    with pytest.raises(InputError, match="holds an API key, which is not written to a file"):
        commands.run(kernel.session, f"add {run.id} {tmp_path / 'rows.jsonl'} output=x")
    assert kernel.found() == []
