"""An evaluation whose calls go through a Batch API: all rows of a step are one wave."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from desk import Desk

import orchmagic
from orchmagic.evaluation.evaluate import Evaluation, prepare
from orchmagic.evaluation.metrics import Metric

CELL = """%%chain triage --batch --no-run
router -> team: "billing" | "tech"
    Ticket {{ ticket }}
reply
    Answer for {{ router.team }}: {{ ticket }}
"""
ROWS = [{"ticket": f"ticket {i}", "team": "billing"} for i in range(40)]


@pytest.fixture
def desk(notebook: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    monkeypatch.chdir(tmp_path)
    made = Desk(notebook, tmp_path)
    made.serve("one", lambda body: {"team": "billing"} if "response_format" in body else "fine")
    made.project(
        "day",
        models={"day": made.at("one", input_price=10.0, output_price=20.0)},
        batch_quiet=1.0,
        batch_poll=0.05,
    )
    yield made
    made.close()


def test_the_rows_of_an_evaluation_go_out_together(desk: Desk) -> None:
    triage = desk.define(CELL)
    result = orchmagic.evaluate(triage, on=ROWS, metrics={"right": "router.team == team"})
    assert result.failed == []
    sizes = [len(batch) for batch in desk.servers["one"].batches.received]
    assert sizes == [40, 40]
    assert desk.asked("one") == (80,)


def test_the_dry_run_of_an_evaluation_says_how_long_it_may_wait(desk: Desk) -> None:
    setup = prepare({"triage": desk.define(CELL)}, ROWS, [Metric("right", "router.team == team")])
    said = Evaluation(setup).estimate()
    assert "triage: 40 runs to do, " in said
    assert "(batches: up to 2 waves in a row, each up to 24 h)" in said
    assert desk.asked("one") == (0,)
