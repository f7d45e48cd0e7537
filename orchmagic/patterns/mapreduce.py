"""%%mapreduce: a long text in chunks, the same prompt on each side by side, then merged level by level."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise

from orchmagic.graph.builder import GraphBuilder
from orchmagic.graph.functions import FUNCTIONS
from orchmagic.graph.functions.chunking import estimated_tokens
from orchmagic.graph.model import CAP, END, Arm, Branch, Call, Code, Each, Edge, Graph, Link, Node, Sub
from orchmagic.language import expression
from orchmagic.language.cell import Cell, CodeStep, Control, Step
from orchmagic.language.magic_line import Option, RunOptions
from orchmagic.language.step_options import without
from orchmagic.language.template import Message, names
from orchmagic.patterns import Pattern

MAP, REDUCE = "map", "reduce"
CHUNKS, GROUPS, RESULT = "chunks", "groups", "result"
CHUNK, PARTS = "chunk", "parts"
_OWN = frozenset({CHUNKS, GROUPS, RESULT, CHUNK, PARTS})
_SIZE = 3500  # tokens: below the 4,000 from which on models overlook what stands in the middle
_SHARE = 0.05  # of a chunk that the next one repeats
_NOT_TAKEN = ("over", "item", "when")  # options: both steps always run, once for each of their items
_LEVELS = 24  # of merging: `pack` leaves two thirds at most, so that these are enough for 16,000 chunks


def build(cell: Cell, options: RunOptions, namespace: Mapping[str, object]) -> Graph:
    """Chunks -> map (each) -> groups -> reduce (each), back to groups while more than one is left -> result."""
    builder = GraphBuilder(cell, options, namespace)
    before: list[Node] = []
    steps: dict[str, Step] = {}
    for item in cell.items:
        match item:
            case Step(name="map" | "reduce"):
                steps[item.name] = item
            case CodeStep() if item.name not in {MAP, REDUCE}:
                before.append(builder.code(item))
            case _:
                _refuse(builder, item)
    size, overlap = _sizes(builder)
    chunks = Code(CHUNKS, f"split({_over(builder)}, {size}, {overlap})")
    mapped = _step(builder, steps.get(MAP), MAP, Each(CHUNKS, CHUNK))
    reduced = _step(builder, steps.get(REDUCE) or _DEFAULT, REDUCE, Each(GROUPS, PARTS))
    groups = Code(GROUPS, f"pack({', '.join([f'{REDUCE} or {MAP}', *_room(builder, reduced, size)])})")
    typed = REDUCE if isinstance(reduced, Call) else None
    result = Code(RESULT, f"{REDUCE}[0] if {REDUCE} else None", like=typed)
    nodes = [*before, chunks, mapped, groups, reduced, result]
    _check_names(builder, cell, before)
    links: list[Link] = [Edge(a.name, b.name) for a, b in pairwise(nodes[:-1])]
    arms = (Arm(True, GROUPS, _LEVELS), Arm(False, RESULT))
    links.append(Branch(REDUCE, f"len({REDUCE}) > 1", arms, CAP, f"{_LEVELS} levels of merging were not enough"))
    links.append(Edge(RESULT, END))
    return builder.build(nodes, links, [RESULT])


def _refuse(builder: GraphBuilder, item: Step | CodeStep | Control) -> None:
    match item:
        case Control():
            builder.refuse(item, f"`{item.keyword}` line", "Write `map` and `reduce` with their prompts")
        case CodeStep():
            write = f"Write `{item.name}` with a prompt below it, or {item.name}(run=NAME)"
            builder.refuse(item, f"`{item.name} = …` line", write)
        case Step():
            builder.refuse(item, f"step {item.name!r}", "Its steps are `map` and `reduce`; `name = …` may stand before")


def _sizes(builder: GraphBuilder) -> tuple[int, int]:
    """Tokens of a chunk and of the overlap."""
    extra = builder.options.extra
    size = int(str(extra.get("chunk", _SIZE)))
    overlap = int(str(extra.get("overlap", int(size * _SHARE))))
    if 2 * overlap >= size:
        builder.problem(1, f"--overlap {overlap} is too much for chunks of {size} tokens", "Write less than half of it")
    return size, overlap


def _over(builder: GraphBuilder) -> str:
    """The expression that gives the text or the list."""
    source = str(builder.options.extra.get("over", "")).strip()
    if not source:
        builder.problem(
            1, "it is not said what to split", "Add --over and the name of a text or a list: --over document"
        )
    elif trouble := expression.check(source):
        builder.problem(1, f"--over {source!r} is no expression: {trouble[0]}", "Write a name: --over document")
    elif own := sorted(expression.names(source) & (_OWN | {MAP, REDUCE})):
        builder.problem(1, f"--over uses {own[0]!r}, which is a name of the pattern itself", "Rename the variable")
    else:
        return source
    return "None"


def _step(builder: GraphBuilder, step: Step | None, name: str, each: Each) -> Call | Sub:
    if step is None:
        builder.problem(
            1, f"the cell has no step `{name}`", f"Write `{name}` and, below it, what to do with {{{{ chunk }}}}"
        )
        return Call(name, ())
    for option in _NOT_TAKEN:
        if option in step.options:
            column = step.options[option].column
            write = f"{name} always runs, once for each of {each.over}"
            builder.problem(step.line, f"step {name!r} takes no {option}=", write, column)
    node = replace(builder.step(step), each=each)
    if isinstance(node, Call) and each.item not in {n for m in node.messages for n in names(m.text)}:
        write = f"Put {{{{ {each.item} }}}} into its prompt"
        builder.problem(step.line, f"step {name!r} never reads {each.item!r}", write)
    return node


def _room(builder: GraphBuilder, reduced: Call | Sub, size: int) -> list[str]:
    """What `pack` must know: the tokens for the parts, and the other values that stand in the prompt beside them."""
    if isinstance(reduced, Sub):
        return [str(size)]
    own = sum(estimated_tokens(message.text) for message in reduced.messages)
    if own > size // 2:
        builder.problem(1, f"the prompt of {REDUCE!r} fills half of a chunk ({own} tokens)", f"Write --chunk {4 * own}")
    beside = {n for message in reduced.messages for n in names(message.text)} - {PARTS}
    return [str(size - own), *sorted(beside)]


def _check_names(builder: GraphBuilder, cell: Cell, before: list[Node]) -> None:
    lines = {item.name: item.line for item in cell.items if not isinstance(item, Control)}
    for node in before:
        if node.name in _OWN | FUNCTIONS.keys():
            write = f"Write another name: `my_{node.name}`"
            builder.problem(lines[node.name], f"{node.name!r} is a name of the pattern itself", write)


_DEFAULT = Step(
    REDUCE,
    {},
    None,
    None,
    (
        Message(
            "user",
            "These are parts of one result, in the order of their source. Merge them into one: keep every fact, say "
            "nothing twice, add nothing.\n\n{{ parts }}",
        ),
    ),
    1,
)

pattern = Pattern(
    name="mapreduce",
    summary="Splits a long text at paragraphs and sentences, runs `map` on all chunks side by side and merges what "
    "they give with `reduce`, in levels when it is too much for one prompt.",
    when="One input is too long for a prompt that is read well (4,000 tokens), or a list has many items, and each "
    "piece can be worked on alone.",
    breaks="What matters is spread over chunks that never meet; the merge is the hard part: every level loses detail; "
    "parts that stay larger than half a chunk are merged in twos, past the limit.",
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
        Option("--over", "text", "the text (or list) to work through, a name or an expression", "NAME"),
        Option("--chunk", "int", "most tokens of a chunk (default 3500)", "TOKENS", least=50),
        Option("--overlap", "int", "tokens that a chunk repeats of the one before (default 5 %)", "TOKENS"),
    ),
)
