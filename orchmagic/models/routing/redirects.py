"""Finds the settings of a project's files that need the user's trust, because of where they send something:

    prompts and a key        to an address that is neither on this machine nor the vendor's own for that key
    a variable as a key      that is no model's key, such as AWS_SECRET_ACCESS_KEY
    logs, runs, answers      to a folder outside the project, or to a server

Such a setting is not used until the user has trusted the file (core/trust.py). All other settings hold at once.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from orchmagic.core import process, trust
from orchmagic.core.project import ProjectFile
from orchmagic.core.settings import PREFIX, Settings, of_variables
from orchmagic.core.text_format import more
from orchmagic.core.trust import Redirect
from orchmagic.errors import SettingsError
from orchmagic.models.routing.presets import PRESETS, fields
from orchmagic.models.wire.chat_completions import one_line
from orchmagic.models.wire.urls import BASE_ENV, KEY_ENV, OPENAI, shown

_PLACES = {"audit": "writes the audit log to", "history_dir": "keeps runs in", "cache_dir": "keeps answers in"}
_SERVERS = {"checkpoints": "sends the state of runs to", "cache_url": "sends answers to"}
_KEYS = frozenset({KEY_ENV, *(preset.key_env for preset in PRESETS.values())})
_HERE = re.compile(r"(localhost|127\.0\.0\.1|\[::1\])(:\d+)?", re.ASCII)  # the whole of it: no user, nothing escaped
_ADDRESSES = {BASE_ENV: "openai"} | {p.address_env: name for name, p in PRESETS.items() if p.address_env}
_LISTED = 4  # redirects in one line of text
_NOT_TRUSTED = " is not trusted, so this is not used: "
WITHHELD = "withheld"
"""The only field of an alias that may not be used yet; its text says why."""


def of_settings(values: Mapping[str, Any], file: ProjectFile, spell: str = "{}") -> list[Redirect]:
    """The redirects among the checked settings of a file; `spell` writes a setting as the file does."""
    places = (n for n in _PLACES if values.get(n) is not None and not _is_inside(values[n], file.root))
    servers = (n for n in _SERVERS if values.get(n) is not None)
    found = [_redirect(spell.format(n), _PLACES[n], str(values[n]), _default(n)) for n in places]
    found += [_redirect(spell.format(n), _SERVERS[n], shown(values[n]), _default(n)) for n in servers]
    found += [r for alias, entry in values.get("models", {}).items() for r in of_alias(alias, entry)]
    return sorted(found, key=lambda r: r.setting)


def _is_inside(path: Path, root: Path) -> bool:
    return process.folder().joinpath(path).resolve().is_relative_to(root)


def of_variables_in(variables: Mapping[str, str], file: ProjectFile) -> dict[str, list[Redirect]]:
    """The redirects among the variables of a `.env` file, by variable."""
    found = {name: list(_of_variable(name, value, file)) for name, value in variables.items()}
    return {name: redirects for name, redirects in found.items() if redirects}


def _of_variable(name: str, value: str, file: ProjectFile) -> Iterator[Redirect]:
    if name == trust.VARIABLE:
        yield _redirect(name, "trusts the files", value, "your own answer")
    elif name in _ADDRESSES and value.strip():
        preset = _ADDRESSES[name]
        url = value if name == BASE_ENV else str(fields(preset, {name: value})["base_url"])
        key = PRESETS[preset].key_env
        if not _is_usual(url, key):
            yield _redirect(name, f"sends prompts and {key} to", shown(url), PRESETS[preset].base_url or "no address")
    elif name.startswith(PREFIX) and value.strip():
        try:
            values = of_variables({name: value})
        except ValueError:  # reported when the settings are read
            return
        yield from of_settings(values, file, f"{name}: {{}}" if "models" in values else name)


def of_alias(alias: str, entry: Mapping[str, Any]) -> Iterator[Redirect]:
    """The redirects of an alias's deployments."""
    for number, member in enumerate(entry.get("deployments", ()), 1):
        yield from _of_deployment(f"models.{alias}.deployments[{number}]", member)
    yield from _of_deployment(f"models.{alias}", entry)


def _of_deployment(where: str, entry: Mapping[str, Any]) -> Iterator[Redirect]:
    named = entry.get("endpoint") or str(entry.get("use") or entry.get("model", "")).partition("/")[0]
    preset = PRESETS.get(named)
    usual = KEY_ENV if preset is None else preset.key_env
    key, url = entry.get("key_env", usual), entry.get("base_url")
    vendor = OPENAI if preset is None else preset.base_url or "its endpoint"
    if url is not None and not _is_usual(url, key):
        yield _redirect(f"{where}.base_url", f"sends prompts and {key} to", shown(url), vendor)
    elif key != usual and not (url is not None and key in _KEYS):
        yield _redirect(f"{where}.key_env", f"sends {key} as the key to", shown(url or vendor), usual)


def _is_usual(url: str, key: str) -> bool:
    """Whether the address is on this machine, or the one to which its vendor says that `key` belongs."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    if _HERE.fullmatch(parts.netloc.lower()):
        return True
    return any((parts.scheme, parts.netloc.lower()) == _place(p.base_url) for p in PRESETS.values() if p.key_env == key)


def _place(url: str | None) -> tuple[str, str]:
    parts = urlsplit(url or "")
    return parts.scheme, parts.netloc


def _default(name: str) -> str:
    return str(Settings.model_fields[name].get_default(call_default_factory=True) or "nothing")


def _redirect(setting: str, does: str, to: str, instead: str) -> Redirect:
    """A redirect whose texts are safe to print: a file of somebody else's may hold anything."""
    return Redirect(one_line(setting, 80), one_line(does, 120), one_line(to, 160), one_line(instead, 120))


def line(file: ProjectFile, redirects: list[Redirect]) -> str:
    """One line: what is not used, and what to type."""
    told = [str(r) for r in redirects[:_LISTED]]
    if len(redirects) > _LISTED:
        told.append(more(len(redirects) - _LISTED, "settings"))
    path = one_line(str(file.path))
    return (
        f"{path}{_NOT_TRUSTED}{'; '.join(told)}. Look at the file, then type %orch trust "
        f"(in a terminal: python -m orchmagic trust; without a person: {trust.VARIABLE}={path})."
    )


def waits_for_trust(text: str) -> bool:
    """Whether a message is the `line` of a file that nobody was asked about."""
    return _NOT_TRUSTED in text


class ProjectTrust:
    """What the files of the project may do. `environ` is the environment of the process, without any file.

    `found` are the files with settings that need trust, as they were last read.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.environ = environ
        self.found: dict[str, tuple[ProjectFile, list[Redirect]]] = {}

    def add(self, file: ProjectFile, redirects: list[Redirect]) -> None:
        """Records what a file holds now."""
        self.found.pop(str(file.path), None)
        if redirects:
            self.found[str(file.path)] = (file, redirects)

    def trusts(self, file: ProjectFile) -> bool | None:
        """Whether the user trusts the file; None if nobody answered yet."""
        return trust.answer(file, self.environ)

    def screen(self, file: ProjectFile, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """The settings of a `pyproject.toml` that may be used now.

        An alias that needs trust stays, so that it is not taken for another model of that name: a call of it is
        refused with what to type. If the user refused the file, the alias is left out.
        """
        redirects = of_settings(values, file)
        self.add(file, redirects)
        answer = self.trusts(file) if redirects else True
        if answer:
            return values
        named = {r.setting for r in redirects}
        kept = {name: value for name, value in values.items() if name not in named}
        models: dict[str, Any] = {}
        for alias, entry in kept.get("models", {}).items():
            own = list(of_alias(alias, entry))
            if not own:
                models[alias] = entry
            elif answer is None:
                models[alias] = {WITHHELD: line(file, own)}
        return {**kept, "models": models} if "models" in kept else kept

    @property
    def unanswered(self) -> list[str]:
        """A line for each file that nobody was asked about."""
        return [line(file, found) for file, found in self.found.values() if self.trusts(file) is None]


class EnvFile:
    """The variables of a project's `.env`; those that need trust are withheld until the user has trusted the file."""

    def __init__(self, file: ProjectFile | None, variables: Mapping[str, str], environ: Mapping[str, str]) -> None:
        self._file, self._variables, self._environ = file, variables, environ
        self._redirects = {} if file is None else of_variables_in(variables, file)

    def report(self, trusted: ProjectTrust) -> None:
        """Records the redirects that are in effect: those of variables that the environment does not set."""
        if self._file is not None:
            found = [r for name, redirects in self._redirects.items() if name not in self._environ for r in redirects]
            trusted.add(self._file, found)

    def names(self) -> Iterator[str]:
        """The variables that may be used."""
        return (name for name in self._variables if name not in self._redirects or self._answer(name))

    def __getitem__(self, name: str) -> str:
        """The value of a variable.

        Raises:
            KeyError: there is none, or the user does not trust the file.
            SettingsError: it needs trust, and nobody was asked.
        """
        value = self._variables[name]
        if self._file is None or name not in self._redirects:
            return value
        answer = self._answer(name)
        if answer is None:
            raise SettingsError(line(self._file, self._redirects[name]))
        if not answer:
            raise KeyError(name)
        return value

    def _answer(self, name: str) -> bool | None:
        if self._file is None or name == trust.VARIABLE:  # a file cannot trust itself
            return False
        return trust.answer(self._file, self._environ)
