"""Circuits, limits and figures of deployments, by a clock of our own; what one kernel learns the others know."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import warnings

import pytest

from orchmagic.errors import (
    CallTimeout,
    ConnectionLost,
    EmptyReply,
    ModelError,
    QuotaExhausted,
    RateLimited,
    RefusedReply,
    RequestRejected,
    ServerFailed,
    TruncatedReply,
)
from orchmagic.models.routing.circuit_breaker import Unavailable, is_retryable_elsewhere
from orchmagic.models.routing.health import SCHEMA, Permit, identity, opened
from orchmagic.models.types import Deployment
from orchmagic.storage.database import Database
from orchmagic.storage.schema import DatabaseSchema
from orchmagic.storage.sqlite_files import StoreWarning

HERE = Deployment("a", "openai", "m", "http://127.0.0.1:1/v1")


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def health(clock, tmp_path):
    found = opened(tmp_path)
    found.clock = clock
    yield found
    found.close()


def fail(health, error, deployment=HERE):
    given = health.acquire(deployment, 10)
    assert isinstance(given, Permit), given
    health.release(given, error=error)


def answer(health, deployment=HERE, seconds=1.0, written=10):
    given = health.acquire(deployment, 10)
    assert isinstance(given, Permit), given
    health.release(given, seconds=seconds, tokens=20, written=written)


def closed(health, deployment=HERE):
    found = health.acquire(deployment, 10)
    assert isinstance(found, Unavailable), found
    return found


@pytest.mark.parametrize("error", [ServerFailed("500"), CallTimeout("late"), ConnectionLost("gone"), EmptyReply("")])
def test_three_failures_in_a_row_open_the_circuit_for_half_a_minute(health, clock, error):
    fail(health, error)
    fail(health, error)
    answer(health)
    for _ in range(3):
        fail(health, error)
    found = closed(health)
    assert (found.kind, found.until) == ("circuit", clock.now + 30)
    assert "skipped for 30 s (circuit open)" in health.state(HERE)


@pytest.mark.parametrize(
    ("error", "kind", "seconds"),
    [
        (QuotaExhausted("402"), "circuit", 600),
        (RequestRejected("the key was refused", status=401), "circuit", 300),
        (RequestRejected("no such model", status=404), "circuit", 300),
        (RateLimited("429", retry_after=17), "asked", 17),
        (RateLimited("429"), "asked", 1),
    ],
)
def test_these_open_it_at_once(health, clock, error, kind, seconds):
    fail(health, error)
    found = closed(health)
    assert (found.kind, found.until) == (kind, clock.now + seconds)


@pytest.mark.parametrize("error", [RefusedReply("no"), TruncatedReply("cut"), RequestRejected("bad", status=400)])
def test_these_say_nothing_of_the_deployment(health, error):
    for _ in range(5):
        fail(health, error)
    assert isinstance(health.acquire(HERE, 10), Permit)
    assert health.stats([HERE])["a"].uptime == 1.0
    assert not is_retryable_elsewhere(error)


def test_when_the_time_is_over_one_call_probes_and_the_others_stay_away(health, clock):
    fail(health, QuotaExhausted("402"))
    clock.now += 601
    probe = health.acquire(HERE, 10)
    assert isinstance(probe, Permit)
    assert probe.probe
    assert str(closed(health).reason) == "being tried by another call"
    health.release(probe, seconds=1.0, written=5)
    assert not health.acquire(HERE, 10).probe
    assert health.state(HERE) == "ok"


def test_who_waits_for_a_probe_looks_again_after_a_second(health, clock):
    fail(health, QuotaExhausted("402"))
    clock.now += 601
    health.acquire(HERE, 10, timeout=60.0)
    assert closed(health).until == clock.now + 1


def test_a_later_failure_never_shortens_the_time_of_an_open_circuit(health, clock):
    early, late = health.acquire(HERE, 10), health.acquire(HERE, 10)
    health.release(early, error=QuotaExhausted("402"))
    health.release(late, error=RateLimited("429", retry_after=1))
    assert closed(health).until == clock.now + 600


def test_a_probe_that_fails_opens_it_again_for_twice_as_long(health, clock):
    for _ in range(3):
        fail(health, ServerFailed("500"))
    for expected in (60, 120, 240, 480, 600, 600):
        clock.now += 601
        fail(health, ServerFailed("500"))
        assert closed(health).until == clock.now + expected


def test_a_probe_that_was_cancelled_leaves_room_for_the_next(health, clock):
    fail(health, QuotaExhausted("402"))
    clock.now += 601
    health.release(health.acquire(HERE, 10))
    assert health.acquire(HERE, 10).probe


def test_a_probe_that_never_ends_is_given_up(health, clock):
    fail(health, QuotaExhausted("402"))
    clock.now += 601
    assert health.acquire(HERE, 10, timeout=5.0).probe
    closed(health)
    clock.now += 36
    assert health.acquire(HERE, 10, timeout=5.0).probe


def test_where_nobody_else_is_left_an_open_circuit_is_passed(health):
    fail(health, QuotaExhausted("402"))
    assert isinstance(health.acquire(HERE, 10, anyway=True), Permit)


def test_concurrency_is_a_limit_of_calls_under_way(health):
    two = Deployment("a", "openai", "m", "http://127.0.0.1:1/v1", concurrency=2)
    first, _ = health.acquire(two, 10), health.acquire(two, 10)
    assert closed(health, two).kind == "busy"
    health.release(first, seconds=1.0)
    assert isinstance(health.acquire(two, 10), Permit)


def test_requests_a_minute_are_counted_over_the_last_sixty_seconds(health, clock):
    few = Deployment("a", "openai", "m", "http://127.0.0.1:1/v1", requests_per_minute=2)
    answer(health, few)
    clock.now += 20
    answer(health, few)
    found = closed(health, few)
    assert (found.kind, found.until) == ("limit", clock.now + 40)
    clock.now += 40.01
    answer(health, few)
    closed(health, few)


def test_tokens_a_minute_are_booked_at_their_worst_and_settled_at_what_was_used(health, clock):
    small = Deployment("a", "openai", "m", "http://127.0.0.1:1/v1", tokens_per_minute=100)
    given = health.acquire(small, 90)
    assert isinstance(health.acquire(small, 20), Unavailable)
    health.release(given, seconds=1.0, tokens=30)
    clock.now += 10
    second = health.acquire(small, 60)
    assert isinstance(second, Permit)
    found = health.acquire(small, 20)
    assert found.until == clock.now + 50  # when the first one's thirty are a minute old
    assert health.acquire(small, 50).until == clock.now + 60  # not before the second one's sixty are too
    health.release(second, sent=False)
    assert isinstance(health.acquire(small, 70), Permit)


def test_a_question_larger_than_the_limit_is_asked_when_nothing_else_was(health):
    small = Deployment("a", "openai", "m", "http://127.0.0.1:1/v1", tokens_per_minute=100)
    assert isinstance(health.acquire(small, 500), Permit)
    assert isinstance(health.acquire(small, 1), Unavailable)


def test_figures_are_what_was_seen_and_fade_with_time(health, clock):
    answer(health, seconds=2.0, written=100)
    answer(health, seconds=2.0, written=300)
    found = health.stats([HERE])["a"]
    assert (found.throughput, found.latency, found.uptime) == (100, 2.0, 1.0)
    fail(health, ServerFailed("500"))
    assert health.stats([HERE])["a"].uptime == pytest.approx(3 / 4)
    clock.now += 300  # two answers of three count half: (1 + 1) of (1.5 + 1)
    assert health.stats([HERE])["a"].uptime == pytest.approx(2 / 2.5)
    clock.now += 30_000
    assert health.stats([HERE])["a"].uptime == pytest.approx(1.0)


def test_one_slow_spell_is_soon_forgotten_once_it_is_fast_again(health):
    for _ in range(200):
        answer(health, seconds=2.0, written=100)
    assert health.stats([HERE])["a"].latency == pytest.approx(2.0)
    for _ in range(10):
        answer(health, seconds=0.1, written=100)
    found = health.stats([HERE])["a"]
    assert found.latency == pytest.approx(0.1 + 1.9 * 0.9**10)  # of the mean of all it would still be 1.9 s
    assert found.throughput == pytest.approx(100 / found.latency)
    assert found.uptime == 1.0


def test_each_deployment_has_figures_of_its_own_and_one_that_never_answered_is_not_measured(health):
    other, third, fourth = (Deployment(n, "openai", n, "http://127.0.0.1:1/v1") for n in "bcd")
    answer(health, seconds=2.0, written=100)
    answer(health, other, seconds=0.5, written=10)
    fail(health, ServerFailed("500"), third)
    found = health.stats([HERE, other, third, fourth])
    assert [(s.throughput, s.latency) for s in (found["a"], found["b"])] == [(50, 2.0), (20, 0.5)]
    assert [s.measured for s in found.values()] == [True, True, False, False]


def test_being_sent_away_is_no_outage(health):
    fail(health, RateLimited("429", retry_after=5))
    assert health.stats([HERE])["a"].uptime == 1.0


def test_one_endpoint_is_one_deployment_by_whatever_alias(health):
    other = Deployment("b", "openai", "m", "http://127.0.0.1:1/v1/")
    fail(health, QuotaExhausted("402"))
    assert closed(health, other).kind == "circuit"
    assert identity(HERE) != identity(Deployment("a", "openai", "m", "http://127.0.0.1:2/v1"))
    assert identity(HERE) != identity(Deployment("a", "openai", "m", "http://127.0.0.1:1/v1", key_env="OTHER"))


def test_another_kernel_knows_what_this_one_learned(tmp_path):
    here = opened(tmp_path)
    fail(here, QuotaExhausted("402 from host"))
    code = (
        "import sys, pathlib\n"
        "from orchmagic.models import Deployment\n"
        "from orchmagic.models.routing.health import opened\n"
        "there = opened(pathlib.Path(sys.argv[1]))\n"
        "print(there.acquire(Deployment('x', 'openai', 'm', 'http://127.0.0.1:1/v1'), 1).reason)\n"
        "there.close()\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert "402 from host" in done.stdout
    here.close()


def test_a_damaged_file_is_a_warning_and_no_call_is_lost(tmp_path):
    (tmp_path / "deployments.sqlite").write_bytes(b"no database at all" * 100)
    health = opened(tmp_path)
    with pytest.warns(StoreWarning, match="record of deployments .* cannot be used"):
        given = health.acquire(HERE, 10)
    assert isinstance(given, Permit)
    health.release(given, error=QuotaExhausted("402"))
    closed(health)
    health.close()


def test_after_closing_nothing_is_kept_and_nothing_breaks(tmp_path):
    health = opened(tmp_path)
    health.close()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", StoreWarning)
        given = health.acquire(HERE, 10)
        assert isinstance(given, Permit)
        health.release(given, error=ModelError("x"))
    assert health.stats([HERE])["a"].uptime == 1.0


async def test_who_waits_for_a_place_is_woken_when_one_is_free(health):
    given = health.acquire(HERE, 10)
    waiting = asyncio.create_task(health.wait_for_release(60.0))
    await asyncio.sleep(0)
    health.release(given, seconds=1.0)
    await asyncio.wait_for(waiting, 5.0)


ASKING = """
import pathlib, sys
from orchmagic.models.types import Deployment
from orchmagic.models.routing.health import Permit, opened
kind, folder = sys.argv[1:]
limit = {"rpm": {"requests_per_minute": 7}, "tpm": {"tokens_per_minute": 70}, "busy": {"concurrency": 7}}[kind]
there = opened(pathlib.Path(folder))
asked = Deployment("x", "openai", "m", "http://127.0.0.1:1/v1", **limit)
sys.stdin.readline()  # both processes begin at once
got = [there.acquire(asked, 10) for _ in range(20)]
print(sum(isinstance(g, Permit) for g in got), flush=True)
sys.stdin.readline()  # nobody gives a place back before the other has asked
there.close()
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["rpm", "tpm", "busy"])
def test_two_kernels_share_a_limit_and_never_pass_it_together(tmp_path, kind):
    opened(tmp_path).close()
    command = [sys.executable, "-c", ASKING, kind, str(tmp_path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "bufsize": 1}
    with subprocess.Popen(command, **pipes) as one, subprocess.Popen(command, **pipes) as two:
        for child in (one, two):
            child.stdin.write("go\n")
        got = [int(child.stdout.readline()) for child in (one, two)]
        for child in (one, two):
            child.stdin.close()
    assert sum(got) == 7  # of forty that asked


def test_a_file_of_before_first_tokens_were_measured_is_read_on(tmp_path):
    old = SCHEMA.statements.replace(",\n    first REAL DEFAULT 0, streamed REAL DEFAULT 0", "")
    assert "first" not in old
    before = Database(tmp_path / "deployments.sqlite", DatabaseSchema(old), "record of deployments")
    before.write("INSERT INTO deployments(id, asked, answered, seconds, at) VALUES (?, 1, 1, 3, 0)", identity(HERE))
    before.close()
    health = opened(tmp_path)
    assert health.stats([HERE])["a"].latency == 3.0
    health.release(health.acquire(HERE, 10), seconds=1.0, first=0.5)
    assert health.stats([HERE])["a"].first == 0.5
    health.close()


def test_first_tokens_are_a_figure_of_their_own_and_recent_ones_count_most(health):
    answer(health)
    assert health.stats([HERE])["a"].first is None
    for _ in range(100):
        health.release(health.acquire(HERE, 10), seconds=2.0, first=1.0)
    for _ in range(10):
        health.release(health.acquire(HERE, 10), seconds=2.0, first=0.1)
    assert health.stats([HERE])["a"].first == pytest.approx(0.1 + 0.9 * 0.9**10)


def test_questions_under_way_are_counted_until_they_end_or_are_given_up(health, clock):
    passes = [health.acquire(HERE, 10, timeout=5.0) for _ in range(3)]
    assert health.stats([HERE])["a"].under_way == 3
    health.release(passes[0], seconds=1.0)
    health.release(passes[1], sent=False)
    assert health.stats([HERE])["a"].under_way == 1
    clock.now += 36
    assert health.stats([HERE])["a"].under_way == 0
