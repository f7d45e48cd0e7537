"""%%route: a small classifier picks the one handler that fits; only that handler is paid for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

from orchmagic.cell import Cell, CodeStep, Step, Value
from orchmagic.errors import nearest
from orchmagic.graph import END, FAIL, Approve, Arm, Branch, Call, Code, Edge, Graph, Link, Node
from orchmagic.lowering import Lowering, literal
from orchmagic.options import Option, RunOptions
from orchmagic.outputs import Field, Output
from orchmagic.patterns import Pattern
from orchmagic.template import Message, check, names
from orchmagic.wording import LABELS

ROUTER = "router"
_OWN = ("ask", "match")


def build(cell: Cell, options: RunOptions, namespace: Mapping[str, object]) -> Graph:
    """The router's label branches to a handler; a label that is not known, or not sure enough, to `--otherwise`."""
    lower = Lowering(cell, options, namespace)
    before: list[Node] = []
    router: Step | CodeStep | None = None
    handlers: list[Step] = []
    for item in cell.items:
        if isinstance(item, Step | CodeStep) and item.name == ROUTER:
            router = item
        elif isinstance(item, CodeStep):
            before.append(lower.code(item))
        elif isinstance(item, Step):
            handlers.append(item)
        else:
            lower.refuse(item, f"`{item.keyword}` line", "Write handlers: `name: when to use it` and a prompt below")
    if len(handlers) <= 1:
        lower.problem(1, "a route needs at least two handlers", "Write `billing: refunds, invoices` and a prompt below")
    ends = [_handler(lower, step) for step in handlers]
    decide = _router(lower, router, handlers)
    otherwise = _otherwise(lower, [n.name for n in ends])
    chain = [*before, decide]
    links: list[Link] = [Edge(a.name, b.name) for a, b in pairwise(chain)]
    links.append(_branch(lower, decide, ends, otherwise))
    links += [Edge(n.name, END) for n in ends]
    return lower.build([*chain, *ends], links, [n.name for n in ends])


def _handler(lower: Lowering, step: Step) -> Node:
    if "ask" in step.options:
        given = lower.read(step, _OWN)
        return Approve(step.name, Message("user", _question(lower, step, given["ask"])))
    if "run" in step.options:
        return lower.step(step, also=("match",))
    if not step.messages:
        write = 'Write one below it, indented, or ask="…", or run=ORCHESTRATION'
        lower.problem(step.line, f"handler {step.name!r} has no prompt", write)
    return lower.call(step, also=_OWN)


def _question(lower: Lowering, step: Step, value: Value) -> str:
    question = lower.text(step, value, 'ask="Please answer"')
    if problem := check(question):
        lower.problem(step.line, problem.text, "Write `{{ name }}` for a value", value.column)
        return ""
    return question


def _router(lower: Lowering, router: Step | CodeStep | None, handlers: Sequence[Step]) -> Call | Code:
    if isinstance(router, CodeStep):
        found = lower.code(router)
        if isinstance(found, Code):
            return found
        lower.problem(router.line, "an orchestration cannot be the router", "Call it above, and route on its output")
        return Code(ROUTER, "None")
    if rules := [h for h in handlers if "match" in h.options]:
        return _by_regex(lower, router, rules)
    step = router or Step(ROUTER, {}, None, None, (), 1)
    labels = [h.name for h in handlers] or ["none"]
    return lower.call(
        step,
        messages=_prompt(step, handlers),
        output=Output("fields", (Field("label", f"Literal[{', '.join(map(repr, labels))}]"),)),
        confidence="label",
        tolerant=lower.options.extra.get("otherwise") is not None,
        role=ROUTER,
    )


def _by_regex(lower: Lowering, router: Step | None, rules: Sequence[Step]) -> Code:
    """Rules in the order of the handlers; the first that matches wins, no model is asked."""
    given = lower.read(router, ("on",)) if router else {}
    subjects = sorted({n for h in rules for m in h.messages for n in names(m.text)})
    if "on" not in given and len(subjects) != 1:
        lower.problem(
            router.line if router else 1,
            "`match=` needs to know what to read",
            "Write a line `router(on=question)`",
        )
    subject = given["on"].expression if "on" in given else (subjects or ["None"])[0]
    pairs = [(h.name, lower.text(h, h.options["match"], 'match="refund|invoice"')) for h in rules]
    found = f"(label for label, rule in {pairs!r} if re.search(rule, str({subject}), re.IGNORECASE))"
    return Code(ROUTER, f"next({found}, None)")


def _prompt(router: Step, handlers: Sequence[Step]) -> tuple[Message, ...]:
    labels = "\n".join(f"- {h.name}: {h.description or h.name}" for h in handlers)
    system = Message("system", literal(LABELS.format(labels=labels)))
    if router.messages:
        return (system, *router.messages)
    subjects = list(dict.fromkeys(n for h in handlers for m in h.messages for n in sorted(names(m.text))))
    return (system, Message("user", "\n".join(f"{{{{ {n} }}}}" for n in subjects)))


def _otherwise(lower: Lowering, known: Sequence[str]) -> str:
    name = lower.options.extra.get("otherwise")
    if name is None:
        return FAIL
    if name not in known:
        write = f"Name a handler: {', '.join(known)}{nearest(str(name), known)}"
        lower.problem(1, f"--otherwise {name} is no handler", write)
        return FAIL
    return str(name)


def _branch(lower: Lowering, router: Call | Code, handlers: Sequence[Node], otherwise: str) -> Branch:
    least = lower.options.extra.get("min_confidence")
    if isinstance(router, Code):
        on = ROUTER
    elif least is None:
        on = f"{ROUTER}.label if {ROUTER} else None"
    else:
        on = f"{ROUTER}.label if {ROUTER} and ({ROUTER}.confidence or 0) >= {least} else None"
        if otherwise == FAIL:
            lower.problem(1, "--min-confidence needs to know who takes unsure cases", "Add --otherwise HANDLER")
    arms = tuple(Arm(h.name, h.name) for h in handlers)
    return Branch(ROUTER, on, arms, otherwise, "the router chose no known label")


pattern = Pattern(
    name="route",
    summary="A cheap classifier picks one of several handlers; each handler has its own prompt and model.",
    when="Requests fall into a few kinds that need different prompts, models or people.",
    breaks="The router is a single point of failure: measure it (95 % or more); kinds that overlap; "
    "requests of two kinds at once.",
    dollars=(0.002, 0.03),
    seconds=(1, 6),
    example="""\
%%route helpdesk --otherwise human
router
    Which team should answer? {{ question }}
billing: refunds, invoices, double charges
    You are a billing specialist. {{ question }}
technical: errors, crashes, API questions
    Ask for logs if there are none. {{ question }}
human(ask="Please answer: {{ question }}"): anything legal, angry or unclear
""",
    build=build,
    options=(
        Option("--otherwise", "text", "the handler for what no label fits, or too unsure a label", "HANDLER"),
        Option("--min-confidence", "float", "below this confidence (0..1) --otherwise takes over", "P"),
    ),
)
