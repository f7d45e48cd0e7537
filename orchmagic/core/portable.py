"""Rules that a run and an exported module share. A module carries their source, so that both do the same.

Each definition needs the standard library, pydantic and others of this file, nothing else. What is heavy is imported
inside (PLC0415); in a module those imports stand at its head. Docstrings are written for who reads the module.
"""

from __future__ import annotations

import itertools
import json
import math
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import is_dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import Enum
from inspect import isroutine
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from pydantic import BaseModel, TypeAdapter, ValidationError


def as_text(value: object) -> str:
    """Return a value as prompts show it: text as it is, nothing for None, records and containers as JSON."""
    if value is None:
        return ""
    if isinstance(value, Enum):
        return as_text(value.value)
    if isinstance(value, set | frozenset):
        value = sorted(value, key=str)  # the same order in every process
    record = is_dataclass(value) or hasattr(value, "model_dump_json")
    if record or isinstance(value, dict | list | tuple):
        from pydantic_core import to_json  # noqa: PLC0415 - heavy

        return to_json(value, fallback=str).decode()
    if isroutine(value):
        name = value.__name__
        raise TypeError(f"{name} is a function, not a value: call it, or write ['{name}']")
    return str(value)


def table_rows(value: Any) -> Any:
    """Return the rows of a pandas DataFrame, or of what behaves like one; any other value as it is."""
    is_table = hasattr(value, "columns") and hasattr(value, "to_dict")
    return value.to_dict("records") if is_table else value


class UnfitReplyError(ValueError):
    """A reply does not fit its class; the text tells the model what is wrong."""


FENCE = re.compile(r"```[ \t]*\w*[ \t]*\n(.*?)\n?[ \t]*```", re.DOTALL)


def reject_constant(constant: str) -> object:
    """Refuse NaN and Infinity, which are no JSON."""
    raise ValueError(constant)


def find_json(reply: str) -> tuple[Any, str | None]:
    """Return the JSON of a reply, and where it was found: None, "code fence" or "text around the JSON"."""
    decoder = json.JSONDecoder(parse_constant=reject_constant)
    fenced = [(match.group(1), "code fence") for match in FENCE.finditer(reply)]
    for candidate, place in [(reply, None), *fenced]:
        try:
            return decoder.decode(candidate), place
        except (ValueError, RecursionError):
            continue
    start = reply.find("{")
    if start < 0:
        text = "the reply holds no JSON: answer with one JSON object and nothing else"
        raise UnfitReplyError(text)
    try:
        return decoder.raw_decode(reply, start)[0], "text around the JSON"
    except (ValueError, RecursionError):
        text = "the reply is no valid JSON: answer with one JSON object"
        raise UnfitReplyError(text) from None


def field_names(schema: Mapping[str, Any]) -> list[str]:
    """Return the fields of a JSON schema, also of one that refers to itself."""
    name = schema.get("$ref", "").rpartition("/")[2]
    return list(schema.get("$defs", {}).get(name, schema).get("properties", {}))


def as_object(data: Any, place: str | None, fields: Collection[str], *, wraps: bool) -> dict[str, Any]:
    """Return the object that was asked for.

    With `wraps` a lone value counts as the field `value`, unless text stood around it.
    """
    if isinstance(data, dict) and (not fields or any(name in data for name in fields)):
        return data
    if wraps and place in {None, "code fence"}:
        return {"value": data}
    listed = ", ".join(json.dumps(name, ensure_ascii=False) for name in fields)
    raise UnfitReplyError(f"the reply must be a JSON object with {listed}")


def validate_with(adapter: TypeAdapter[Any], data: object) -> Any:
    """Return the data as an instance of the adapter's class."""
    from pydantic import ValidationError  # noqa: PLC0415 - heavy

    try:
        # As JSON, not as Python: a strict class takes an Enum or a tuple from JSON only.
        return adapter.validate_json(json.dumps(data))
    except ValidationError as error:
        text = f"the reply does not fit: {list_problems(error)}"
        raise UnfitReplyError(text) from error


def list_problems(error: ValidationError) -> str:
    """Return the first five problems: `severity: Input should be 'low' (got 'lo'); quote: missing`."""
    problems = error.errors(include_url=False, include_context=False)
    shown = [describe_problem(dict(problem)) for problem in problems[:5]]
    more = [f"and {len(problems) - 5} more"] if problems[5:] else []
    return "; ".join([*shown, *more])


def describe_problem(problem: Mapping[str, Any]) -> str:
    """Return one problem of a reply: where it is, what is wrong, what stands there."""
    where = ".".join(str(part) for part in problem["loc"]) or "the reply"
    if problem["type"] == "missing":
        return f"{where}: missing"
    if problem["type"] == "extra_forbidden":
        return f"{where}: not asked for"
    got = json.dumps(problem["input"], ensure_ascii=False, default=str)[:80]
    return f"{where}: {problem['msg']} (got {got})"


def token_confidence(reply: str, field: str, value: object, tokens: Iterable[Any]) -> float | None:
    """Return the probability (0..1) of the tokens that spell the field's value; None when it cannot be read.

    Tokens are laid over the reply's text in order; a token that overlaps the value counts whole.
    """
    key = reply.find(json.dumps(field))
    start = reply.find(str(value), key + len(field) + 2) if key >= 0 else -1
    if start < 0:
        return None
    end, position, logprobs = start + len(str(value)), 0, list[float]()
    for token in tokens:
        left, position = position, position + len(token.token)
        if left < end and position > start:
            logprobs.append(token.logprob)
    return min(1.0, math.exp(sum(logprobs))) if logprobs else None


class Fault(NamedTuple):
    """What helps after a failed call: the same model again (`retried`), the next model (`falls_back`), or neither.

    HTTP `statuses` and `codes` (of the error's body) tell which fault it is.
    """

    retried: bool = False
    falls_back: bool = False
    statuses: Collection[int] = ()
    codes: Collection[str] = ()


# The first row with the error's status or code counts, else the last one.
FAULTS: dict[str, Fault] = {
    # an account with nothing left also answers 429 or 400: waiting does not help there
    "quota": Fault(
        falls_back=True,
        statuses=[402],
        codes=["insufficient_quota", "billing_hard_limit_reached", "billing_not_active"],
    ),
    "content_filter": Fault(falls_back=True, codes=["content_filter", "content_policy_violation"]),
    # the model wrote a tool call or JSON that its endpoint could not read
    "malformed": Fault(falls_back=True, codes=["tool_use_failed", "json_validate_failed"]),
    "refusal": Fault(falls_back=True),
    "length": Fault(falls_back=True),
    "empty": Fault(falls_back=True),
    "rate_limit": Fault(retried=True, falls_back=True, statuses=[429]),
    "timeout": Fault(retried=True, falls_back=True, statuses=[408]),
    "connection": Fault(retried=True, falls_back=True),
    "server": Fault(retried=True, falls_back=True, statuses=range(500, 1000)),
    "key": Fault(statuses=[401, 403]),
    "no_model": Fault(statuses=[404]),
    "request": Fault(),
}


def error_codes(detail: object) -> set[str]:
    """Return the codes in the `error` object of a response."""
    return {str(detail.get(key)) for key in ("code", "type")} if isinstance(detail, Mapping) else set()


def fault_of(status: int, detail: object) -> str:
    """Return the row of FAULTS for an HTTP status and the `error` object of its response."""
    codes = error_codes(detail)
    rows = (name for name, fault in FAULTS.items() if status in fault.statuses or codes & set(fault.codes))
    return next(rows, "request")


def status_of(detail: Mapping[str, Any]) -> int:
    """Return the status of an error that came without one: in a stream, or with status 200."""
    code = str(detail.get("code") or detail.get("status") or "")
    return int(code) if re.fullmatch(r"[45]\d\d", code) else 500


def unusable(finish_reason: str, text: str, calls: Sequence[Any] | None) -> str | None:
    """Return why an answer cannot be used, as a row of FAULTS; None when it can."""
    if finish_reason in {"refusal", "content_filter", "length"}:
        return finish_reason
    return None if calls or text.strip() else "empty"


def wait_seconds(retry_after: str | None) -> float | None:
    """Return a Retry-After header (seconds or an HTTP date) as seconds from now; None when it says nothing."""
    if not retry_after:
        return None
    if re.fullmatch(r"\s*\d{1,9}(\.\d+)?\s*", retry_after):
        return float(retry_after)
    try:
        when = parsedate_to_datetime(retry_after)
    except ValueError:
        return None
    aware = when if when.tzinfo else when.replace(tzinfo=UTC)
    return max(0.0, (aware - datetime.now(UTC)).total_seconds())


def retry_wait(repeat: int, chance: float, retry_after: float | None = None) -> float:
    """Return the seconds before repeat number `repeat` (from 1 on): as the endpoint asks, else at most 0.5, 1 ... 20.

    `chance` (0..1) is random: calls that failed together must not come back together.
    """
    if retry_after is not None:
        return retry_after
    doubled = 0.5 * 2.0 ** min(repeat - 1, 30)  # a power beyond floats would fail
    return min(20.0, doubled) * chance


LONGEST_WAIT = 60.0  # seconds: an endpoint that asks for more has failed


def is_too_long(seconds: float, time_left: float | None = None) -> bool:
    """Return whether to fail instead of waiting; `time_left` is in seconds, None without a deadline."""
    return seconds > LONGEST_WAIT or (time_left is not None and seconds >= time_left)


def message_text(message: Mapping[str, Any]) -> str:
    """Return the text of a message, whose content is a string, None, or a list of parts."""
    content = message.get("content")
    if isinstance(content, list):
        return "".join(str(part.get("text") or "") for part in content if isinstance(part, Mapping))
    return content if isinstance(content, str) else ""


# without its second line, small models ask for the same look-up until they are stopped
OBSERVED = "Result of {name}: {content}\nNow give the final answer, or use another tool if something is still missing."


def spell_tools(messages: Iterable[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Return the conversation in words: tool calls as the JSON that the model wrote, results as user turns."""
    names: dict[str, str] = {}
    for message in messages:
        calls = message.get("tool_calls") or ()
        if calls:
            names |= {call["id"]: call["function"]["name"] for call in calls}
            parts = [message_text(message), *(spell_call(call["function"]) for call in calls)]
            yield {"role": "assistant", "content": "\n".join(filter(None, parts))}
        elif message.get("role") == "tool":
            name = names.get(str(message.get("tool_call_id")), "the tool")
            yield {"role": "user", "content": OBSERVED.format(name=name, content=message_text(message))}
        else:
            yield dict(message)


def spell_call(function: Mapping[str, Any]) -> str:
    """Return a tool call as a JSON action."""
    try:
        arguments = json.loads(function["arguments"])
    except ValueError:  # the model wrote no JSON: show it what it wrote
        arguments = function["arguments"]
    return json.dumps({"action": function["name"], "arguments": arguments}, ensure_ascii=False)


def action_schema(tools: Iterable[tuple[str, Mapping[str, Any]]], answer: Mapping[str, Any]) -> dict[str, Any]:
    """Return the JSON schema of one action: a tool (name, schema of its arguments), or the final answer."""
    definitions: dict[str, Any] = {}
    rows = [("final_answer", "answer", answer), *((name, "arguments", schema) for name, schema in tools)]
    choices = [
        {
            "type": "object",
            "properties": {"action": {"const": action}, key: move_definitions(schema, definitions)},
            "required": ["action", key],
            "additionalProperties": False,
        }
        for action, key, schema in rows
    ]
    return {"anyOf": choices, **({"$defs": definitions} if definitions else {})}


def move_definitions(schema: Mapping[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """Return the schema without its `$defs`: references start at the root, so they move there, renamed on a clash."""
    own: Mapping[str, Any] = schema.get("$defs", {})
    names = {name: free_name(name, kind, definitions, own) for name, kind in own.items()}
    written = re.sub(
        r'"\$ref": "#/\$defs/([^"]+)"',
        lambda found: json.dumps({"$ref": f"#/$defs/{names.get(found[1], found[1])}"})[1:-1],
        json.dumps(schema),
    )
    moved: dict[str, Any] = json.loads(written)
    definitions |= {names[name]: kind for name, kind in moved.pop("$defs", {}).items()}
    return moved


def free_name(name: str, kind: object, definitions: Mapping[str, Any], own: Mapping[str, Any]) -> str:
    """Return the name of a definition beside others: `Item_2` where another kind is called `Item`."""
    if definitions.get(name, kind) == kind:
        return name
    free = (f"{name}_{number}" for number in itertools.count(2))
    return next(new for new in free if new not in definitions and new not in own)


def read_action(text: str) -> tuple[str, str] | None:
    """Return the action in a reply with its arguments (JSON) or final answer (text); None for what is no action."""
    try:
        action = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(action, dict) or not isinstance(action.get("action"), str):
        return None
    if action["action"] != "final_answer":
        return action["action"], json.dumps(action.get("arguments") or {}, ensure_ascii=False)
    answer = action.get("answer", "")
    return "final_answer", answer if isinstance(answer, str) else json.dumps(answer, ensure_ascii=False)


def read_arguments(name: str, kind: type[BaseModel], written: str) -> dict[str, Any]:
    """Return the arguments of a tool call, checked; a ValueError tells the model what is wrong."""
    from pydantic import ValidationError  # noqa: PLC0415 - heavy

    try:
        checked = kind.model_validate_json(written or "{}")
    except ValidationError as error:
        problems = [(".".join(map(str, e["loc"])), e["msg"]) for e in error.errors()]
        listed = "; ".join(f"{where or 'arguments'}: {what}" for where, what in problems)
        raise ValueError(f"bad arguments for {name}: {listed}") from None
    return {field: getattr(checked, field) for field in kind.model_fields}


def readable(value: object) -> str:
    """Return what a tool returned as text for the model."""
    try:
        return as_text(value)
    except (TypeError, ValueError):
        return json.dumps(value, default=str, ensure_ascii=False)


def count_votes(given: Sequence[Any], asked: int, by: str) -> tuple[Any, dict[str, Any]]:
    """Return the winner (of equals the first) with its share of all votes that were asked, the others, and a tie.

    Votes are counted by the field `by`, or by all of the vote.
    """
    names = [ballot(vote, by) for vote in given]
    counts = Counter(names)
    winner, most = counts.most_common(1)[0]
    dissent = [vote for vote, name in zip(given, names, strict=True) if name != winner]
    tie = sum(number == most for number in counts.values()) > 1
    return given[names.index(winner)], {"agreement": most / asked, "dissent": dissent, "tie": tie}


def ballot(vote: Any, by: str) -> str:
    """Return what a vote is counted by; capitals and spaces around a text do not count."""
    chosen = vote[by] if by else vote
    return chosen.strip().casefold() if isinstance(chosen, str) else json.dumps(chosen, sort_keys=True)
