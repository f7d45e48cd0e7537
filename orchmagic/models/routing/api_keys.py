"""Finds API keys in the environment, else in a `.env` file, or in the system's keyring if `key_env` says so.

    OPENAI_API_KEY=sk-…            a line of .env, in the folder of the notebook or one above it; the environment wins
    key_env = "keyring:openai"     what `keyring set orchmagic openai` stored (pip install 'orchmagic[keyring]')

A key is looked up for each call. It is never stored in settings, traces, caches or tables.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from urllib.parse import unquote, urlsplit

from orchmagic.core import process, project
from orchmagic.core.settings import Settings
from orchmagic.errors import SettingsError
from orchmagic.models.routing.presets import PRESETS
from orchmagic.models.routing.redirects import EnvFile, ProjectTrust
from orchmagic.models.types import Deployment
from orchmagic.models.wire.urls import KEY_ENV, base, is_address, on_loopback, shown

SERVICE = "orchmagic"
KEYRING = "keyring:"
_INSTALL = "pip install 'orchmagic[keyring]'"
_NAMED = re.compile(r"(API_?KEY|ACCESS_KEY|SECRET|SECRET_KEY|TOKEN|PASSWORD)$")  # names of variables
_OF_KEYRING: set[str] = set()  # what was read of it
_LINE = re.compile(r"\s*(?:export\s+)?([A-Za-z_]\w*)\s*=\s*(.*?)\s*")


class KeyEnvironment(Mapping[str, str]):
    """The environment with the variables of `.env` added; `environ` is read at each look-up, the file once.

    A variable of the file that needs trust is looked up only after the user has trusted the file.
    """

    def __init__(self, environ: Mapping[str, str], start: Path) -> None:
        self._environ = environ
        file = project.nearest(".env", start)
        self._file = EnvFile(file, {} if file is None else variables(file.text), environ)

    def __getitem__(self, name: str) -> str:
        if name.startswith(KEYRING):
            return _from_keyring(name.removeprefix(KEYRING))
        return self._environ[name] if name in self._environ else self._file[name]

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys([*self._file.names(), *self._environ]))

    def __len__(self) -> int:
        return len(list(iter(self)))

    def trust(self) -> ProjectTrust:
        """What the project's files may do; knows the redirects of the `.env`."""
        found = ProjectTrust(self._environ)
        self._file.report(found)
        return found

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self)} variables)"  # never their values: keys are among them


def key_environment(environ: Mapping[str, str] | None = None, start: Path | None = None) -> KeyEnvironment:
    """The environment of this process with `.env` and keyring; the search for `.env` begins in the folder `start`."""
    return KeyEnvironment(os.environ if environ is None else environ, start or process.folder())


def in_use(settings: Settings, environ: Mapping[str, str]) -> Iterator[str]:
    """The values of all keys that this process knows: those of models, and others that the environment names as such.

    Also the passwords in the addresses of the settings, and what was read of the keyring so far.
    """
    entries = [e for entry in settings.models.values() for e in (entry, *entry.get("deployments", ()))]
    names = {KEY_ENV, *(p.key_env for p in PRESETS.values()), *(e["key_env"] for e in entries if "key_env" in e)}
    for name in sorted(names):
        if not name.startswith(KEYRING) and (key := environ.get(name, "").strip()):
            yield key
    yield from (key for name in environ if _NAMED.search(name) and _is_random(key := environ.get(name, "").strip()))
    for address in (settings.cache_url, settings.checkpoints):
        yield from _password(address or "")
    yield from _OF_KEYRING


def _is_random(text: str) -> bool:
    """Whether a text can be a key: not a word, a path or a number, which stand in other texts, too."""
    return not text.isdecimal() and "/" not in text[:1] and any(map(str.isdecimal, text))


def _password(address: str) -> Iterator[str]:
    with suppress(ValueError):
        if password := urlsplit(address).password:
            yield from {password, unquote(password)}


def missing_key(deployment: Deployment, environ: Mapping[str, str]) -> str | None:
    """What to write for a key that is not set; None if it is set or not needed."""
    if deployment.provider != "openai":
        return None
    name = deployment.key_env or KEY_ENV
    try:
        url = deployment.base_url or base(environ)
        if not is_address(url):
            return f"base_url {shown(url)!r} is no address: write one such as http://127.0.0.1:8080/v1"
        return None if environ.get(name) or on_loopback(url) else _write_key(name)
    except SettingsError as error:  # the keyring cannot be read
        return str(error)


def _write_key(name: str) -> str:
    if name.startswith(KEYRING):
        return f"needs {name}: write keyring set {SERVICE} {name.removeprefix(KEYRING)} in a terminal"
    return f"needs {name}: set it, in the environment or as a line {name}=… in .env (no git)"


def variables(text: str) -> dict[str, str]:
    """The variables in the text of a `.env` file. Nothing is interpolated; other lines are skipped."""
    matches = (_LINE.fullmatch(line) for line in text.splitlines() if not line.lstrip().startswith("#"))
    return {match[1]: _value(match[2]) for match in matches if match}


def _value(text: str) -> str:
    """Strip the quotes of a value, or the comment after an unquoted one."""
    if len(text) > 1 and text[0] in "\"'" and (end := text.find(text[0], 1)) > 0:
        return text[1:end]
    return re.split(r"\s+#", text, maxsplit=1)[0]


def _from_keyring(name: str) -> str:
    try:
        import keyring  # noqa: PLC0415 - only if a setting names it; an optional extra
    except ImportError:
        raise SettingsError(f'key_env "{KEYRING}{name}" needs the package keyring: {_INSTALL}') from None
    try:
        password = keyring.get_password(SERVICE, name)
    except keyring.errors.KeyringError as error:
        raise SettingsError(f"the keyring cannot be read: {type(error).__name__}") from None
    if password is None:
        raise KeyError(f"{KEYRING}{name}")
    _OF_KEYRING.add(str(password))
    return str(password)
