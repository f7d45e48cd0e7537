"""Texts and expressions in modules: the same values with ruff's layout and without it, whatever they hold."""

from __future__ import annotations

import ast
import random
import sysconfig
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchmagic.export import expression_source, formatting
from orchmagic.export.formatting import WIDTH, Filled, assigned, find_ruff, formatted, literal, texts

PIECES = [
    *"abc   \n\n'\"{}\\\t$é😀`#",
    "word ",
    '"quoted" ',
    "it's ",
    "{{",
    "}}",
    "x" * 30,
    "y" * 90,
    "\r",
    "\x00",
    "\u200b",
]
ATOMS = """a|extract.quote|ticket|docs[0]|docs[1:3]|docs[a + 1:]|'low'|"it's"|3|2.5|1e9|None|True|-4|f(a)|Severity.HIGH
|'a fairly long string literal here'|b''|x ** 2|not a|[]|()|{}|(3).real|f'{a}'|lambda p: p""".replace("\n", "").split(
    "|"
)
FORMS = """({0}) and ({1})|({0}) or ({1}) or ({2})|({0}) == ({1})|({0}) not in ({1})|({0}) >= 8|search({0}, k={1})
|[{0}, {1}]|{{'k': {0}, 'other': {1}}}|({0}, {1})|any({0} for p in ({1}) if ({2}))|[{0} for p in ({1})]
|({0}) if ({1}) else ({2})|not ({0})|({0}) + ({1})|len({0})|next((({0}) for p, q in ({1}) if ({2})), None)|{{{0}, {1}}}
|({0}).lower()|f(*({0}), **({1}))""".replace("\n", "").split("|")


def some_parts(chance: random.Random) -> list[str | Filled]:
    found: list[str | Filled] = []
    for _ in range(chance.randint(1, 5)):
        found.append("".join(chance.choices(PIECES, k=chance.randint(1, 60))))
        if chance.random() < 0.5:
            found.append(Filled(chance.choice(["x", "d[0]['k']", "len(d)"])))
    merged: list[str | Filled] = []
    for part in found:
        if merged and isinstance(part, str) and isinstance(merged[-1], str):
            merged[-1] += part
        else:
            merged.append(part)
    return merged


def written(parts: list[str | Filled], number: int) -> str:
    return "\n".join(["", "", f"def f{number}() -> str:", *texts("    found = ", parts), "    return found"])


def test_any_text_stays_the_same_in_both_layouts():
    chance = random.Random(7)
    scope = {"x": "v", "d": [{"k": 1}]}
    cases = [some_parts(chance) for _ in range(200)]
    wanted = ["".join(p if isinstance(p, str) else str(eval(p.source, dict(scope))) for p in parts) for parts in cases]
    plain = "\n".join(['x = "v"', 'd = [{"k": 1}]', *(written(parts, n) for n, parts in enumerate(cases))]) + "\n"
    for text in (plain, formatted(plain)):
        space: dict[str, Callable[[], str]] = {}
        exec(compile(text, "made", "exec"), space)
        assert [space[f"f{n}"]() for n in range(200)] == wanted


def test_a_long_text_has_a_row_for_each_of_its_lines_and_no_row_is_long():
    text = f"First line.\n{'word ' * 40}\nLast line, with a {{brace}} and a 'quote'.\n"
    rows = texts("    found = ", [text, Filled("x")])
    assert rows[0] == "    found = ("
    assert "First line.\\n" in rows[1]
    assert len(rows) == 8
    assert max(map(len, rows)) <= WIDTH


def some_expression(chance: random.Random, depth: int) -> str:
    if depth == 0:
        return chance.choice(ATOMS)
    return chance.choice(FORMS).format(*(some_expression(chance, chance.randint(0, depth - 1)) for _ in range(3)))


def test_any_expression_stays_the_same_in_both_layouts():
    chance = random.Random(7)
    sources = [some_expression(chance, chance.randint(0, 4)) for _ in range(200)]
    plain = "\n".join(f"found = {ast.unparse(expression_source.read(source))}" for source in sources) + "\n"
    wanted = [ast.dump(ast.parse(source, mode="eval").body) for source in sources]
    for text in (plain, formatted(plain)):
        assert [ast.dump(node.value) for node in ast.parse(text).body] == wanted


def test_imports_are_sorted_and_lines_broken_where_ruff_is_found():
    plain = (
        f"import os\nfrom zebra import b, a\nimport ast\nfound = any((x for x in [{', '.join(['1234567'] * 12)}]))\n"
    )
    text = formatted(plain)
    assert text.startswith("import ast\nimport os\n\nfrom zebra import a, b\n\nfound = any(\n    x\n")
    assert max(map(len, text.splitlines())) <= WIDTH


def test_without_ruff_or_with_code_that_it_cannot_read_the_layout_is_the_plain_one(monkeypatch):
    assert formatted("found = (\n") == "found = (\n"
    monkeypatch.setattr(formatting, "find_ruff", lambda: None)
    assert formatted("import os\nimport ast\n") == "import os\nimport ast\n"


def test_ruff_is_found_beside_python_and_on_the_path(monkeypatch, tmp_path):
    assert find_ruff() is not None
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_ruff() == str(Path(sysconfig.get_path("scripts")) / Path(str(find_ruff())).name)
    monkeypatch.setattr(sysconfig, "get_path", lambda _: str(tmp_path))
    assert find_ruff() is None


@pytest.mark.parametrize(
    ("source", "negated"),
    [
        ("a == 'b'", "a != 'b'"),
        ("a in b", "a not in b"),
        ("not a", "a"),
        ("a is None", "a is not None"),
        ("a < b", "not a < b"),
    ],
)
def test_a_condition_is_turned_round_without_a_not_where_one_can(source, negated):
    assert ast.unparse(expression_source.opposite(expression_source.read(source))) == negated


def test_names_are_changed_everywhere_even_where_they_are_bound():
    tree = expression_source.read("[id for id in ids if (lambda id: id)(id)]", {"id": "id_"})
    assert ast.unparse(tree) == "[id_ for id_ in ids if (lambda id_: id_)(id_)]"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner) | st.tuples(inner, inner),
)


@given(JSON)
def test_constants_are_what_they_were(value):
    space: dict[str, object] = {}
    exec("\n".join(assigned("FOUND", value)), space)
    assert space["FOUND"] == value
    assert eval(literal(value)) == value


@given(st.sets(st.text()))
def test_sets_are_written_in_one_order(value):
    again = sorted(value, reverse=True)
    assert literal(value) == literal({*again})
    assert eval(literal(value)) == value
    assert eval(literal(frozenset(value))) == value
