# Written by orchmagic (161ac22d5edc); exporting again replaces it until you edit it.
"""report: a %%plan cell, exported from a notebook.

plan     call     -> wave (next), reflect (done), capped (else)
wave     code     -> execute (yes), revise (no)
execute  sub      -> results  [each step, react]
results  code     -> revise (failed), wave (next <= 48), reflect (done), capped
                     (else)
reflect  call     -> done (yes), revise (no)
revise   code     -> plan (yes <= 2), capped (else)

Inside, report.execute:

agent  call     -> tools (yes <= 7), done (no), capped (else)
tools  tools    -> agent

Run it: `python report.py --goal ...`
Or: `await build_graph().ainvoke({"goal": ...})` returns the final state.

Not exported:
- the answer cache, guards, the trace and the live view
- the limit of 200,000 tokens a run
- the deadline of 90 s a run: only `run` keeps it
- the status `capped` after 30 steps: LangGraph raises GraphRecursionError, at MAX_STEPS
- the repair of invalid JSON: the model is called again at once, as after a reply that
  does not fit
- the timeout of a whole answer: TIMEOUT is the openai client's, for each wait on the
  network
- the wording of what went wrong: `errors` holds what Python and the openai client say
"""

import argparse
import asyncio
import inspect
import itertools
import json
import logging
import operator
import random
import re
from bisect import bisect
from collections.abc import (
    AsyncGenerator,
    Awaitable,
    Callable,
    Collection,
    Generator,
    Iterable,
    Mapping,
    Sequence,
)
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import Enum
from functools import partial
from inspect import isroutine
from typing import Annotated, Any, NamedTuple, TypeAlias, TypedDict

from jinja2 import Environment, StrictUndefined
from langgraph.errors import GraphBubbleUp
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from openai import (
    APIConnectionError,
    APIError,
    APIStatusError,
    APITimeoutError,
    AsyncOpenAI,
    DefaultAsyncHttpxClient,
)
from openai.types.chat.chat_completion import Choice
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError
from pydantic_core import to_json, to_jsonable_python

MODEL = "default-model"
# Called in turn when a model fails, refuses or is cut off.
FALLBACK: tuple[str, ...] = ()
MAX_TOKENS = 1024  # of a reply
TIMEOUT = 60.0  # seconds to wait for an endpoint
RETRIES = 2  # attempts after a failed one
REASKS = 1  # most further calls for a reply that does not fit
RESULTS_TO_WAVE = 48  # times that results may send back
REVISE_TO_PLAN = 2  # times that revise may send back
CONCURRENCY = 16  # items at once
MAX_STEPS = 230  # of a run, expressions too
MAX_ITERATIONS = 8  # rounds of a loop; then the run ends with what it has
EXECUTE_MAX_STEPS = 146  # of report.execute, expressions too
DEADLINE = 90.0  # seconds, when `run` runs the graph
TOOL_TIMEOUT: float | None = 60.0
REASK = (
    "That reply does not fit: {error}. Answer again with only the JSON that "
    "fits the schema."
)
logger = logging.getLogger(__name__)
Messages: TypeAlias = list[dict[str, Any]]
Tools: TypeAlias = dict[str, tuple[Callable[..., Any], type[BaseModel]]]


# Prompts: what each step asks


PLAN_USER = (
    "Break the goal into at most 6 steps: {{ goal }}{% if revise %}\n"
    "\n"
    "An earlier plan was carried out. Results (a result of null: the step "
    "failed):\n"
    "{{ results or [] }}\n"
    "It must be revised: {{ revise }}\n"
    "Plan only what is still to do.{% endif %}"
)


def plan_prompt(goal: str, results: Any, revise: Any) -> Messages:
    """Say what plan asks."""
    user = rendered(PLAN_USER, goal=goal, results=results, revise=revise)
    return [{"role": "user", "content": user}]


def reflect_prompt(goal: str, results: Any) -> Messages:
    """Say what reflect asks."""
    user = f"Goal: {goal}. Results: {as_text(results)}. Complete and supported?"
    return [{"role": "user", "content": user}]


def execute_agent_prompt(results: Any, step: Any) -> Messages:
    """Say what agent asks."""
    user = f"Do this step: {as_text(step)}. Results so far: {as_text(results)}"
    return [{"role": "user", "content": user}]


# From the notebook


def search(query: str) -> str:
    """Look something up."""
    return f"all about {query}"


def awaited(step: Any) -> list[int] | None:
    """Return the numbers that a step names in `after`; None when it names nothing."""
    if isinstance(step, Mapping):
        return list(step["after"] or ()) if "after" in step else None
    return list(step.after or ()) if hasattr(step, "after") else None


def reachable(waits: Mapping[int, set[int]]) -> set[int]:
    """Return the numbers that come to their turn when all before them are done."""
    reached: set[int] = set()
    while found := {n for n in waits if n not in reached and waits[n] <= reached}:
        reached |= found
    return reached


def flaws(
    steps: Sequence[Any],
    results: Sequence[Mapping[str, Any]] | None,
    turn: int,
    errors: Mapping[str, str] | str | None = None,
) -> str:
    """Say what is wrong with a plan: it cannot be begun, or steps failed; else "".

    `errors` tells why steps failed: one text for all, or one for each in their order.
    """
    waits = {n: awaited(step) or [] for n, step in enumerate(steps, 1)}
    unknown = [(n, m) for n, after in waits.items() for m in after if m not in waits]
    known = {n: {m for m in after if m in waits} for n, after in waits.items()}
    reached = reachable(known)
    circle = [str(n) for n in waits if n not in reached]
    told = [] if steps or results else ["the plan has no step"]
    for number, other in unknown:
        told.append(f"step {number} waits for step {other}, which is not in the plan")
    if circle:
        told.append(f"steps {', '.join(circle)} wait for each other")
    mine = [entry for entry in results or () if entry["round"] == turn]
    failed = [entry["number"] for entry in mine if entry["result"] is None]
    whys = list(errors.values()) if isinstance(errors, Mapping) else []
    if isinstance(errors, str) or len(whys) != len(failed):
        whys = [errors if isinstance(errors, str) else ""] * len(failed)
    for number, why in zip(failed, whys, strict=True):
        told.append(f"step {number} failed{why and ': '}{why}")
    return "; ".join(told)


def ready(
    steps: Sequence[Any],
    results: Sequence[Mapping[str, Any]] | None,
    turn: int,
    *,
    parallel: bool = False,
) -> list[int]:
    """Say by number which steps wait for nothing any more; [] when none is left.

    Steps that name nothing to wait for are done in their order, one by one (`parallel`:
    all at once). A plan that cannot be carried out to its end (a circle, a number that
    is not there) is not begun: [].
    """
    waits: dict[int, set[int]] = {}
    for number, step in enumerate(steps, 1):
        after = awaited(step)
        if after is None:
            after = [] if parallel else list(range(1, number))
        waits[number] = set(after)
    if len(reachable(waits)) < len(waits):
        return []
    done = {entry["number"] for entry in results or () if entry["round"] == turn}
    return [n for n in waits if n not in done and waits[n] <= done]


# Types: what each step returns


class Lone(BaseModel):
    """A reply of one value, which may stand there without its field."""


class Plan(BaseModel):
    model_config = ConfigDict(extra="forbid")

    steps: list[str]


class Reflect(BaseModel):
    model_config = ConfigDict(extra="forbid")

    ok: bool
    feedback: str


# State


class State(TypedDict, total=False):
    """What the steps share, as JSON."""

    goal: str
    plan: dict[str, Any]
    wave: Any
    execute: Any
    results: Any
    reflect: dict[str, Any]
    revise: Any
    errors: Annotated[dict[str, Any], operator.or_]
    plan_visits: int
    results_visits: int
    revise_visits: int


class ExecuteState(TypedDict, total=False):
    """What the steps share, as JSON."""

    results: Any
    step: Any
    agent: str
    messages: Annotated[list[dict[str, Any]], operator.add]
    agent_visits: int


# Replies and failures, as in the notebook


def as_text(value: object) -> str:
    """Return a value as prompts show it: text as it is, nothing for None, records and containers as JSON."""
    if value is None:
        return ""
    if isinstance(value, Enum):
        return as_text(value.value)
    value = in_order(value)
    record = is_dataclass(value) or hasattr(value, "model_dump_json")
    if record or isinstance(value, dict | list | tuple):
        return to_json(value, fallback=str).decode()
    if isroutine(value):
        name = value.__name__
        raise TypeError(
            f"{name} is a function, not a value: call it, or write ['{name}']"
        )
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
        parts = {
            field.name: getattr(value, field.name, None) for field in fields(value)
        }
    elif isinstance(value, list | tuple):
        changed = [in_order(part) for part in value]
        return value if all(map(operator.is_, changed, value)) else changed
    else:
        return value
    ordered = {name: in_order(part) for name, part in parts.items()}
    if all(map(operator.is_, ordered.values(), parts.values())):
        return value
    return (
        {**value.model_dump(by_alias=True), **ordered}
        if hasattr(value, "model_dump")
        else ordered
    )


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
            end, is_closed = (
                end_of_thought(reply, after) if is_closed else (len(reply), False)
            )
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
        raise UnfitReplyError(
            "the JSON of the reply is nested too deeply: answer with one flat JSON object"
        ) from None
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
    return (
        bool(data)
        if isinstance(data, dict)
        else any(isinstance(item, dict) for item in data)
    )


def no_json(broken: str) -> UnfitReplyError:
    """Return the error for a reply that holds no JSON, or only what is `broken` from its first bracket on."""
    if not broken:
        return UnfitReplyError(
            "the reply holds no JSON: answer with one JSON object and nothing else"
        )
    end = end_of_brackets(broken, 0, len(broken))
    if end is None:  # mended, it would lose what is missing
        return UnfitReplyError(
            "the JSON of the reply is cut off: answer with one whole JSON object"
        )
    return UnfitReplyError(
        "the reply is no valid JSON: answer with one JSON object", broken[:end]
    )


def field_names(schema: Mapping[str, Any]) -> list[str]:
    """Return the fields of a JSON schema, also of one that refers to itself."""
    name = schema.get("$ref", "").rpartition("/")[2]
    return list(schema.get("$defs", {}).get(name, schema).get("properties", {}))


def as_object(
    data: Any, place: str | None, fields: Collection[str], *, wraps: bool
) -> dict[str, Any]:
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
    try:
        # As JSON, not as Python: a strict class takes an Enum or a tuple from JSON only.
        return adapter.validate_json(json.dumps(data))
    except ValidationError as error:
        odd = [(problem["type"], problem["loc"]) for problem in error.errors()]
        if odd == [("extra_forbidden", ("confidence",))] and isinstance(
            data, dict
        ):  # many routers add one
            return validate_with(
                adapter, {name: data[name] for name in data if name != "confidence"}
            )
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
    changes = (
        "validation_alias",
        "serialization_alias",
        "serialization_exclude",
        "post_init",
        "custom_init",
    )
    function = schema.get("function")
    function = function.get("function") if isinstance(function, dict) else function
    name, module = (
        str(getattr(function, "__name__", "")),
        str(getattr(function, "__module__", "")),
    )
    is_own = (
        function is not None
        and name not in CHECKS
        and not module.startswith("pydantic")
    )
    if is_own or "secret" in name or any(schema.get(change) for change in changes):
        return False
    return all(reads_back(part) for key, part in schema.items() if key != "metadata")


def as_stored(adapter: TypeAdapter[Any], value: object, data: object) -> Any:
    """Return the value as JSON for the state: as the reply has it (`data`) if its own JSON is read otherwise."""
    # round_trip leaves computed fields out
    return (
        to_jsonable_python(value, round_trip=True)
        if reads_back(adapter.core_schema)
        else data
    )


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
        codes=[
            "insufficient_quota",
            "billing_hard_limit_reached",
            "billing_not_active",
        ],
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
    "content_filter": Fault(
        falls_back=True, codes=["content_filter", "content_policy_violation"]
    ),
    # the model wrote a tool call or JSON that its endpoint could not read
    "malformed": Fault(
        falls_back=True, codes=["tool_use_failed", "json_validate_failed"]
    ),
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
    return (
        {str(detail.get(key)) for key in ("code", "type")}
        if isinstance(detail, Mapping)
        else set()
    )


def fault_of(status: int, detail: object) -> str:
    """Return the row of FAULTS for an HTTP status and the `error` object of its response."""
    codes = error_codes(detail)
    message = (
        str(detail.get("message") if isinstance(detail, Mapping) else detail)
        if status in REJECTED
        else ""
    )
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
    return (
        400
        if re.search(FAULTS["context"].words, str(detail.get("message")), re.IGNORECASE)
        else 500
    )


# what vendors say when an answer did not end well; the first row that is found counts
BAD_ENDS = {
    "refusal": "refus",
    "content_filter": "filter|safety|sensitive|recitation|block|prohibit|spii|guardrail|moderat|toxic|polic|violat",
    "malformed": "malformed|unexpected",
    "length": "length|max|limit|window|truncat|incomplete|token_budget",
    "server": "error|fail|abort|cancel|insufficient|resource|time|interrupt|overload|unavailable|network|pause|repet",
}
GOOD_END = re.compile(
    "stop|end|eos|tool|function|complete|finish|done|success|none|null|normal|^$",
    re.IGNORECASE,
)


def unusable(
    finish_reason: str, text: str, calls: Sequence[Any] | None, *, offered: bool
) -> str | None:
    """Return why an answer cannot be used, as a row of FAULTS; None when it can. `offered`: tools were in the request.

    A finish reason that is not known as a good end is none.
    """
    for fault, words in BAD_ENDS.items():
        if re.search(words, finish_reason, re.IGNORECASE):
            return fault
    if GOOD_END.search(finish_reason) is None:
        return "server"
    is_promised = re.search("tool|function", finish_reason, re.IGNORECASE) is not None
    if (calls and not offered) or (
        is_promised and not calls and (offered or not text.strip())
    ):
        return "malformed"
    return None if calls or text.strip() else "empty"


def asked_wait(headers: Mapping[str, str]) -> str | None:
    """Return the Retry-After of a response; of Azure, the milliseconds of `retry-after-ms`, as seconds."""
    exact = headers.get("retry-after-ms") or ""
    return (
        f"{float(exact) / 1000:f}"
        if re.fullmatch(r"\d{1,9}(\.\d+)?", exact)
        else headers.get("retry-after")
    )


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
    parts = [
        m["content"]
        if isinstance(m["content"], list)
        else [{"type": "text", "text": m["content"]}]
        for m in head
    ]
    plain = all(isinstance(m["content"], str) for m in head)
    content = (
        "\n\n".join(m["content"] for m in head)
        if plain
        else list(itertools.chain(*parts))
    )
    return [{"role": "system", "content": content}, *rest]


def _is_system(message: Mapping[str, Any]) -> bool:
    return bool(message["role"] == "system")


def _with_objects(message: Mapping[str, Any]) -> dict[str, Any]:
    """Return a message whose tool calls have JSON objects as arguments: servers that read the history need them."""
    calls = message.get("tool_calls")
    if not calls:
        return dict(message)
    told = [
        {
            **call,
            "function": {
                **call["function"],
                "arguments": object_text(call["function"]["arguments"]),
            },
        }
        for call in calls
    ]
    return {**message, "tool_calls": told}


def object_text(arguments: str) -> str:
    """Return the arguments of a tool call as a JSON object; those that are none stand in it as text."""
    try:
        is_object = isinstance(json.loads(arguments or "{}"), dict)
    except (ValueError, RecursionError):
        is_object = False
    return (
        (arguments or "{}")
        if is_object
        else json.dumps({"unreadable": arguments}, ensure_ascii=False)
    )


def message_text(message: Mapping[str, Any]) -> str:
    """Return the text of a message, whose content is a string, None, or a list of parts, without what was thought."""
    content = message.get("content")
    if isinstance(content, list):
        return "".join(
            part if isinstance(part, str) else part_text(part) for part in content
        )
    return content if isinstance(content, str) else ""


def part_text(part: Any) -> str:
    """Return the text of a part of a message."""
    if (
        not isinstance(part, Mapping)
        or part.get("thought")
        or re.search("think|reason", str(part.get("type") or ""))
    ):
        return ""
    return str(part.get("text") or "")


def read_arguments(name: str, kind: type[BaseModel], written: str) -> dict[str, Any]:
    """Return the arguments of a tool call, checked; a ValueError tells the model what is wrong."""
    try:
        checked = kind.model_validate_json(written or "{}")
    except ValidationError as error:
        problems = [(".".join(map(str, e["loc"])), e["msg"]) for e in error.errors()]
        listed = "; ".join(
            f"{where or 'arguments'}: {what}" for where, what in problems
        )
        raise ValueError(f"bad arguments for {name}: {listed}") from None
    return {field: getattr(checked, field) for field in kind.model_fields}


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
    return (
        text
        if text.strip()
        else "(done, no result)"
        if value is None
        else "(an empty text)"
    )


# Asking models


class ModelFailedError(Exception):
    """A model gave no usable answer."""

    def __init__(self, text: str, fault: str, retry_after: float | None = None) -> None:
        """`fault` names a row of FAULTS; `retry_after` is what the endpoint asks for, in seconds."""
        super().__init__(text)
        self.fault = FAULTS[fault]
        self.retry_after = retry_after


async def call_once(client: AsyncOpenAI, body: Mapping[str, Any]) -> Choice:
    """Ask a model once; `call_model` counts, so the client does not retry."""
    once = client.with_options(max_retries=0)
    try:
        answer: Any = await once.chat.completions.create(
            **{**body, "messages": sendable(body["messages"])}
        )
    except APIStatusError as error:
        wait = wait_seconds(asked_wait(error.response.headers))
        fault = fault_of(error.status_code, error.body)
        raise ModelFailedError(f"{error}{moved(error)}", fault, wait) from error
    except APITimeoutError as error:
        raise ModelFailedError(str(error), "timeout") from error
    except APIConnectionError as error:
        raise ModelFailedError(str(error), "connection") from error
    except APIError as error:
        raise ModelFailedError(str(error), "server") from error
    detail = getattr(answer, "error", None)
    if isinstance(detail, dict):  # some routers report errors with status 200
        raise ModelFailedError(str(detail), fault_of(status_of(detail), detail))
    choices = getattr(answer, "choices", None)
    if not isinstance(choices, list):
        raise ModelFailedError("the answer is not of the protocol", "server")
    if not choices:
        raise ModelFailedError("the answer has no choices", "empty")
    return usable(choices[0], offered="tools" in body)


def moved(error: APIStatusError) -> str:
    """Say where a redirect leads; no prompt is sent there."""
    target = error.response.headers.get("location")
    return f": redirects to {target}, which is not followed" if target else ""


async def call_model(client: AsyncOpenAI, body: Mapping[str, Any]) -> Choice:
    """Ask a model, and again where that may help."""
    count = 1
    while True:
        try:
            return await call_once(client, body)
        except ModelFailedError as error:
            chance = random.random()  # noqa: S311 - spreads attempts
            wait = retry_wait(count, chance, error.retry_after)
            if count > RETRIES or not error.fault.retried or is_too_long(wait):
                raise
        await asyncio.sleep(wait)
        count += 1


def usable(choice: Choice, *, offered: bool) -> Choice:
    """Return the choice, without what was thought, if it is an answer; `offered`: it could call tools."""
    message = choice.message
    message.content = (
        without_thoughts(message_text(message.model_dump(include={"content"}))) or None
    )
    reason = "refusal" if message.refusal else choice.finish_reason
    fault = unusable(reason, message.content or "", message.tool_calls, offered=offered)
    if fault is not None:
        raise ModelFailedError(
            message.refusal or f"finish_reason {reason}, {fault}", fault
        )
    return choice


async def ask(
    client: AsyncOpenAI,
    messages: Messages,
    kind: type[Any],
    *,
    form: Mapping[str, Any] | None = None,
    reasks: int = REASKS,
    **request: Any,
) -> tuple[Any, Choice]:
    """Ask for a reply that fits the class; the model is told what does not.

    Return its JSON (None for tool calls) and the choice that it stood in; `form` is
    how the schema is sent, where that is not as usual.
    """
    schema = {"name": kind.__name__, "strict": True, **(form or {})}
    schema["schema"] = TypeAdapter(kind).json_schema()
    request["response_format"] = {"type": "json_schema", "json_schema": schema}
    while True:
        choice = await first_usable(client, messages, **request)
        if "tools" in request and choice.message.tool_calls:
            return None, choice
        reply = choice.message.content or ""
        try:
            return read_reply(kind, reply, wraps=issubclass(kind, Lone)), choice
        except UnfitReplyError as error:
            if not reasks:
                raise
            wrong = {"role": "user", "content": REASK.format(error=error)}
            said = {"role": "assistant", "content": reply}
        messages = [*messages, said, wrong]
        reasks -= 1


def read_reply(kind: type[Any], reply: str, *, wraps: bool = False) -> Any:
    """Return the reply as JSON that fits the class; with `wraps` it may be the lone `value` of the class."""
    adapter = TypeAdapter(kind)
    data, place = find_json(reply)
    data = as_object(data, place, field_names(adapter.json_schema()), wraps=wraps)
    return as_stored(adapter, validate_with(adapter, data), data)


def rebuilt(kind: type[Any], value: object) -> Any:
    """Return a value of the state as its class; None for a step that did not run."""
    if value is None:
        return None
    return TypeAdapter(kind).validate_json(json.dumps(value))


async def in_thread(function: Callable[..., Any], /, *given: Any, **named: Any) -> Any:
    """Run a function in a thread; a StopIteration, which no awaiting code would get, becomes a RuntimeError."""

    def called() -> Any:
        try:
            return function(*given, **named)
        except StopIteration as error:
            name = getattr(function, "__name__", "code")
            raise RuntimeError(
                f"{name} raised StopIteration: next() found nothing: write next(…, None)"
            ) from error

    return await asyncio.to_thread(called)


def environment() -> Environment:
    """Return Jinja for prompts: no HTML, no comments, missing names are errors."""
    return Environment(
        undefined=StrictUndefined,
        autoescape=False,  # noqa: S701 - prompts are text for a model, not HTML
        keep_trailing_newline=True,
        comment_start_string="\uf8ff{#no comments\uf8ff",
        comment_end_string="\uf8ffno comments#}\uf8ff",
        finalize=as_text,
    )


def rendered(template: str, **values: Any) -> str:
    """Fill in a prompt that has logic."""
    return environment().from_string(template).render(values)


async def first_usable(
    client: AsyncOpenAI,
    messages: Messages,
    *,
    models: Sequence[str] = (MODEL, *FALLBACK),
    max_tokens: int = MAX_TOKENS,
    **request: Any,
) -> Choice:
    """Ask the models in turn until one gives a usable answer."""
    failures: list[Exception] = []
    for model in models:
        body: dict[str, Any] = {"max_completion_tokens": max_tokens, **request}
        body |= {"model": model, "messages": messages}
        try:
            return await call_model(client, body)
        except ModelFailedError as error:
            if not error.fault.falls_back:
                raise
            logger.warning("%s: %s", model, error)
            failures.append(error)
    raise ExceptionGroup("no model gave a usable answer", failures)


# Tools


class Search(BaseModel):
    model_config = ConfigDict(extra="forbid")

    query: str


TOOLS: Tools = {"search": (search, Search)}


def tool_calls(choice: Choice) -> dict[str, Any]:
    """Return the message with its tool calls, as the next request repeats it."""
    left: Any = {"index": True}
    calls = [
        call.model_dump(exclude=left, exclude_none=True)
        for call in choice.message.tool_calls or []
    ]
    content = choice.message.content or None
    return {"role": "assistant", "content": content, "tool_calls": calls}


def tool_format(tools: Tools) -> list[dict[str, Any]]:
    """Describe the tools to the model: names, docstrings and arguments."""
    found = []
    for name, (function, kind) in tools.items():
        described = {
            "name": name,
            "description": inspect.getdoc(function) or name.replace("_", " "),
            "parameters": kind.model_json_schema(),
        }
        found.append({"type": "function", "function": described})
    return found


async def use_tool(
    call: dict[str, Any],
    tools: Tools,
    *,
    timeout: float | None = TOOL_TIMEOUT,  # noqa: ASYNC109 - it bounds the tool alone
) -> dict[str, Any]:
    """Run one tool call; whatever goes wrong is for the model to read."""
    name, written = call["function"]["name"], call["function"]["arguments"]
    try:
        if "rejected" in call:
            raise ValueError(call["rejected"])  # noqa: TRY301 - told as the rest is
        function, arguments = arguments_for(name, written, tools)
        async with asyncio.timeout(timeout):
            if inspect.iscoroutinefunction(function):
                content = readable(await function(**arguments))
            else:
                content = readable(await all_of(await in_thread(function, **arguments)))
    except TimeoutError:
        content = f"Error: {name} gave no answer within {timeout:g} s"
    except Exception as error:  # noqa: BLE001 - the model reads it and acts on it
        content = f"Error: {describe_error(error)}"
    return {"role": "tool", "tool_call_id": call["id"], "content": content}


def arguments_for(
    name: str, written: str, tools: Tools
) -> tuple[Callable[..., Any], dict[str, Any]]:
    """Return the tool and its arguments, checked against its type hints."""
    if name not in tools:
        raise LookupError(f"there is no tool {name!r}; there are: {', '.join(tools)}")
    function, kind = tools[name]
    return function, read_arguments(name, kind, written)


def describe_error(error: Exception) -> str:
    """Say what went wrong in words for the model."""
    if isinstance(error, KeyError):
        return str(error).strip("'\"")
    if isinstance(error, ValueError | LookupError):
        return str(error)
    return f"{type(error).__name__}: {error}"


# How a run may end


class EndedEarlyError(Exception):
    """The run ends here and has no result; the text says why."""


class StoppedError(EndedEarlyError):
    """A check of an inner graph stopped it."""


# Side by side


async def for_each(
    one: Callable[[Any], Awaitable[Any]],
    items: Any,
    *,
    at_once: int = CONCURRENCY,
    may_stop: bool = True,
) -> tuple[list[Any], dict[str, str]]:
    """Do one thing for all items, side by side; return values and what went wrong.

    The order is kept, and an item that fails gives None; when all fail, so does this.
    An item that a check stopped gives None too, unless all were, or not `may_stop`.
    """
    items = to_jsonable_python(items)
    if isinstance(items, dict):
        items = [{"key": key, "value": value} for key, value in items.items()]
    slots = asyncio.Semaphore(at_once)

    async def limited(item: Any) -> Any:
        async with slots:
            return await one(item)

    found = await asyncio.gather(*map(limited, items), return_exceptions=True)
    failures = [error for error in found if isinstance(error, BaseException)]
    stopped = [error for error in failures if isinstance(error, StoppedError)]
    goes_on = may_stop and len(stopped) < len(found)
    ends = [
        e
        for e in failures
        if isinstance(e, GraphBubbleUp | EndedEarlyError)
        and not (goes_on and e in stopped)
    ]
    if ends:  # a person rejected, or is asked
        raise min(ends, key=lambda error: isinstance(error, GraphBubbleUp))
    for error in failures:
        logger.warning("an item failed: %s", error)
    if failures and len(failures) == len(found):
        raise RuntimeError(f"all {len(found)} items failed") from failures[0]
    values, failed = [], {}
    for number, value in enumerate(found, start=1):
        values.append(None if isinstance(value, BaseException) else value)
        if isinstance(value, BaseException):
            failed[str(number)] = str(value)
    return values, failed


async def isolated(
    state: Any,
    *,
    step: str,
    node: Callable[[Any], Awaitable[Any]],
    visits: str = "",
    errors: str = "errors",
) -> Any:
    """Run a node; a failure makes its value None and leaves the other nodes alone."""
    try:
        return await node(state)
    except (GraphBubbleUp, EndedEarlyError):  # a person is asked, or the run ends
        raise
    except Exception as error:
        logger.exception("%s failed", step)
        counted = {visits: state.get(visits, 0) + 1} if visits else {}
        return {step: None, errors: {step: str(error)}, **counted}


# Nodes


async def plan(state: State, *, client: AsyncOpenAI) -> State:
    """Ask a model for steps."""
    goal = state["goal"]
    results: Any = state.get("results")
    revise: Any = state.get("revise")
    messages = plan_prompt(goal, results, revise)
    value, _ = await ask(client, messages, Plan)
    return {"plan": value, "plan_visits": state.get("plan_visits", 0) + 1}


async def wave(state: State) -> State:
    """Compute wave."""
    plan = Plan.model_validate(state["plan"])
    results: Any = state.get("results")
    visits = {step: n for step, n in {"plan": state.get("plan_visits", 0)}.items() if n}
    value = ready(plan.steps, results, visits["plan"])
    return {"wave": to_jsonable_python(value)}


async def execute_item(
    state: State,
    step: Any,
    *,
    graph: CompiledStateGraph[ExecuteState],
) -> Any:
    """Run report.execute for one item of execute."""
    results: Any = state.get("results")
    inputs = ExecuteState(results=results, step=step)
    ended = await graph.ainvoke(inputs)
    return result_of_execute(ended)


async def execute(state: State, *, graph: CompiledStateGraph[ExecuteState]) -> State:
    """Run report.execute once per item."""
    plan = Plan.model_validate(state["plan"])
    wave = state["wave"]
    items = [plan.steps[n - 1] for n in wave]
    one = partial(execute_item, state, graph=graph)
    found, failed = await for_each(one, items, may_stop=False)
    return {"execute": found, "errors": {"execute": failed}}


async def results(state: State) -> State:
    """Compute results."""
    execute: Any = state.get("execute")
    plan = Plan.model_validate(state["plan"])
    results: Any = state.get("results")
    visits = {step: n for step, n in {"plan": state.get("plan_visits", 0)}.items() if n}
    wave = state["wave"]
    value = [
        *(results or []),
        *(
            {
                "round": visits["plan"],
                "number": n,
                "step": plan.steps[n - 1],
                "result": result,
            }
            for n, result in zip(wave, execute or [None] * len(wave), strict=True)
        ),
    ]
    return {
        "results": to_jsonable_python(value),
        "results_visits": state.get("results_visits", 0) + 1,
    }


async def reflect(state: State, *, client: AsyncOpenAI) -> State:
    """Ask a model for ok and feedback."""
    goal = state["goal"]
    results: Any = state.get("results")
    messages = reflect_prompt(goal, results)
    value, _ = await ask(client, messages, Reflect)
    return {"reflect": value}


async def revise(state: State) -> State:
    """Compute revise."""
    errors = state.get("errors", {})
    plan = Plan.model_validate(state["plan"])
    reflect = rebuilt(Reflect, state.get("reflect"))
    results: Any = state.get("results")
    visits = {step: n for step, n in {"plan": state.get("plan_visits", 0)}.items() if n}
    value = (
        flaws(plan.steps, results, visits["plan"], errors.get("execute"))
        or reflect.feedback
        or "the results are not good enough yet"
    )
    return {
        "revise": to_jsonable_python(value),
        "revise_visits": state.get("revise_visits", 0) + 1,
    }


# Graph


def after_plan(state: State) -> str:
    """Choose where the run goes after plan."""
    plan = Plan.model_validate(state["plan"])
    results: Any = state.get("results")
    choice = (
        "done"
        if results and (not plan.steps)
        else "next"
        if len(plan.steps) <= 16
        else "more"
    )
    if choice == "next":
        return "wave"
    if choice == "done":
        return "reflect"
    logger.warning("ended early: %s", "the plan has more than 16 steps (--max-tasks)")
    return END


def after_wave(state: State) -> str:
    """Choose where the run goes after wave."""
    wave = state["wave"]
    if wave:
        return "execute"
    return "revise"


def after_results(state: State) -> str:
    """Choose where the run goes after results."""
    execute: Any = state.get("execute")
    plan = Plan.model_validate(state["plan"])
    results = state["results"]
    visits = {step: n for step, n in {"plan": state.get("plan_visits", 0)}.items() if n}
    choice = (
        "failed"
        if None in (execute or [None])
        else "next"
        if ready(plan.steps, results, visits["plan"])
        else "done"
    )
    if choice == "failed":
        return "revise"
    if choice == "next" and state["results_visits"] <= RESULTS_TO_WAVE:
        return "wave"
    if choice == "done":
        return "reflect"
    logger.warning("ended early: %s", "48 waves of steps were not enough")
    return END


def after_revise(state: State) -> str:
    """Choose where the run goes after revise."""
    revise = state["revise"]
    if revise and state["revise_visits"] <= REVISE_TO_PLAN:
        return "plan"
    logger.warning("ended early: %s", "2 revisions of the plan were not enough")
    return END


def after_reflect(state: State) -> str:
    """Choose where the run goes after reflect."""
    reflect = Reflect.model_validate(state["reflect"])
    choice = reflect.ok
    if choice:
        return END
    return "revise"


def build_graph(client: AsyncOpenAI | None = None) -> CompiledStateGraph[State]:
    """Return the graph; a client that is given serves MODEL's endpoint."""
    if client is None:
        client = AsyncOpenAI(
            timeout=TIMEOUT,
            http_client=DefaultAsyncHttpxClient(follow_redirects=False),
        )
    builder = StateGraph(State)
    builder.add_node("plan", partial(plan, client=client))
    builder.add_node("wave", wave)
    builder.add_node(
        "execute",
        partial(
            isolated, step="execute", node=partial(execute, graph=build_execute(client))
        ),
    )
    builder.add_node("results", results)
    builder.add_node("reflect", partial(reflect, client=client))
    builder.add_node("revise", revise)
    builder.add_edge(START, "plan")
    builder.add_conditional_edges("plan", after_plan, ["wave", "reflect", END])
    builder.add_conditional_edges("wave", after_wave, ["execute", "revise"])
    builder.add_edge("execute", "results")
    builder.add_conditional_edges(
        "results",
        after_results,
        ["revise", "wave", "reflect", END],
    )
    builder.add_conditional_edges("reflect", after_reflect, [END, "revise"])
    builder.add_conditional_edges("revise", after_revise, ["plan", END])
    graph = builder.compile(name="report")
    return graph.with_config(recursion_limit=MAX_STEPS)


# The inner graph report.execute


def result_of_execute(state: Mapping[str, Any]) -> Any:
    """Return the result: the last of these values that there is."""
    said = [m["content"] for m in state.get("messages", []) if m.get("content")]
    values = [state.get("agent"), *reversed(said)]
    return next((value for value in values if value is not None), None)


async def execute_agent(state: ExecuteState, *, client: AsyncOpenAI) -> ExecuteState:
    """Think, then call tools or answer."""
    results = state["results"]
    step = state["step"]
    messages = execute_agent_prompt(results, step)
    messages += state.get("messages", [])
    choice = await first_usable(client, messages, tools=tool_format(TOOLS))
    if choice.message.tool_calls:
        return {
            "messages": [tool_calls(choice)],
            "agent_visits": state.get("agent_visits", 0) + 1,
        }
    reply = choice.message.content or ""
    said = {"role": "assistant", "content": reply}
    return {
        "agent": reply,
        "messages": [said],
        "agent_visits": state.get("agent_visits", 0) + 1,
    }


async def execute_tools(state: ExecuteState) -> ExecuteState:
    """Run the tool calls of the last message, side by side."""
    calls = state["messages"][-1]["tool_calls"]
    uses = (use_tool(call, TOOLS) for call in calls)
    replies = await asyncio.gather(*uses)
    return {"messages": replies}


def after_execute_agent(state: ExecuteState) -> str:
    """Choose where the run goes after agent."""
    messages = state.get("messages", [])
    if messages[-1].get("tool_calls") and state["agent_visits"] < MAX_ITERATIONS:
        return "tools"
    if not messages[-1].get("tool_calls"):
        return END
    logger.warning("ended early: %s", "Stopped after 8 rounds without an answer")
    return END


def build_execute(client: AsyncOpenAI) -> CompiledStateGraph[ExecuteState]:
    """Return the graph of report.execute."""
    builder = StateGraph(ExecuteState)
    builder.add_node("agent", partial(execute_agent, client=client))
    builder.add_node("tools", execute_tools)
    builder.add_edge(START, "agent")
    builder.add_conditional_edges("agent", after_execute_agent, ["tools", END])
    builder.add_edge("tools", "agent")
    graph = builder.compile(name="report.execute")
    return graph.with_config(recursion_limit=EXECUTE_MAX_STEPS)


# Command line


def result(state: Mapping[str, Any]) -> Any:
    """Return the result: the last of these values that there is."""
    values = [state.get("results")]
    return next((value for value in values if value is not None), None)


async def run(inputs: State) -> Any:
    """Run the graph once and return its result."""
    async with asyncio.timeout(DEADLINE):
        state = await build_graph().ainvoke(inputs)
    return result(state)


def main() -> None:
    """Run it from the command line and print the result."""
    parser = argparse.ArgumentParser(
        description="report: run it once and print the result.",
    )
    parser.add_argument("--goal", required=True, help="text")
    arguments = parser.parse_args()
    inputs = State(goal=arguments.goal)
    found = asyncio.run(run(inputs))
    if not isinstance(found, str):
        found = json.dumps(found, indent=2, ensure_ascii=False)
    print(found)


if __name__ == "__main__":
    main()
