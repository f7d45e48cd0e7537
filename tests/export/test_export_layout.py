"""Texts and expressions in modules: the same values, laid out as the formatter would, whatever they hold."""

from __future__ import annotations

import ast
import random
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchmagic.export import expression_source
from orchmagic.export.formatting import Filled, assigned, literal, quoted, texts

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


def clean(file: Path, *command: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "ruff", *command, "--isolated", "--no-cache", str(file)],
        capture_output=True,
        text=True,
        check=False,
    )
    return "" if done.returncode == 0 else done.stdout + done.stderr


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


def test_any_text_is_laid_out_as_the_formatter_does_and_stays_the_same(tmp_path):
    chance = random.Random(7)
    scope = {"x": "v", "d": [{"k": 1}]}
    lines, wanted = ['x = "v"', 'd = [{"k": 1}]'], []
    for number in range(200):
        parts = some_parts(chance)
        lines += ["", "", f"def f{number}() -> str:", *texts("    found = ", parts, ""), "    return found"]
        wanted.append("".join(p if isinstance(p, str) else str(eval(p.source, dict(scope))) for p in parts))
    file = tmp_path / "made.py"
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    space: dict[str, object] = {}
    exec(compile(file.read_text(encoding="utf-8"), "made", "exec"), space)
    assert [space[f"f{n}"]() for n in range(200)] == wanted
    assert not clean(file, "format", "--diff")
    assert not clean(file, "check", "--select", "E501")


def some_expression(chance: random.Random, depth: int) -> str:
    if depth == 0:
        return chance.choice(ATOMS)
    return chance.choice(FORMS).format(*(some_expression(chance, chance.randint(0, depth - 1)) for _ in range(3)))


def test_any_expression_is_laid_out_as_the_formatter_does_and_stays_the_same(tmp_path):
    chance = random.Random(7)
    lines: list[str] = []
    for number in range(200):
        source = some_expression(chance, chance.randint(0, 4))
        before, after = chance.choice([("    found = ", ""), ("    return ", ""), ("    if ", ":")])
        rows = expression_source.lines(expression_source.read(source), before, after)
        block = [f"def f{number}():", *rows, *(["        pass"] if after else [])]
        made = ast.parse("\n".join(block)).body[0].body[0]
        assert ast.dump(made.test if after else made.value) == ast.dump(ast.parse(source, mode="eval").body)
        lines += [*(["", ""] if lines else []), *block]
    file = tmp_path / "made.py"
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    assert not clean(file, "format", "--diff")
    assert not clean(file, "check", "--select", "E501")


@pytest.mark.parametrize(
    ("source", "negated"),
    [
        ("a == 'b'", 'a != "b"'),
        ("a in b", "a not in b"),
        ("not a", "a"),
        ("a is None", "a is not None"),
        ("a < b", "not a < b"),
    ],
)
def test_a_condition_is_turned_round_without_a_not_where_one_can(source, negated):
    assert expression_source.flat(expression_source.opposite(expression_source.read(source))) == negated


def test_names_are_changed_everywhere_even_where_they_are_bound():
    tree = expression_source.read("[id for id in ids if (lambda id: id)(id)]", {"id": "id_"})
    assert expression_source.flat(tree) == "[id_ for id_ in ids if (lambda id_: id_)(id_)]"


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


@given(st.text())
def test_text_is_what_it_was(text):
    assert ast.literal_eval(quoted(text)) == text
