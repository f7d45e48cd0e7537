"""Chooses names for a module: the cell's own names, changed if they are already used in the module."""

from __future__ import annotations

import builtins
import itertools
import re
from collections.abc import Callable, Collection, Iterable, Mapping

from orchmagic.export import carried
from orchmagic.graph.output_types import camel
from orchmagic.graph.standard_types import STANDARD_TYPES

# Imports of generated code, name -> module, and those of copied code. A test imports them all.
IMPORTS: Mapping[str, str] = {
    "Annotated": "typing",
    "Any": "typing",
    "AsyncOpenAI": "openai",
    "BaseModel": "pydantic",
    "Callable": "collections.abc",
    "Choice": "openai.types.chat.chat_completion",
    "Command": "langgraph.types",
    "CompiledStateGraph": "langgraph.graph.state",
    "ConfigDict": "pydantic",
    "DefaultAsyncHttpxClient": "openai",
    "END": "langgraph.graph",
    "Environment": "jinja2",
    "Field": "pydantic",
    "InMemorySaver": "langgraph.checkpoint.memory",
    "Literal": "typing",
    "Mapping": "collections.abc",
    "Optional": "typing",
    "START": "langgraph.graph",
    "Sequence": "collections.abc",
    "StateGraph": "langgraph.graph",
    "StrictUndefined": "jinja2",
    "TypeAdapter": "pydantic",
    "TypeAlias": "typing",
    "TypedDict": "typing",
    "Union": "typing",
    "argparse": "",
    "asyncio": "",
    "dataclass": "dataclasses",
    "field": "dataclasses",
    "interrupt": "langgraph.types",
    "json": "",
    "logging": "",
    "operator": "",
    "os": "",
    "partial": "functools",
    "to_jsonable_python": "pydantic_core",
    **carried.imports(),
}

# Names that modules define independently of the cell: generated names, then those of copied code.
OWN = frozenset(
    """AGAIN BASE_URL CHOICES CONCURRENCY DEADLINE FALLBACK INSTRUCTIONS KEY MAX_ITERATIONS MAX_STEPS MAX_TOKENS MODEL
    Messages OPTIONS REASK REASKS RETRIES State TIMEOUT TOOLS TOOL_TIMEOUT Tools answered build_graph first_usable
    exact_number iso_text logger main result run serve""".split()  # noqa: SIM905 - a list of words reads as one
).union((row.reply for row in STANDARD_TYPES.values()), *map(carried.definitions, carried.SOURCES))

# Names of local variables in generated functions.
LOCALS = frozenset(
    """again answer asked builder calls check choice client ended failed found graph inputs items last messages
    models one passed pause replies reply rung said state told uses value vote why winner""".split()  # noqa: SIM905 - a list of words reads as one
)
_BUILTINS = frozenset(dir(builtins))


def taken(name: str) -> bool:
    """Whether the module uses the name itself."""
    return name in IMPORTS or name in OWN or name in _BUILTINS


def _free(
    words: Iterable[str],
    used: Iterable[str],
    name_of: Callable[[str], str],
    longer: Callable[[str], str],
    also: Callable[[str], set[str]] = lambda name: {name},
) -> dict[str, str]:
    """Returns a name for each word, made `longer` until it is free; `also` are the names that it occupies."""
    known, found = set(used), {}
    for word in words:
        name = name_of(word)
        while taken(name) or name in known:
            name = longer(name)
        known |= also(name)
        found[word] = name
    return found


def constants(words: Iterable[str]) -> dict[str, str]:
    """Returns a constant's name for each word: `gpt-4o-mini` -> `GPT_4O_MINI`."""

    def name_of(word: str) -> str:
        bare = re.sub(r"\W+", "_", word.upper(), flags=re.ASCII).strip("_") or "OTHER"
        return f"MODEL_{bare}" if bare[0].isdigit() else bare

    return _free(words, (), name_of, "{}_".format)


def local(names: Iterable[str], used: Collection[str]) -> dict[str, str]:
    """Returns the local variable of each value of the state; `used` are names that functions call."""
    return _free(names, LOCALS.union(used), str.lower, "{}_".format)


def functions(nodes: Iterable[str], code: Iterable[str], prefix: str = "") -> dict[str, str]:
    """Returns the function name of each node; those of an inner graph begin with `prefix`."""
    return _free(nodes, code, lambda node: prefixed(node.lower(), prefix), "{}_step".format, derived)


def classes(steps: Iterable[str], code: Iterable[str], prefix: str = "") -> dict[str, str]:
    """Returns the class name of each step's output, or of each tool's arguments."""

    def name_of(step: str) -> str:
        name = camel(prefixed(step, prefix))
        return name if name.isidentifier() else f"Form{name}"

    return _free(steps, code, name_of, "{}Form".format)


def derived(function: str) -> set[str]:
    """Returns the name of a node's function and all names that derive from it."""
    return {function, f"after_{function}", *(f"{function}_{word}" for word in ("prompt", "question", "item", "vote"))}


def prefixed(name: str, prefix: str) -> str:
    """Adds the prefix to a name that does not begin with it."""
    return name if not prefix or name == prefix or name.startswith(f"{prefix}_") else f"{prefix}_{name}"


def prefix(graph: str, known: Collection[str]) -> str:
    """Returns the prefix for the names of an inner graph; `known` are the prefixes already used."""
    bare = re.sub(r"\W+", "_", graph.lower(), flags=re.ASCII).strip("_") or "inner"
    found = next(n for n in itertools.chain([bare], (f"{bare}_{i}" for i in itertools.count(2))) if n not in known)
    return found if found.isidentifier() else f"inner_{found}"
