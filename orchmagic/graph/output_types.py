"""Outputs as Pydantic models: what the model is asked for, and how its reply is read, repaired and rebuilt.

Each form of a value: the reply's text -> JSON (`parse`), JSON -> what templates and expressions see (`rebuild`),
and back (`dump`). A repair never guesses: a repaired reply must fit the declared output like any other.
"""

from __future__ import annotations

import json
import re
import warnings
from copy import copy
from dataclasses import dataclass, is_dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from orchmagic.errors import InputError, OutputError, nearest
from orchmagic.language import expression
from orchmagic.language.annotations import TYPING, annotation_names, parse_output
from orchmagic.models import Schema

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import BaseModel, TypeAdapter, ValidationError

    from orchmagic.language.output_spec import Output

__all__ = ["OutputType", "annotation_names", "camel", "parse_output", "resolve", "voted"]

_SHOWN = 5
_FENCE = re.compile(r"```[ \t]*\w*[ \t]*\n(.*?)\n?[ \t]*```", re.DOTALL)


def _refuse(constant: str) -> object:
    raise ValueError(constant)  # NaN and Infinity are no JSON


_DECODER = json.JSONDecoder(parse_constant=_refuse)


@dataclass(frozen=True)
class OutputType:
    """A declared output with its classes found.

    `kind` is "text", "fields" (one class of ours), "class" (one of the notebook's) or "value" (ours, with the
    single field `value`). `model` is the Pydantic class, None for text and for dataclasses.
    """

    name: str
    kind: str
    type: Any = str
    confidence: str | None = None

    @property
    def model(self) -> type[BaseModel] | None:
        """The Pydantic class, if there is one."""
        return None if self.kind == "text" or is_dataclass(self.type) else self.type

    @cached_property
    def schema(self) -> Schema | None:
        """What the reply must fit, as the request carries it; None for text."""
        if self.kind == "text":
            return None
        found = self.model.model_json_schema() if self.model else self._adapter.json_schema()
        # Endpoints refuse to enforce open schemas, and the notebook's own classes are not ours to judge.
        return Schema(self.name, found, strict=self.kind != "class" and _is_closed(found))

    @cached_property
    def _adapter(self) -> TypeAdapter[Any]:
        from pydantic import TypeAdapter  # noqa: PLC0415 - heavy

        return TypeAdapter(self.type)

    def asked(self, *, self_report: bool) -> OutputType:
        """What to ask the model for: without `.confidence`, or with it as a required number from 0 to 1."""
        if self.confidence is None:
            return self
        declared = self.type.model_fields.items()
        fields: dict[str, Any] = {n: (f.annotation, copy(f)) for n, f in declared if n != "confidence"}
        if self_report:
            fields["confidence"] = (_share(), ...)
        return OutputType(self.name, "fields", _create(self.name, fields))

    def parse(self, reply: str) -> tuple[object, str | None]:
        """The reply as a JSON value, and what had to be repaired ("code fence", "broken JSON" ...) or None.

        Raises:
            OutputError: it does not fit; the text tells the model what is wrong.
        """
        if self.kind == "text":
            return reply, None
        data, repaired = self._wrap(*_find_json(reply), reply)
        return self.dump(self._validate(data, reply)), repaired

    def _wrap(self, data: object, repaired: str | None, reply: str) -> tuple[object, str | None]:
        """A lone value is taken for the one that was asked for, unless it was dug out of prose."""
        known = self._properties()
        if self.kind == "value" and repaired in {None, "code fence"} and not _has_any(data, known):
            return {"value": data}, repaired or "bare value"
        if not _has_any(data, known):
            raise OutputError(f"the reply must be a JSON object with {_listed(known)}", reply=reply)
        return data, repaired

    def _properties(self) -> list[str]:
        found = self.schema.schema if self.schema else {}
        name = found.get("$ref", "").rpartition("/")[2]  # a class that refers to itself
        properties = found.get("$defs", {}).get(name, found).get("properties", {})
        return list(properties)

    def _validate(self, data: object, reply: str) -> Any:
        from pydantic import ValidationError  # noqa: PLC0415 - heavy

        try:
            # As JSON, not as Python: a strict model takes an Enum or a tuple from JSON only.
            found = self._adapter.validate_json(json.dumps(data))
        except ValidationError as error:
            raise OutputError(_listing(error), reply=reply) from error
        return found.value if self.kind == "value" else found

    def rebuild(self, value: object) -> Any:
        """What templates and expressions see: an instance, an Enum member, a plain value; None stays None."""
        if self.kind == "text" or value is None:
            return value
        data = {"value": value} if self.kind == "value" else value
        return self._validate(data, json.dumps(data))

    def dump(self, value: object) -> Any:
        """JSON for the run's state."""
        from pydantic_core import to_jsonable_python  # noqa: PLC0415 - heavy

        return to_jsonable_python(value, round_trip=True)  # computed fields are not read back


def resolve(name: str, output: Output, namespace: Mapping[str, object], confidence: str | None = None) -> OutputType:
    """The output of step `name` with the notebook's classes of `namespace`.

    `confidence` names the field whose certainty is wanted: values get the attribute `.confidence`, a number
    from 0 to 1 or None. An output that declares such a field itself keeps its own.

    Raises:
        InputError: a class is not defined, or is no type.
    """
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
    fields["confidence"] = (_share() | None, None)
    return OutputType(title, "fields", _define(name, title, fields), confidence)


def voted(of: OutputType) -> OutputType:
    """The outcome of a vote on `of`: the winner's fields (or `.value`) with what the votes said.

    `agreement` is the winner's share (0..1), `dissent` the other votes as JSON, `tie` whether another had as many,
    `decided` whether enough agreed (or a fallback decided).
    """
    if of.kind == "fields":
        fields: dict[str, Any] = {n: (f.annotation, copy(f)) for n, f in of.type.model_fields.items()}
    else:
        fields = {"value": (of.type.model_fields["value"].annotation if of.kind == "value" else of.type, ...)}
    fields |= {"agreement": (float, ...), "dissent": (list[Any], ...), "tie": (bool, ...), "decided": (bool, ...)}
    return OutputType(of.name, "fields", _create(of.name, fields))


def _evaluate(name: str, annotation: str, namespace: Mapping[str, object]) -> Any:
    import typing  # noqa: PLC0415 - only here

    scope = {n: getattr(typing, n) for n in TYPING} | dict(namespace)
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
    except Exception as error:  # Pydantic meets the user's classes: several kinds of its errors, and theirs
        raise InputError(f"step {name!r} cannot return this: {str(error).splitlines()[0]}") from error


def _create(title: str, fields: Mapping[str, Any]) -> type[BaseModel]:
    from pydantic import ConfigDict, create_model  # noqa: PLC0415 - heavy

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a field may be called `schema` or `copy`
        config = ConfigDict(extra="forbid", protected_namespaces=())
        return create_model(title, __config__=config, **dict(fields))


def _share() -> Any:
    from typing import Annotated  # noqa: PLC0415 - beside its use

    from pydantic import Field  # noqa: PLC0415 - heavy

    return Annotated[float, Field(ge=0, le=1)]


def _is_record(found: object) -> bool:
    """A class whose JSON is an object with named fields, so that it needs no wrapping."""
    from pydantic import BaseModel, RootModel  # noqa: PLC0415 - heavy

    if not isinstance(found, type):
        return False
    return is_dataclass(found) or (issubclass(found, BaseModel) and not issubclass(found, RootModel))


def camel(name: str) -> str:
    """`find_order` -> `FindOrder`; endpoints take ASCII names of at most 64 characters."""
    words = re.split(r"[^a-zA-Z0-9]+", name)
    return "".join(w[:1].upper() + w[1:] for w in words)[:64] or "Output"


def _is_closed(schema: object) -> bool:
    """Every object names all its fields and requires them, and every value has a type."""
    if isinstance(schema, list):
        return all(_is_closed(s) for s in schema)
    if not isinstance(schema, dict):
        return True
    if not schema.keys() & {"type", "enum", "const", "anyOf", "$ref"} or "prefixItems" in schema:
        return False
    inner = schema.get("properties", {})
    if schema.get("type") == "object" and (
        schema.get("additionalProperties") is not False or set(schema.get("required", [])) != set(inner)
    ):
        return False
    nested = [*inner.values(), *schema.get("$defs", {}).values(), *schema.get("anyOf", [])]
    return _is_closed(nested) and (schema.get("type") != "array" or _is_closed(schema.get("items", {})))


def _find_json(reply: str) -> tuple[object, str | None]:
    """The JSON in a reply: all of it, in a code fence, amid prose, or an object that can be mended."""
    start = reply.find("{")
    for candidate, repaired in [(reply, None), *((m.group(1), "code fence") for m in _FENCE.finditer(reply))]:
        try:
            return _DECODER.decode(candidate), repaired
        except (ValueError, RecursionError):
            continue
    if start < 0:
        raise OutputError("the reply holds no JSON: answer with one JSON object and nothing else", reply=reply)
    try:
        return _DECODER.raw_decode(reply, start)[0], "text around the JSON"
    except (ValueError, RecursionError):
        return _mend(reply, start), "broken JSON"


def _mend(reply: str, start: int) -> object:
    import json_repair  # noqa: PLC0415 - heavy, and seldom needed

    fences = [m.group(1) for m in _FENCE.finditer(reply) if "{" in m.group(1)]
    broken = fences[0] if fences else reply[start:]
    try:
        return json_repair.loads(broken, skip_json_loads=True)
    except (ValueError, RecursionError, IndexError, KeyError) as error:
        raise OutputError("the reply is no valid JSON: answer with one JSON object", reply=reply) from error


def _has_any(data: object, known: list[str]) -> bool:
    return isinstance(data, dict) and (not known or any(name in data for name in known))


def _listed(known: list[str]) -> str:
    return ", ".join(json.dumps(name, ensure_ascii=False) for name in known)


def _listing(error: ValidationError) -> str:
    """`severity: Input should be 'low' or 'high' (got 'lo'); quote: Field required`."""
    problems = error.errors(include_url=False, include_context=False)
    shown = [_one(dict(problem)) for problem in problems[:_SHOWN]]
    more = [f"and {len(problems) - _SHOWN} more"] if len(problems) > _SHOWN else []
    return "the reply does not fit: " + "; ".join([*shown, *more])


def _one(problem: dict[str, Any]) -> str:
    where = ".".join(str(part) for part in problem["loc"]) or "the reply"
    if problem["type"] == "missing":
        return f"{where}: missing"
    if problem["type"] == "extra_forbidden":
        return f"{where}: not asked for"
    got = json.dumps(problem["input"], ensure_ascii=False, default=str)[:80]
    return f"{where}: {problem['msg']} (got {got})"
