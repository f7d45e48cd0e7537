"""Keys come from the environment, a .env file or the keyring, and are shown nowhere."""

from __future__ import annotations

import asyncio
import json
import sys

import keyring
import keyring.backend
import keyring.errors
import pytest

from orchmagic.errors import ServerFailed, SettingsError
from orchmagic.models.providers.openai import OpenAIProvider
from orchmagic.models.routing.api_keys import key_environment, variables
from orchmagic.models.types import Deployment, ModelRequest


def test_a_env_file_adds_to_the_environment_which_wins(tmp_path):
    (tmp_path / ".env").write_text("A=from file\nB=from file\n", "utf-8")
    found = key_environment({"A": "from environment"}, tmp_path)
    assert (found["A"], found["B"], found.get("C")) == ("from environment", "from file", None)
    assert dict(found) == {"A": "from environment", "B": "from file"}
    assert "B" in found


def test_it_is_looked_for_upwards_but_not_beyond_the_project(tmp_path):
    inner = tmp_path / "project" / "notebooks"
    inner.mkdir(parents=True)
    (tmp_path / ".env").write_text("OUTER=1\n", "utf-8")
    assert key_environment({}, inner).get("OUTER") == "1"
    (tmp_path / "project" / "pyproject.toml").write_text("", "utf-8")
    assert key_environment({}, inner).get("OUTER") is None
    (tmp_path / "project" / ".env").write_text("INNER=1\n", "utf-8")
    assert key_environment({}, inner).get("INNER") == "1"


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("K=plain", "plain"),
        ("export K = spaced ", "spaced"),
        ('K="with # and spaces"  # why', "with # and spaces"),
        ("K='single'", "single"),
        ("K=value # comment", "value"),
        ("K=sk-with#inside", "sk-with#inside"),
        ("K=", ""),
        ("K=$HOME", "$HOME"),
    ],
)
def test_a_line_of_it(line, value):
    assert variables(f"# K=commented\n\nnonsense\n{line}\n") == {"K": value}


def test_a_file_that_cannot_be_read_says_so_without_its_content(tmp_path):
    file = tmp_path / ".env"
    file.write_bytes(b"K=\xff\xfe secret")
    with pytest.raises(SettingsError, match=r"cannot be read: UnicodeDecodeError$"):
        key_environment({}, tmp_path)


def test_values_are_never_shown(tmp_path):
    (tmp_path / ".env").write_text("OPENAI_API_KEY=sk-secret-000000\n", "utf-8")
    assert "secret" not in repr(key_environment({}, tmp_path))


class File(keyring.backend.KeyringBackend):
    """A ring in a file; one that is locked cannot be read."""

    priority = 1

    def __init__(self, file):
        super().__init__()
        self.file, self.locked = file, False

    def get_password(self, service, username):
        if self.locked:
            raise keyring.errors.KeyringLocked("sk-ring is locked")
        return json.loads(self.file.read_text("utf-8")).get(f"{service}/{username}")

    def set_password(self, service, username, password):
        self.file.write_text(json.dumps({f"{service}/{username}": password}), "utf-8")

    def delete_password(self, service, username):
        self.file.write_text("{}", "utf-8")


@pytest.fixture
def ring(tmp_path):
    before, found = keyring.get_keyring(), File(tmp_path / "ring.json")
    keyring.set_keyring(found)
    yield found
    keyring.set_keyring(before)


def test_a_key_may_be_in_the_keyring(ring, tmp_path):
    keyring.set_password("orchmagic", "openai", "sk-ring")  # what `keyring set orchmagic openai` does
    found = key_environment({}, tmp_path)
    assert found.get("keyring:openai") == "sk-ring"
    assert found.get("keyring:other") is None
    assert "keyring:other" not in found
    keyring.delete_password("orchmagic", "openai")
    assert found.get("keyring:openai") is None  # it is looked up anew for each call


def test_a_keyring_that_is_locked_says_so_and_nothing_of_the_key(ring, tmp_path):
    keyring.set_password("orchmagic", "openai", "sk-ring")
    ring.locked = True
    with pytest.raises(SettingsError, match=r"the keyring cannot be read: KeyringLocked$"):
        key_environment({}, tmp_path).get("keyring:openai")


async def test_an_endpoint_is_asked_with_the_key_of_the_ring(ring, tmp_path):
    keyring.set_password("orchmagic", "mine", "sk-ring-000000")
    seen = asyncio.Queue()

    async def answer(reader, writer):
        seen.put_nowait((await reader.readuntil(b"\r\n\r\n")).decode("ascii"))
        writer.write(b"HTTP/1.1 500 Error\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    provider = OpenAIProvider(environ=key_environment({}, tmp_path))
    request = ModelRequest("a#1.1", "m", ({"role": "user", "content": "hi"},))
    with pytest.raises(ServerFailed) as failed:
        await provider.complete(request, Deployment("m", "openai", "m", url, "keyring:mine"), lambda _: None)
    await provider.close()
    server.close()
    assert "authorization: bearer sk-ring-000000" in seen.get_nowait().lower()
    assert "sk-ring" not in str(failed.value)


def test_without_the_package_it_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "keyring", None)
    with pytest.raises(SettingsError, match=r"keyring: pip install 'orchmagic\[keyring\]'$"):
        key_environment({}, tmp_path).get("keyring:openai")
