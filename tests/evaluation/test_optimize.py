"""`%orch optimize`: what is tried, what is chosen, what the other half says, and what a second call asks."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

import orchmagic
from orchmagic import Reply, Script
from orchmagic.errors import InputError, OrchError
from orchmagic.evaluation.evaluate import prepare
from orchmagic.evaluation.metrics import Metric
from orchmagic.evaluation.optimize import Search, halves, optimize
from orchmagic.evaluation.optimize_line import read_search
from orchmagic.evaluation.step_models import WHOLE, choosable, with_step_models
from orchmagic.evaluation.targets import with_expressions
from orchmagic.models.pricing import prices
from orchmagic.models.providers.scripted import remove
from orchmagic.notebook.commands import run as command

CELL = """%%chain triage
extract(retry=0) -> team: "billing" | "tech" | "human"
    Extract {{ ticket }}
answer -> team: "billing" | "tech" | "human"   # the long one
    Answer {{ ticket }} and {{ extract.team }}, which takes many more words to say than the first one did
"""
TEAMS = ("billing", "tech", "human")
PRICES = {"small": 1, "middle": 3, "large": 10}
TARGET = "(extract.team == team and answer.team == team) >= 0.85"


def rows_of(count):
    return [{"ticket": f"no {i}", "team": TEAMS[i % 3]} for i in range(1, count + 1)]


def model(extract, answer):
    """A model that is wrong on each ticket whose number is divisible: `extract` and `answer` by step."""

    def reply(body):
        text = body["messages"][-1]["content"]
        number = int(text.split()[2])
        every = extract if text.startswith("Extract") else answer
        return json.dumps({"team": TEAMS[(number + (number % every == 0)) % 3]})

    return reply


@pytest.fixture
def models(notebook):
    """Scripts by model: `small` extracts as well as `large`, and answers every second ticket wrong."""
    wrong = {"small": (100, 2), "middle": (100, 100), "large": (100, 100)}
    found = {name: orchmagic.install(Script(model(*w)), name) for name, w in wrong.items()}
    notebook.session.add_models(
        {n: {"model": f"scripted/{n}", "input_price": p, "output_price": p} for n, p in PRICES.items()}
    )
    yield found
    for name in found:
        remove(name)


def calls(models):
    return sum(len(script.requests) for script in models.values())


def test_each_step_gets_the_cheapest_model_that_is_shown_and_the_other_half_confirms(notebook, models):
    triage = notebook.define(CELL)
    found = optimize(triage, on=rows_of(120), target=TARGET)
    assert found.models == {"extract": "small", "answer": "middle"}
    assert [(t.change, t.rows, t.decision) for t in found.tries] == [
        ("all on large", 60, "start"),
        ("answer on middle", 60, "kept"),  # the dearest step first
        ("extract on middle", 60, "kept"),
        ("answer on small", 60, "put back"),
        ("extract on small", 60, "kept"),
        ("the other half", 60, "confirms"),
    ]
    assert found.verdict == "meets"
    assert found.choice.startswith(
        "Choose extract on small, answer on middle: on the other 60 rows it is shown to meet right >= 0.85 (at least 9"
    )
    assert found.offered
    assert found.cell == CELL.replace("(retry=0)", "(model=small, retry=0)").replace(
        "answer ->", "answer(model=middle) ->"
    )
    made = notebook.define(found.cell)
    assert [node.model for node in made.definition.nodes] == ["small", "middle"]
    first, asked = repr(found), calls(models)
    assert repr(optimize(triage, on=rows_of(120)[::-1], target=TARGET)).replace("paid $0.", "") == first.replace(
        "paid $0.", ""
    )
    assert calls(models) == asked  # the same search, on rows in another order, asks no model


def test_a_choice_is_never_made_by_a_point_estimate(notebook, models):
    # `middle` is right on 88 %: above the target, but 60 rows do not show it
    orchmagic.install(Script(model(100, 8)), "middle")
    found = optimize(notebook.define(CELL), on=rows_of(120), target=TARGET)
    assert found.models["answer"] == "large"
    tried = next(t for t in found.tries if t.change == "answer on middle")
    assert (tried.decision, tried.verdict[:9]) == ("put back", "not shown")
    assert float(tried.figures[0][1].rstrip("%")) >= 85


def test_few_rows_give_a_proposal_that_is_not_confirmed(notebook, models):
    found = optimize(notebook.define(CELL), on=rows_of(30), target=TARGET, models=["large", "small"])
    assert {t.rows for t in found.tries} == {30}
    assert found.verdict is None
    assert found.choice.startswith(
        "Proposal, not confirmed (30 rows; from 100 on it is confirmed on rows of its own): extract on"
    )
    assert found.offered


@pytest.mark.parametrize(
    ("every", "words"),
    [
        (2, "All on large misses right >= 0.85 (at most 5"),
        (7, "All on large is not shown to meet right >= 0.85 (could be "),
    ],
)
def test_nothing_is_lowered_if_the_strongest_is_not_shown_to_meet_the_target(notebook, models, every, words):
    orchmagic.install(Script(model(100, every)), "large")
    found = optimize(notebook.define(CELL), on=rows_of(120), target=TARGET, models=["large", "small"])
    assert [t.decision for t in found.tries] == ["start"]
    assert found.choice.startswith(words)
    assert "no weaker model is tried" in found.choice
    assert not found.offered


def test_the_other_half_may_contradict_and_then_the_cell_is_kept(notebook, models):
    rows = rows_of(120)
    setup = prepare({"triage": notebook.define(CELL)}, rows, [Metric("right", "True")], target="right >= 0.5")
    confirming = {rows[place]["ticket"] for place in halves(setup)[1]}

    def lucky(body):
        text = body["messages"][-1]["content"]
        number, ticket = int(text.split()[2]), " ".join(text.split()[1:3])
        return json.dumps({"team": TEAMS[(number + (ticket in confirming)) % 3]})

    orchmagic.install(Script(lucky), "small")
    found = optimize(notebook.define(CELL), on=rows, target=TARGET, models=["large", "small"])
    assert found.verdict == "misses"
    assert found.choice.startswith(
        "Keep the cell as it is: on the other 60 rows, all on small misses right >= 0.85 (at most "
    )
    assert not found.offered


def test_a_model_that_saves_nothing_is_put_back(notebook, models):
    notebook.session.add_models({"same": {"model": "scripted/large", "input_price": 10, "output_price": 10}})
    found = optimize(notebook.define(CELL), on=rows_of(120), target=TARGET, models=["large", "same"])
    assert [t.decision for t in found.tries] == ["start", "saves nothing", "saves nothing", "confirms"]
    assert found.models == {"extract": "large", "answer": "large"}


def test_a_target_of_cost_decides_in_the_other_half_only(notebook, models):
    found = optimize(
        notebook.define(CELL), on=rows_of(100), target=f"{TARGET} and cost <= 0.000001", models=["large", "small"]
    )
    assert found.models == {"extract": "small", "answer": "large"}
    assert found.verdict == "misses"
    assert "misses right >= 0.85 and cost <= 1e-06 (at least $" in found.choice


def test_an_outage_gives_no_choice_and_the_same_line_asks_only_what_is_open(notebook, models):
    def broken(body):
        text = body["messages"][-1]["content"]
        return Reply(fault="500") if text.split()[2].endswith("3") else model(100, 100)(body)

    triage = notebook.define(CELL.replace("triage", "triage --retry 0", 1))
    orchmagic.install(Script(broken), "middle")
    found = optimize(triage, on=rows_of(120), target=TARGET)
    assert found.models is None
    assert found.choice.endswith("The same line asks these 7.")
    assert found.choice.startswith("No choice: 7 of 60 runs had no answer (500 from scripted: ")
    assert not found.offered
    fixed = orchmagic.install(Script(model(100, 100)), "middle")
    assert optimize(triage, on=rows_of(120), target=TARGET).verdict == "meets"
    assert sum(r["messages"][-1]["content"].startswith("Answer") for r in fixed.requests) < 70


def test_a_budget_is_for_all_tries_together(notebook, models):
    found = optimize(notebook.define(CELL), on=rows_of(120), target=TARGET, budget=0.02)
    assert found.choice.startswith("No choice: ")
    assert "budget" in found.choice
    assert sum(t.paid for t in found.tries) <= 0.02


def test_halves_keep_groups_together_and_depend_on_content_only(notebook):
    triage = notebook.define(CELL)
    rows = [{**row, "doc": i // 7} for i, row in enumerate(rows_of(140))]
    for by in (None, "doc"):
        found = []
        for order in (rows, rows[::-1]):
            setup = prepare({"triage": triage}, order, [Metric("right", "True")], target="right >= 0.5", by=by)
            one, other = halves(setup)
            assert sorted((*one, *other)) == [*range(140)]
            assert abs(len(one) - len(other)) <= 7
            found.append({order[place]["ticket"] for place in one})
            if by:
                assert not {order[p]["doc"] for p in one} & {order[p]["doc"] for p in other}
        assert found[0] == found[1]
    with pytest.raises(InputError, match="all rows belong to one group"):
        halves(replace(setup, groups=(1,) * 140))


HEADERS = {
    "a\n    x": "a(model=m)\n    x",
    "a -> str  # c\n    x": "a(model=m) -> str  # c\n    x",
    "a: what it is\n    x": "a(model=m): what it is\n    x",
    "a(retry=2) -> str\n    x": "a(model=m, retry=2) -> str\n    x",
    "a (retry=2)\n    x": "a(model=m, retry=2)\n    x",
    "a()\n    x": "a(model=m)\n    x",
    'a(retry=2, model="b c", seed=1)\n    x': "a(retry=2, model=m, seed=1)\n    x",
    "a(model=large)\n    model=large": "a(model=m)\n    model=large",
}


@pytest.mark.parametrize("header", HEADERS)
def test_a_model_is_written_into_the_header_of_its_step(notebook, header):
    graph = notebook.define(f"%%chain c\n{header}\n").definition
    assert choosable(graph) == ["a"]
    assert with_step_models(graph, {"a": "m"}) == f"%%chain c\n{HEADERS[header]}\n"
    assert "model='m/2'" not in with_step_models(graph, {"a": "m/2"})
    assert notebook.define(with_step_models(graph, {"a": "scripted/2"})).definition.node("a").model == "scripted/2"


def test_a_cell_that_is_one_prompt_has_its_model_on_the_magic_line(notebook):
    def find(order: str) -> str:
        """Find an order."""
        return order

    notebook.space["find"] = find
    graph = notebook.define("%%react agent --model large --tools find\nHelp {{ ticket }}\n").definition
    assert choosable(graph) == [WHOLE]
    assert with_step_models(graph, {WHOLE: "m"}) == "%%react agent --tools find --model m\nHelp {{ ticket }}\n"


@pytest.mark.parametrize(
    ("rows", "lines"),
    [
        (120, ["60 runs to do", "at most 4 tries on the same 60 rows", "other 60 rows, which confirms"]),
        (30, ["30 runs to do", "at most 4 tries on the same 30 rows"]),
    ],
)
def test_a_dry_run_says_how_many_tries_it_would_be_and_asks_nothing(notebook, models, rows, lines):
    notebook.space["rows"] = rows_of(rows)
    notebook.space["triage"] = notebook.define(CELL)
    told = str(command(notebook.session, f'optimize triage --on rows --target "{TARGET}" --dry-run'))
    assert told.startswith("Dry run: no model was called.")
    assert all(line in told for line in lines)
    assert told.count("\n") == len(lines) + 1
    assert "all on large: " in told
    assert calls(models) == 0
    assert (
        0 < sum(t.paid for t in optimize(notebook.space["triage"], on=rows_of(rows), target=TARGET).tries) <= most(told)
    )


def most(told: str) -> float:
    """The US dollars that a dry run says it would be at most."""
    return float(told.rpartition("together up to $")[2].partition(",")[0])


def test_a_dry_run_counts_the_later_tries_when_the_first_has_its_answers(notebook, models):
    notebook.space["rows"], line = rows_of(30), f'optimize triage --on rows --target "{TARGET}" --dry-run'
    triage = notebook.space["triage"] = notebook.define(CELL)
    before = most(str(command(notebook.session, line)))
    first = notebook.define(with_step_models(triage.definition, {"extract": "large", "answer": "large"}))
    orchmagic.evaluate({"triage": first}, on=rows_of(30), metrics={"right": "answer.team == team"})
    told = str(command(notebook.session, line))
    assert "0 runs to do, $0 to $0" in told
    assert most(told) == pytest.approx(before * 4 / 5)


@pytest.mark.parametrize(
    ("source", "metrics", "target"),
    [
        ("(a == b) >= 0.85", {"right": "a == b"}, "right >= 0.85"),
        ("right >= 0.85 and cost <= 0.01", {}, "right >= 0.85 and cost <= 0.01"),
        ("0.85 <= (a == b) and (b == c) > 0.5", {"right": "a == b", "right_2": "b == c"}, "0.85 <= right and right_2 > 0.5"),
        ("len(output) <= 20 and field.x >= 0.5", {"right": "len(output)"}, "right <= 20 and field.x >= 0.5"),
    ],
)  # fmt: skip
def test_a_target_may_hold_its_metric(source, metrics, target):
    assert with_expressions(source) == (metrics, target)
    assert "right" not in with_expressions(source, ["right"])[0]


BAD = {
    "no rows": ("triage", '--target "(output == 1) >= 0.9"', "%orch optimize triage has no rows: write --on ROWS"),
    "no target": ("triage", "--on rows", "%orch optimize triage has no target: write --target"),
    "no condition of the answers": ("triage", '--on rows --target "cost <= 0.01"', "cost <= 0.01 has no metric. Write what must be true"),
    "a chain": ("triage", '--on rows --target "output == team >= 0.9"', "write brackets, as in (output == team) >= 0.85"),
    "no comparison": ("triage", '--on rows --target "output =="', "target output == is no comparison"),
    "unknown metric": ("triage", '--on rows --target "wrong >= 0.9"', "wrong >= 0.9 has no metric"),
    "unknown name": ("triage", '--on rows --target "(answer.team == teem) >= 0.9"', "did you mean 'team'?"),
    "unknown rows": ("triage", '--on rws --target "(team == 1) >= 0.9"', "did you mean 'rows'?"),
    "unknown name of a cell": ("triag", "", "did you mean 'triage'?"),
    "unknown model": ("triage", '--on rows --target "(answer.team == team) >= 0.9" --models large,smal', "smal"),
    "one model": ("triage", '--on rows --target "(answer.team == team) >= 0.9" --models large,large', "nothing to choose from (models: large)"),
    "unknown option": ("triage", "--onn rows", "no option --onn"),
    "no result": ("triage", "--like rows", "--like rows: it is no result of %%evaluate"),
    "like and on": ("triage", "--like rows --on rows", "--on with --like"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_lines_say_what_to_write(notebook, models, case):
    notebook.space["rows"] = rows_of(3)
    notebook.define(CELL)
    name, line, words = BAD[case]
    with pytest.raises(OrchError) as caught:
        command(notebook.session, f"optimize {name} {line}")
    assert words in str(caught.value)
    assert "%%orch" not in str(caught.value)
    assert calls(models) == 0


def test_a_target_without_quality_is_refused(notebook, models):
    notebook.space["rows"] = rows_of(3)
    triage = notebook.define(CELL)
    with pytest.raises(InputError, match="any weak model may meet it"):
        optimize(triage, on=rows_of(3), target="cost <= 0.1", metrics={"right": "True"})


def test_models_of_unknown_price_need_an_order(notebook, models, monkeypatch):
    triage = notebook.define(CELL)
    monkeypatch.setattr(prices, "cost", lambda *_: None)
    with pytest.raises(
        InputError, match="the price of small is unknown: write --models with the strongest model first"
    ):
        optimize(triage, on=rows_of(3), target=TARGET)
    found = optimize(triage, on=rows_of(20), target=TARGET.replace("0.85", "0.5"), models=["large", "small"])
    assert "Models as given, the strongest first: large, small; the price of large is unknown" in repr(found)
    assert [(t.change, t.decision) for t in found.tries][1:] == [
        ("extract on small", "kept"),
        ("answer on small", "put back"),
    ]
    assert "A run costs" not in found.choice


def test_the_line_uses_the_metrics_and_judges_of_an_evaluation(notebook, models):
    notebook.space["rows"] = rows_of(40)
    triage = notebook.define(CELL)
    metrics = {"same": "answer.team == team", "first": "extract.team == team"}
    notebook.space["found"] = orchmagic.evaluate(
        triage, on=notebook.space["rows"], metrics=metrics, models=["large"], target="same >= 0.8"
    )
    search = read_search("triage", "--like found --models large,small", notebook.space, notebook.session.find)
    assert isinstance(search, Search)
    assert search.run().models == {"extract": "small", "answer": "large"}
    other = command(
        notebook.session,
        'optimize triage --like found --target "first >= 0.8 and (1 == 1) >= 0.1" --models large,small',
    )
    assert other.models == {"extract": "small", "answer": "small"}
    assert [name for name, _, _ in other.tries[0].figures] == ["same", "first", "right"]
    assert "<table" in other._repr_html_()
    assert len(notebook.session.services.history.rows.evaluations("triage")) == 1  # tries are no evaluations
