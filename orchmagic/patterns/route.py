"""%%route: a cheap classifier selects one handler; only that handler runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from orchmagic.errors import nearest
from orchmagic.graph.builder import GraphBuilder, literal
from orchmagic.graph.model import END, FAIL, Approve, Arm, Branch, Call, Code, Edge, Graph, Node
from orchmagic.language.annotations import Field, Output
from orchmagic.language.builtin_prompts import LABELS
from orchmagic.language.cell import Cell, CodeStep, Step
from orchmagic.language.magic_line import Option, RunOptions
from orchmagic.language.step_options import StepOption, expression, text, without, word
from orchmagic.language.template import Message, check, names
from orchmagic.patterns import Pattern
from orchmagic.patterns._roles import code, controls, default_step, row, steps

ROUTER = "router"

_ASK = StepOption("ask", text, "a quoted text", '"Please answer"', "a person answers instead of a model")
_MATCH = StepOption("match", text, "a quoted regular expression", '"refund|invoice"', "what is meant for the handler")
_EXAMPLES = StepOption("examples", lambda v: v, "a list of texts", '["where is my refund?"]', "for router(by=meaning)")
_BY = StepOption("by", word, "meaning", "meaning", "the router compares embeddings", choices=("meaning",))
_ON = StepOption("on", expression, "a Python expression", "question", "what the router reads")
_OWN = (_ASK, _MATCH, _EXAMPLES)
_BY_MEANING = "by_meaning"


def build(cell: Cell, options: RunOptions, namespace: Mapping[str, object]) -> Graph:
    """Builds a branch from the router's label to a handler; unknown or low-confidence labels go to `--otherwise`."""
    builder = GraphBuilder(cell, options, namespace)
    controls(builder, None, "Write handlers: `name: when to use it` and a prompt below")
    items = steps(builder)
    router = next((item for item in items if item.name == ROUTER), None)
    before = code(builder, [item for item in items if item.name != ROUTER])
    handlers = [item for item in items if isinstance(item, Step) and item.name != ROUTER]
    if len(handlers) <= 1:
        builder.problem(
            1, "a route needs at least two handlers", "Write `billing: refunds, invoices` and a prompt below"
        )
    ends = [_handler(builder, step) for step in handlers]
    decide = _router(builder, router, handlers)
    otherwise = _otherwise(builder, [n.name for n in ends])
    chain = [*before, decide]
    links = [*row(chain), _branch(builder, decide, ends, otherwise), *(Edge(n.name, END) for n in ends)]
    return builder.build([*chain, *ends], links, [n.name for n in ends])


def _handler(builder: GraphBuilder, step: Step) -> Node:
    if "ask" in step.options:
        question = builder.read(step, _OWN).get("ask", "")
        if problem := check(question):
            builder.problem(step.line, problem[0], "Write `{{ name }}` for a value", step.options["ask"].column)
        return Approve(step.name, Message("user", "" if problem else question))
    if "run" in step.options:
        return builder.step(step, also=(_MATCH, _EXAMPLES))
    if not step.messages:
        write = 'Write one below it, indented, or ask="…", or run=ORCHESTRATION'
        builder.problem(step.line, f"handler {step.name!r} has no prompt", write)
    return builder.call(step, also=_OWN)


def _router(builder: GraphBuilder, router: Step | CodeStep | None, handlers: Sequence[Step]) -> Call | Code:
    if isinstance(router, CodeStep):
        node = builder.code(router)
        if isinstance(node, Code):
            return node
        builder.problem(router.line, "an orchestration cannot be the router", "Call it above, and route on its output")
        return Code(ROUTER, "None")
    if router and "by" in router.options:
        return _by_meaning(builder, router, handlers)
    for handler in handlers:
        if "examples" in handler.options:
            what = f"handler {handler.name!r} has examples=, which this router does not read"
            builder.problem(handler.line, what, "Write `router(by=meaning)`, or put them into the router's prompt")
    if rules := [h for h in handlers if "match" in h.options]:
        return _by_regex(builder, router, rules)
    step = router or default_step(ROUTER)
    labels = [h.name for h in handlers] or ["none"]
    made = builder.call(
        step,
        messages=_prompt(step, handlers),
        output=_output(builder, step, labels),
        confidence="label",
        self_reported=builder.options.extra.get("min_confidence") is not None,
        tolerant=builder.options.extra.get("otherwise") is not None,
        role=ROUTER,
    )
    return made if made.model else replace(made, model=builder.options.light)


def _output(builder: GraphBuilder, router: Step, labels: Sequence[str]) -> Output:
    """The router's own fields, such as its reasons, with the label where it names it, else at the end."""
    label = Field("label", f"Literal[{', '.join(map(repr, labels))}]")
    if router.output is not None and router.output.kind != "fields":
        builder.problem(router.line, "a router gives a label", "Write other fields before it, such as `-> why: str`")
    own = router.output.fields if router.output is not None else ()
    if all(field.name != label.name for field in own):
        own = (*own, label)
    return Output("fields", tuple(label if field.name == label.name else field for field in own))


def _by_regex(builder: GraphBuilder, router: Step | None, rules: Sequence[Step]) -> Code:
    """Builds a router from regular expressions in handler order: the first match wins; no model call."""
    given = builder.read(router, (_ON,)) if router else {}
    subject = _subject(builder, router, given, rules, "match=")
    pairs = [(h.name, _MATCH.value_in(h.options) or "") for h in rules]
    labels = f"(label for label, rule in {pairs!r} if re.search(rule, str({subject}), re.IGNORECASE))"
    return Code(ROUTER, f"next({labels}, None)")


def _subject(
    builder: GraphBuilder, router: Step | None, given: Mapping[str, str], handlers: Sequence[Step], who: str
) -> str:
    """Returns the expression that the router reads: `on=`, or the only name in the handlers' prompts."""
    if "on" in given:
        return given["on"]
    subjects = sorted({n for h in handlers for m in _texts(h) for n in names(m)})
    if len(subjects) != 1:
        write = "Write `router(on=question)`" if who == "match=" else f"Write `router({who}, on=question)`"
        builder.problem(router.line if router else 1, f"`{who}` needs to know what to read", write)
    return (subjects or ["None"])[0]


def _texts(handler: Step) -> list[str]:
    """The texts of a handler: its prompt, or its question to a person."""
    ask = handler.options.get("ask")
    question = [ask.source] if ask and not check(ask.source) else []
    return [*(m.text for m in handler.messages), *question]


def _by_meaning(builder: GraphBuilder, router: Step, handlers: Sequence[Step]) -> Code:
    """Builds a router by embeddings: the handler with the nearest description or example wins; no model call."""
    given = builder.read(router, (_BY, _ON))
    if given.get("by", "meaning") != "meaning":
        builder.problem(router.line, f"by={given['by']} is no way to route", "Write router(by=meaning)")
    if router.messages or router.output:
        write = "Delete them, or leave by= out and let a model decide"
        builder.problem(router.line, "router(by=meaning) asks no model, and has a prompt or outputs", write)
    for handler in handlers:
        if "match" in handler.options:
            write = "Keep one of them: match= or router(by=meaning)"
            builder.problem(handler.line, f"handler {handler.name!r} has match= beside router(by=meaning)", write)
    kinds = ", ".join(f"{h.name!r}: {_kind(builder, h)}" for h in handlers)
    return Code(ROUTER, f"{_BY_MEANING}({_subject(builder, router, given, handlers, 'by=meaning')}, {{{kinds}}})")


def _kind(builder: GraphBuilder, handler: Step) -> str:
    """The expression of a handler's description and examples: a list, or a notebook variable."""
    words, given = handler.description or handler.name.replace("_", " "), handler.options.get("examples")
    if given is None:
        return f"({words!r}, ())"
    try:
        examples = given.literal
    except ValueError:  # an expression, evaluated at run time
        return f"({words!r}, {given.expression})"
    if not isinstance(examples, list | tuple) or not all(isinstance(text, str) and text.strip() for text in examples):
        write = 'Write a list of texts: examples=["where is my refund?"]'
        builder.problem(handler.line, f"examples={given.source} is no list of texts", write, given.column)
    return f"({words!r}, {given.source})"


def _prompt(router: Step, handlers: Sequence[Step]) -> tuple[Message, ...]:
    labels = "\n".join(f"- {h.name}: {h.description or h.name}" for h in handlers)
    system = Message("system", literal(LABELS.format(labels=labels)))
    if router.messages:
        return (system, *router.messages)
    subjects = list(dict.fromkeys(n for h in handlers for m in h.messages for n in sorted(names(m.text))))
    return (system, Message("user", "\n".join(f"{{{{ {n} }}}}" for n in subjects)))


def _otherwise(builder: GraphBuilder, known: Sequence[str]) -> str:
    name = builder.options.extra.get("otherwise")
    if name is None:
        return FAIL
    if name not in known:
        write = f"Name a handler: {', '.join(known)}{nearest(str(name), known)}"
        builder.problem(1, f"--otherwise {name} is no handler", write)
        return FAIL
    return str(name)


def _branch(builder: GraphBuilder, router: Call | Code, handlers: Sequence[Node], otherwise: str) -> Branch:
    least: Any = builder.options.extra.get("min_confidence")  # a number, or None
    if isinstance(router, Code) and router.expression.startswith(f"{_BY_MEANING}("):
        sure = f"{ROUTER}['label'] if {ROUTER}['confidence'] >= {least} else None"
        on = f"{ROUTER}['label']" if least is None else sure
    elif isinstance(router, Code):
        on = ROUTER
    elif least is None:
        on = f"{ROUTER}.label if {ROUTER} else None"
    else:
        on = f"{ROUTER}.label if {ROUTER} and ({ROUTER}.confidence or 0) >= {least} else None"
    if least is not None and otherwise == FAIL:
        builder.problem(1, "--min-confidence needs to know who takes unsure cases", "Add --otherwise HANDLER")
    arms = tuple(Arm(h.name, h.name) for h in handlers)
    return Branch(ROUTER, on, arms, otherwise, "the router gave no valid label", least)


MORE = """\
## Routers that ask no model

- `router = pick(question)`: a function of the notebook that returns the name of a handler.
- `billing(match="refund|invoice"): …`: regular expressions, tried in the order of the handlers; case is ignored.
- `router(by=meaning)`: the handler whose description is nearest to the question, by embeddings on this machine.
  It needs `pip install "orchmagic[semantic]"`, costs nothing and takes 5 to 20 ms. English only.

```text
%%route helpdesk --otherwise human --min-confidence 0.5
router(by=meaning, on=question)
billing(examples=["I was charged twice", "where is my refund?"]): refunds, invoices
    You are a billing specialist. {{ question }}
technical: errors, crashes, API questions
    Ask for logs if there are none. {{ question }}
human(ask="Please answer: {{ question }}"): anything legal, angry or unclear
```

`on=` may be left out where the handlers read only one value. `examples=` is a list, or a variable of the notebook.

**The confidence** is the softmax (temperature 0.05) of the handlers' similarities and of a fixed 0.35 for "none of
them". The similarity is the mean of two cosines: to the nearest of description and examples, and to their average.
Below `--min-confidence` the request goes to `--otherwise`. "Anything else" describes no meaning that can be compared:
leave such questions to `--otherwise`.

Measured by `benchmarks/routing.py` on Banking77 (questions to a bank): eight of its 77 intents at a time, 20 draws,
the intent's name as description. The two constants were chosen on other draws of the same data, so expect slightly
lower figures. The last two columns are false accepts: the share of questions that no handler is for (Quora's
questions, and questions of eight other intents) but that got a confidence of 0.5.

| examples a handler | right | confidence of 0.5 | right of these | of another topic | of a neighbour |
|---|---|---|---|---|---|
| 0 | 86 % | 89 % | 90 % | 0 % | 49 % |
| 3 | 94 % | 97 % | 95 % | 1 % | 60 % |
| 5 | 95 % | 97 % | 96 % | 1 % | 61 % |

So a question that is close to a handler but not meant for it is often accepted. With all 77 intents at once 62 % are
right without examples, 79 % with five. Measure it on your own questions first.

Such a route cannot be exported: a module would need the embedding model. Routes with the other routers can.
"""

pattern = Pattern(
    name="route",
    summary="A cheap classifier chooses one of several handlers. Each handler has its own prompt and model.",
    when="Requests fall into a few kinds that need different prompts, models or people.",
    breaks="The router is a single point of failure: measure it (95 % or more). Kinds overlap, or one request is of "
    "two kinds.",
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
    more=MORE,
    build=build,
    step_options=(*without("votes", "by", "min"), *_OWN, _BY, _ON),
    options=(
        Option("--otherwise", "text", "the handler if no label fits or the router is too unsure", "HANDLER"),
        Option("--min-confidence", "float", "below this confidence (0..1) --otherwise takes over", "P"),
    ),
)
