"""Requirements C2, C7, C11, K1-K9 as a user checks them: cells, settings in pyproject.toml, real HTTP."""

from __future__ import annotations

import itertools
import json
import re
import statistics
import time

import pytest
from desk import KEY, Desk, always, story

from orchmagic import Reply
from orchmagic.errors import CellError
from orchmagic.trace.events import Usage
from orchmagic.views import VIEWS

pytestmark = pytest.mark.slow

SAY = "%%chain{}\nsay\n    Say it.\n"
FIVE = "%%chain\n" + "".join(
    f"s{i}\n    Step {i}{{edit{i}}} after {{{{{{{{ {'s' + str(i - 1) if i > 1 else 'q'} }}}}}}}}\n" for i in range(1, 6)
)
CARD = Usage(input=1_000, output=100)  # tokens of every answer: 0.001 + 0.0002 dollars at 1 and 2 a million


@pytest.fixture
def desk(notebook, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made = Desk(notebook, tmp_path)
    yield made
    made.close()


def one(desk, replies="fine", **fields):
    script = desk.serve("first", replies)
    desk.project("small", models={"small": desk.at("first", input_price=1, output_price=2, **fields)})
    return script


def echo(body):
    return f"[{body['messages'][-1]['content']}]"


# ---- C2: a budget that stops


def test_c2_a_run_stops_before_the_call_that_would_pass_its_budget_and_keeps_what_it_has(desk):
    one(desk, always(Reply("word " * 20, usage=CARD)), max_tokens_field="max_tokens")
    cell = "%%chain --budget 0.0050 --no-cache\n" + "".join(f"s{i}\n    Step {i}.\n" for i in range(9))
    run = desk.run(cell)
    assert run.status == "capped"
    assert 1 <= desk.asked("first")[0] < 9
    assert 0 < run.cost <= 0.005
    assert run.s0.startswith("word")
    assert run.output is not None
    assert "budget" in run.reason


def test_c2_the_fallback_and_the_judge_are_counted(desk):
    cut_off = Reply("half", fault="truncated", usage=CARD)
    desk.serve("first", always(cut_off))
    desk.serve("second", lambda body: Reply("0.9" if "right" in str(body) else "whole", usage=CARD))
    prices = {"input_price": 1, "output_price": 2}
    desk.project("small", models={"small": desk.at("first", **prices), "large": desk.at("second", **prices)})
    run = desk.run(SAY.format(" --no-cache --fallback large --budget 1"))
    assert run.cost == pytest.approx(2 * 0.0012)
    judged = (
        "%%cascade --no-cache --models large,large --budget 1\nanswer\n    Q\nverify judge >= 0.8\n    Is it right?\n"
    )
    run = desk.run(judged)
    calls = desk.asked("second")[0] - 1
    assert calls >= 2
    assert run.cost == pytest.approx(calls * 0.0012)


# ---- C7: the small model decides


def test_c7_the_router_is_the_small_model_unless_the_cell_names_one(desk):
    for name in ("small", "large"):
        desk.serve(name, lambda body: {"label": "a", "confidence": 1} if body.get("response_format") else "fine")
    desk.project("large", models={"small": desk.at("small", "tiny"), "large": desk.at("large", "big")})
    cell = "%%route helpdesk --no-cache{}\na: apples\n    A {{{{ q }}}}\nb: pears\n    B {{{{ q }}}}\n"
    asked = {
        options: [r["model"] for r in desk.run(cell.format(options), q="?").receipt()]
        for options in ("", " --model large")
    }
    assert asked == {"": ["tiny", "big"], " --model large": ["big", "big"]}


# ---- C11: budgets and logs of a team


def test_c11_a_notebook_has_one_budget_for_all_its_runs(desk):
    one(desk, always(Reply("word", usage=CARD)))
    desk.orch("budget 0.004")
    runs = [desk.run(SAY.format(" --no-cache")) for _ in range(6)]
    statuses = [run.status for run in runs]
    assert statuses[0] == "done"
    assert statuses[-1] == "capped"
    assert sum(run.cost for run in runs) <= 0.004
    assert desk.asked("first") == (statuses.count("done"),)
    assert "%orch budget" in runs[-1].reason
    assert "limit $0.004" in str(desk.orch("budget"))
    desk.orch("budget off")
    assert desk.run(SAY.format(" --no-cache")).status == "done"


def test_c11_the_log_is_lines_of_json_that_are_only_added_to_with_user_and_notebook(desk):
    one(desk)
    log = desk.folder / "audit.jsonl"
    desk.project("small", models={"small": desk.at("first")}, audit=str(log))
    desk.notebook.space["__session__"] = "reports/may.ipynb"
    desk.run(SAY.format(""))
    before = log.read_text(encoding="utf-8")
    desk.restart()
    desk.run(SAY.format(" --no-cache"))
    after = log.read_text(encoding="utf-8")
    assert before
    assert after.startswith(before)
    lines = [json.loads(line) for line in after.splitlines()]
    assert {line["notebook"] for line in lines} == {"reports/may.ipynb"}
    assert all(line["user"] for line in lines)
    assert [line["event"] for line in lines] == ["begun", "ended"] * 2
    assert KEY not in after


# ---- K1-K9: the cache


def test_k1_the_same_request_again_costs_no_call_no_money_and_hardly_time(desk):
    one(desk)
    first = desk.run(SAY.format(""))
    runs = [desk.run(SAY.format("")) for _ in range(9)]
    assert desk.asked("first") == (1,)
    assert first.cost > 0
    assert [run.cost for run in runs] == [0] * 9
    assert {run.output for run in runs} == {"fine"}
    took = [span.seconds for run in runs for span in run.record.spans if span.kind == "ask"]
    assert statistics.median(took) < 0.005


@pytest.mark.parametrize(
    "cell",
    [
        SAY.format(" --model other"),
        SAY.format(" --model elsewhere"),
        "%%chain\nsay\n    Say it\n",
        "%%chain\nsay\n    system: Be short.\n    user: Say it.\n",
        "%%chain\nsay(temperature=0.5)\n    Say it.\n",
        "%%chain\nsay(max_tokens=7)\n    Say it.\n",
        "%%chain\nsay -> it: str\n    Say it.\n",
        "%%react --tools look\nSay it.\n",
        "%%parallel\nsay(votes=2)\n    Say it.\n",
    ],
)
def test_k1_whatever_can_change_the_answer_is_in_the_key(desk, cell):
    def look(page: str) -> str:
        """Read a page."""
        return page

    desk.serve("first", lambda body: {"it": "x"} if body.get("response_format") else "fine")
    desk.serve("second")
    models = {"small": desk.at("first"), "other": desk.at("first", "m2"), "elsewhere": desk.at("second")}
    desk.project("small", models=models)
    desk.run(SAY.format(""))
    before = sum(desk.asked("first", "second"))
    desk.run(cell, look=look)
    assert sum(desk.asked("first", "second")) > before


def test_k1_a_name_of_a_step_or_alias_is_not_in_the_key(desk):
    one(desk)
    desk.run(SAY.format(""))
    assert desk.run("%%chain another\nspeak\n    Say it.\n").record.calls == 0


def test_k2_the_same_question_in_other_words_is_served_and_no_other_one(desk):
    pytest.importorskip("onnxruntime")
    numbers = itertools.count(1)
    one(desk, lambda _: f"answer {next(numbers)}")
    cell = "%%chain faq --cache semantic\nsay\n    Answer: {{ q }}\n"
    first = desk.run(cell, q="How can I reset my password?")
    run = desk.run(cell, q="How do I reset my password?")
    assert run.output == first.output
    assert "How can I reset my password?" in story(run)
    assert re.search(r"0\.9\d", story(run))
    assert "0.95" in str(desk.orch("cache"))  # the threshold
    traps = [
        ("Is this medicine safe for children?", "Is this medicine unsafe for children?"),
        ("How do I send 100 dollars abroad?", "How do I send 900 dollars abroad?"),
        ("Is Berlin a good place to live?", "Is Dublin a good place to live?"),
        ("What happened on 3 May 1990?", "What happened on 8 May 1990?"),
    ]
    for question, trap in traps:
        given = desk.run(cell, q=question).output
        assert desk.run(cell, q=trap).output != given, trap
    plain = cell.replace(" --cache semantic", "")
    desk.run(plain, q="Where can I find my invoice?")
    assert desk.run(plain, q="Where do I find my invoice?").record.calls == 1  # it is off until asked for


def test_k3_after_an_edit_only_the_steps_from_there_on_are_asked(desk):
    one(desk, echo)
    plain = {f"edit{i}": "" for i in range(1, 6)}
    desk.run(FIVE.format(**plain), q="the question")
    assert desk.asked("first") == (5,)
    run = desk.run(FIVE.format(**{**plain, "edit3": " (shorter)"}), q="the question")
    assert desk.asked("first") == (8,)
    assert [row["cache"] for row in run.receipt()] == ["hit", "hit", "miss", "miss", "miss"]


@pytest.mark.parametrize(
    ("ttl", "seconds"), [("10s", 10), ("5m", 300), ("1h", 3600), ("1d", 86400), ("365d", 31_536_000)]
)
def test_k4_an_answer_is_served_until_its_time_is_over(desk, monkeypatch, ttl, seconds):
    one(desk)
    cell, now = SAY.format(f" --cache {ttl}"), time.time()
    desk.run(cell)
    for later, asked in ((seconds * 0.9 - 1, 1), (seconds + 5, 2)):
        with monkeypatch.context() as world:
            world.setattr(time, "time", lambda later=later: now + later)
            assert desk.run(cell).output == "fine"
        assert desk.asked("first") == (asked,), f"after {later} s"


@pytest.mark.parametrize("ttl", ["9s", "366d", "soon", "0"])
def test_k4_a_time_that_is_none_is_told_with_what_to_write(desk, ttl):
    one(desk)
    with pytest.raises(CellError, match="--cache cannot be"):
        desk.define(SAY.format(f" --cache {ttl}"))


@pytest.mark.parametrize("fault", ["500", "refusal", "empty", "truncated", "400"])
def test_k4_an_error_is_never_stored(desk, fault):
    one(desk, [Reply("half", fault=fault), "well again"])
    assert desk.run(SAY.format("")).status == "failed"
    assert desk.run(SAY.format("")).output == "well again"
    assert desk.run(SAY.format("")).output == "well again"
    assert desk.asked("first") == (2,)


def test_k5_the_cache_is_switched_by_project_by_cell_and_for_once(desk):
    numbers = itertools.count(1)
    one(desk, lambda _: f"answer {next(numbers)}")
    said = lambda options: desk.run(SAY.format(options)).output  # noqa: E731 - a word for the table below
    assert [said(""), said("")] == ["answer 1"] * 2
    assert [said(" --no-cache"), said("")] == ["answer 2", "answer 1"]
    assert [said(" --refresh"), said("")] == ["answer 3", "answer 3"]
    desk.project("small", models={"small": desk.at("first")}, cache="off")
    assert [said(""), said("")] == ["answer 4", "answer 5"]
    assert "off" in str(desk.orch("cache"))


def test_k6_every_step_shows_hit_or_miss_and_how_old_the_answer_is(desk):
    one(desk, echo)
    miss = desk.run("%%chain\na\n    One.\nb\n    Two.\n")
    run = desk.run("%%chain\na\n    One.\nb\n    Three.\n")
    assert [row["cache"] for row in miss.receipt()] == ["miss", "miss"]
    assert [row["cache"] for row in run.receipt()] == ["hit", "miss"]
    assert 0 <= next(iter(run.receipt()))["age"] < 60
    assert "from cache" in run.receipt().text
    assert "from cache" in VIEWS.get("html").render(run.record)


ALL = (
    "%%chain one\na\n    One.\nb\n    Two {{ a }}.\n",
    "%%route two\nx: apples\n    X {{ q }}\ny: pears\n    Y {{ q }}\n",
    "%%parallel three\nvote(votes=3)\n    Vote.\nmerge\n    All: {{ vote }}\n",
    "%%mapreduce four --over text\nmap\n    M {{ chunk }}\nreduce\n    R {{ parts }}\n",
    "%%react five --tools look\nGo on.\n",
    "%%refine six\ngenerate\n    G\nevaluate -> score: float\n    E\nuntil evaluate.score >= 0 max 2\n",
    "%%cascade seven --models small,small\nanswer\n    Q\nverify len(answer) > 0\n",
    "%%plan eight\nplan -> steps: list[str]\n    P\nexecute\n    X {{ step }}\n",
)


def planned(body):
    """The smallest answer that fits, but for a plan, which is not empty and goes well."""
    schema = str(body.get("response_format"))
    return {"steps": ["one"]} if "'steps'" in schema else {"ok": True, "feedback": ""} if "'ok'" in schema else None


def test_k7_run_all_again_asks_nothing_also_in_a_new_kernel(desk):
    def look(page: str) -> str:
        """Read a page."""
        return page

    one(desk, planned)
    given = {"q": "green", "text": "A text. " * 200, "look": look}
    first = [desk.run(cell, **given) for cell in ALL]
    assert [run.status for run in first] == ["done"] * len(ALL)
    before = desk.asked("first")
    desk.restart()
    again = [desk.run(cell, **given) for cell in ALL]
    assert desk.asked("first") == before
    assert [str(run.output) for run in again] == [str(run.output) for run in first]
    assert sum(run.cost for run in again) == 0


def test_k8_cached_input_tokens_have_a_rate_of_their_own(desk):
    one(desk, always(Reply("fine", usage=Usage(input=10_000, cached=8_000, output=100))), cached_price=0.1)
    run = desk.run(SAY.format(""))
    assert run.cost == pytest.approx((2_000 * 1 + 8_000 * 0.1 + 100 * 2) / 1e6)
    assert run.receipt()[0]["cached_tokens"] == 8_000


def test_k9_votes_are_samples_of_their_own_and_each_is_stored(desk):
    numbers = itertools.count(1)
    one(desk, lambda _: f"opinion {next(numbers)}")
    votes = "%%parallel\nvote(votes={})\n    Vote.\n"
    desk.run(votes.format(5))
    assert desk.asked("first") == (5,)
    assert desk.run(votes.format(5)).record.calls == 0
    desk.run(votes.format(7))
    assert desk.asked("first") == (7,)
