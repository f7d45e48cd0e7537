"""The same question in other words is answered from the cache; all that could make another answer is asked."""

import asyncio
import json
import sqlite3
import zlib
from dataclasses import replace
from typing import ClassVar

import numpy as np
import pytest
from model_table import ModelTable

from orchmagic.core.semantic_policy import SemanticCacheConfig, parse
from orchmagic.errors import ServerFailed, SettingsError
from orchmagic.models.budget import Budget
from orchmagic.models.cache import CacheWarning
from orchmagic.models.cache.key import key
from orchmagic.models.cache.stores.memory import MemoryCache
from orchmagic.models.embedders import TooLongError
from orchmagic.models.middleware.caching import Caching
from orchmagic.models.middleware.semantic_caching import SemanticCaching
from orchmagic.models.middleware.single_flight import SingleFlight
from orchmagic.models.pipeline import PipelineParts, build, stack
from orchmagic.models.semantic import ComparedQuestion
from orchmagic.models.semantic.semantic_cache import SemanticCache, opened
from orchmagic.models.semantic.store import SemanticStore
from orchmagic.models.types import Deployment, ModelRequest, ModelResponse, ToolSpec
from orchmagic.storage.journal import NoJournal
from orchmagic.trace.events import CacheHit, CacheHitChecked, Usage, from_json, to_json

HERE = Deployment("small", "openai", "m", base_url="https://a.example/v1")
ASKED = "How do I reset my password?"
SAME = "How can I reset my password?"


class Letters:
    """An embedder of three-letter pieces: rough, but the same everywhere and at once."""

    name, version, size = "letters", "1", 256

    def __init__(self):
        self.count = 0

    def embed(self, text):
        self.count += 1
        if len(text) > 200:
            raise TooLongError(text)
        found = np.full(self.size, 0.35, dtype=np.float32)
        for at in range(len(text) - 2):
            found[zlib.crc32(text[at : at + 3].lower().encode()) % self.size] += 1
        return found / np.linalg.norm(found)


@pytest.fixture(autouse=True)
def all_closed():
    yield
    while Bench.opened:
        Bench.opened.pop().close()


class Bench:
    """The two caches as the pipeline has them, a clock, a die and a model that counts how often it is asked."""

    opened: ClassVar[list[SemanticCache]] = []

    def __init__(self, path=None, cache=None, **policy):
        self.now = 1000.0
        self.die = 0.5
        self.embedder = Letters()
        self.cache = cache or MemoryCache(clock=lambda: self.now)
        self.memory = SemanticCache(
            SemanticStore(path), lambda: self.embedder, SemanticCacheConfig(**{"threshold": 0.8, **policy})
        )
        self.opened.append(self.memory)
        self.said = []
        self.requests = []
        self.replies = {}

    async def model(self, request):
        self.requests.append(request)
        prompt = request.messages[-1]["content"]
        reply = self.replies.get(request.model, f"answer {len(self.requests)} to {prompt}")
        if isinstance(reply, Exception):
            raise reply
        return ModelResponse(reply, usage=Usage(input=3, output=1), cost=0.5, model="m", provider="openai")

    async def ask(self, text=ASKED, frame="Answer: {{ q }}", **change):
        parts = change.pop("parts", {"q": text})
        messages = ({"role": "user", "content": f"{frame} {json.dumps(parts)}"},)
        request = ModelRequest(call="a#1.1", model="small", messages=messages, parts=parts, frame=frame)
        semantic = SemanticCaching(
            self.memory, self.cache, self.resolve, self.said.append, lambda: self.now, lambda: self.die
        )
        handler = stack(self.model, Caching(self.cache, self.resolve, self.said.append, lambda: self.now), semantic)
        return await handler(replace(request, **change))

    def resolve(self, name):
        return replace(HERE, alias=name, model=name)

    @property
    def asked(self):
        return len(self.requests)


async def test_other_words_for_the_same_are_a_hit_that_shows_what_it_matched():
    bench = Bench()
    first = await bench.ask()
    bench.now += 7
    second = await bench.ask(SAME)
    assert bench.asked == 1
    assert second.text == first.text
    assert second.age == 7.0
    [hit] = bench.said
    assert isinstance(hit, CacheHit)
    assert (hit.matched, hit.age, hit.cost, hit.hit) == (ASKED, 7.0, 0.5, 1)
    assert 0.8 < hit.score < 1


async def test_an_exact_hit_never_touches_the_embedder():
    bench = Bench()
    await bench.ask()
    before = bench.embedder.count
    await bench.ask()
    assert (bench.asked, bench.embedder.count) == (1, before)


async def test_without_parts_nothing_is_compared():
    bench = Bench()
    await bench.ask(ASKED, parts=None)
    await bench.ask(SAME, parts=None, messages=({"role": "user", "content": "other"},))
    assert (bench.asked, bench.embedder.count) == (2, 0)


@pytest.mark.parametrize(
    "other",
    ["How do I not reset my password?", "How do I reset my passport?", "How do I reset my 2 passwords?", "Reset what?"],
)
async def test_another_question_is_asked(other):
    bench = Bench(threshold=0.5, floor=0.1)
    await bench.ask()
    await bench.ask(other)
    assert bench.asked == 2


@pytest.mark.parametrize(
    "change",
    [
        {"frame": "Reply briefly: {{ q }}"},
        {"model": "large"},
        {"parameters": {"temperature": 0.9}},
        {"vote": 2},
        {"max_tokens": 5},
        {"tools": (ToolSpec("find", "Find it.", {"type": "object"}),)},
        {"parts": {"q": SAME, "team": "red"}},
    ],
)
async def test_everything_that_is_no_wording_must_be_equal(change):
    bench = Bench()
    await bench.ask(parts={"q": ASKED, "team": "blue"}) if "parts" in change else await bench.ask()
    await bench.ask(SAME, **change)
    assert bench.asked == 2


async def test_several_parts_are_all_compared():
    bench = Bench()
    told = "The account belongs to a new customer of ours."
    await bench.ask(parts={"q": ASKED, "context": told})
    await bench.ask(parts={"q": SAME, "context": told})
    assert bench.asked == 1
    await bench.ask(parts={"q": SAME, "context": "The account belongs to an old customer of ours."})
    assert bench.asked == 2


@pytest.mark.parametrize(
    ("text", "other"),
    [
        ("France now", "france now"),  # too short
        ('{"how": "do I reset it"}', '{"how": "can I reset it"}'),  # data
        ("How do I reset it? " * 20, "How can I reset it? " * 20),  # longer than the model reads
        ("Wie kann ich das Passwort setzen?", "Wie könnte ich das Passwort setzen?"),
    ],
)
async def test_what_cannot_be_judged_must_be_equal(text, other):
    bench = Bench(threshold=0.2, floor=0.1)
    await bench.ask(text)
    await bench.ask(other)
    assert bench.asked == 2


async def test_refresh_asks_and_the_newer_answer_is_served():
    bench = Bench()
    await bench.ask()
    newer = await bench.ask(cache="refresh")
    assert (await bench.ask(SAME)).text == newer.text
    assert bench.asked == 2


async def test_off_neither_reads_nor_keeps():
    bench = Bench()
    await bench.ask()
    await bench.ask(SAME, cache="off")
    assert bench.asked == 2
    assert len(bench.memory.store.entries()) == 1


async def test_an_answer_that_expired_is_not_served():
    bench = Bench()
    await bench.ask(ttl=10.0)
    bench.now += 11
    await bench.ask(SAME, ttl=10.0)
    assert bench.asked == 2


async def test_an_answer_too_old_for_one_request_still_serves_another():
    bench = Bench()
    await bench.ask()
    bench.now += 11
    await bench.ask("How do you reset my password?", ttl=10.0, cache="use")
    assert bench.asked == 2
    assert {e.question.shown for e in bench.memory.store.entries()} == {ASKED, "How do you reset my password?"}


async def test_a_cleared_cache_serves_nothing():
    bench = Bench()
    await bench.ask()
    bench.cache.clear()
    await bench.ask(SAME)
    assert bench.asked == 2


async def test_a_hit_that_a_person_marks_is_not_served_again():
    bench = Bench()
    await bench.ask()
    await bench.ask(SAME)
    assert bench.memory.store.wrong(1, bench.now)
    await bench.ask(SAME)
    await bench.ask(f"{SAME}?")  # nearer to what was marked than to the entry
    assert [h.right for h in bench.memory.store.hits()] == [None, False]  # answered by the newer entry, not the old
    assert bench.asked == 2
    assert bench.memory.store.labels()[0][1] is False
    assert not bench.memory.store.wrong(99, bench.now)


async def test_an_entry_can_be_removed():
    bench = Bench()
    await bench.ask()
    [entry] = bench.memory.store.entries()
    assert entry.question.texts == {"q": ASKED}
    assert bench.memory.forget(entry.number)
    assert not bench.memory.forget(entry.number)
    await bench.ask(SAME)
    assert bench.asked == 2


async def test_an_audit_asks_again_and_counts():
    bench = Bench(audits=0.03)
    bench.replies["small"] = "In the settings, under security."
    await bench.ask()
    bench.die = 0.02
    fresh = await bench.ask(SAME)
    assert fresh.age is None
    assert bench.asked == 2
    assert bench.said == [CacheHitChecked(call="a#1.1", matched=ASKED, score=bench.said[0].score, agreed=True)]
    assert bench.memory.store.audits() == (0, 1)


async def test_an_audit_that_disagrees_is_an_error_and_a_negative():
    bench = Bench(audits=0.03)
    await bench.ask()
    bench.die, bench.replies["small"] = 0.02, "no"
    await bench.ask(SAME)
    assert bench.memory.store.audits() == (1, 1)
    assert len(bench.memory.store.negatives(1)) == 1


@pytest.mark.parametrize(
    ("reply", "asked"),
    [
        ('{"same": true}', 2),
        ("yes", 2),
        ('{"same": false}', 3),
        ("Yes, but the second is about something else", 3),
        ("", 3),
        (ServerFailed("503"), 3),
    ],
)
async def test_the_verifier_may_only_veto(reply, asked):
    bench = Bench(verifier="judge")
    bench.replies["judge"] = reply
    await bench.ask()
    await bench.ask(SAME)
    assert bench.asked == asked  # the question, the judge, and the question again after a veto
    assert [r.model for r in bench.requests][:2] == ["small", "judge"]
    assert ASKED in bench.requests[1].messages[0]["content"]


async def test_the_verifier_is_not_asked_about_what_the_guards_refuse():
    bench = Bench(verifier="judge", threshold=0.5, floor=0.1)
    await bench.ask()
    await bench.ask("How do I not reset my password?")
    assert [r.model for r in bench.requests] == ["small", "small"]


async def test_the_verifier_is_asked_once_about_a_pair():
    bench = Bench(verifier="judge")
    bench.replies["judge"] = '{"same": true}'
    await bench.ask()
    await bench.ask(SAME)
    await bench.ask(SAME)
    assert [r.model for r in bench.requests] == ["small", "judge"]


async def test_with_a_bound_nothing_is_served_until_enough_is_known():
    bench = Bench(bound=0.02)
    bench.replies["small"] = "In the settings."
    await bench.ask()
    await bench.ask(SAME)
    assert bench.asked == 2
    [entry, *_] = bench.memory.store.entries()
    for n in range(149):
        bench.memory.store.label(entry, ComparedQuestion("s", {"q": str(n)}), 0.99, True, "near miss", 1.0)
    assert bench.memory.threshold() is not None
    await bench.ask(f"{SAME}!")
    assert bench.asked == 2


async def test_one_error_raises_a_learned_threshold_at_once():
    bench = Bench(bound=0.02)
    await bench.ask()
    [entry] = bench.memory.store.entries()

    def label(number, right):
        bench.memory.store.label(entry, ComparedQuestion("s", {"q": str(number)}), 0.99, right, "audit", 1.0)

    for number in range(150):
        label(number, right=True)
    assert bench.memory.threshold() is not None
    label(150, right=False)  # one label more is less than a hundredth
    assert bench.memory.threshold() is None


class Away(MemoryCache):
    """A remote cache whose server cannot be reached just now."""

    away = False

    def get(self, key):
        return None if self.away else super().get(key)


async def test_an_entry_outlives_a_server_that_is_away():
    bench = Bench(cache=Away())
    await bench.ask()
    bench.cache.away = True
    await bench.ask(SAME)
    assert len(bench.memory.store.entries()) == 2
    bench.cache.away = False
    assert (await bench.ask(f"{SAME}!")).age is not None
    assert bench.asked == 2


async def test_two_kernels_see_each_others_entries(tmp_path):
    cache = MemoryCache()
    one, two = Bench(tmp_path / "s.sqlite", cache), Bench(tmp_path / "s.sqlite", cache)
    await two.ask("Is there anything in it so far?")
    await one.ask()
    await two.ask(SAME)
    assert two.asked == 1
    one.memory.forget(2)
    cache.clear()
    await two.ask(SAME)
    assert two.asked == 2


async def test_what_was_kept_is_there_after_a_restart(tmp_path):
    cache = MemoryCache()
    before = Bench(tmp_path / "s.sqlite", cache)
    await before.ask()
    before.memory.close()
    after = Bench(tmp_path / "s.sqlite", cache)
    await after.ask(SAME)
    assert after.asked == 0
    assert after.memory.store.totals() == {"entries": 1, "hits": 1, "wrong": 0, "saved": 0.5}
    after.memory.close()


async def test_a_broken_store_is_one_warning_and_a_miss(tmp_path):
    (tmp_path / "s.sqlite").write_bytes(b"this is no database" * 100)
    bench = Bench(tmp_path / "s.sqlite")
    with pytest.warns(CacheWarning, match="is damaged .*: moved to .*s.sqlite.damaged, begun anew"):
        assert (await bench.ask()).text
    assert bench.asked == 1


async def test_a_missing_extra_is_a_warning_that_says_what_to_install():
    def missing():
        raise SettingsError('pip install "orchmagic[semantic]"')

    bench = Bench()
    bench.memory = SemanticCache(SemanticStore(None), missing)
    with pytest.warns(CacheWarning, match="orchmagic\\[semantic\\]"):
        await bench.ask()
    assert bench.asked == 1


async def test_with_the_real_embedder_and_the_defaults(tmp_path):
    bench = Bench()
    bench.memory = opened(tmp_path, SemanticCacheConfig(audits=0.0))
    await bench.ask("Is it healthy to walk before 1pm?")
    await bench.ask("Is it healthy to walk after 1pm?")  # nearer than any other here, by cosine
    await bench.ask()
    assert bench.asked == 3
    await bench.ask(SAME)
    assert bench.asked == 3
    assert (tmp_path / "semantic.sqlite").exists()
    bench.memory.close()


async def test_many_at_once_lose_nothing():
    bench = Bench()
    await bench.ask()
    answers = await asyncio.gather(*(bench.ask(SAME + " " * (n % 5) + "?" * (n // 5)) for n in range(20)))
    assert bench.asked == 1
    assert {a.text for a in answers} == {answers[0].text}
    assert len({h.hit for h in bench.said}) == 20


def test_the_parts_are_no_part_of_the_exact_key():
    plain = ModelRequest(call="a", model="small", messages=({"role": "user", "content": "x"},))
    assert key(plain, HERE) == key(replace(plain, parts={"q": "x"}, frame="f"), HERE)


def test_the_file_is_the_owners_alone(tmp_path):
    store = SemanticStore(tmp_path / "new" / "s.sqlite")
    store.totals()
    assert (tmp_path / "new" / "s.sqlite").stat().st_mode & 0o777 == 0o600
    store.close()


def test_a_file_of_a_newer_version_is_left_alone(tmp_path):
    with sqlite3.connect(tmp_path / "s.sqlite") as made:
        made.execute("PRAGMA user_version = 99")
    made.close()
    with pytest.raises(sqlite3.DatabaseError, match="newer orchmagic"):
        SemanticStore(tmp_path / "s.sqlite").totals()


@pytest.mark.parametrize("wrong", [{"threshold": 1.2}, {"threshold": 0.3}, {"audits": -1}, {"bound": 0.0}])
def test_a_policy_that_makes_no_sense_is_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        SemanticCacheConfig(**wrong)


def test_a_policy_is_read_from_the_settings():
    assert parse("") == SemanticCacheConfig()
    assert parse("bound=0.02, verifier=small,audits=0.05") == SemanticCacheConfig(
        bound=0.02, verifier="small", audits=0.05
    )


@pytest.mark.parametrize("text", ["0.97", "treshold=0.97", "bound=", "bound=low"])
def test_a_setting_that_is_none_says_what_to_write(text):
    with pytest.raises(ValueError, match=r"threshold=0\.97,verifier=small or bound=0\.02"):
        parse(text)


async def test_the_pipeline_has_it_between_the_exact_cache_and_the_provider():
    bench = Bench(audits=0.0)

    class Provider:
        async def complete(self, request, deployment, emit):
            return await bench.model(request)

    parts = PipelineParts(
        emit=bench.said.append,
        models=ModelTable(bench.resolve, lambda _: Provider()),
        cache=bench.cache,
        flights=SingleFlight(),
        budget=Budget(),
        journal=NoJournal(),
        retry=0,
        semantic=bench.memory,
    )
    run = build(parts)
    for number, text in enumerate((ASKED, SAME, SAME)):
        asked = ({"role": "user", "content": text},)
        await run(ModelRequest(call=f"a#1.{number}", model="small", messages=asked, parts={"q": text}, frame="{{ q }}"))
    assert bench.asked == 1
    assert [e.matched for e in bench.said if isinstance(e, CacheHit)] == [ASKED, ASKED]


def test_the_events_survive_the_record():
    for event in (
        CacheHit(call="a", age=1.0, usage=Usage(input=1), cost=None, matched="m", score=0.9, hit=3),
        CacheHitChecked(call="a", matched="m", score=0.9, agreed=False),
    ):
        assert from_json(to_json(event)) == event
