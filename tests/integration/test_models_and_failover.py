"""Requirements R5-R9, R16-R18, A10-A12 as a user checks them: cells, settings in pyproject.toml, real HTTP."""

from __future__ import annotations

import random
import re
import time
from importlib.metadata import requires

import pytest
from desk import KEY, Desk, always, story, told

from orchmagic import Reply
from orchmagic.errors import SettingsError
from orchmagic.models.routing.ranking import Stats, candidates, scores
from orchmagic.models.types import Deployment, Pool
from orchmagic.trace.events import Decided, DeploymentChosen

pytestmark = pytest.mark.slow

LABEL = {"label": "b", "confidence": 0.9}
SAY = "%%chain --no-cache{}\nsay\n    Say it.\n"


@pytest.fixture
def desk(notebook, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made = Desk(notebook, tmp_path)
    yield made
    made.close()


def two(desk, first, second="from the second", **settings):
    """`small` is the first endpoint, `large` the second."""
    desk.serve("first", first)
    desk.serve("second", second)
    models = {"small": desk.at("first", "model-s"), "large": desk.at("second", "model-l")}
    desk.project("small", models=models, **settings)


def pooled(desk, *names, retry=0, **fields):
    """`pool` is all of them, in that order."""
    deployments = [desk.at(n, name=n) for n in names]
    desk.project("pool", retry, models={"pool": {"deployments": deployments, **fields}})


@pytest.mark.parametrize("fault", ["429", "500", "timeout", "refusal", "empty"])
def test_r5_an_error_a_timeout_a_refusal_and_an_empty_reply_each_reach_the_fallback(desk, fault):
    two(desk, always(Reply(fault=fault, retry_after=0.01)))
    run = desk.run(SAY.format(" --fallback large" + " --timeout 2s" * (fault == "timeout")))
    assert (run.status, run.output) == ("done", "from the second")
    assert desk.asked("first", "second") == (1, 1)
    assert "switched from small to large" in story(run)


@pytest.mark.parametrize("fault", ["401", "400"])
def test_r5_a_wrong_key_or_request_does_not_loop(desk, fault):
    two(desk, always(Reply(fault=fault)), retry=3)
    run = desk.run(SAY.format(" --fallback large"))
    assert desk.asked("first") == (1,)
    assert run.status == "failed"
    assert "\n" not in run.error
    assert KEY not in told(run)


def test_r6_the_same_model_at_a_healthy_endpoint_answers_and_the_answer_is_the_same(desk):
    desk.serve("a", "the answer")
    desk.serve("b", "the answer")
    desk.dead("c")
    pooled(desk, "a", "b")
    whole = desk.run(SAY.format(""))
    assert desk.asked("a", "b") == (1, 0)
    pooled(desk, "c", "b")
    run = desk.run(SAY.format(""))
    assert run.output == whole.output
    assert desk.asked("a", "b") == (1, 1)
    assert desk.scripts["b"].requests == desk.scripts["a"].requests
    assert run.receipt()[0]["model"] == whole.receipt()[0]["model"] == "m"
    assert "pool@c" in story(run)


@pytest.mark.parametrize("how", ["pyproject", "%orch models add"])
def test_r7_when_an_endpoint_disappears_the_alias_changes_and_no_cell(desk, how):
    desk.dead("gone")
    desk.serve("new", "still here")
    desk.project("small", models={"small": desk.at("gone")})
    cell = SAY.format("")
    assert desk.run(cell).status == "failed"
    if how == "pyproject":
        desk.project("small", models={"small": desk.at("new")})
        desk.restart()
    else:
        desk.orch(f"models add small base_url={desk.urls['new']} model=m")
    assert desk.run(cell).output == "still here"


@pytest.mark.parametrize(("fault", "failures"), [("500", 3), ("402", 1), ("quota", 1)])
def test_r8_a_deployment_that_fails_is_skipped_for_a_while_and_then_probed(desk, fault, failures):
    broken = [Reply(fault=fault)] * failures
    desk.serve("first", [*broken, "well again", "well again"])
    desk.serve("second", always("meanwhile"))
    pooled(desk, "first", "second")
    now = time.time()
    desk.session.services.models.health.clock = lambda: now
    for _ in range(failures + 3):
        assert desk.run(SAY.format("")).output == "meanwhile"
    assert desk.asked("first") == (failures,)
    run = desk.run(SAY.format(""))
    assert "pool@first skipped for" in story(run)
    now += 601
    assert [desk.run(SAY.format("")).output for _ in range(2)] == ["well again"] * 2


def test_r8_a_restarted_kernel_knows_who_is_down(desk):
    desk.serve("first", always(Reply(fault="402")))
    desk.serve("second", always("meanwhile"))
    pooled(desk, "first", "second")
    desk.run(SAY.format(""))
    desk.restart()
    assert desk.run(SAY.format("")).output == "meanwhile"
    assert desk.asked("first") == (1,)


def test_r9_scores_reproduce_by_hand():
    table = [
        Stats(uptime=1.0, throughput=100, latency=2.0, price=4.0),
        Stats(uptime=0.99, throughput=50, latency=0.5, price=1.0),
        Stats(uptime=0.90, throughput=80, latency=1.0, price=2.0),
    ]
    # each figure's distance from the best as a share of the range: .5 uptime + .2 throughput + .2 price + .1 latency
    by_hand = [
        0.5 * 0.0 + 0.2 * 0.0 + 0.2 * 1.0 + 0.1 * 1.0,
        0.5 * 0.1 + 0.2 * 1.0 + 0.2 * 0.0 + 0.1 * 0.0,
        0.5 * 1.0 + 0.2 * 0.4 + 0.2 * (1 / 3) + 0.1 * (1 / 3) + (5 * 0.05 / 0.95) ** 2,  # below 95 %: punished
    ]
    assert scores(table, "uptime") == pytest.approx(by_hand)
    # as the gateway does it now, not streaming, a short prompt: price .6, uptime .5, throughput .05, shared out
    now = [
        (0.6 * 3.0 + 0.5 * 0.0 + 0.05 * 0.0) / 1.15,
        (0.6 * 0.0 + 0.5 * (1 / 0.99 - 1) + 0.05 * 1.0) / 1.15,
        (0.6 * 1.0 + 0.5 * (1 / 0.9 - 1) + 0.05 * 0.25) / 1.15 + (5 * 0.05 / 0.95) ** 2,
    ]
    assert scores(table, "price") == pytest.approx(now)


def test_r9_a_cell_tells_score_and_figures_of_who_was_asked(desk):
    desk.serve("dear")
    desk.serve("cheap")
    entries = [
        desk.at("dear", name="dear", input_price=4, output_price=8),
        desk.at("cheap", name="cheap", input_price=1, output_price=3),
    ]
    desk.project("pool", models={"pool": {"policy": "uptime", "deployments": entries}})
    run = desk.run(SAY.format(""))
    (chosen,) = [e for e in run.trace.events if isinstance(e, DeploymentChosen)]
    assert chosen.deployment == "pool@cheap"
    # nobody was asked before, so only the price tells them apart: mean of input and output, 0 is the best
    assert re.search(
        r"score 0\.000, number 1 of 2 \(uptime 100%, 50 tokens/s, 1\.00 s, \$2\.00/M\)", str(chosen.reason)
    )


def test_r9_one_question_in_a_hundred_explores():
    members = tuple(Deployment(f"p@{i}", "openai", "m") for i in range(4))
    chance = random.Random(7).random
    table = {m.alias: Stats(price=float(i)) for i, m in enumerate(members, 1)}
    drawn = [next(candidates(Pool("p", members, "uptime"), table, chance)) for _ in range(10_000)]
    explored = [c for c in drawn if str(c.reason).startswith("explored")]
    assert 70 <= len(explored) <= 130  # 100, three standard deviations of 10 each way
    assert {c.deployment.alias for c in explored} == {m.alias for m in members}
    assert all(c.deployment is members[0] for c in drawn if c not in explored)


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (Reply("half an ans", fault="truncated"), "cut off"),
        (Reply("half", finish_reason="length"), "cut off"),
        (Reply(fault="empty"), "empty"),
        (Reply(fault="refusal"), "refused"),
    ],
)
def test_r16_a_reply_that_is_cut_off_empty_or_refused_is_a_failure(desk, reply, said):
    two(desk, always(reply))
    run = desk.run(SAY.format(""))
    assert (run.status, run.output) == ("failed", None)
    assert said in run.error
    assert "\n" not in run.error


def test_r17_retry_after_is_honoured(desk):
    times = []

    def limited(_):
        times.append(time.monotonic())
        return Reply(fault="429", retry_after=0.4) if len(times) == 1 else "at last"

    two(desk, limited, retry=1)
    assert desk.run(SAY.format("")).output == "at last"
    assert times[1] - times[0] >= 0.4


def test_r17_no_more_calls_at_once_than_the_model_takes(desk):
    began, latency = [], 0.1

    def busy(_):
        began.append(time.monotonic())
        return Reply("done", latency=latency)

    desk.serve("first", busy)
    desk.project("small", models={"small": desk.at("first", concurrency=2)})
    run = desk.run("%%chain --no-cache\nsay(over=range(7))\n    Item {{ item }}.\n")
    assert run.output == ["done"] * 7
    at_once = [sum(0 <= one - other < latency for other in began) for one in began]
    assert (len(began), max(at_once)) == (7, 2)


def test_r18_a_graph_that_nobody_stands_in_for_is_told_before_it_runs(desk):
    two(desk, "fine")
    pool = {"deployments": [desk.at("first", name="a"), desk.at("second", name="b")]}
    models = {"small": desk.at("first"), "large": desk.at("second"), "pool": pool}
    desk.project("small", models=models)
    warned = {
        options: "'small' has one deployment" in desk.define(SAY.format(options)).estimate().text()
        for options in ("", " --fallback large", " --model pool", " --fallback small")
    }
    assert warned == {"": True, " --fallback large": False, " --model pool": False, " --fallback small": True}
    said = str(desk.orch("doctor"))
    assert "'small' has one deployment" in said
    assert "'pool' has one" not in said


def test_a10_it_works_behind_a_gateway_and_the_router_can_be_replaced(desk):
    desk.serve("gateway", lambda body: LABEL if body.get("response_format") else body["model"])
    desk.project("litellm/gpt-4.1-mini", models={})
    desk.session.services.environ.update(
        {"LITELLM_API_BASE": desk.urls["gateway"].removesuffix("/v1"), "LITELLM_API_KEY": KEY}
    )
    handlers = "a: apples\n    A {{ q }}\nb(model=litellm/gpt-4.1): pears\n    B {{ q }}\n"
    routers = ("router\n    Which? {{ q }}\n", "router = pick(q)\n")
    for router in routers:
        run = desk.run(f"%%route --no-cache\n{router}{handlers}", q="green", pick=lambda q: "b")
        assert run.output == "gpt-4.1"
    assert [r["model"] for r in desk.scripts["gateway"].requests] == ["gpt-4.1-mini", "gpt-4.1", "gpt-4.1"]
    by_rule = "%%route --no-cache\na(match='red'): apples\n    A {{ q }}\nb(match='green'): pears\n    B {{ q }}\n"
    assert desk.run(by_rule, q="green").output == "gpt-4.1-mini"


def test_a10_another_transport_gives_the_same_run(desk, notebook):
    cell = "%%chain --no-cache\none\n    Begin.\ntwo\n    Go on: {{ one }}\n"
    desk.serve("first", ["first", "second"])
    desk.project("small", models={"small": desk.at("first", "scripted")})
    over_http = desk.run(cell)
    script = notebook.script("first", "second")
    desk.project("small", models={"small": {"provider": "scripted", "model": "scripted"}})
    assert desk.run(cell).output == over_http.output == "second"
    assert [r["messages"] for r in script.requests] == [r["messages"] for r in desk.scripts["first"].requests]


def test_a11_an_alias_is_an_address_a_model_and_a_price(desk):
    desk.serve("here", "a local answer")
    desk.project("mine", models={"mine": desk.at("here", "own-7b", input_price=1000, output_price=2000)})
    run = desk.run(SAY.format(""))
    (row,) = run.receipt()
    assert desk.scripts["here"].requests[0]["model"] == row["model"] == "own-7b"
    assert run.cost == pytest.approx((row["input_tokens"] * 1000 + row["output_tokens"] * 2000) / 1e6)
    assert run.cost > 0


def test_a11_no_vendor_s_client_but_openai_is_needed():
    needed = {re.split(r"[\s<>=!~;\[]", r, maxsplit=1)[0].lower() for r in requires("orchmagic") or ()}
    assert "openai" in needed
    assert not needed & {"anthropic", "google-genai", "mistralai", "groq", "together", "cohere", "litellm", "ollama"}


def test_a12_every_choice_of_a_model_or_a_way_has_its_reason(desk):
    desk.dead("down")
    desk.serve("up", lambda body: LABEL if body.get("response_format") else "pears")
    pooled(desk, "down", "up")
    run = desk.run("%%route --no-cache\na: apples\n    A {{ q }}\nb: pears\n    B {{ q }}\n", q="green")
    chosen = [str(e.reason) for e in run.trace.events if isinstance(e, DeploymentChosen)]
    assert chosen == ["first choice", "number 2 of 2"] * 2
    (decided,) = [e for e in run.trace.events if isinstance(e, Decided)]
    assert (decided.choice, bool(decided.reason)) == ("b", True)
    for row in run.receipt():
        assert re.search(r"pool@down.*nothing answers at", row["reason"])


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        (
            {"model": "m", "base_url": "127.0.0.1:8000"},
            "models.x.base_url is '127.0.0.1:8000': write an address such as",
        ),
        ({"model": "m", "base_url": "$URL"}, "write an address such as http://"),
        ({"model": "m", "base_url": "http://127.0.0.1:99999/v1"}, "write an address such as http://"),
        ({"model": "m", "key_env": KEY}, "models.x.key_env is no name of a variable"),
        ({"model": "m", "key_env": "ghp_16C7e42F292c6912E7710c838347Ae178B4a"}, "models.x.key_env is no name"),
        ({"model": "m", "api_key": KEY}, "models.x.api_key is unknown: .*; did you mean 'key_env'"),
        ({"model": "m", "api_base": "http://x"}, "did you mean 'base_url'"),
    ],
)
def test_a_wrong_alias_is_told_where_it_stands_and_a_key_is_never_repeated(desk, entry, said):
    def tried():
        desk.project("x", models={"x": entry})
        desk.run(SAY.format(""))

    with pytest.raises(SettingsError, match=said) as caught:
        tried()
    assert "\n" not in str(caught.value)
    assert not any(str(value) in str(caught.value) for key, value in entry.items() if "key" in key)
