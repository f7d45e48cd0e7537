"""The table of docs/models.md that says what follows an error, driven row by row through real runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from orchmagic import Reply, Script, install
from orchmagic.models.providers.scripted import remove

PAGE = Path(__file__).resolve().parents[2] / "docs" / "models.md"
ROWS = {  # a word of the row's first cell -> the faults of a Script that it stands for
    "5xx": ("500", "502", "503", "timeout", "408", "reset", "empty", "garbled"),
    "429": ("429",),
    "402": ("402", "quota"),
    "404": ("404",),
    "401": ("401", "403"),
    "refusal": ("refusal", "content_filter", "prompt_filter", "truncated", "tool_use_failed", "context_length"),
    "422": ("400", "422"),
}


def table() -> list[list[str]]:
    text = PAGE.read_text(encoding="utf-8")
    lines = text[text.index("| error | failover |") :].split("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def followed(notebook, fault: str, second: object) -> str:
    """The output of a run whose first deployment has the fault, whose second has a script of its own."""
    scripts = {"first": Script(lambda _: Reply("x", fault=fault)), "second": Script(lambda _: second)}
    for name, script in {**scripts, "other": Script(lambda _: "fallback")}.items():
        install(script, name)
    deployments = [{"provider": "scripted", "model": name, "name": name} for name in scripts]
    models = {"one": {"deployments": deployments}, "two": {"provider": "scripted", "model": "other"}}
    own = {"ORCHMAGIC_MODELS": json.dumps(models), "ORCHMAGIC_RETRY": "0", "ORCHMAGIC_HISTORY": "off"}
    notebook.session.services.environ.update(own)
    notebook.session.reload()
    run = notebook.define("%%chain q --model one --fallback two --no-cache\nhello\n    Hi\n")()
    for name in (*scripts, "other"):
        remove(name)
    return str(run.output) if run.status == "done" else run.status


def test_the_page_has_a_row_for_every_kind_of_error():
    assert [sum(word in row[0] for word in ROWS) for row in table()] == [1] * len(ROWS)


@pytest.mark.parametrize(("word", "fault"), [(word, fault) for word, faults in ROWS.items() for fault in faults])
def test_what_follows_an_error_is_what_the_page_says(notebook, word, fault):
    (row,) = [row for row in table() if word in row[0]]
    _, failover, _, fallback = row
    both = {"yes": "fallback", "no": "failed"}[fallback]  # where no deployment answers
    assert followed(notebook, fault, "failover") == ("failover" if failover == "yes" else both)


@pytest.mark.parametrize(("word", "fault"), [(word, faults[0]) for word, faults in ROWS.items()])
def test_what_follows_when_all_deployments_fail_is_what_the_page_says(notebook, word, fault):
    (row,) = [row for row in table() if word in row[0]]
    assert followed(notebook, fault, Reply("x", fault=fault)) == {"yes": "fallback", "no": "failed"}[row[3]]
