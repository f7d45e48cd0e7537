"""Rules that a run and an exported module share. A module carries their source, so that both do the same.

Each definition needs the standard library, pydantic and others of this file, nothing else. What is heavy is imported
inside (PLC0415); in a module those imports stand at its head. Docstrings are written for who reads the module.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import math
import operator
import re
from bisect import bisect
from collections import Counter
from collections.abc import AsyncGenerator, Collection, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
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
    value = in_order(value)
    record = is_dataclass(value) or hasattr(value, "model_dump_json")
    if record or isinstance(value, dict | list | tuple):
        from pydantic_core import to_json  # noqa: PLC0415 - heavy

        return to_json(value, fallback=str).decode()
    if isroutine(value):
        name = value.__name__
        raise TypeError(f"{name} is a function, not a value: call it, or write ['{name}']")
    return str(value)


def in_order(value: Any) -> Any:
    """Return the value with a sorted list for each set in it: a set has another order in each process."""
    if isinstance(value, set | frozenset):
        return sorted(map(in_order, value), key=str)
    if isinstance(value, dict):
        parts = value
    elif hasattr(value, "model_dump") and not isinstance(value, type):
        parts = vars(value)
    elif is_dataclass(value) and not isinstance(value, type):
        parts = {field.name: getattr(value, field.name, None) for field in fields(value)}
    elif isinstance(value, list | tuple):
        changed = [in_order(part) for part in value]
        return value if all(map(operator.is_, changed, value)) else changed
    else:
        return value
    ordered = {name: in_order(part) for name, part in parts.items()}
    if all(map(operator.is_, ordered.values(), parts.values())):
        return value
    return {**value.model_dump(by_alias=True), **ordered} if hasattr(value, "model_dump") else ordered


def table_rows(value: Any) -> Any:
    """Return the rows of a pandas or polars DataFrame, or of what behaves like one; any other value as it is."""
    if hasattr(value, "columns") and hasattr(value, "to_dicts"):
        return value.to_dicts()
    is_table = hasattr(value, "columns") and hasattr(value, "to_dict")
    return value.to_dict("records") if is_table else value


class UnfitReplyError(ValueError):
    """A reply does not fit its class; the text tells the model what is wrong. `broken` is its invalid JSON, if any."""

    def __init__(self, text: str, broken: str = "") -> None:
        """Keep the invalid JSON beside the text."""
        super().__init__(text)
        self.broken = broken


# how models mark what they think: tags, Mistral, Kimi, Cohere, Gemma, the channels of gpt-oss
THOUGHT = re.compile(
    r"""(?P<opening><(?:\w+:)?(?:think|thinking|thoughts?|reasoning|scratchpad|antthinking)(?:\s[^<>]*)?>
          | \[THINK\] | ◁think▷ | <\|(?:START_THINKING|begin_of_thought)\|> | <\|channel>thought | <unused94>thought
          | <\|channel\|>(?:analysis|commentary)[^<]*<\|message\|>)
    | (?P<closing></(?:\w+:)?(?:think|thinking|thoughts?|reasoning|scratchpad|antthinking)\s*>
          | \[/THINK\] | ◁/think▷ | <\|(?:END_THINKING|end_of_thought)\|> | <channel\|> | <unused95>
          | (?:<\|start\|>assistant)?<\|channel\|>final[^<]*<\|message\|>)""",
    re.IGNORECASE | re.VERBOSE,
)
CODE = re.compile(r"```.*?```|`[^`\n]+`", re.DOTALL)
MENTION = re.compile(r"[.,;:!?)\"']")


def end_of_thought(reply: str, start: int) -> tuple[int, bool]:
    """Return the end of the thinking block whose mark ends at `start`, and whether it is closed; blocks nest."""
    depth, last = 1, 0
    for mark in THOUGHT.finditer(reply, start):
        depth += 1 if mark["opening"] else -1
        last = last if mark["opening"] else mark.end()
        if depth == 0:
            break
    return (last, True) if last else (len(reply), False)


def without_thoughts(reply: str) -> str:
    """Return the reply without its thinking blocks; all before a lone closing mark was thought, too.

    Part of the text are marks in code, or in JSON that is the whole reply; an opening mark inside a line, if nothing
    closes it; and a lone closing mark before punctuation.
    """
    mark = THOUGHT.search(reply)
    if mark is None or is_json(reply):
        return reply
    code = [found.span() for found in CODE.finditer(reply)]
    kept, position, is_closed = list[str](), 0, True
    while mark is not None:
        start, after = mark.span()
        before = bisect(code, (start, len(reply)))
        if before and start < code[before - 1][1]:
            pass
        elif mark["opening"]:
            # no closing mark after this one: none after the later ones, either
            end, is_closed = end_of_thought(reply, after) if is_closed else (len(reply), False)
            if is_closed or not reply[:start].rpartition("\n")[2].strip():
                kept.append(reply[position:start])
                position = after = end
        elif MENTION.match(reply, after) is None:
            kept, position = [], after
        mark = THOUGHT.search(reply, after)
    return "".join([*kept, reply[position:]]).strip() if position else reply


def is_json(text: str) -> bool:
    """Return whether the text is one JSON value."""
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def reject_constant(constant: str) -> object:
    """Refuse NaN and Infinity, which are no JSON."""
    raise ValueError(constant)


JSON = json.JSONDecoder(parse_constant=reject_constant)
FENCE = re.compile(r"(?:```|~~~)[ \t]*\w*[ \t]*\n(.*?)\n?[ \t]*(?:```|~~~)", re.DOTALL)
# what may begin an object, or a list of objects; `{low, high}` and `[see above]` are prose
JSON_SIGN = re.compile(
    THOUGHT.pattern
    + r"""| (?P<fence>(?:```|~~~)[ \t]*\w*[ \t]*\n)
    | (?P<list>\[(?=\s{0,99}[\[{"]))
    | (?P<object>\{(?=\s{0,99}(?:["}]|['“]?[\w-]{1,99}['”]?\s{0,9}:)))""",
    THOUGHT.flags,
)
BRACKET = re.compile(
    r"""(?P<text>"(?:[^"\\]|\\.)*"|(?<=[\[{:,\s])'(?:[^'\\]|\\.)*'(?=\s{0,99}[\]},:]))|(?P<open>[\[{])|[\]}]""",
    re.DOTALL,
)


def find_json(reply: str) -> tuple[Any, str | None]:
    """Return the JSON of a reply, and where it was found: None, "code fence" or "text around the JSON".

    In a text it is the last complete object, or list of objects, outside thinking blocks: drafts come before it.
    """
    for whole in (reply, without_thoughts(reply)):
        try:
            return JSON.decode(whole), None
        except (ValueError, RecursionError):
            continue
    closings = [mark.start() for mark in THOUGHT.finditer(reply) if mark["closing"]]
    found: tuple[Any, str] | None = None
    broken, position = "", 0
    while (sign := JSON_SIGN.search(reply, position)) is not None:
        start, position = sign.span()
        if sign["opening"]:
            position, _ = end_of_thought(reply, position)
        elif sign["closing"]:
            found, broken = None, ""
        elif (value := json_at(reply, sign)) is not None:
            data, place, position = value
            if place == "code fence" or has_fields(data):
                found, broken = (data, place), ""
        elif sign["object"] or (sign["list"] and reply[position:].lstrip()[:1] == "{"):
            later = bisect(closings, start)
            stop = closings[later] if later < len(closings) else len(reply)
            position = end_of_brackets(reply, start, stop) or stop
            broken = reply[start:position]
    if found is None or broken:
        raise no_json(broken or "".join(without_thoughts(reply).partition("{")[1:]))
    return found


def json_at(reply: str, sign: re.Match[str]) -> tuple[Any, str, int] | None:
    """Return the JSON at a sign of it, its place and its end; None if there is none."""
    fence = FENCE.match(reply, sign.start()) if sign["fence"] else None
    try:
        if fence is not None:
            return JSON.decode(fence[1]), "code fence", fence.end()
        data, end = JSON.raw_decode(reply, sign.start())
    except RecursionError:
        raise UnfitReplyError("the JSON of the reply is nested too deeply: answer with one flat JSON object") from None
    except ValueError:
        return None
    return data, "text around the JSON", end


def end_of_brackets(text: str, start: int, stop: int) -> int | None:
    """Return the end of the object or list that begins at `start`, valid or not; None if it is cut off at `stop`."""
    depth = 0
    for bracket in BRACKET.finditer(text, start, stop):
        if not bracket["text"]:
            depth += 1 if bracket["open"] else -1
        if depth == 0:
            return bracket.end()
    return None


def has_fields(data: Any) -> bool:
    """Return whether it is an object, or a list of some; `{}` and references such as [1] stand in prose."""
    return bool(data) if isinstance(data, dict) else any(isinstance(item, dict) for item in data)


def no_json(broken: str) -> UnfitReplyError:
    """Return the error for a reply that holds no JSON, or only what is `broken` from its first bracket on."""
    if not broken:
        return UnfitReplyError("the reply holds no JSON: answer with one JSON object and nothing else")
    end = end_of_brackets(broken, 0, len(broken))
    if end is None:  # mended, it would lose what is missing
        return UnfitReplyError("the JSON of the reply is cut off: answer with one whole JSON object")
    return UnfitReplyError("the reply is no valid JSON: answer with one JSON object", broken[:end])


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
        odd = [(problem["type"], problem["loc"]) for problem in error.errors()]
        if odd == [("extra_forbidden", ("confidence",))] and isinstance(data, dict):  # many routers add one
            return validate_with(adapter, {name: data[name] for name in data if name != "confidence"})
        text = f"the reply does not fit: {list_problems(error)}"
        raise UnfitReplyError(text) from error


# of the standard types: they refuse some texts and change none
CHECKS = {"iso_text", "exact_number"}


def reads_back(schema: Any) -> bool:
    """Return whether JSON of a class (its Pydantic core schema) gives the same value when it is read again.

    Not so with an alias, an excluded field, a secret, or a validator or serialiser of the class's own.
    """
    if isinstance(schema, list | tuple):
        return all(map(reads_back, schema))
    if not isinstance(schema, dict):
        return True
    changes = ("validation_alias", "serialization_alias", "serialization_exclude", "post_init", "custom_init")
    function = schema.get("function")
    function = function.get("function") if isinstance(function, dict) else function
    name, module = str(getattr(function, "__name__", "")), str(getattr(function, "__module__", ""))
    is_own = function is not None and name not in CHECKS and not module.startswith("pydantic")
    if is_own or "secret" in name or any(schema.get(change) for change in changes):
        return False
    return all(reads_back(part) for key, part in schema.items() if key != "metadata")


def as_stored(adapter: TypeAdapter[Any], value: object, data: object) -> Any:
    """Return the value as JSON for the state: as the reply has it (`data`) if its own JSON is read otherwise."""
    from pydantic_core import to_jsonable_python  # noqa: PLC0415 - heavy

    # round_trip leaves computed fields out
    return to_jsonable_python(value, round_trip=True) if reads_back(adapter.core_schema) else data


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


def token_confidence(field: str, value: object, tokens: Iterable[Any]) -> float | None:
    """Return the probability (0..1) of the tokens that spell the field's value; None when it cannot be read.

    The last place counts where the field has this value. A token that overlaps the value counts whole.
    """
    spelled = list(tokens)
    written = "".join(token.token for token in spelled)
    places = re.finditer(
        rf'{re.escape(json.dumps(field, ensure_ascii=False))}\s*:\s*"?({re.escape(str(value))})', written
    )
    place = next(reversed(list(places)), None)
    if place is None:
        return None
    (start, end), position, logprobs = place.span(1), 0, list[float]()
    for token in spelled:
        left, position = position, position + len(token.token)
        if left < end and position > start:
            logprobs.append(token.logprob)
    return min(1.0, math.exp(sum(logprobs))) if logprobs else None


class Fault(NamedTuple):
    """What helps after a failed call: the same model again (`retried`), the next model (`falls_back`), or neither.

    HTTP `statuses`, and `codes` or `words` of the error's body (of a rejected request) tell which fault it is.
    """

    retried: bool = False
    falls_back: bool = False
    statuses: Collection[int] = ()
    codes: Collection[str] = ()
    words: str = ""  # a regular expression


# The first row with the error's status or code counts, else the last one.
FAULTS: dict[str, Fault] = {
    # an account with nothing left also answers 429 or 400: waiting does not help there
    "quota": Fault(
        falls_back=True,
        statuses=[402],
        codes=["insufficient_quota", "billing_hard_limit_reached", "billing_not_active"],
        words=r"credit balance|insufficient (?:account )?(?:credits?|balance|funds|quota)|exceeded your current quota",
    ),
    # another model may take more
    "context": Fault(
        falls_back=True,
        statuses=[413],
        codes=["context_length_exceeded", "string_above_max_length"],
        words="context.?(?:length|window|size)|maximum context|(?:prompt|input|context)(?: is| are)? too l|"
        "too many tokens",
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
    "no_model": Fault(falls_back=True, statuses=[404], codes=["model_not_found"]),
    "request": Fault(),
}


REJECTED = range(400, 500)


def error_codes(detail: object) -> set[str]:
    """Return the codes in the `error` object of a response."""
    return {str(detail.get(key)) for key in ("code", "type")} if isinstance(detail, Mapping) else set()


def fault_of(status: int, detail: object) -> str:
    """Return the row of FAULTS for an HTTP status and the `error` object of its response."""
    codes = error_codes(detail)
    message = str(detail.get("message") if isinstance(detail, Mapping) else detail) if status in REJECTED else ""
    for name, fault in FAULTS.items():
        said = fault.words and re.search(fault.words, message, re.IGNORECASE)
        if status in fault.statuses or codes & set(fault.codes) or said:
            return name
    return "request"


def status_of(detail: Mapping[str, Any]) -> int:
    """Return the status of an error that came without one: in a stream, or with status 200."""
    code = str(detail.get("code") or detail.get("status") or "")
    if re.fullmatch(r"[45]\d\d", code):
        return int(code)
    return 400 if re.search(FAULTS["context"].words, str(detail.get("message")), re.IGNORECASE) else 500


# what vendors say when an answer did not end well; the first row that is found counts
BAD_ENDS = {
    "refusal": "refus",
    "content_filter": "filter|safety|sensitive|recitation|block|prohibit|spii|guardrail|moderat|toxic|polic|violat",
    "malformed": "malformed|unexpected",
    "length": "length|max|limit|window|truncat|incomplete|token_budget",
    "server": "error|fail|abort|cancel|insufficient|resource|time|interrupt|overload|unavailable|network|pause|repet",
}
GOOD_END = re.compile("stop|end|eos|tool|function|complete|finish|done|success|none|null|normal|^$", re.IGNORECASE)


def unusable(finish_reason: str, text: str, calls: Sequence[Any] | None, *, offered: bool) -> str | None:
    """Return why an answer cannot be used, as a row of FAULTS; None when it can. `offered`: tools were in the request.

    A finish reason that is not known as a good end is none.
    """
    for fault, words in BAD_ENDS.items():
        if re.search(words, finish_reason, re.IGNORECASE):
            return fault
    if GOOD_END.search(finish_reason) is None:
        return "server"
    is_promised = re.search("tool|function", finish_reason, re.IGNORECASE) is not None
    if (calls and not offered) or (is_promised and not calls and (offered or not text.strip())):
        return "malformed"
    return None if calls or text.strip() else "empty"


def asked_wait(headers: Mapping[str, str]) -> str | None:
    """Return the Retry-After of a response; of Azure, the milliseconds of `retry-after-ms`, as seconds."""
    exact = headers.get("retry-after-ms") or ""
    return f"{float(exact) / 1000:f}" if re.fullmatch(r"\d{1,9}(\.\d+)?", exact) else headers.get("retry-after")


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


def sendable(messages: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return messages as every endpoint takes them: one system message at the head, JSON objects in tool calls."""
    given = [_with_objects(message) for message in messages]
    rest = list(itertools.dropwhile(_is_system, given))
    head = given[: len(given) - len(rest)]
    if not head[1:]:
        return given
    parts = [m["content"] if isinstance(m["content"], list) else [{"type": "text", "text": m["content"]}] for m in head]
    plain = all(isinstance(m["content"], str) for m in head)
    content = "\n\n".join(m["content"] for m in head) if plain else list(itertools.chain(*parts))
    return [{"role": "system", "content": content}, *rest]


def _is_system(message: Mapping[str, Any]) -> bool:
    return bool(message["role"] == "system")


def _with_objects(message: Mapping[str, Any]) -> dict[str, Any]:
    """Return a message whose tool calls have JSON objects as arguments: servers that read the history need them."""
    calls = message.get("tool_calls")
    if not calls:
        return dict(message)
    told = [
        {**call, "function": {**call["function"], "arguments": object_text(call["function"]["arguments"])}}
        for call in calls
    ]
    return {**message, "tool_calls": told}


def object_text(arguments: str) -> str:
    """Return the arguments of a tool call as a JSON object; those that are none stand in it as text."""
    try:
        is_object = isinstance(json.loads(arguments or "{}"), dict)
    except (ValueError, RecursionError):
        is_object = False
    return (arguments or "{}") if is_object else json.dumps({"unreadable": arguments}, ensure_ascii=False)


def message_text(message: Mapping[str, Any]) -> str:
    """Return the text of a message, whose content is a string, None, or a list of parts, without what was thought."""
    content = message.get("content")
    if isinstance(content, list):
        return "".join(part if isinstance(part, str) else part_text(part) for part in content)
    return content if isinstance(content, str) else ""


def part_text(part: Any) -> str:
    """Return the text of a part of a message."""
    if not isinstance(part, Mapping) or part.get("thought") or re.search("think|reason", str(part.get("type") or "")):
        return ""
    return str(part.get("text") or "")


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


SCHEMA = "Answer with JSON alone, of this JSON schema: {schema}"


def schema_in_words(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return the message that asks for JSON of the schema, for an endpoint that enforces none."""
    return {"role": "system", "content": SCHEMA.format(schema=json.dumps(schema, ensure_ascii=False))}


MOST_ITEMS = 10_000  # of a generator: it may have no end


async def all_of(value: Any) -> Any:
    """Return what a tool returned; of a generator, the list of its items."""
    if isinstance(value, Generator):
        return await asyncio.to_thread(list, itertools.islice(value, MOST_ITEMS))
    if not isinstance(value, AsyncGenerator):
        return value
    items = []
    async for item in value:
        items.append(item)
        if len(items) == MOST_ITEMS:
            break
    return items


def readable(value: object) -> str:
    """Return what a tool returned as text for the model; endpoints refuse an empty one."""
    try:
        text = as_text(value)
    except (TypeError, ValueError):
        text = json.dumps(value, default=str, ensure_ascii=False)
    return text if text.strip() else "(done, no result)" if value is None else "(an empty text)"


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


def append_messages(transcript: Sequence[Any] | None, new: Sequence[Any] | None) -> list[Any]:
    """Return the messages of both; if a person edited the tool calls of the last one, its new form replaces it."""
    before, after = list(transcript or ()), list(new or ())
    ids = [[call["id"] for call in m.get("tool_calls") or ()] for m in (*before[-1:], *after[:1])]
    if before and after and ids[0] and ids[0] == ids[1]:
        before.pop()
    return [*before, *after]
