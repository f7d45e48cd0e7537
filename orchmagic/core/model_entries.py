"""Read and check the entries of `[tool.orchmagic.models]`: the deployments behind each alias.

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
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, PlainValidator, model_validator

from orchmagic.core import validators
from orchmagic.core.money import dollars
from orchmagic.core.problems import ProblemsError, UnshownError, checked
from orchmagic.errors import InputError

_KEY = re.compile(r"(?=.*[a-z])(?=.*\d)\w{20,}", re.ASCII)  # looks like a key, not like a variable's name
_OF_REQUESTS = ("messages", "model", "stream", "tools")  # fields of the body that no setting may replace
POLICIES = ("order", "weighted", "uptime", "price", "latency")


def _weight(value: object) -> float:
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < float("inf"):
        return float(value)
    raise ValueError("a number above 0, such as 2")


def _address(value: object) -> str:
    address = validators.text(value)
    with suppress(ValueError):  # urlsplit raises on half an IPv6 address or a port above 65535
        parts = urlsplit(address)
        if parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0 and "$" not in address:
            return address
    raise ValueError("an address such as http://127.0.0.1:8000/v1")


def _variable(value: object) -> str:
    """Check the name of an environment variable. Invalid text is not shown: it may be a pasted key."""
    name = validators.text(value)
    is_name = re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII) and not _KEY.fullmatch(name)
    if is_name or name.startswith("keyring:"):
        return name
    what = "is no name of a variable (it is not shown: it may be a key)"
    raise UnshownError(f'{what}: write key_env = "MY_KEY", and the key into that variable or .env')


def _discount(value: object) -> float:
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < 1:
        return float(value)
    raise ValueError("the part of the price that a batch saves, from 0 to below 1, such as 0.5")


def _members(value: object) -> tuple[object, ...]:
    if isinstance(value, (list, tuple)) and value:
        return tuple(value)
    raise ValueError('a list such as ["groq/llama-3.1-8b-instant", "together/…"]')


Text = Annotated[str, PlainValidator(validators.text)]
Dollars = Annotated[float, PlainValidator(dollars)]  # per million tokens
Count = Annotated[int, PlainValidator(validators.whole_number(1))]
Dialect = Annotated[str, PlainValidator(validators.one_of("native", "json", "none"))]
Flag = Annotated[bool, PlainValidator(validators.flag)]
TokensField = Annotated[str, PlainValidator(validators.one_of("max_tokens", "max_completion_tokens"))]


def _parameters(value: object) -> dict[str, Any]:
    given = validators.table(value)
    if own := [name for name in _OF_REQUESTS if name in given]:
        raise ValueError(f"a table without {own[0]!r}, which each call sets itself")
    return given


class _Entry(BaseModel):
    """Base of the entries. Only the fields in `given` are used, never the defaults."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    @property
    def given(self) -> dict[str, Any]:
        """The fields present in the entry, checked."""
        return self.model_dump(exclude_unset=True)


class DeploymentEntry(_Entry):
    """One deployment: the fields of models.Deployment except its alias, and `endpoint`, the name of a known endpoint.

    A test compares the fields, since this package must not import models.
    """

    endpoint: Text = ""
    provider: Text = ""
    model: Text = ""
    base_url: Annotated[str, PlainValidator(_address)] = ""
    key_env: Annotated[str, PlainValidator(_variable)] = ""
    input_price: Dollars = 0.0
    output_price: Dollars = 0.0
    cached_price: Dollars = 0.0
    written_price: Dollars = 0.0
    reasoning_price: Dollars = 0.0
    tools: Dialect = "native"
    schemas: Dialect = "native"
    schemas_with_tools: Flag = True
    logprobs: Flag = False
    vision: Flag = False
    context: Count = 1
    max_tokens_field: TokensField = "max_tokens"
    parameters: Annotated[dict[str, Any], PlainValidator(_parameters)] = {}
    weight: Annotated[float, PlainValidator(_weight)] = 1.0
    requests_per_minute: Count = 1
    tokens_per_minute: Count = 1
    concurrency: Count = 1
    batch: Flag = False
    batch_discount: Annotated[float, PlainValidator(_discount)] = 0.5

    @model_validator(mode="after")
    def _has_both_prices(self) -> DeploymentEntry:
        if len({"input_price", "output_price"} & self.model_fields_set) == 1:
            prices = "both input_price and output_price, US dollars per million tokens"
            raise UnshownError(f"has one price: write {prices}")
        return self


class MemberEntry(DeploymentEntry):
    """One deployment of several: `use` is an alias or model to take the other fields from, `name` its name."""

    use: Text = ""
    name: Text = ""


class PoolEntry(_Entry):
    """Several deployments and the policy to choose one; `hedge`: seconds until a second one is called, too."""

    deployments: Annotated[tuple[object, ...], PlainValidator(_members)]
    policy: Annotated[str, PlainValidator(validators.one_of(*POLICIES))] = "order"
    hedge: Annotated[float | None, PlainValidator(validators.optional(validators.seconds))] = None


def models(value: object) -> dict[str, dict[str, Any]]:
    """Return the checked entries by alias; a string is parsed as JSON (from an environment variable).

    Raises:
        ValueError: `value` is no table; the text says what to write. ProblemsError: all the wrong entries.
    """
    if isinstance(value, str):
        value = _parsed(value)
    entries = validators.table(value)
    return dict(zip(entries, _each(_entry, {f"models.{n}": entry for n, entry in entries.items()}), strict=True))


def _parsed(text: str) -> object:
    """Parse a JSON object. Errors do not quote the text, since it may hold keys."""
    try:
        value = json.loads(text)
        what = "is no JSON object"
    except json.JSONDecodeError as error:
        value, what = None, f"is no JSON at line {error.lineno}, column {error.colno} ({error.msg})"
    if not isinstance(value, dict):
        raise UnshownError(f'{what}: write JSON such as {{"small": {{"model": "gpt-4o-mini"}}}}')
    return value


def added(words: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return the entry for the words of `%orch models add fast groq/llama-3.1-8b-instant small policy=uptime`.

    After the alias, plain words are deployments, in order. `key=value` words are options of the alias, or, without
    deployments, the fields of its only deployment.

    Raises:
        InputError: the words form no entry; the text says what to write.
    """
    name, *rest = words or [""]
    names = [w for w in rest if "=" not in w]
    fields = {key: _typed(value) for key, _, value in (w.partition("=") for w in rest if "=" in w)}
    if not name or "=" in name or not rest:
        example = "%orch models add fast groq/llama-3.1-8b-instant openrouter/auto policy=uptime"
        raise InputError(f"an alias needs a name and what it stands for: write {example}")
    try:
        return models({name: {"deployments": names, **fields} if names else fields})
    except ValueError as error:
        raise InputError(str(error)) from None


def _typed(written: str) -> object:
    try:
        return json.loads(written)
    except ValueError:
        return written


def _entry(where: str, entry: object) -> dict[str, Any]:
    if isinstance(entry, str):
        entry = {"model": entry}
    if isinstance(entry, (list, tuple)):
        entry = {"deployments": entry}
    if isinstance(entry, Mapping) and "deployments" in entry:
        pool = _given(PoolEntry, where, entry)
        members = {f"{where}.deployments[{n}]": member for n, member in enumerate(pool["deployments"], 1)}
        return {**pool, "deployments": tuple(_each(_member, members))}
    return _given(DeploymentEntry, where, entry)


def _member(where: str, entry: object) -> dict[str, Any]:
    return _given(MemberEntry, where, {"use": entry} if isinstance(entry, str) else entry)


def _each(read: Callable[[str, object], dict[str, Any]], entries: Mapping[str, object]) -> list[dict[str, Any]]:
    """Apply `read` to all entries, given by their location in the settings.

    Raises:
        ProblemsError: the problems of all entries.
    """
    found: list[dict[str, Any]] = []
    problems: list[str] = []
    for where, entry in entries.items():
        try:
            found.append(read(where, entry))
        except ProblemsError as error:
            problems += error.problems
    if problems:
        raise ProblemsError(problems)
    return found


def _given(kind: type[_Entry], where: str, entry: object) -> dict[str, Any]:
    if not isinstance(entry, Mapping):
        raise ProblemsError([f'{where} is {entry!r}: write a table such as {{ endpoint = "groq", model = "m" }}'])
    return checked(kind, validators.table(entry), lambda key: f"{where}.{key}" if key else where).given
