"""`python -m orchmagic lint`: a notebook file is checked without running it."""

import json
from pathlib import Path

import pytest

from orchmagic.__main__ import main
from orchmagic.lint import notebook_file, notebook_stand_ins

ROOT = Path(__file__).resolve().parents[2]
CODE = """\
import os
from enum import Enum
from pydantic import BaseModel
from orchmagic import tool

os.remove("never run")
%config OrchMagic.models = {"small": {"provider": "scripted", "model": "s", "input_price": 1, "output_price": 1}}
%config OrchMagic.model = "small"
limit = 3
class Section(BaseModel):
    name: str
    size: int
class Level(Enum):
    LOW = "low"
def find(order_id: str, most: int = 3) -> str:
    "Find."
def refund(order_id: str) -> str:
    "Refund."
@tool(writes=True)
def cancel(order_id: str) -> str:
    "Cancel."
"""
REACT = "%%react orders --tools {} --budget 1\nAnswer {{{{ q }}}}\n"
ROUTE = '%%route desk\nbilling: refunds\n    B {{ q }}\nhuman(ask="H {{ q }}"): else\n'


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def write(*cells):
        path = tmp_path / "book.ipynb"
        made = [{"cell_type": "markdown", "source": ["# Title"], "metadata": {}}]
        made += [
            {"cell_type": "code", "source": c.splitlines(keepends=True), "metadata": {}, "outputs": []} for c in cells
        ]
        path.write_text(
            json.dumps({"cells": made, "nbformat": 4, "metadata": {}}, indent=1, ensure_ascii=False), "utf-8"
        )
        return path

    return write


def found(path):
    one = notebook_file.report(path)
    assert one.broken == ()
    return [(at.finding.name, at.finding.rule) for at in one.found]


@pytest.mark.parametrize(
    ("cell", "rules"),
    [
        (REACT.format("find"), []),
        (REACT.format("refund"), ["OM110"]),
        (REACT.format("cancel"), []),
        (ROUTE, ["OM109"]),
        (ROUTE.replace("desk", "desk --otherwise human"), []),
        ("%%plan p --budget 1\nplan -> steps: list[Section]\n    P {{ q }}\nexecute\n    {{ step.name }}\n", []),
        ("%%chain c --max-iterations {limit}\na -> level: Level\n    A {{ q }}\n", []),
        ("%%bash\nrm -rf never\n", []),
    ],
)
def test_cells_are_read_with_what_the_notebook_defines(file, cell, rules):
    assert [rule for _, rule in found(file(CODE, cell))] == rules


def test_an_orchestration_is_known_to_later_cells(file):
    inner = "%%chain inner\na\n    A {{ q }}\n"
    assert found(file(CODE, inner, "%%chain outer\nb = inner(q=q)\nc\n    C {{ b }}\n")) == []


def test_a_finding_has_its_line_in_the_file(file):
    path = file(CODE, "%%chain c\na\n    A {{ q }}\nn = int(a.split()[0])\n")
    (at,) = notebook_file.report(path).found
    assert "n = int(a.split()[0])" in path.read_text("utf-8").splitlines()[at.line - 1]
    assert at.cell.number == 3


def test_what_the_notebooks_code_reads_is_used(file):
    cell = "%%chain c\ne -> a: str, z: str\n    E {{ q }}\nb\n    B {{ e.a }}\n"
    assert found(file(CODE, cell)) == [("c", "OM106")]
    assert found(file(CODE, cell, "print(c.last.e.z)")) == []


@pytest.mark.parametrize(
    ("form", "lines"),
    [
        (
            "text",
            [
                "{}: cell 3: desk:1 OM109 no-otherwise: a label that no handler has fails the run. Write --otherwise human",
                "1 finding.",
            ],
        ),
        (
            "github",
            [
                "::warning file={},line=51,title=OM109 no-otherwise::desk:1 OM109 no-otherwise: a label that no handler has fails the run. Write --otherwise human"
            ],
        ),
    ],
)
def test_formats(file, capsys, form, lines):
    path = file(CODE, ROUTE)
    assert main(["lint", str(path), "--format", form]) == 1
    line = next(i for i, text in enumerate(path.read_text().splitlines(), 1) if "%%route desk" in text)
    assert capsys.readouterr().out.splitlines() == [
        text.format(path).replace("line=51", f"line={line}") for text in lines
    ]


def test_json_is_one_object_a_file(file, capsys):
    assert main(["lint", str(file(CODE, ROUTE)), "--format", "json"]) == 1
    (one,) = json.loads(capsys.readouterr().out)
    assert one["findings"][0]["rule"] == "OM109"
    assert one["findings"][0]["write"] == "Write --otherwise human"


def test_a_notebook_in_order_is_success(file, capsys):
    assert main(["lint", str(file(CODE, ROUTE.replace("desk", "desk --otherwise human")))]) == 0
    assert capsys.readouterr().out == "0 findings.\n"


def test_a_cell_that_cannot_be_read_is_said_and_fails(file, capsys):
    assert main(["lint", str(file(CODE, "%%chain c\nb\n    B {{ c.x }}\ngate\n"))]) == 1
    assert "cell 3 cannot be read: line 4: " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "cannot be read: No such file"),
        ("no json", "is no notebook"),
        ("[]", "is no notebook"),
        ('{"cells": [1]}', "is no notebook"),
    ],
)
def test_a_file_that_is_no_notebook_is_one_line(tmp_path, capsys, content, said):
    path = tmp_path / "x.ipynb"
    if content is not None:
        path.write_text(content)
    assert main(["lint", str(path)]) == 2
    told = capsys.readouterr().err
    assert said in told
    assert told.count("\n") == 1


def test_stand_ins_run_nothing():
    names = notebook_stand_ins.of_code(
        "x = open('never')\ny = 3\nimport never_there\nfrom never import f, str\ndef g(a: int): 1/0\n"
    )
    assert set(names) == {"y", "never_there", "f", "str", "g"}
    with pytest.raises(RuntimeError, match="g is a stand-in"):
        names["g"](1)


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda path: path.stem)
def test_shipped_notebooks_have_no_finding_without_a_reason(path, monkeypatch):
    monkeypatch.chdir(ROOT)
    one = notebook_file.report(path)
    assert [str(at.finding) for at in one.found] == []
    assert one.broken == ()
