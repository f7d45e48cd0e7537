"""Output types as Pydantic models: the JSON schema to request, and how replies are parsed, repaired and rebuilt.

Conversions of a value: the reply's text -> JSON (`parse`), JSON -> the Python value that templates and expressions
use (`rebuild`), and back (`dump`). A repaired reply must fit the declared output like any other.
"""

from __future__ import annotations

import json
import re
import typing
import warnings
from contextlib import suppress
from copy import copy, deepcopy
from dataclasses import dataclass, is_dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, RootModel, TypeAdapter, create_model
from pydantic_core import to_jsonable_python

from orchmagic.core.portable import UnfitReplyError, as_object, field_names, find_json, reads_back, validate_with
from orchmagic.core.user_code import contained
from orchmagic.errors import InputError, OutputError, nearest
from orchmagic.graph import standard_types
from orchmagic.language import expression
from orchmagic.language.annotations import TYPING
from orchmagic.models.types import Schema

if TYPE_CHECKING:
    from collections.abc import Mapping

    from orchmagic.language.annotations import Output

_BRACKET = re.compile(r"[{}\[\]()]")
_DEEPEST = 100  # open brackets in a reply that is mended
_LONGEST = 200_000  # characters of it
_SHARE = Annotated[float, Field(ge=0, le=1)]


@dataclass(frozen=True)
class OutputType:
    """A declared output with its classes resolved.

    `kind` is "text", "fields" (a generated class), "class" (a class of the notebook) or "value" (a generated class
    with the single field `value`). `model` is the Pydantic class, None for text and for dataclasses.
    """

    name: str
    kind: str
    type: Any = str
    confidence: str | None = None

    @property
    def model(self) -> type[BaseModel] | None:
        return None if self.kind == "text" or is_dataclass(self.type) else self.type

    @cached_property
    def schema(self) -> Schema | None:
        """The JSON schema for the request; None for text."""
        if self.kind == "text":
            return None
        with contained():
            found = self.model.model_json_schema() if self.model else self._adapter.json_schema()
        # Endpoints refuse strict mode for open schemas; classes of the notebook are never sent as strict.
        return Schema(self.name, found, strict=self.kind != "class" and _is_closed(found))

    @cached_property
    def _adapter(self) -> TypeAdapter[Any]:
        return TypeAdapter(self.type)

    def requested(self, *, self_report: bool) -> OutputType:
        """Returns the type to request: without `confidence`, or (self-reported) with it as a number from 0 to 1."""
        if self.confidence is None:
            return self
        return self._self_reported if self_report else self._without_confidence

    @cached_property
    def _without_confidence(self) -> OutputType:
        return OutputType(self.name, "fields", _create(self.name, self._declared))

    @cached_property
    def _self_reported(self) -> OutputType:
        return OutputType(self.name, "fields", _create(self.name, {**self._declared, "confidence": (_SHARE, ...)}))

    @property
    def _declared(self) -> dict[str, Any]:
        return {n: (f.annotation, copy(f)) for n, f in self.type.model_fields.items() if n != "confidence"}

    def parse(self, reply: str) -> tuple[object, str | None]:
        """Returns the reply as a JSON value, and the repair ("code fence", "broken JSON" ...) or None.

        Raises:
            OutputError: the reply does not fit; the text tells the model what is wrong.
        """
        if self.kind == "text":
            return reply, None
        fields = field_names(self.schema.schema) if self.schema else []
        try:
            data, place = _find_or_mend(reply)
            fit = as_object(data, place, fields, wraps=self.kind == "value")
            value = self._validate(fit)
        except UnfitReplyError as error:
            raise OutputError(str(error), reply=reply) from error
        return self._stored(value, fit), place or (None if fit is data else "bare value")

    @cached_property
    def _reads_back(self) -> bool:
        return reads_back(self._adapter.core_schema)

    @cached_property
    def _parsed(self) -> dict[str, Any]:
        """The values of this process by their stored JSON, so that validators of a class run once."""
        return {}

    def _stored(self, value: object, data: dict[str, Any]) -> Any:
        """The JSON for the run's state; it is the reply's own if the value's JSON would be read otherwise."""
        if self._reads_back:
            return self.dump(value)
        stored = data["value"] if self.kind == "value" else data
        self._parsed[json.dumps(stored)] = value
        return stored

    def _validate(self, data: object) -> Any:
        with contained():  # validators of the notebook's classes
            found = validate_with(self._adapter, data)
        return found.value if self.kind == "value" else found

    def rebuild(self, value: object) -> Any:
        """Returns the Python value for templates and expressions: an instance, Enum member or plain value, or None."""
        if self.kind == "text" or value is None:
            return value
        if not self._reads_back and (parsed := self._parsed.get(json.dumps(value))) is not None:
            return deepcopy(parsed)
        data = {"value": value} if self.kind == "value" else value
        try:
            return self._validate(data)
        except UnfitReplyError as error:
            raise OutputError(str(error), reply=json.dumps(data)) from error

    def dump(self, value: object) -> Any:
        """Returns the value as JSON for the run's state."""
        with contained():  # serialisers, as above
            return to_jsonable_python(value, round_trip=True)  # round_trip leaves computed fields out


def resolve(name: str, output: Output, namespace: Mapping[str, object], confidence: str | None = None) -> OutputType:
    """Resolves the output of step `name` with the notebook's classes in `namespace`.

    `confidence` names the field whose confidence is wanted: values get the attribute `.confidence`, a number
    from 0 to 1 or None. If the output declares a field `confidence` itself, that one is kept.

    One that names nothing of the notebook is resolved once for all runs.

    Raises:
        InputError: a class is not defined, or is not a type.
    """
    annotations = (output.annotation, *(f.annotation for f in output.fields))
    if namespace.keys().isdisjoint(word for text in annotations for word in re.findall(r"\w+", text)):
        with suppress(InputError):  # raised below, with the nearest name of the notebook
            return _resolved_alone(name, output, confidence)
    return _resolved(name, output, namespace, confidence)


@lru_cache(maxsize=256)
def _resolved_alone(name: str, output: Output, confidence: str | None) -> OutputType:
    return _resolved(name, output, {}, confidence)


def _resolved(name: str, output: Output, namespace: Mapping[str, object], confidence: str | None) -> OutputType:
    title = camel(name)
    if output.kind == "text":
        return OutputType(title, "text")
    if output.kind == "value":
        found = _evaluate(name, output.annotation, namespace)
        if _is_record(found):
            return OutputType(title, "class", found)
        return OutputType(title, "value", _define(name, title, {"value": (found, ...)}))
    fields: dict[str, Any] = {f.name: (_evaluate(name, f.annotation, namespace), ...) for f in output.fields}
    if confidence is None or "confidence" in fields:
        return OutputType(title, "fields", _define(name, title, fields))
    fields["confidence"] = (_SHARE | None, None)
    return OutputType(title, "fields", _define(name, title, fields), confidence)


def voted(of: OutputType) -> OutputType:
    """Returns the type of a vote's outcome: the winner's fields (or `value`) and four more.

    `agreement` is the winner's share (0..1), `dissent` the other votes as JSON, `tie` whether another value had as
    many votes, `decided` whether enough votes agreed or a fallback decided.
    """
    if of.kind == "fields":
        fields: dict[str, Any] = {n: (f.annotation, copy(f)) for n, f in of.type.model_fields.items()}
    else:
        fields = {"value": (of.type.model_fields["value"].annotation if of.kind == "value" else of.type, ...)}
    fields |= {"agreement": (float, ...), "dissent": (list[Any], ...), "tie": (bool, ...), "decided": (bool, ...)}
    return OutputType(of.name, "fields", _create(of.name, fields))


def _evaluate(name: str, annotation: str, namespace: Mapping[str, object]) -> Any:
    scope = {n: getattr(typing, n) for n in TYPING} | dict(namespace)
    for standard in standard_types.standard_names(namespace):
        scope[standard] = getattr(standard_types, standard_types.STANDARD_TYPES[standard].reply)
    for wanted in sorted(expression.names(annotation) - scope.keys()):
        known = (n for n, v in scope.items() if isinstance(v, type))
        raise InputError(
            f"step {name!r} returns {wanted!r}, which the notebook does not define{nearest(wanted, known)}"
        )
    try:
        return expression.evaluate(annotation, scope)
    except Exception as error:
        raise InputError(f"step {name!r} returns {annotation}, which is no type: {error}") from error


def _define(name: str, title: str, fields: Mapping[str, Any]) -> type[BaseModel]:
    try:
        return _create(title, fields)
    except Exception as error:  # Pydantic and the user's classes may raise anything
        raise InputError(f"step {name!r} cannot return this: {str(error).splitlines()[0]}") from error


def _create(title: str, fields: Mapping[str, Any]) -> type[BaseModel]:
    with contained(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a field may be called `schema` or `copy`
        config = ConfigDict(extra="forbid", protected_namespaces=())
        return create_model(title, __config__=config, **dict(fields))


def _is_record(found: object) -> bool:
    """Whether it is a class whose JSON is an object with named fields; others are wrapped in `value`."""
    if not isinstance(found, type):
        return False
    return is_dataclass(found) or (issubclass(found, BaseModel) and not issubclass(found, RootModel))


def camel(name: str) -> str:
    """Converts `find_order` to `FindOrder`; endpoints take ASCII names of at most 64 characters."""
    words = re.split(r"[^a-zA-Z0-9]+", name)
    return "".join(w[:1].upper() + w[1:] for w in words)[:64] or "Output"


# what OpenAI's strict mode refuses, and the formats that it takes
_NOT_STRICT = {
    "uniqueItems",
    "minLength",
    "maxLength",
    "patternProperties",
    "propertyNames",
    "contains",
    "oneOf",
    "allOf",
}
_FORMATS = {"date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"}


def _is_closed(schema: object) -> bool:
    """Whether strict mode takes the schema: all fields of an object are required, every value has a type."""
    if isinstance(schema, list):
        return all(_is_closed(s) for s in schema)
    if not isinstance(schema, dict):
        return True
    if (
        schema.keys() & _NOT_STRICT
        or schema.get("format", "date") not in _FORMATS
        or ("$ref" in schema and len(schema) > 1)
    ):
        return False
    if not schema.keys() & {"type", "enum", "const", "anyOf", "$ref"} or "prefixItems" in schema:
        return False
    inner = schema.get("properties", {})
    if schema.get("type") == "object" and (
        schema.get("additionalProperties") is not False or set(schema.get("required", [])) != set(inner)
    ):
        return False
    nested = [*inner.values(), *schema.get("$defs", {}).values(), *schema.get("anyOf", [])]
    return _is_closed(nested) and (schema.get("type") != "array" or _is_closed(schema.get("items", {})))


def _is_mendable(reply: str) -> bool:
    """Whether mending takes linear time: for brackets that only open, as a model in a loop writes, it is quadratic."""
    depth = deepest = 0
    for bracket in _BRACKET.findall(reply):
        depth = depth + 1 if bracket in "{[(" else max(depth - 1, 0)
        deepest = max(deepest, depth)
    return deepest <= _DEEPEST and len(reply) <= _LONGEST


def _find_or_mend(reply: str) -> tuple[Any, str | None]:
    """Returns the JSON in a reply and where it was found; repairs an object with invalid JSON ("broken JSON").

    Raises:
        UnfitReplyError: the reply contains no JSON, or it is cut off.
    """
    try:
        return find_json(reply)
    except UnfitReplyError as error:
        if not error.broken or not _is_mendable(error.broken):
            raise
        import json_repair  # noqa: PLC0415 - heavy and seldom needed; exported modules do not use it

        try:
            return json_repair.loads(error.broken, skip_json_loads=True), "broken JSON"
        except (ValueError, RecursionError, IndexError, KeyError):
            pass
        raise
