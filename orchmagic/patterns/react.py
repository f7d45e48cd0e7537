"""%%react: the model reasons, calls notebook functions, reads what they return, and answers; bounded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from orchmagic.errors import nearest
from orchmagic.graph.builder import GraphBuilder
from orchmagic.graph.model import Call, Graph, Tools
from orchmagic.graph.resolution import bound
from orchmagic.language.annotations import TEXT, Output, parse_output
from orchmagic.language.cell import Cell
from orchmagic.language.magic_line import Option, RunOptions
from orchmagic.language.step_options import PARAMETERS
from orchmagic.language.syntax import Value
from orchmagic.patterns import Pattern
from orchmagic.patterns._agent import TRANSCRIPT, check, turns


def build(cell: Cell, options: RunOptions, namespace: Mapping[str, object]) -> Graph:
    """Builds a loop of two nodes: the agent calls tools until it answers or the cap is reached."""
    builder = GraphBuilder(cell, options, namespace)
    names = check(builder, builder.names("tools"), 1, "--tools")
    if not names:
        builder.problem(1, "an agent needs tools", "Add --tools and names of notebook functions: --tools search,refund")
    if not cell.prompt:
        builder.problem(1, "the cell has no prompt", "Write below the magic line what the agent should do")
    approve = builder.names("approve")
    for name in (n for n in approve if n not in names):
        builder.problem(
            1, f"--approve {name} is none of --tools", f"Name one of {', '.join(names)}{nearest(name, names)}"
        )
    agent = Call(
        "agent", cell.prompt, _returns(builder), tools=names, transcript=TRANSCRIPT,
        parameters=tuple(_parameters(builder)),
    )  # fmt: skip
    act = Tools("tools", names, TRANSCRIPT, bound(options.timeout), approve)
    return builder.build([agent, act], turns(builder.limits.max_iterations), ["agent"])


def _parameters(builder: GraphBuilder) -> Iterator[tuple[str, object]]:
    """Yields the request parameters; text needs no inner quotes on the magic line."""
    for option in PARAMETERS:
        written = builder.options.extra.get(option.name)
        if written is None:
            continue
        values = [option.value_in({option.name: Value(source)}) for source in (str(written), repr(written))]
        value = next((v for v in values if v is not None), None)
        if value is None:
            builder.problem(1, f"{_flag(option.name)} {written!r} cannot be read", f"Write {option.form}")
        else:
            yield option.name, value


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _returns(builder: GraphBuilder) -> Output:
    source = builder.options.extra.get("returns")
    if source is None:
        return TEXT
    try:
        return parse_output(str(source))
    except ValueError as error:
        write = 'Write --returns "answer: str, ids: list[str]"'
        builder.problem(1, f"--returns {source!r} cannot be read: {error}", write)
        return TEXT


pattern = Pattern(
    name="react",
    summary="The model reasons, calls notebook functions, reads their results and repeats until it answers; at most 8 "
    "iterations by default.",
    when="The model must decide which look-ups it needs, and in which order, from earlier results.",
    breaks="The path is known beforehand (use %%chain: cheaper, testable). Many tools are alike. Small models choose "
    "wrong tools. Every turn sends the whole conversation again.",
    dollars=(0.005, 0.2),
    seconds=(3, 40),
    example="""\
%%react orders --tools find_order --max-iterations 8 --returns "answer: str, order_ids: list[str]"
You help with orders. Cite the order id of every fact.
{{ question }}
""",
    build=build,
    options=(
        Option("--tools", "words", "notebook functions that the model may call", "F,G"),
        Option("--approve", "words", "those of them that a person approves before each call", "F,G"),
        Option("--returns", "text", "the type of the final answer, as after -> in a step", "TYPE"),
        *(Option(_flag(o.name), "text", f"{o.help} ({o.kind})", o.example) for o in PARAMETERS),
    ),
    step_options=(),
    one_prompt=True,
)
