"""No text can leave its string in an exported module: the quoting alone, then whole modules, by many seeds."""

from __future__ import annotations

import ast
import builtins
import enum
import json
import random
import re

import pytest
from exporting import graph_of, loaded, ran

from orchmagic.errors import ExportError
from orchmagic.export import module
from orchmagic.export.formatting import Filled, remarked, texts
from orchmagic.export.quoting import comment, docstring, in_f_string, literal
from orchmagic.graph.resolution import CallDefaults
from orchmagic.models.types import Deployment, Pool

RUN = '__import__("builtins").OWNED.append(1)'
PIECES = [
    '"', "'", '""', '"""', "'''", "\\", "\\\\", '\\"', "\\n", "\\N{DASH}", "\\x", "\\u12", "\n", "\r", "\r\n", "\t", "\f", "\v",
    "\x00", "\x1b[31m", "\x1b]8;;http://e\x07", "\x85", "\u2028", "\u2029", "\u202e", "\u2066", "\u200b", "\ufeff", "\ud800",
    "é", "漢", "🙂", "{", "}", "{{", "}}", "{x}", "{{ x }}", "#", "# ", ";", "%", "%s", "$(id)", "`id`", "&&", "|", "</script>",
    f'"""\n{RUN}\n"""', f"'''\n{RUN}\n'''", f'"\n{RUN}\n"', f"\n{RUN}\n", f'" + {RUN} + "', f"' + {RUN} + '", f"{{{RUN}}}", f"\\\n{RUN}",
    " ", "word", "def f():", "lambda: 0", "\n    ", "\n\n",
]  # fmt: skip


def hostile(draw: random.Random, most: int = 12) -> str:
    return "".join(draw.choice(PIECES) for _ in range(draw.randint(1, most)))


@pytest.fixture(autouse=True)
def owned(monkeypatch):
    """Grows if a text of a module runs."""
    monkeypatch.setattr(builtins, "OWNED", [], raising=False)
    yield builtins.OWNED
    assert builtins.OWNED == []


@pytest.mark.parametrize("seed", range(0, 2000, 200))
def test_a_quoted_text_is_read_back_and_nothing_else_is_there(seed):
    for number in range(seed, seed + 200):
        draw = random.Random(number)
        text = hostile(draw)
        assert ast.literal_eval(literal(text)) == text
        rows = [hostile(draw) for _ in range(draw.randint(1, 3))]
        [found] = ast.parse("\n".join(docstring(rows))).body
        assert isinstance(found, ast.Expr)
        end = "\n" if len(rows) > 1 else ""
        assert found.value.value == "\n".join(rows) + end
        noted = f"x = 1  # {comment(text)}"
        assert noted.isprintable()
        assert len(ast.parse(noted).body) == 1
        quote = draw.choice("\"'")
        assert eval(f"f{quote}{in_f_string(text, quote)}{quote}") == text


@pytest.mark.parametrize("seed", range(0, 600, 100))
def test_a_long_text_on_several_lines_is_read_back_with_its_values(seed):
    for number in range(seed, seed + 100):
        draw = random.Random(number)
        plain = [hostile(draw, 40), hostile(draw, 40)]
        source = "\n".join(texts("found = ", [plain[0], Filled("x"), plain[1]]))
        space = {"x": "X"}
        exec(source, space)
        assert space["found"] == f"{plain[0]}X{plain[1]}"
        assert len(ast.parse("\n".join(remarked(["y = 1"], hostile(draw)))).body) == 1


class Loud(str):
    __slots__ = ()

    def __repr__(self) -> str:
        return RUN

    __str__ = __repr__


class Number(int):
    def __repr__(self) -> str:
        return RUN


class Level(enum.IntEnum):
    LOW = 1


@pytest.mark.parametrize(
    ("value", "source"),
    [
        (Loud("a"), '"a"'),
        (Number(3), "3"),
        (Level.LOW, "1"),
        (True, "True"),
        ({"a": [1, (2,), {"b"}]}, '{"a": [1, (2,), {"b"}]}'),
        (frozenset(), "frozenset()"),
        (set(), "set()"),
        (-0.5, "-0.5"),
    ],
)
def test_only_the_value_of_an_object_is_written_never_what_it_says_it_is(value, source):
    assert literal(value) == source


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object(), b"bytes", print, {"a": object()}])
def test_what_no_literal_can_represent_is_refused(value):
    with pytest.raises(ExportError, match="cannot be written into a module"):
        literal(value)


CELL = """%%chain hostile
first -> label: Literal[LABEL]
    PROMPT {{ topic }}
gate first.label != LABEL else goto first
second(stop=LABEL)
    system: PROMPT
    user: PROMPT {{ first.label }} {{ DATA }}"""


def exported(space, one_line, text, answer, alias="first"):
    """A module all of whose texts are `text` (prompts, constants) or `one_line` (labels, models, settings)."""
    cell = CELL.replace("LABEL", json.dumps(one_line)).replace("PROMPT", answer)
    deployment = Deployment(
        alias=alias,
        provider="openai",
        model=text,
        base_url="https://api.openai.com/v1",
        key_env="KEY",
        parameters={"user": text, text: [text]},
        requests_per_minute=3,
    )
    pool = Pool(one_line, (deployment, Deployment(alias=text, provider="openai", model=text, base_url="http://x/v1")))
    defaults = CallDefaults(model=alias, fallback=("second",))
    return module(
        graph_of(cell, {**space, "DATA": {text: text}}),
        {**space, "DATA": {text: text}},
        lambda asked: deployment if asked == alias else Deployment(asked, "openai", f"{text}2", "https://y.example/v1"),
        defaults,
        thread=text,
        pool=lambda _: pool,
        served=True,
    )


def test_an_alias_of_any_name_becomes_a_constant(tmp_path):
    for number in range(5):
        name = f"x{hostile(random.Random(number), 30)}"
        loaded(exported(ran("topic = 'rain'"), "label", "m", "hi", alias=name), tmp_path, f"alias_{number}")


def shape(source: str) -> str:
    """The tree of a module without its texts and without the number of its targets' hashes."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            node.value = ""
    return ast.dump(tree)


def benign(text: str) -> str:
    return "x" * len(text)


@pytest.mark.parametrize("seed", range(8))
def test_a_module_with_hostile_texts_has_the_shape_of_one_with_harmless_texts(seed, tmp_path, monkeypatch):
    monkeypatch.setattr("orchmagic.export.assemble.formatted", lambda source: source)  # ruff takes a second a module
    draw = random.Random(seed)
    text = hostile(draw, 30)
    one_line = "".join(c for c in text if c.isprintable() and c.isascii()).strip() or "l"
    prompt = (
        re.sub(r"[^\S ]", " ", text).replace("{", "").replace("}", "").replace("#", "").replace("\ud800", "").strip()
        or "p"
    )
    prompt = f"say {prompt}"
    space = ran("topic = 'rain'")
    bad = exported(space, one_line, text, prompt)
    good = exported(space, benign(one_line), benign(text), "say " + benign(prompt[4:]))
    assert shape(bad) == shape(good)
    found = loaded(bad, tmp_path, f"hostile_{seed}")
    assert getattr(found.MODEL, "name", found.MODEL) == text
