"""A path given to `--over` is read as a document; items that hold nothing are told once, below the cell."""

import math
from pathlib import Path

import pytest

from orchmagic.errors import InputError

DIGEST = (
    "%%mapreduce digest --no-cache --over {over}\nmap\n    Read {{{{ chunk }}}}\nreduce\n    Merge {{{{ parts }}}}\n"
)


@pytest.fixture
def files(tmp_path):
    (tmp_path / "a.txt").write_text("the text of a", "utf-8")
    (tmp_path / "b.md").write_text("the text of b", "utf-8")
    (tmp_path / "scan.pdf").write_bytes(b"%PDF\xff\xfe\x00")
    return tmp_path


@pytest.mark.parametrize(
    ("over", "make", "read"),
    [
        ("document", lambda at: at / "a.txt", ["a"]),
        ("document", lambda at: [at / "a.txt", at / "b.md"], ["a", "b"]),
        ("load()", lambda at: at / "a.txt", ["a"]),
        ("load()", lambda at: [at / "a.txt", at / "b.md"], ["a", "b"]),
    ],
)
def test_a_path_is_read(notebook, files, over, make, read):
    notebook.script(lambda _: "ok")
    notebook.run(DIGEST.format(over=over), document=make(files), load=lambda: make(files))
    assert sorted(p for p in notebook.prompts if p.startswith("Read")) == [f"Read the text of {name}" for name in read]


@pytest.mark.parametrize("line", ["x = digest(document=path)", "x(run=digest)"])
def test_a_path_for_an_inner_cell_is_read(notebook, files, line):
    notebook.script(lambda _: "ok")
    made = notebook.define(DIGEST.format(over="document"))
    path = "path" if "path" in line else "document"
    notebook.run(f"%%chain t --no-cache\n{line}\n", digest=made, **{path: files / "a.txt"})
    assert notebook.prompts[0] == "Read the text of a"


@pytest.mark.parametrize(
    ("name", "told"), [("missing.txt", "cannot be read: No such file"), (".", "cannot be read"), ("scan.pdf", "is no text file")]
)  # fmt: skip
def test_a_path_that_holds_no_text_is_refused(notebook, files, name, told):
    with pytest.raises(InputError, match=told):
        notebook.run(DIGEST.format(over="document"), document=files / name)
    assert notebook.prompts == []


def test_a_path_in_a_prompt_is_its_name(notebook):
    notebook.script(lambda _: "ok")
    notebook.run("%%chain t\nsay\n    Open {{ path }}\n", path=Path("notes.txt"))
    assert notebook.prompts == ["Open notes.txt"]


@pytest.mark.parametrize(
    ("items", "told"),
    [
        (["a", None, "b"], "say: 1 of 3 items hold nothing (None, NaN or no text): 2"),
        ([math.nan, "", " \n", "b"], "say: 3 of 4 items hold nothing (None, NaN or no text): 1, 2, 3"),
        (["", *["a"] * 3, *[""] * 6], "say: 7 of 10 items hold nothing (None, NaN or no text): 1, 5, 6, 7, 8, …"),
        (["a", 0, False, []], None),
    ],
)
def test_items_that_hold_nothing_are_told_once(notebook, items, told):
    notebook.script(lambda _: "ok")
    run = notebook.run("%%chain t\nsay(over=items)\n    Say {{ item }}\n", items=items)
    assert (run.status, run.reason) == ("done", told)


def test_they_are_told_of_an_inner_cell_and_of_chunks(notebook):
    notebook.script(lambda _: "ok")
    inner = notebook.define("%%chain inner --no-cache\nsay(over=items)\n    Say {{ item }}\n")
    run = notebook.run("%%chain t --no-cache\nx = inner()\ny = inner()\n", inner=inner, items=[None, "a"])
    assert run.reason == "say: 1 of 2 items hold nothing (None, NaN or no text): 1"
    run = notebook.run(DIGEST.format(over="document"), document=["a", ""])
    assert run.reason == "map: 1 of 2 items hold nothing (None, NaN or no text): 2"


@pytest.mark.parametrize(
    ("cell", "values"),
    [
        ("%%chain t\nsay\n    {{ a }}\n", {"a": " "}),
        ("%%chain t\nsay\n    {{ a }}\n\n    {{ b }}\n", {"a": "", "b": "\t"}),
        ("%%chain t\nsay\n    {% if a %}Read {{ a }}{% endif %}\n", {"a": ""}),
        ("%%chain t\nsay\n    {{ a() }}\n", {"a": lambda: ""}),
        ("%%chain t\nsay\n    system: Be brief\n    user: {{ a }}\n", {"a": "\n"}),
        (
            "%%refine t\ngenerate\n    {{ a }}\nevaluate -> ok: bool\n    Judge {{ generate }}\nuntil evaluate.ok\n",
            {"a": ""},
        ),
    ],
)
def test_a_prompt_that_becomes_empty_is_not_sent(notebook, cell, values):
    notebook.script(lambda _: "ok")
    run = notebook.run(cell, **values)
    assert run.status == "failed"
    assert "its prompt is empty: there is no text in `a`" in run.error
    assert notebook.prompts == []


def test_a_prompt_with_other_text_beside_an_empty_value_is_sent(notebook):
    notebook.script(lambda _: "ok")
    notebook.run("%%chain t\nsay\n    Read: {{ a }}\n", a="")
    assert notebook.prompts == ["Read: "]
