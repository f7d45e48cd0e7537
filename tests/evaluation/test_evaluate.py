"""`orchmagic.evaluate` on a scripted model: scores, verdicts, choice, and what is asked again."""

import json

import pytest

import orchmagic
from orchmagic import Reply
from orchmagic.errors import InputError

CELL = """%%chain triage
router -> team: "billing" | "tech" | "human"
    Ticket {{ ticket }}
"""
TEAMS = ("billing", "tech", "human")
PRICES = {"small": 1, "large": 10}


def rows_of(count):
    return [{"ticket": f"ticket {i}", "team": TEAMS[i % 3]} for i in range(1, count + 1)]


def answer(every):
    """A model that is wrong on each ticket whose number is divisible by `every`."""

    def reply(body):
        number = int(body["messages"][-1]["content"].split()[-1])
        return json.dumps({"team": TEAMS[(number + (number % every == 0)) % 3]})

    return reply


@pytest.fixture
def models(notebook):
    """Scripts by model: `small` is wrong on one of 10, `large` on one of 60."""
    found = {name: orchmagic.install(orchmagic.Script(answer(n)), name) for name, n in (("small", 10), ("large", 60))}
    notebook.session.add_models(
        {n: {"model": f"scripted/{n}", "input_price": p, "output_price": p} for n, p in PRICES.items()}
    )
    yield found
    for name in found:
        orchmagic.models.providers.scripted.remove(name)


def calls(models):
    return sum(len(script.requests) for script in models.values())


def test_the_cheapest_variant_that_is_shown_to_meet_the_target_is_chosen(notebook, models):
    triage = notebook.define(CELL)
    result = orchmagic.evaluate(
        triage,
        on=rows_of(120),
        metrics={"right": "router.team == team"},
        target="right >= 0.85",
        models=["small", "large"],
    )
    small, large = result.details
    assert (small.metrics["right"].value, large.metrics["right"].value) == (108 / 120, 118 / 120)
    assert (small.verdict, large.verdict) == ("not shown", "meets")
    assert result.chosen == "triage@large"
    assert result.choice == (
        "Choose triage@large: the cheapest shown to meet right >= 0.85. triage@small may do at 10% of the cost: about "
        "80 more rows would decide."
    )
    assert "triage@small  90%    83-94" in repr(result)
    assert "meets (at least" in repr(result)
    found = result.compare("triage@large", "triage@small")
    assert (found.better, found.worse) == (10, 0)
    assert [row["_row"] for row in result.worst(2)] == [60, 120]
    result.assert_target()


def test_the_same_again_and_another_metric_ask_no_model(notebook, models):
    triage = notebook.define(CELL)

    def run(**metrics):
        return orchmagic.evaluate(triage, on=rows_of(12), metrics=metrics, models=["small", "large"])

    first = run(right="router.team == team")
    assert calls(models) == 24
    assert repr(run(right="router.team == team")) == repr(first)
    assert run(wrong="router.team != team").details[0].metrics["wrong"].value == 1 / 12
    assert first.rescore({"long": "len(ticket)"}).details[0].metrics["long"].value == pytest.approx(8.25)
    assert calls(models) == 24


def test_a_changed_prompt_function_or_model_is_asked_again(notebook):
    cell = "%%chain tell\nclean = tidy(ticket)\nsay\n    About {{ clean }}\n"
    count = 0
    for change in ("strip", "upper", "upper", "lower"):
        exec(f"def tidy(text): return text.{change}()", notebook.space)
        script = notebook.script(lambda _: "yes")
        tell = notebook.define(cell)
        orchmagic.evaluate(tell, on=[{"ticket": " a "}, {"ticket": "B"}], metrics={"said": "output == 'yes'"})
        count += len(script.requests)
    assert count == 2 + 1 + 0 + 2  # `upper` finds the answer about B in the cache; again, it asks none


def test_rows_are_no_runs(notebook, models):
    triage = notebook.define(CELL)
    orchmagic.evaluate(triage, on=rows_of(5), metrics={"right": "router.team == team"}, models=["small"])
    assert notebook.session.runs == []
    assert notebook.session.services.history.store.runs() == []


def test_without_an_answer_there_is_no_verdict_and_retry_asks_only_these(notebook):
    down = {3, 7}

    def reply(body):
        number = int(body["messages"][-1]["content"].split()[-1])
        return Reply(fault="429") if number in down else answer(1000)(body)

    triage = notebook.define(CELL.replace("triage", "triage --retry 0"))
    script = notebook.script(reply)
    result = orchmagic.evaluate(
        triage, on=rows_of(60), metrics={"right": "router.team == team"}, target="right >= 0.93"
    )
    assert (result.details[0].unanswered, result.details[0].verdict) == (2, "not shown")
    assert "result.retry() asks these 2" in result.choice
    assert [row["_row"] for row in result.failed] == [3, 7]
    asked = len(script.requests)
    down.clear()
    again = result.retry()
    assert len(script.requests) - asked == 2
    assert again.details[0].verdict == "meets"


def test_a_run_that_fails_is_wrong(notebook):
    cell = "%%chain half\nsay -> number: int\n    Row {{ n }}\ngate say.number > 0\n"
    half = notebook.define(cell)
    notebook.script(lambda body: json.dumps({"number": int(body["messages"][-1]["content"].split()[-1]) % 2}))
    result = orchmagic.evaluate(half, on=[{"n": i} for i in range(10)], metrics={"right": "True", "size": "say.number"})
    found = result.details[0]
    assert (found.metrics["right"].value, found.metrics["size"].value) == (0.5, 0.5)
    assert (found.failed, found.unanswered) == (5, 0)


def test_repeats_ask_anew_and_the_row_stays_the_unit(notebook):
    said = iter(["yes", "no", "yes"] * 4)
    notebook.script(lambda _: next(said))
    ask = notebook.define("%%chain ask\nsay\n    {{ q }}\n")
    result = orchmagic.evaluate(
        ask, on=[{"q": "a"}, {"q": "b"}], metrics={"yes": "output == 'yes'"}, repeat=3, concurrency=1
    )
    figure = result.details[0].metrics["yes"]
    assert (figure.value, figure.rows, figure.changed) == (pytest.approx(2 / 3), 2, 2)


def test_stop_first_leaves_the_dear_ones_out(notebook, models):
    triage = notebook.define(CELL)
    result = orchmagic.evaluate(
        triage, on=rows_of(60), metrics={"right": "router.team == team"}, target="right >= 0.7",
        models=["large", "small"], stop="first",
    )  # fmt: skip
    assert (result.variants, result.left_out) == (["triage@small"], ("triage@large",))
    assert len(models["large"].requests) == 0


def test_rows_of_one_group_count_less(notebook, models):
    triage = notebook.define(CELL)
    same = [row for row in rows_of(10) for _ in range(4)]
    result = orchmagic.evaluate(triage, on=same, metrics={"right": "router.team == team"}, models=["small"])
    assert result.details[0].metrics["right"].rows == pytest.approx(10, rel=0.15)
    assert "rows 1, 2, 3 and 4 are the same input: one group" in repr(result)
    assert calls(models) == 10


def test_a_dict_is_one_metric_for_each_key(notebook):
    extract = notebook.define("%%chain read\nextract -> product: str, total: float\n    {{ page }}\n")
    notebook.script(lambda _: '{"product": "a", "total": 2}')
    rows = [{"page": "x", "expect": {"product": "a", "total": 3.0}}, {"page": "y", "expect": {"product": "b"}}]
    result = orchmagic.evaluate(
        extract, on=rows, metrics={"field": "fields(extract, expect)"}, target="field.product >= 0.9"
    )
    assert {n: f.value for n, f in result.details[0].metrics.items()} == {"field.product": 0.5, "field.total": 0.0}


def test_a_baseline_holds_scores_and_no_texts_and_says_what_became_worse(notebook, models, tmp_path):
    triage = notebook.define(CELL)
    metrics = {"right": "router.team == team"}
    path = orchmagic.evaluate({"it": triage}, on=rows_of(20), metrics=metrics, models=["large"]).save(
        tmp_path / "base.json"
    )
    assert "ticket" not in path.read_text()
    before = path.read_text().replace("it@large", "it@small")
    path.write_text(before)
    worse = orchmagic.evaluate({"it": triage}, on=rows_of(20), metrics=metrics, models=["small"])
    with pytest.raises(AssertionError, match=r"it@small: right: 2 rows newly wrong, 0 newly right \(-10%"):
        worse.assert_no_worse(path)
    worse.assert_no_worse(path, by=0.2)


def test_the_trace_of_a_row_is_kept(notebook, models):
    triage = notebook.define(CELL)
    result = orchmagic.evaluate(triage, on=rows_of(2), metrics={"right": "router.team == team"}, models=["small"])
    record = result.record(result.table[0]["_run"])
    assert (record.name, record.output) == ("triage", {"team": "tech"})


BAD = {
    "no metric": ({"metrics": {}}, "an evaluation needs a metric. Write right = output == team (columns: ticket, team)"),
    "unknown name": ({"metrics": {"right": "output == teem"}}, "'teem' is no column, step or notebook name; did you mean 'team'?"),
    "missing input": (
        {"on": [{"question": "a", "team": "tech"}]},
        "triage needs ticket; the rows have question, team. Write --rename question=ticket",
    ),
    "type": ({"metrics": {"right": "router.team"}}, "right is str ('tech') in row 1: write a comparison"),
    "scale": ({"target": "right >= 90"}, "target right >= 90: right lies in 0..1; did you mean 0.9?"),
    "target of no metric": ({"target": "rihgt >= 0.9"}, "there is no metric 'rihgt'"),
    "target": ({"target": "right"}, "is no comparison with a number"),
    "by": ({"by": "teem"}, "by names no column: 'teem' (columns: ticket, team); did you mean 'team'?"),
    "repeat": ({"repeat": 0}, "repeat is 0: write a whole number, 1 or more"),
    "reserved": ({"metrics": {"cost": "1"}}, "'cost' is measured in every evaluation"),
    "metric raises": ({"metrics": {"right": "team[99] == 'a'"}}, "right failed in row 1: IndexError"),
    "no rows": ({"on": []}, "rows has no rows"),
    "no table": ({"on": 5}, "rows is of type int: write a data frame"),
    "no file": ({"on": "nothing.csv"}, "there is no file 'nothing.csv'"),
    "rename": ({"rename": {"tikcet": "x"}}, "there is no column 'tikcet' to rename"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line(notebook, case):
    changed, words = BAD[case]
    notebook.script(answer(10))
    given = {"on": rows_of(3), "metrics": {"right": "router.team == team"}, **changed}
    with pytest.raises(InputError) as raised:
        orchmagic.evaluate(notebook.define(CELL), **given)
    assert words in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_name_that_is_a_column_and_a_step_is_refused(notebook):
    triage = notebook.define(CELL.replace("router", "team"))
    with pytest.raises(InputError, match=r"'team' is a column and a step: write row\.team"):
        orchmagic.evaluate(triage, on=rows_of(2), metrics={"right": "team == 'a'"})


def test_a_target_of_cost_needs_prices(notebook):
    notebook.session.add_models({"dear": {"model": "x", "base_url": "http://127.0.0.1:9"}})
    triage = notebook.define(CELL)
    with pytest.raises(InputError, match=r"target cost: the price of dear is unknown\. write %orch models add dear"):
        orchmagic.evaluate(triage, on=rows_of(2), metrics={"r": "True"}, target="cost <= 1", models=["dear"])


def test_a_tool_that_writes_never_runs_without_leave(notebook):
    done = []

    @orchmagic.tool(writes=True)
    def refund(order: str) -> str:
        done.append(order)
        return "ok"

    def indirectly(order: str) -> str:
        return refund(order)

    notebook.space.update(refund=refund, indirectly=indirectly)
    direct = notebook.define("%%chain pay\npaid = refund(order)\n")
    with pytest.raises(
        InputError, match=r"pay may write \(refund\), once for each of 2 rows\. Write --stand-in refund=FUNCTION"
    ):
        orchmagic.evaluate(direct, on=[{"order": "a"}, {"order": "b"}], metrics={"right": "output == 'ok'"})
    hidden = notebook.define("%%chain hide\npaid = indirectly(order)\n")
    result = orchmagic.evaluate(hidden, on=[{"order": "a"}, {"order": "b"}], metrics={"right": "output == 'ok'"})
    assert result.details[0].unanswered == 2
    assert "refund was called and not run" in result.failed[0]["_error"]
    assert done == []
    stood = orchmagic.evaluate(
        direct, on=[{"order": "a"}], metrics={"right": "output == 'fake'"}, stand_in={"refund": lambda order: "fake"}
    )
    assert (stood.details[0].metrics["right"].value, done) == (1.0, [])
    orchmagic.evaluate(direct, on=[{"order": "a"}], metrics={"right": "output == 'ok'"}, allow_writes=True)
    assert done == ["a"]


def test_one_metric_reads_the_label_of_every_kind_of_router(notebook):
    handlers = 'billing(match="bill"): bills\n    A {{ ticket }}\ntech(match="bug"): bugs\n    B {{ ticket }}\n'
    plain = handlers.replace('(match="bill")', "").replace('(match="bug")', "")
    notebook.space["pick"] = lambda text: "billing" if "bill" in text else "tech"
    notebook.script(lambda body: {"label": "billing"} if body.get("response_format") else "done")
    routers = {
        "by_rule": "router(on=ticket)\n" + handlers,
        "by_code": "router = pick(ticket)\n" + plain,
        "by_model": plain,
    }
    made = [notebook.define(f"%%route {name}\n{body}") for name, body in routers.items()]
    rows = [{"ticket": "a bill", "team": "billing"}, {"ticket": "a bug", "team": "tech"}]
    found = orchmagic.evaluate(made, on=rows, metrics={"right": "router.label == team"})
    assert [s.metrics["right"].value for s in found.details] == [1.0, 1.0, 0.5]


@pytest.mark.parametrize("down", [["large"], ["small", "large"]], ids=["one", "all"])
def test_variants_without_any_answer_are_shown_beside_the_others(notebook, models, down):
    for name in down:
        orchmagic.install(orchmagic.Script(lambda body: Reply(fault="401")), name)
    result = orchmagic.evaluate(
        notebook.define(CELL),
        on=rows_of(6),
        metrics={"right": "router.team == team"},
        target="right >= 0.5",
        models=["small", "large"],
    )
    table, picture = result.bundles()
    counted = 6 * len(down)
    assert f"{counted} runs had no answer: result.retry() asks these {counted}" in table["text/plain"]
    assert "triage@small - triage@large" not in table["text/plain"]
    assert picture["application/vnd.plotly.v1+json"]
    with pytest.raises(InputError, match="have no row with right in common"):
        result.compare("triage@small", "triage@large")
