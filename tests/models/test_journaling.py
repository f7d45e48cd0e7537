"""An answer that the journal holds is served, told and counted once; any other question is asked and kept."""

from dataclasses import replace

import pytest

from orchmagic.errors import BudgetExceeded, EmptyReply
from orchmagic.models.budget import Budget, Spend
from orchmagic.models.cache.key import key
from orchmagic.models.middleware.journaling import Journaling
from orchmagic.models.types import Deployment, ModelRequest, ModelResponse, TokenLogprob, ToolCall, ToolSpec
from orchmagic.storage.journal import JournalEntry, NoJournal
from orchmagic.storage.runs import Store
from orchmagic.trace.events import JournalHit, Usage

HERE = Deployment("small", "openai", "m", base_url="https://a.example/v1")
REQUEST = ModelRequest(
    call="a#1.1",
    model="small",
    messages=({"role": "user", "content": "hi"},),
    tools=(ToolSpec("find", "Finds.", {"type": "object"}),),
)
ANSWER = ModelResponse(
    "yes \ud800",
    tool_calls=(ToolCall("1", "find", "{}"),),
    usage=Usage(input=3, output=1, cached=2),
    cost=0.5,
    model="m-2026",
    provider="openai",
    logprobs=(TokenLogprob("yes", -0.1),),
)


class Life:
    """One life of a run: its budget, what it said, and how often its model was asked."""

    def __init__(self, journal, parent=None):
        self.said, self.asked, self.outcome = [], [], ANSWER
        self.budget = Budget(max_tokens=1000, money=10.0, parent=parent)
        self.recording = Journaling(journal, lambda name: replace(HERE, alias=name), self.said.append, self.budget)

    async def model(self, request):
        self.asked.append(request.call)
        if isinstance(self.outcome, Exception):
            raise self.outcome
        number = await self.budget.reserve(Spend(10, 1.0))  # as the innermost layer does
        self.budget.settle(number, Spend(4, 0.5))
        return self.outcome

    async def ask(self, **change):
        return await self.recording(replace(REQUEST, **change), self.model)

    @property
    def spent(self):
        return self.budget.spent_tokens, self.budget.spent_cost


@pytest.fixture
def store(tmp_path):
    made = Store(tmp_path / "runs.db")
    yield made
    made.close()


async def test_the_next_life_gets_the_answer_and_counts_what_it_cost(store):
    first, second = Life(store.journal("r1")), Life(store.journal("r1"))
    assert await first.ask() is ANSWER
    store.database.flush()
    assert await second.ask() == ANSWER
    assert second.asked == []
    assert second.said == [JournalHit(call="a#1.1", usage=ANSWER.usage, cost=0.5, paid=True)]
    assert first.spent == second.spent == (4, 0.5)


async def test_a_replay_pays_nothing(store):
    await Life(store.journal("r1")).ask()
    replay = Life(store.journal("r2", parent="r1"))
    assert await replay.ask() == ANSWER
    assert replay.said == [JournalHit(call="a#1.1", usage=ANSWER.usage, cost=0.5, paid=False)]
    assert replay.spent == (0, 0.0)


@pytest.mark.parametrize(
    "change",
    [{"call": "a#2.1"}, {"model": "large", "messages": ({"role": "user", "content": "ho"},)}, {"vote": 2}],
)
async def test_another_question_is_asked(store, change):
    await Life(store.journal("r1")).ask()
    second = Life(store.journal("r1"))
    assert await second.ask(**change) is ANSWER
    assert second.said == []


async def test_what_the_cache_gave_is_recorded_and_still_costs_nothing(store):
    first, second = Life(store.journal("r1")), Life(store.journal("r1"))
    first.outcome = replace(ANSWER, age=60.0)
    await first.ask()
    store.database.flush()
    assert (await second.ask()).age == 60.0
    assert second.said[0].paid is False
    assert second.spent == (0, 0.0)


async def test_the_same_life_is_answered_without_a_word_and_pays_once():
    life = Life(NoJournal())
    await life.ask()
    assert await life.ask() == ANSWER
    assert life.asked == ["a#1.1"]
    assert life.said == []
    assert life.spent == (4, 0.5)


async def test_it_is_told_and_counted_once_in_a_life_that_comes_by_twice(store):
    await Life(store.journal("r1")).ask()
    second = Life(store.journal("r1"))
    await second.ask()
    await second.ask()
    assert len(second.said) == 1
    assert second.spent == (4, 0.5)


async def test_an_inner_budget_that_is_new_counts_what_the_run_has_counted(store):
    """The graph around was driven again after a pause: its inner graphs begin with empty budgets."""
    journal, run = store.journal("r1"), Budget()
    await Life(journal, parent=run).ask()
    again = Life(journal, parent=run)
    await again.ask()
    assert again.said == []
    assert again.spent == (4, 0.5)
    assert run.spent_tokens == 4


async def test_a_budget_that_an_earlier_life_used_up_is_used_up(store):
    await Life(store.journal("r1")).ask()
    second = Life(store.journal("r1"))
    second.budget.max_tokens = 13
    await second.ask()
    with pytest.raises(BudgetExceeded, match="spent 4"):
        await second.ask(call="b#1.1")


async def test_an_error_is_never_kept(store):
    first = Life(store.journal("r1"))
    first.outcome = EmptyReply("nothing")
    with pytest.raises(EmptyReply):
        await first.ask()
    second = Life(store.journal("r1"))
    assert await second.ask() is ANSWER
    assert second.asked == ["a#1.1"]


@pytest.mark.parametrize("value", [None, 3, "text", [], {}, {"text": 5}, {"text": "t", "usage": {"input": "3"}}])
async def test_what_is_no_answer_is_asked_again(value):
    journal = NoJournal()
    journal.keep("a#1.1", key(REQUEST, HERE), value)
    life = Life(journal)
    assert await life.ask() is ANSWER
    assert journal.recall("a#1.1", key(REQUEST, HERE)) == JournalEntry(
        {**journal.recall("a#1.1", key(REQUEST, HERE)).value, "text": ANSWER.text}, own=True
    )
