"""%%mapreduce: splits a long text into chunks, runs one prompt on each concurrently, merges the results by level."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from orchmagic.core.text_format import counted
from orchmagic.graph.builder import GraphBuilder
from orchmagic.graph.functions import FUNCTIONS
from orchmagic.graph.functions.chunking import estimated_tokens
from orchmagic.graph.model import CAP, END, Arm, Branch, Call, Code, Each, Edge, Graph, Node, Sub
from orchmagic.language import expression
from orchmagic.language.cell import Cell, Step
from orchmagic.language.magic_line import Option, RunOptions
from orchmagic.language.step_options import without
from orchmagic.language.template import Message
from orchmagic.patterns import Pattern
from orchmagic.patterns._prompts import read
from orchmagic.patterns._roles import code, controls, default_step, need, only, row, steps

MAP, REDUCE = "map", "reduce"
CHUNKS, GROUPS, RESULT = "chunks", "groups", "result"
CHUNK, PARTS = "chunk", "parts"
_OWN = frozenset({CHUNKS, GROUPS, RESULT, CHUNK, PARTS})
_SIZE = 3500  # tokens per chunk: from 4,000 on, models overlook the middle of a prompt
_SHARE = 0.05  # overlap: part of a chunk that the next one repeats
_NOT_TAKEN = ("over", "item", "when")  # refused options: both steps always run once per item
_LEVELS = 24  # maximum of merge levels: each leaves at most two thirds, so 24 suffice for 16,000 chunks


def build(cell: Cell, options: RunOptions, namespace: Mapping[str, object]) -> Graph:
    """Chunks -> map (each) -> groups -> reduce (each), back to groups while more than one is left -> result."""
    builder = GraphBuilder(cell, options, namespace)
    controls(builder, None, "Write `map` and `reduce` with their prompts")
    items = steps(builder, _OWN | FUNCTIONS.keys())
    roles = only(builder, items, (MAP, REDUCE))
    before = code(builder, [item for item in items if item.name not in {MAP, REDUCE}])
    size, overlap = builder.number("chunk", _SIZE), builder.number("overlap", -1)
    overlap = int(size * _SHARE) if overlap < 0 else overlap
    if 2 * overlap >= size:
        builder.problem(1, f"--overlap {overlap} is too much for chunks of {size} tokens", "Write less than half of it")
    chunks = Code(CHUNKS, f"split({_over(builder)}, {size}, {overlap})")
    mapped = _step(builder, need(builder, roles, MAP, "what to do with {{ chunk }}"), Each(CHUNKS, CHUNK))
    merge = need(builder, {REDUCE: _DEFAULT, **roles}, REDUCE, "how to merge {{ parts }}")
    reduced = _step(builder, merge, Each(GROUPS, PARTS))
    groups = Code(GROUPS, f"pack({', '.join([f'{REDUCE} or {MAP}', *_room(builder, reduced, size)])})")
    typed = REDUCE if isinstance(reduced, Call) else None
    result = Code(RESULT, f"{REDUCE}[0] if {REDUCE} else None", like=typed)
    nodes: list[Node] = [*before, chunks, mapped, groups, reduced, result]
    levels = builder.rounds(_LEVELS)
    arms = (Arm(True, GROUPS, levels - 1), Arm(False, RESULT))
    why = f"{counted(levels, 'level')} of merging {'was' if levels == 1 else 'were'} not enough"
    links = [*row(nodes[:-1]), Branch(REDUCE, f"len({REDUCE}) > 1", arms, CAP, why), Edge(RESULT, END)]
    return builder.build(nodes, links, [RESULT])


def _over(builder: GraphBuilder) -> str:
    """Returns the expression of the text or list to split."""
    source = str(builder.options.extra.get("over", "")).strip()
    if not source:
        builder.problem(1, "there is nothing to split", "Add --over and the name of a text or a list: --over document")
    elif trouble := expression.check(source):
        builder.problem(1, f"--over {source!r} is no expression: {trouble[0]}", "Write a name: --over document")
    elif own := sorted(expression.names(source) & (_OWN | {MAP, REDUCE})):
        builder.problem(1, f"--over uses {own[0]!r}, which is a name of the pattern itself", "Rename the variable")
    else:
        return source
    return "None"


def _step(builder: GraphBuilder, step: Step, each: Each) -> Call | Sub:
    for option in _NOT_TAKEN:
        if option in step.options:
            column = step.options[option].column
            write = f"{step.name} always runs, once for each of {each.over}"
            builder.problem(step.line, f"step {step.name!r} takes no {option}=", write, column)
    return replace(builder.step(step), each=each)


def _room(builder: GraphBuilder, reduced: Call | Sub, size: int) -> list[str]:
    """Returns the arguments of `pack`: the tokens for the parts, and the other values in the prompt."""
    if isinstance(reduced, Sub):
        return [str(size)]
    own = sum(estimated_tokens(message.text) for message in reduced.messages)
    if own > size // 2:
        builder.problem(1, f"the prompt of {REDUCE!r} fills half of a chunk ({own} tokens)", f"Write --chunk {4 * own}")
    return [str(size - own), *sorted(read(reduced.messages) - {PARTS})]


_MERGE = (
    "These are parts of one result, in the order of their source. Merge them into one: keep every fact, say "
    "nothing twice, add nothing.\n\n{{ parts }}"
)
_DEFAULT = replace(default_step(REDUCE), messages=(Message("user", _MERGE),))

pattern = Pattern(
    name="mapreduce",
    summary="Splits a long text at paragraphs and sentences and runs `map` on all chunks at once. `reduce` merges the "
    "results, level by level if they do not fit one prompt.",
    when="An input is longer than models read reliably (4,000 tokens), or a list has many items, and each piece can be "
    "processed on its own.",
    breaks="The answer depends on facts in different chunks. Every level of merging loses detail. Parts larger than "
    "half a chunk are merged two at a time, even past the limit.",
    dollars=(0.01, 0.5),
    seconds=(5, 60),
    example="""\
%%mapreduce digest --over document --chunk 3500
map -> list[str]
    The key claims of this passage: {{ chunk }}
reduce
    Merge these claims into one page: {{ parts }}
""",
    build=build,
    step_options=without(*_NOT_TAKEN),
    options=(
        Option("--over", "text", "the text or list to process: a name or an expression", "NAME"),
        Option("--chunk", "int", "most tokens of a chunk (default 3500)", "TOKENS", least=50),
        Option("--overlap", "int", "tokens that a chunk repeats from the one before (default 5 %)", "TOKENS"),
    ),
)
