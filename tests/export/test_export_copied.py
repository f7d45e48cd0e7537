"""What a module takes along from the notebook, and what it says when it cannot."""

from __future__ import annotations

import asyncio
import re

import pytest
from exporting import graph_of, loaded, ran, served

from orchmagic.errors import ExportError
from orchmagic.export import module
from orchmagic.export.source_text import is_typed, needs, of_class
from orchmagic.graph.functions.chunking import split
from orchmagic.graph.resolution import CallDefaults

USE = "def use(text: str) -> str:\n    return text\n"
CODE = "%%chain made\nfound = use(question)\nreply\n    Say {{ found }}\n"


def exported(code: str, cell: str = CODE, **values: object) -> str:
    space = ran(code) | values
    return module(graph_of(cell, space), space, served(), CallDefaults())


def refused(code: str, cell: str = CODE, **values: object) -> str:
    with pytest.raises(ExportError) as raised:
        exported(code, cell, **values)
    return str(raised.value)


def test_functions_come_with_all_that_they_need(tmp_path):
    code = """
import datetime as dt
import os.path as paths
from collections import Counter
from typing import Literal

WORDS = {"a": [1, 2.5, None], "b": (True, {"x"})}
Level = Literal["low", "high"] | None
RULE = __import__("re").compile("a+", 2)


def inner(text: str, level: Level = None) -> int:
    return Counter(text)["a"] + len(WORDS) + len(RULE.findall(text))


def use(text: str) -> str:
    # counts
    return f"{inner(text)} {dt.date(2026, 1, 2)} {paths.basename('x/y')}"
"""
    text = exported(code)
    made = loaded(text, tmp_path, "with_needs")
    assert made.use("banana") == ran(code)["use"]("banana") == "8 2026-01-02 y"
    assert "# counts" in text
    assert made.Level == ran(code)["Level"]


def test_decorated_and_cached_functions_keep_their_decorators(tmp_path):
    text = exported("from functools import lru_cache\n\n\n@lru_cache\ndef use(text: str) -> str:\n    return text\n")
    assert "@lru_cache\ndef use" in text
    assert loaded(text, tmp_path, "decorated").use("x") == "x"


def test_our_own_decorators_stay_behind_and_are_named(tmp_path):
    code = """import functools
import orchmagic.runtime.tools
from orchmagic.runtime.tools import tool


@tool
def plain(text: str) -> str:
    return text


@functools.cache
@orchmagic.runtime.tools.tool(
    writes=True,
    key=lambda text: text,
)
def use(text: str) -> str:
    return plain(text) + "!"
"""
    text = exported(code)
    assert "@functools.cache\ndef use" in text
    assert "import orchmagic" not in text
    assert "- `writes=True` of `use`: here every call of it writes\n" in text
    assert "`plain`" not in text
    assert loaded(text, tmp_path, "unmarked").use("x") == "x!"


def test_functions_of_orchmagic_come_by_source_with_what_they_need(tmp_path):
    cell = "%%chain cut\nparts = split(document, 100, 10)\nreply(over=parts)\n    {{ item }}\n"
    text = exported("", cell)
    made = loaded(text, tmp_path, "with_split")
    document = "One sentence. " * 200
    assert made.split(document, 100, 10) == split(document, 100, 10)
    assert "orchmagic" not in text.partition('"""\n\nimport')[2]


def test_a_name_of_the_notebook_that_ours_needs_is_refused():
    cell = "%%chain cut\nparts = split(_weight(document), 100, 10)\nreply\n    {{ parts }}\n"
    code = "def _weight(text: str) -> str:\n    return text\n"
    assert "the module needs '_weight' for itself" in refused(code, cell)


def test_images_cannot_leave_the_notebook():
    cell = "%%chain look\nreply\n    What is this? {{ photo }}\n"
    assert "input 'photo' is an image" in refused("", cell, photo=b"\x89PNG\r\n")


def test_a_conversation_is_named_as_left_behind():
    text = module(graph_of(CODE, space := ran(USE)), space, served(), CallDefaults(), thread="support")
    assert "- the conversation 'support' (`--thread`)" in text


def test_a_table_of_the_notebook_becomes_its_rows(tmp_path):
    code = """
class Table:
    columns = ["a"]

    def to_dict(self, how: str) -> list[dict[str, int]]:
        return [{"a": 1}] if how == "records" else []


def use(text: str) -> Table:
    return Table()
"""
    made = loaded(exported(code), tmp_path, "with_table")
    assert asyncio.run(made.found({"question": "x"})) == {"found": [{"a": 1}]}


def test_an_alias_of_a_function_comes_as_well(tmp_path):
    text = exported("def other(text: str) -> str:\n    return text + '!'\n\n\nuse = other\n")
    assert loaded(text, tmp_path, "aliased").use("x") == "x!"


def test_what_a_library_defines_is_imported():
    text = exported("from os.path import basename as use\nfrom statistics import mean\n")
    assert "from posixpath import basename as use" in text
    assert "mean" not in text


CLASSES = """
from dataclasses import dataclass
from enum import Enum

from pydantic import BaseModel, field_validator


def tidy(text: str) -> str:
    return text.strip()


class Level(Enum):
    LOW = "low"


class Base(BaseModel):
    name: str

    @field_validator("name")
    @classmethod
    def _strip(cls, found: str) -> str:
        return tidy(found)


class Ticket(Base):
    level: Level = Level.LOW
    parent: "Ticket | None" = None
"""


def test_classes_come_with_bases_fields_and_validators(tmp_path):
    text = exported(
        CLASSES, "%%chain made\nread -> Ticket\n    {{ question }}\nlevels -> list[Level]\n    {{ read.name }}\n"
    )
    made = loaded(text, tmp_path, "with_classes")
    assert made.Ticket.model_validate({"name": " a "}).name == "a"
    assert made.Ticket.model_json_schema() == ran(CLASSES)["Ticket"].model_json_schema()


def test_the_latest_definition_of_a_class_counts():
    first = ran("from pydantic import BaseModel\n\n\nclass Ticket(BaseModel):\n    a: int\n", "<ipython-input-8-old>")
    second = ran("from pydantic import BaseModel\n\n\nclass Ticket(BaseModel):\n    b: int\n", "<ipython-input-9-new>")
    assert of_class(second["Ticket"], second) == "class Ticket(BaseModel):\n    b: int"
    history = {**first, "In": ["", "class Ticket(BaseModel):\n    a: int  # too\n", "%magic that is no Python"]}
    assert of_class(first["Ticket"], history) == "class Ticket(BaseModel):\n    a: int  # too"


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("use = lambda text: text\n", r"'use' is a lambda: write `def use\(…\): return …`"),
        (
            "def outer():\n    n = 1\n    def use(text: str):\n        return n\n    return use\n\n\nuse = outer()\n",
            "closes over n",
        ),
        ("class A:\n    def use(self, text):\n        return text\n\n\nuse = A().use\n", "method of an object"),
        (
            "def use(text: str) -> str:\n    return text + unknown\n",
            "function 'use' uses 'unknown', which the notebook does not",
        ),
        (
            "data = object()\n\n\ndef use(text: str) -> object:\n    return data\n",
            "function 'use' uses 'data', an object of",
        ),
        (
            "big = list(range(99999))\n\n\ndef use(text: str) -> int:\n    return big[0]\n",
            "'big', a list of the notebook of that size",
        ),
        (
            "def ask(text: str) -> str:\n    return text\n\n\ndef use(text: str) -> str:\n    return ask(text)\n",
            "'ask' is also a name",
        ),
        ("exec('def use(text): return text')\n", "the source of function 'use' is not known"),
        ("use = type('Use', (), {'__init__': print})\n", "the source of class 'use' is not known"),
    ],
)
def test_what_cannot_leave_the_notebook_is_named(code, said):
    assert re.search(said, refused(code))


def test_all_that_stands_in_the_way_is_said_at_once():
    said = refused("a = object()\nb = object()\n\n\ndef use(text: str) -> object:\n    return a or b\n")
    assert "'a'" in said
    assert "'b'" in said


def test_functions_without_type_hints_are_announced_to_the_linters():
    text = exported("def use(text):\n    return text\n")
    assert 'mypy: disable-error-code="no-untyped-def, no-untyped-call"' in text
    assert "mypy:" not in exported("def use(text: str) -> str:\n    return text\n")


def test_a_field_that_hides_a_method_of_pydantic_is_refused():
    assert "'copy'" in refused("", "%%chain made\nread -> copy: str\n    {{ question }}\n")


def test_an_async_function_inside_a_larger_expression_is_refused():
    code = "async def use(text: str) -> str:\n    return text\n"
    assert "a line of its own" in refused(code, "%%chain made\nfound = [use(question)]\nreply\n    {{ found }}\n")


def test_needed_names_are_the_global_ones():
    source = "def f(a: 'Ticket', b: Literal['x'] = LEFT, *, c: list['Note']) -> int:\n    import os\n    x = [y for y in a]\n    return g(x, os, h.i) + f(a)\n"
    assert needs(source) == ["LEFT", "Literal", "Note", "Ticket", "g", "h", "int", "list"]


def test_hints_are_wanted_everywhere_but_for_self():
    assert is_typed("class A:\n    def f(self, a: int) -> int: ...\n")
    assert not is_typed("def f(a: int): ...\n")
    assert not is_typed("def f(*a) -> int: ...\n")
