"""The fault table, whole: a cell against a real HTTP endpoint that fails, with a second endpoint to fall back to.

What each fault must come to is said in a row: how often the first endpoint was asked, who answered, what the trace says.
"""

from __future__ import annotations

import json

import pytest

from orchmagic import Reply, Script, Session, serve

pytestmark = pytest.mark.slow

GOOD = {"label": "ok", "score": 1}
CELL = """%%chain --no-cache --timeout 2s{options}
judge(retry=1) -> label: "ok" | "bad", score: int
    Judge this.
"""


class Endpoints:
    """Two scripted servers and a session whose aliases `first` and `second` are them."""

    def __init__(self, first, second, tmp_path):
        self.first, self.second = Script(first), Script(second)
        self.servers = [serve(self.first), serve(self.second)]
        urls = [s.__enter__().base_url for s in self.servers]
        models = {
            name: {"model": f"{name}-model", "base_url": url}
            for name, url in zip(("first", "second"), urls, strict=True)
        }
        environ = {
            "ORCHMAGIC_MODELS": json.dumps(models),
            "ORCHMAGIC_MODEL": "first",
            "ORCHMAGIC_RETRY": "1",
            "ORCHMAGIC_CACHE_DIR": str(tmp_path),
        }
        self.session = Session({}, environ=environ)

    def run(self, options=""):
        head, _, body = CELL.format(options=options).partition("\n")
        return self.session.define("chain", head.removeprefix("%%chain "), body)()

    def close(self):
        self.session.close()
        for server in self.servers:
            server.__exit__(None, None, None)


@pytest.fixture
def endpoints(tmp_path):
    made = []

    def make(first, second=(GOOD, GOOD)):
        made.append(Endpoints(list(first), list(second), tmp_path))
        return made[-1]

    yield make
    for one in made:
        one.close()


def story(run):
    return " | ".join(str(w) for s in run.record.spans for w in s.why)


RETRIED = ["429", "500", "502", "503", "timeout", "reset", "408"]
PASSED_ON = [
    "402",
    "quota",
    "refusal",
    "content_filter",
    "prompt_filter",
    "tool_use_failed",
    "empty",
    "truncated",
    "404",
    "context_length",
]
FINAL = ["400", "401", "403", "422"]


@pytest.mark.parametrize("fault", RETRIED)
def test_a_transient_fault_is_tried_again_at_the_same_endpoint(endpoints, fault):
    both = endpoints([Reply(fault=fault, retry_after=0.01), GOOD])
    run = both.run(" --fallback second")
    assert run.output.label == "ok"
    assert (len(both.first.requests), len(both.second.requests)) == (2, 0)
    assert "tried again" in story(run)


@pytest.mark.parametrize("fault", RETRIED)
def test_a_fault_that_stays_reaches_the_fallback(endpoints, fault):
    both = endpoints([Reply(fault=fault, retry_after=0.01)] * 4)
    run = both.run(" --fallback second")
    assert run.output.label == "ok"
    assert (len(both.first.requests), len(both.second.requests)) == (2, 1)
    assert "switched from first to second" in story(run)
    assert run.receipt()[0]["model"] == "second-model"


@pytest.mark.parametrize("fault", PASSED_ON)
def test_an_unusable_answer_goes_to_the_fallback_at_once(endpoints, fault):
    both = endpoints([Reply(fault=fault)] * 4)
    run = both.run(" --fallback second")
    assert run.output.label == "ok"
    assert (len(both.first.requests), len(both.second.requests)) == (1, 1)
    assert "switched from" in story(run)


@pytest.mark.parametrize("fault", FINAL)
def test_a_wrong_request_or_key_is_one_clear_error(endpoints, fault):
    both = endpoints([Reply(fault=fault)] * 4)
    run = both.run(" --fallback second")
    assert run.status == "failed"
    assert (len(both.first.requests), len(both.second.requests)) == (1, 0)
    assert "\n" not in run.error
    assert run.record.steps[0].status == "failed"
    assert run.record.steps[0].input


@pytest.mark.parametrize("fault", [*RETRIED, *PASSED_ON])
def test_without_a_fallback_it_is_one_clear_error(endpoints, fault):
    run = endpoints([Reply(fault=fault, retry_after=0.01)] * 4).run()
    assert run.status == "failed"
    assert run.error
    assert "\n" not in run.error


def test_broken_json_is_repaired_here(endpoints):
    both = endpoints([Reply(GOOD, fault="broken_json")])
    run = both.run()
    assert run.output.label == "ok"
    assert len(both.first.requests) == 1
    assert "repaired locally" in story(run)


def test_a_wrong_enum_is_asked_again_with_the_error(endpoints):
    both = endpoints([Reply(GOOD, fault="wrong_enum"), GOOD])
    run = both.run()
    assert run.output.label == "ok"
    assert "label" in both.first.requests[1]["messages"][-1]["content"]


def test_a_long_retry_after_goes_to_the_fallback_instead_of_waiting(endpoints):
    both = endpoints([Reply(fault="429", retry_after=3600)])
    assert both.run(" --fallback second").output.label == "ok"
    assert len(both.first.requests) == 1


def test_failed_attempts_count_against_the_budget(endpoints):
    both = endpoints([Reply(fault="truncated")] * 4)
    run = both.run(" --fallback second")
    used = [s.usage.total for s in run.record.spans if s.kind == "attempt"]
    assert len(used) == 2
    assert all(used)
    assert run.tokens == sum(used)


def test_an_endpoint_that_is_not_there_is_one_clear_line(tmp_path):
    models = {"gone": {"model": "m", "base_url": "http://127.0.0.1:9/v1"}}
    environ = {"ORCHMAGIC_MODELS": json.dumps(models), "ORCHMAGIC_CACHE_DIR": str(tmp_path), "ORCHMAGIC_RETRY": "0"}
    session = Session({}, environ=environ)
    run = session.define("chain", "--model gone", "a\n    x\n")()
    session.close()
    assert run.status == "failed"
    assert "127.0.0.1:9" in run.error
    assert "\n" not in run.error
