"""A question to an alias of several deployments is answered by one of them, and the trace says which and why."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from orchmagic.errors import (
    BudgetExceeded,
    CallTimeout,
    EmptyReply,
    ModelError,
    NoDeployment,
    QuotaExhausted,
    RateLimited,
    RefusedReply,
    RequestRejected,
    ServerFailed,
)
from orchmagic.models.middleware.load_balancing import LoadBalancing
from orchmagic.models.routing.first_token import FirstTokenTimer
from orchmagic.models.routing.health import Permit, opened
from orchmagic.models.types import Deployment, ModelRequest, ModelResponse, Pool, ToolSpec
from orchmagic.trace.events import DeploymentChosen, FellBack, TextStreamed, Usage
from orchmagic.trace.reasons import Reason

FIRST = Reason("deployment", cause="order", place=1, among=3)


def request(**fields):
    return ModelRequest(**{"call": "ask#1.1", "model": "p", "messages": ({"role": "user", "content": "hi"},), **fields})


class World:
    """Deployments p@a, p@b, p@c: each answers, or fails with its errors first; time passes only by waiting."""

    def __init__(self, names="abc", policy="order", hedge=None, retry=2, fields=None, **errors):
        self.now = 1_000.0
        self.waits, self.asked, self.said, self.left = [], [], [], None
        self.errors = {f"p@{n}": e if isinstance(e, list) else [e] * 99 for n, e in errors.items()}
        self.gates: dict[str, asyncio.Event] = {}
        self.second = asyncio.Event()
        members = tuple(Deployment(f"p@{n}", "scripted", n, **(fields or {}).get(n, {})) for n in names)
        self.pool = Pool("p", members, policy, hedge)
        self.known: set[str] = set()
        self.health = opened(None)
        self.health.clock = lambda: self.now
        self.balancing = LoadBalancing(
            lambda name: self.pool if name == "p" else None,
            self.health,
            self.said.append,
            retry=retry,
            resolve=lambda name: Deployment(name, "scripted", name),
            known=self.is_known,
            time_left=lambda: self.left,
            sleep=self.sleep,
            chance=lambda: 0.5,
            timer=FirstTokenTimer(self.said.append, lambda: self.now),
        )

    async def is_known(self, request):
        return request.model in self.known

    async def sleep(self, seconds):
        self.waits.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)

    async def handler(self, request):
        self.asked.append(request.model)
        if len(self.asked) == 2:
            self.second.set()
        self.last = request
        if request.model in self.gates:
            await self.gates[request.model].wait()
        self.now += 0.1
        if self.errors.get(request.model):
            raise self.errors[request.model].pop(0)
        age = 1.0 if request.model in self.known else None
        return ModelResponse(request.model, usage=Usage(input=5, output=5), age=age)

    async def ask(self, **fields):
        return await self.balancing(request(**fields), self.handler)

    @property
    def choice(self):
        return self.events(DeploymentChosen)[-1]

    def events(self, kind):
        return [e for e in self.said if isinstance(e, kind)]


async def test_a_name_with_one_deployment_passes_untouched():
    world = World()
    answer = await world.ask(model="other", retries=None)
    assert (answer.text, world.said) == ("other", [])
    assert world.last.retries is None


async def test_the_first_of_the_list_answers_and_the_trace_says_so():
    world = World()
    answer = await world.ask()
    assert answer.text == "p@a"
    assert world.events(DeploymentChosen) == [
        DeploymentChosen(call="ask#1.1", alias="p", deployment="p@a", reason=FIRST)
    ]


@pytest.mark.parametrize(
    "error",
    [
        ServerFailed("500 from a", status=500),
        CallTimeout("no answer"),
        RateLimited("429"),
        QuotaExhausted("402"),
        EmptyReply("nothing"),
        RequestRejected("the key was refused", status=401),
        RequestRejected("no such model", status=404),
    ],
)
async def test_when_one_is_down_the_next_serves_at_once(error):
    world = World(a=error)
    answer = await world.ask()
    assert (answer.text, world.asked, world.waits) == ("p@b", ["p@a", "p@b"], [])
    (fell,) = world.events(FellBack)
    assert (fell.source, fell.target) == ("p@a", "p@b")
    assert str(error) in fell.error
    assert (world.choice.deployment, str(world.choice.reason)) == ("p@b", "number 2 of 3")


async def test_inside_a_deployment_nothing_is_tried_again():
    world = World(a=ServerFailed("500"))
    await world.ask()
    assert world.last.retries == 0


@pytest.mark.parametrize("error", [RequestRejected("bad", status=400), RefusedReply("no"), BudgetExceeded("no money")])
async def test_what_another_deployment_cannot_help_ends_it(error):
    world = World(a=error)
    with pytest.raises(type(error)) as caught:
        await world.ask()
    assert caught.value is error
    assert world.asked == ["p@a"]


async def test_when_all_fail_they_are_asked_again_as_often_as_retries_say():
    world = World(a=ServerFailed("500 a", status=500), b=CallTimeout("late b"), c=QuotaExhausted("402 c"))
    with pytest.raises(CallTimeout, match="no deployment of 'p' answered") as caught:
        await world.ask()
    assert str(caught.value) == (
        "no deployment of 'p' answered: 500 from p@a (3 times): 500 a; call timeout from p@b (3 times): late b; "
        "quota exhausted from p@c: 402 c"
    )
    # what cannot pass (402) is not tried again; two rounds more, with growing waits
    assert world.asked == ["p@a", "p@b", "p@c", "p@a", "p@b", "p@a", "p@b"]
    assert world.waits == [0.25, 0.5]


async def test_a_key_that_is_wrong_everywhere_does_not_loop():
    wrong = {n: RequestRejected(f"{n}: the key was refused", status=401) for n in "abc"}
    world = World(**wrong)
    with pytest.raises(RequestRejected, match=r"a: the key was refused.*b: the key.*c: the key"):
        await world.ask()
    assert world.asked == ["p@a", "p@b", "p@c"]


async def test_the_waits_between_rounds_double_up_to_a_cap_however_many_rounds_there_are():
    errors = {name: [ServerFailed("500")] * 1200 for name in "ab"}
    world = World("ab", retry=1100, **errors)
    world.health.acquire = lambda deployment, *_, **__: Permit(
        deployment.alias, deployment.alias
    )  # no circuit: the rounds are looked at
    with pytest.raises(ServerFailed, match="no deployment"):
        await world.ask()
    assert world.waits[:7] == [0.25, 0.5, 1, 2, 4, 8, 10]
    assert world.waits[7:] == [10] * 1093


async def test_a_failure_that_another_model_may_help_against_is_the_one_that_is_raised():
    world = World("ab", a=QuotaExhausted("402"), b=RequestRejected("the key was refused", status=401))
    with pytest.raises(QuotaExhausted, match="the key was refused"):
        await world.ask()


async def test_a_dead_deployment_is_skipped_until_its_time_is_over_and_then_probed():
    world = World(a=[ServerFailed("500")] * 3)
    for _ in range(3):
        await world.ask()
    world.asked.clear()
    await world.ask()
    assert world.asked == ["p@b"]
    assert "p@a skipped for 30 s (circuit open): 500" in str(world.choice.reason)
    world.now += 31
    assert (await world.ask()).text == "p@a"


async def test_retry_after_is_honoured_and_nobody_waits_while_another_can_answer():
    world = World(a=[RateLimited("429", retry_after=20)])
    assert [(await world.ask()).text for _ in range(2)] == ["p@b", "p@b"]
    assert world.waits == []
    world.now += 20
    assert (await world.ask()).text == "p@a"


async def test_when_all_send_us_away_the_shortest_wait_is_taken():
    world = World("ab", a=[RateLimited("429", retry_after=9)], b=[RateLimited("429", retry_after=4)])
    assert (await world.ask()).text == "p@b"
    assert world.waits == [4]


async def test_where_one_sends_us_away_and_another_failed_the_failed_one_is_soon_asked_again():
    world = World("ab", a=[RateLimited("429", retry_after=9)], b=[ServerFailed("500")])
    assert (await world.ask()).text == "p@b"
    assert world.waits == [0.25]


@pytest.mark.parametrize(("retry_after", "left"), [(90, None), (20, 10.0)])
async def test_a_wait_that_is_too_long_fails_so_that_another_model_is_asked(retry_after, left):
    world = World(
        "ab", a=RateLimited("429 a", retry_after=retry_after), b=RateLimited("429 b", retry_after=retry_after)
    )
    world.left = left
    with pytest.raises(RateLimited):
        await world.ask()
    with pytest.raises(NoDeployment, match=f"can be called for {retry_after - 1}|for {retry_after}") as caught:
        await world.ask()
    assert caught.value.falls_back
    assert world.asked == ["p@a", "p@b"]


async def test_when_all_circuits_are_open_one_is_asked_anyway():
    world = World("ab", a=[QuotaExhausted("402")], b=[QuotaExhausted("402")])
    with pytest.raises(QuotaExhausted):
        await world.ask()
    assert (await world.ask()).text == "p@a"  # its time is over first


async def test_what_is_stored_is_served_without_choosing_and_says_nothing_of_the_deployment():
    world = World(policy="uptime")
    world.known.add("p@c")
    answer = await world.ask()
    assert (answer.text, world.events(DeploymentChosen)) == ("p@c", [])


async def test_in_an_ordered_list_the_answer_of_a_stand_in_is_not_served_once_the_first_is_back():
    world = World()
    world.known.add("p@c")
    assert (await world.ask()).text == "p@a"


async def test_a_deployment_that_cannot_see_is_not_asked_about_an_image():
    image = {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]}
    world = World(fields={"a": {"vision": False}})
    assert (await world.ask(messages=(image,))).text == "p@b"


async def test_tools_and_context_are_needs_too():
    tool = ToolSpec("find", "", {"type": "object", "properties": {}})
    world = World(fields={"a": {"tools": "none"}, "b": {"context": 100}})
    assert (await world.ask(tools=(tool,), max_tokens=50)).text == "p@b"
    assert (await world.ask(tools=(tool,), max_tokens=100)).text == "p@c"
    assert (await world.ask(max_tokens=100)).text == "p@a"


async def test_where_none_can_it_is_said_what_each_lacks():
    tool = ToolSpec("find", "", {"type": "object", "properties": {}})
    world = World("ab", fields={"a": {"tools": "none"}, "b": {"context": 100}})
    with pytest.raises(NoDeployment, match=r"p@a takes no tools; p@b has a context of 100 tokens, .* may take 5,001"):
        await world.ask(tools=(tool,), max_tokens=5000)
    assert world.asked == []


async def test_never_more_at_once_than_a_deployment_takes_and_none_is_lost():
    world = World("a", fields={"a": {"concurrency": 2}})
    under_way, most = 0, 0

    async def handler(request):
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        under_way -= 1
        return ModelResponse("ok", usage=Usage(input=1, output=1))

    answers = await asyncio.gather(*(world.balancing(request(call=f"c{i}.1"), handler) for i in range(9)))
    assert len(answers) == 9
    assert most == 2


async def test_a_busy_deployment_passes_its_calls_to_the_next():
    world = World("ab", fields={"a": {"concurrency": 1}})
    world.gates["p@a"] = asyncio.Event()
    first = asyncio.create_task(world.ask())
    await asyncio.sleep(0)
    second = await world.ask()
    assert second.text == "p@b"
    assert "p@a 1 call under way, its limit" in str(world.choice.reason)
    world.gates["p@a"].set()
    assert (await first).text == "p@a"


async def test_requests_beyond_a_minute_s_limit_wait_for_their_time():
    world = World("a", fields={"a": {"requests_per_minute": 1}})
    await world.ask()
    await world.ask()
    assert world.waits == [pytest.approx(59.9)]


@pytest.mark.parametrize(("retries", "calls"), [(0, 3), (1, 6), (None, 9)])
async def test_the_retries_of_a_request_win_over_those_of_the_run(retries, calls):
    world = World(
        a=ServerFailed("500", status=500), b=ServerFailed("500", status=500), c=ServerFailed("500", status=500)
    )
    world.health.acquire = lambda deployment, *_, **__: Permit(
        deployment.alias, deployment.alias
    )  # no circuit: the rounds are looked at
    with pytest.raises(ServerFailed, match="no deployment"):
        await world.ask(retries=retries)
    assert len(world.asked) == calls


@pytest.mark.parametrize(("context", "fits"), [(101, True), (100, False)])
async def test_a_context_holds_as_many_tokens_as_it_has(context, fits):
    world = World("a", fields={"a": {"context": context}})
    if fits:
        assert (await world.ask(max_tokens=100)).text == "p@a"  # "hi" is one token
    else:
        with pytest.raises(NoDeployment, match="may take 101"):
            await world.ask(max_tokens=100)


async def test_a_single_deployment_with_limits_keeps_its_own_retries_and_is_no_choice():
    world = World("a", fields={"a": {"concurrency": 1}})
    await world.ask()
    assert (world.last.retries, world.said) == (None, [])


async def test_a_silent_deployment_is_overtaken_by_a_second_one():
    world = World("ab", hedge=0.001)
    world.gates["p@a"] = asyncio.Event()
    answer = await world.ask(stream=True)
    assert answer.text == "p@b"
    assert (world.choice.deployment, str(world.choice.reason)) == ("p@b", "p@a was silent for 0.001 s")
    assert not world.last.stream
    assert world.events(FellBack) == []


async def test_a_quick_answer_asks_nobody_else():
    world = World("ab", hedge=30.0)
    assert (await world.ask()).text == "p@a"
    assert world.asked == ["p@a"]


async def test_a_race_goes_on_when_one_of_two_fails():
    world = World("ab", hedge=0.001, b=ServerFailed("500"))
    world.gates["p@a"] = gate = asyncio.Event()
    asked = asyncio.create_task(world.ask())
    await world.second.wait()
    gate.set()
    assert (await asked).text == "p@a"


async def test_a_cancelled_question_gives_its_place_back():
    world = World("a", fields={"a": {"concurrency": 1}})
    world.gates["p@a"] = asyncio.Event()
    task = asyncio.create_task(world.ask())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    del world.gates["p@a"]
    assert (await world.ask()).text == "p@a"


async def test_by_score_the_questions_leave_what_turned_out_slow():
    world = World("ab", policy="uptime", a=[ServerFailed("500")])
    await world.ask()
    answer = await world.ask()
    assert answer.text == "p@b"
    assert "number 1 of 2 (uptime 100%" in str(world.choice.reason)


async def test_each_choice_says_what_is_special_about_it():
    world = World("ab", a=[QuotaExhausted("402 nothing left")])
    await world.ask()
    world.now += 601
    await world.ask()
    assert [(e.deployment, str(e.reason)) for e in world.events(DeploymentChosen)] == [
        ("p@a", "first choice"),
        ("p@b", "number 2 of 2"),
        ("p@a", "first choice; a probe: its circuit was half-open"),
    ]
    world = World("ab", hedge=0.001)
    world.gates["p@a"] = asyncio.Event()
    await world.ask()
    assert [str(e.reason) for e in world.events(DeploymentChosen)] == ["first choice", "p@a was silent for 0.001 s"]


async def test_where_all_are_left_alone_it_is_said_why_this_one_is_asked():
    world = World("a", a=[QuotaExhausted("402 nothing left")])
    world.pool = Pool("p", (*world.pool.members, Deployment("p@b", "scripted", "b")), "order")
    world.errors["p@b"] = [QuotaExhausted("402 here too")]
    with pytest.raises(QuotaExhausted):
        await world.ask()
    world.said.clear()
    await world.ask()
    (chosen,) = world.events(DeploymentChosen)
    assert chosen.deployment == "p@a"
    assert str(chosen.reason).startswith(
        "all are skipped after failures; its circuit closes first (skipped for 600 s (circ"
    )


async def test_by_latency_a_first_wave_spreads_and_then_the_fastest_answers():
    world = World(policy="latency")
    world.gates = {f"p@{n}": asyncio.Event() for n in "abc"}
    wave = [asyncio.create_task(world.ask(call=f"ask#{i}.1")) for i in range(9)]
    for _ in range(9):
        await asyncio.sleep(0)
    assert sorted(world.asked) == [f"p@{n}" for n in "aaabbbccc"]
    for name in ("p@b", "p@a", "p@c"):
        world.now += 1
        world.gates[name].set()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    await asyncio.gather(*wave)
    answer = await world.ask()
    assert answer.text == "p@b"
    assert "score 0.000, number 1 of 3" in str(world.choice.reason)


async def test_while_streaming_the_first_text_is_what_counts():
    world = World("ab", policy="latency")
    first, whole = {"p@a": 0.1, "p@b": 2.0}, {"p@a": 9.0, "p@b": 2.5}  # seconds

    async def handler(request):
        world.now += first[request.model]
        world.balancing.timer(TextStreamed(call=request.call, text="x"))
        world.now += whole[request.model] - first[request.model]
        return ModelResponse(request.model)

    def ask():
        return world.balancing(request(stream=stream), handler)

    stream = True
    assert [(await ask()).text for _ in range(3)] == ["p@a", "p@b", "p@a"]
    figures = world.health.stats(world.pool.members)
    assert figures["p@a"].first == pytest.approx(0.1)
    assert figures["p@a"].latency == pytest.approx(9.0)
    stream = False
    assert (await ask()).text == "p@b"
    assert world.events(TextStreamed)  # and who listens passes it on


async def test_a_streamed_answer_without_text_is_measured_as_a_whole():
    world = World("ab", policy="latency")
    assert [(await world.ask(stream=True)).text for _ in range(2)] == ["p@a", "p@b"]
    assert world.health.stats(world.pool.members)["p@a"].first == pytest.approx(0.1)


async def single(world, request_, errors):
    """One request to model "alone", whose attempts fail with `errors` first; the number of attempts that were made."""
    left = list(errors)

    async def attempt(sent):
        made.append(sent.model)
        while left:
            if world.balancing.left_alone(sent, error := left.pop(0)) or not left:
                raise error
            made.append(sent.model)
        return ModelResponse("fine")

    made: list[str] = []
    try:
        await world.balancing(request_, attempt)
    except ModelError as error:
        return len(made), type(error)
    return len(made), None


async def test_a_single_model_that_is_down_is_skipped_if_it_has_a_fallback():
    world, asked = World(), request(model="alone", fallback=("other",))
    assert await single(world, asked, [CallTimeout("late")] * 2) == (2, CallTimeout)
    assert await single(world, asked, [CallTimeout("late")] * 9) == (1, CallTimeout), "the third in a row opens it"
    assert await single(world, asked, []) == (0, NoDeployment)
    assert await single(world, replace(asked, fallback=()), []) == (1, None), "nothing stands behind it"
    world.known.add("alone")
    assert await single(world, asked, []) == (1, None), "a stored answer needs no deployment"
    world.known.clear()
    world.now += 31
    assert await single(world, asked, []) == (1, None), "half open: one call tests it"
    assert await single(world, asked, []) == (1, None)


@pytest.mark.parametrize(
    "error", [RequestRejected("wrong key", status=401), RateLimited("slow down"), RefusedReply("no")]
)
async def test_what_is_no_outage_opens_no_circuit_of_a_single_model(error):
    world, asked = World(), request(model="alone", fallback=("other",))
    for _ in range(5):
        await single(world, asked, [error])
    assert await single(world, asked, []) == (1, None)


async def test_open_circuits_go_straight_to_the_fallback():
    world = World("a", retry=0, a=ServerFailed("down"))
    for _ in range(3):
        with pytest.raises(ServerFailed):
            await world.balancing(request(fallback=("other",)), world.handler)
    before = len(world.asked)
    with pytest.raises(NoDeployment, match="skipped"):
        await world.balancing(request(fallback=("other",)), world.handler)
    assert len(world.asked) == before


async def test_a_clock_that_is_set_back_prolongs_no_wait():
    world, asked = World(), request(model="alone", fallback=("other",))
    world.now = 100_000.0
    await single(world, asked, [CallTimeout("late")] * 3)
    world.now -= 7_200
    assert await single(world, asked, []) == (0, NoDeployment)
    world.now += 31
    assert await single(world, asked, []) == (1, None)


async def test_a_clock_that_is_set_back_uses_up_no_rate_limit():
    world = World("a", fields={"a": {"requests_per_minute": 2}})
    world.now = 100_000.0
    for _ in range(2):
        await world.balancing(request(), world.handler)
    world.now -= 7_200
    await world.balancing(request(), world.handler)
    assert world.waits == []
