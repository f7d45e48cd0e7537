"""Entries of `[tool.orchmagic.models]`: what an alias stands for, read and checked.

small = "gpt-4.1-mini"                                     a model of the OpenAI-compatible endpoint
large = { endpoint = "azure", model = "gpt-4.1" }          a table: one deployment
fast = ["groq/llama-3.1-8b-instant", "together/…"]         a list: deployments, asked in this order
[tool.orchmagic.models.pool]                               a table with `deployments`: how they are chosen
policy = "uptime"
deployments = [{ use = "small", weight = 2 }, { base_url = "http://127.0.0.1:8000/v1", model = "m" }]
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from orchmagic.core import validators
from orchmagic.core.validators import Reader
from orchmagic.errors import InputError, nearest

_KEY = re.compile(r"(?=.*[a-z])(?=.*\d)\w{20,}", re.ASCII)  # no name of a variable looks like this
_CALLED = {"api_key": "key_env", "url": "base_url", "api_base": "base_url", "api_url": "base_url"}  # by others
POLICIES = ("order", "weighted", "uptime", "price", "latency")


def _weight(value: object) -> float:
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < float("inf"):
        return float(value)
    raise ValueError("a number above 0, such as 2")


def _address(value: object) -> str:
    found = validators.text(value)
    with suppress(ValueError):  # half an IPv6 address, a port beyond 65535
        parts = urlsplit(found)
        if parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0 and "$" not in found:
            return found
    raise ValueError("an address such as http://127.0.0.1:8000/v1")


def _variable(value: object) -> str:
    """What is no name is not shown: people paste keys here."""
    found = validators.text(value)
    is_name = re.fullmatch(r"[A-Za-z_]\w*", found, re.ASCII) and not _KEY.fullmatch(found)
    if is_name or found.startswith("keyring:"):
        return found
    said = "is no name of a variable (it is not shown: it may be a key)"
    raise UnshownError(f'{said}: write key_env = "MY_KEY", and the key into that variable or .env')


# The keys of one deployment's entry: the fields of models.Deployment but its alias, and the three ways to name
# where it is. A test compares the two: this room lies below models and cannot import it.
MODEL: Mapping[str, Reader] = {
    "endpoint": validators.text,
    "provider": validators.text,
    "model": validators.text,
    "base_url": _address,
    "key_env": _variable,
    "input_price": validators.money,
    "output_price": validators.money,
    "cached_price": validators.money,
    "written_price": validators.money,
    "reasoning_price": validators.money,
    "tools": validators.one_of("native", "json", "none"),
    "schemas": validators.one_of("native", "json", "none"),
    "logprobs": validators.flag,
    "vision": validators.flag,
    "context": validators.whole(1),
    "max_tokens_field": validators.one_of("max_tokens", "max_completion_tokens"),
    "parameters": validators.table,
    "weight": _weight,
    "requests_per_minute": validators.whole(1),
    "tokens_per_minute": validators.whole(1),
    "concurrency": validators.whole(1),
}

# of one deployment among several: an alias or model name that says the rest, and a name of its own
MEMBER: Mapping[str, Reader] = {**MODEL, "use": validators.text, "name": validators.text}


def _members(value: object) -> list[object]:
    if isinstance(value, (list, tuple)) and value:
        return list(value)
    raise ValueError('a list such as ["groq/llama-3.1-8b-instant", "together/…"]')


POOL: Mapping[str, Reader] = {
    "deployments": _members,
    "policy": validators.one_of(*POLICIES),
    "hedge": validators.optional(validators.seconds),
}


class UnshownError(ValueError):
    """A bad value that must not be repeated; the text says what it is and what to write."""


class ProblemsError(Exception):
    """All that is wrong in one place: what was found and what to write; who catches it adds where."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("; ".join(problems))


def models(value: object) -> dict[str, dict[str, Any]]:
    """The entries by alias; text is JSON, as an environment variable holds it.

    Raises:
        ValueError, ProblemsError: it is none; the text says what to write.
    """
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError as error:
            raise ValueError('JSON such as {"small": {"model": "gpt-4o-mini"}}') from error
    return {name: _entry(name, entry) for name, entry in validators.table(value).items()}


def added(words: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The entry that `%orch models add fast groq/llama-3.1-8b-instant small policy=uptime` means.

    Words are deployments, in order; `key=value` words are options of the alias, or, without deployments, the fields
    of its one deployment.

    Raises:
        InputError: it is none; the text says what to write.
    """
    name, *rest = words or [""]
    names = [w for w in rest if "=" not in w]
    fields = {key: _typed(value) for key, _, value in (w.partition("=") for w in rest if "=" in w)}
    if not name or "=" in name or not rest:
        example = "%orch models add fast groq/llama-3.1-8b-instant openrouter/auto policy=uptime"
        raise InputError(f"an alias needs a name and what it stands for: write {example}")
    try:
        return models({name: {"deployments": names, **fields} if names else fields})
    except (ValueError, ProblemsError) as error:
        raise InputError(str(error)) from None


def _typed(written: str) -> object:
    try:
        return json.loads(written)
    except ValueError:
        return written


def _entry(name: str, entry: object) -> dict[str, Any]:
    if isinstance(entry, str):
        entry = {"model": entry}
    if isinstance(entry, (list, tuple)):
        entry = {"deployments": entry}
    found = _table(f"models.{name}", entry, '{ model = "gpt-4o-mini" }')
    return _pool(name, found) if "deployments" in found else _deployment(f"models.{name}", found, MODEL)


def _pool(name: str, found: Mapping[str, object]) -> dict[str, Any]:
    read = _fields(POOL, f"models.{name}", found)
    problems: list[str] = []
    members: list[dict[str, Any]] = []
    for number, entry in enumerate(read["deployments"], 1):
        where = f"models.{name}.deployments[{number}]"
        try:
            members.append(_deployment(where, _member(where, entry), MEMBER))
        except ProblemsError as error:
            problems += error.problems
    if problems:
        raise ProblemsError(problems)
    return {**read, "deployments": tuple(members)}


def _member(where: str, entry: object) -> dict[str, Any]:
    return {"use": entry} if isinstance(entry, str) else _table(where, entry, '{ endpoint = "groq", model = "m" }')


def _deployment(where: str, found: Mapping[str, object], known: Mapping[str, Reader]) -> dict[str, Any]:
    read = _fields(known, where, found)
    if ("input_price" in read) != ("output_price" in read):
        prices = "both input_price and output_price, US dollars per million tokens"
        raise ProblemsError([f"{where} has one price: write {prices}"])
    return read


def _table(where: str, entry: object, example: str) -> dict[str, Any]:
    try:
        return validators.table(entry)
    except ValueError as error:
        raise ProblemsError([f"{where} is {entry!r}: write a table such as {example}"]) from error


def _fields(known: Mapping[str, Reader], where: str, found: Mapping[str, object]) -> dict[str, Any]:
    return checked(known, {key: (f"{where}.{key}", value) for key, value in found.items()})


def checked(
    known: Mapping[str, Reader],
    pairs: Mapping[str, tuple[str, object]],
    spell: Callable[[str], str] = str,
) -> dict[str, Any]:
    """The checked values of `pairs`: key -> (as it was written, what was found); `spell` writes a key so.

    Raises:
        ProblemsError: unknown keys or bad values, all of them.
    """
    read: dict[str, Any] = {}
    problems: list[str] = []
    for key, (name, value) in pairs.items():
        if key not in known:
            close = nearest(spell(_CALLED.get(key, key)), map(spell, known))
            problems.append(f"{name} is unknown: write one of {', '.join(map(spell, known))}{close}")
            continue
        try:
            read[key] = known[key](value)
        except UnshownError as error:
            problems.append(f"{name} {error}")
        except ValueError as error:
            problems.append(f"{name} is {value!r}: write {error}")
        except ProblemsError as error:
            problems += error.problems
    if problems:
        raise ProblemsError(problems)
    return read
