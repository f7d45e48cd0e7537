"""How endpoints report what an answer took: bodies of their own documentation and issues, and what each one costs.

Every answer is priced at 2 (input), 8 (output), 0.5 (cached), 2.5 (written) and 4 (reasoning) dollars a million tokens,
so that a cost can be checked by hand.
"""

from __future__ import annotations

import pytest

from orchmagic.models.pricing.prices import priced_answer
from orchmagic.models.types import Deployment
from orchmagic.models.wire import billing, chat_completions
from orchmagic.trace.events import Usage

OWN = Deployment(
    "a", "openai", "m", "https://127.0.0.1/v1",
    input_price=2.0, output_price=8.0, cached_price=0.5, written_price=2.5, reasoning_price=4.0,
)  # fmt: skip

# name, the usage object, what it says, dollars for a million of such answers
REPORTED = [
    (
        "OpenAI: cached and thought are parts of the sums",  # platform.openai.com, prompt caching
        {
            "prompt_tokens": 2006, "completion_tokens": 300, "total_tokens": 2306,
            "prompt_tokens_details": {"cached_tokens": 1920},
            "completion_tokens_details": {
                "reasoning_tokens": 0, "accepted_prediction_tokens": 0, "rejected_prediction_tokens": 0,
            },
        },
        Usage(input=2006, output=300, cached=1920),
        86 * 2 + 1920 * 0.5 + 300 * 8,
    ),
    (
        "OpenAI: what was written to the cache has its own price",  # cache_write_tokens, since gpt-5.6
        {
            "prompt_tokens": 1500, "completion_tokens": 40, "total_tokens": 1540,
            "prompt_tokens_details": {"cached_tokens": 200, "cache_write_tokens": 1000, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 30, "audio_tokens": 0},
        },
        Usage(input=1500, output=40, cached=200, written=1000, reasoning=30),
        300 * 2 + 200 * 0.5 + 1000 * 2.5 + 10 * 8 + 30 * 4,
    ),
    (
        "Anthropic's compatible layer: sums alone, details are always empty",  # platform.claude.com, openai-sdk
        {
            "prompt_tokens": 20, "completion_tokens": 35, "total_tokens": 55,
            "prompt_tokens_details": None, "completion_tokens_details": None,
        },
        Usage(input=20, output=35),
        20 * 2 + 35 * 8,
    ),
    (
        "Gemini: what was thought is in the total alone",  # mozilla-ai/any-llm 1290
        {"prompt_tokens": 20, "completion_tokens": 198, "total_tokens": 623},
        Usage(input=20, output=603, reasoning=405),
        20 * 2 + 198 * 8 + 405 * 4,
    ),
    (
        "Gemini: all was thought, nothing was said",  # router-for-me/CLIProxyAPI 5733
        {
            "completion_tokens": 0, "total_tokens": 81, "prompt_tokens": 21,
            "completion_tokens_details": {"reasoning_tokens": 60},
        },
        Usage(input=21, output=60, reasoning=60),
        21 * 2 + 60 * 4,
    ),
    (
        "DeepSeek: its own names for the cache",  # api-docs.deepseek.com, context caching
        {
            "prompt_tokens": 100, "completion_tokens": 92, "total_tokens": 192,
            "completion_tokens_details": {"reasoning_tokens": 81},
            "prompt_cache_hit_tokens": 64, "prompt_cache_miss_tokens": 36,
        },
        Usage(input=100, output=92, cached=64, reasoning=81),
        36 * 2 + 64 * 0.5 + 11 * 8 + 81 * 4,
    ),
    (
        "DeepSeek: a hit under both names is one hit",  # opensolon/solon, a recorded answer
        {
            "prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110,
            "prompt_tokens_details": {"cached_tokens": 64},
            "prompt_cache_hit_tokens": 64, "prompt_cache_miss_tokens": 36,
        },
        Usage(input=100, output=10, cached=64),
        36 * 2 + 64 * 0.5 + 10 * 8,
    ),
    (
        "xAI: what was thought stands beside the completion",  # docs.cloud.google.com, reasoning for Grok models
        {
            "prompt_tokens": 160, "completion_tokens": 50, "total_tokens": 410,
            "prompt_tokens_details": {"text_tokens": 160, "audio_tokens": 0, "image_tokens": 0, "cached_tokens": 151},
            "completion_tokens_details": {"reasoning_tokens": 200, "audio_tokens": 0},
        },
        Usage(input=160, output=250, cached=151, reasoning=200),
        9 * 2 + 151 * 0.5 + 50 * 8 + 200 * 4,
    ),
    (
        "xAI without a total: more was thought than said",
        {"prompt_tokens": 9, "completion_tokens": 5, "completion_tokens_details": {"reasoning_tokens": 200}},
        Usage(input=9, output=205, reasoning=200),
        9 * 2 + 5 * 8 + 200 * 4,
    ),
    (
        "xAI: text tokens are the whole, cached ones a part of it",  # docs.x.ai, prompt caching, usage and pricing
        {
            "prompt_tokens": 125, "completion_tokens": 48, "total_tokens": 173,
            "prompt_tokens_details": {"text_tokens": 125, "audio_tokens": 0, "image_tokens": 0, "cached_tokens": 98},
            "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
        },
        Usage(input=125, output=48, cached=98),
        27 * 2 + 98 * 0.5 + 48 * 8,
    ),
    (
        "Groq: times beside the counts",  # console.groq.com, prompt caching
        {
            "queue_time": 0.026, "prompt_tokens": 4641, "prompt_time": 0.009, "completion_tokens": 1817,
            "completion_time": 5.57, "total_tokens": 6458, "total_time": 5.58,
            "prompt_tokens_details": {"cached_tokens": 4608},
        },
        Usage(input=4641, output=1817, cached=4608),
        33 * 2 + 4608 * 0.5 + 1817 * 8,
    ),
    (
        "Mistral",  # docs.mistral.ai, prompt caching
        {
            "prompt_tokens": 500, "completion_tokens": 20, "total_tokens": 520, "prompt_audio_seconds": None,
            "prompt_tokens_details": {"cached_tokens": 448},
        },
        Usage(input=500, output=20, cached=448),
        52 * 2 + 448 * 0.5 + 20 * 8,
    ),
    (
        "Moonshot, Together: cached at the top",
        {"prompt_tokens": 100, "completion_tokens": 7, "total_tokens": 107, "cached_tokens": 60},
        Usage(input=100, output=7, cached=60),
        40 * 2 + 60 * 0.5 + 7 * 8,
    ),
    (
        "LiteLLM before Anthropic: reads and writes in the sum",  # BerriAI/litellm 11364
        {
            "total_tokens": 103925, "prompt_tokens": 98805, "completion_tokens": 5120,
            "prompt_tokens_details": {
                "text_tokens": None, "audio_tokens": None, "image_tokens": None,
                "cached_tokens": 66360, "cache_creation_tokens": 32435,
            },
            "cache_read_input_tokens": 66360, "cache_creation_input_tokens": 32435,
            "completion_tokens_details": {"text_tokens": None, "audio_tokens": None, "reasoning_tokens": 1710},
        },
        Usage(input=98805, output=5120, cached=66360, written=32435, reasoning=1710),
        10 * 2 + 66360 * 0.5 + 32435 * 2.5 + 3410 * 8 + 1710 * 4,
    ),
    (
        "an older LiteLLM: what was written is not in the sum",  # BerriAI/litellm 15056
        {
            "completion_tokens": 467, "prompt_tokens": 31, "total_tokens": 498,
            "prompt_tokens_details": {"cached_tokens": 0},
            "cache_creation_input_tokens": 1253, "cache_read_input_tokens": 0,
        },
        Usage(input=1284, output=467, written=1253),
        31 * 2 + 1253 * 2.5 + 467 * 8,
    ),
    (
        "a gateway in whose total the cache is, but not in its input",
        {
            "completion_tokens": 10, "prompt_tokens": 1000, "total_tokens": 1310,
            "cache_creation_input_tokens": 200, "cache_read_input_tokens": 100,
        },
        Usage(input=1300, output=10, cached=100, written=200),
        1000 * 2 + 100 * 0.5 + 200 * 2.5 + 10 * 8,
    ),
    (
        "a gateway that sends empty fields of another API with it",  # doc.302.ai
        {
            "prompt_tokens": 686, "completion_tokens": 123, "total_tokens": 809,
            "prompt_tokens_details": {"cached_tokens": 679, "text_tokens": 686},
            "completion_tokens_details": {"text_tokens": 11, "audio_tokens": 0, "reasoning_tokens": 112},
            "input_tokens": 0, "output_tokens": 0, "input_tokens_details": None,
        },
        Usage(input=686, output=123, cached=679, reasoning=112),
        7 * 2 + 679 * 0.5 + 11 * 8 + 112 * 4,
    ),
    (
        "the names of the Responses API",
        {
            "input_tokens": 125, "output_tokens": 48, "total_tokens": 173,
            "input_tokens_details": {"cached_tokens": 98}, "output_tokens_details": {"reasoning_tokens": 8},
        },
        Usage(input=125, output=48, cached=98, reasoning=8),
        27 * 2 + 98 * 0.5 + 40 * 8 + 8 * 4,
    ),
]  # fmt: skip


def answer(usage, **more):
    return {"model": "m", "choices": [{"message": {"content": "four"}}], "usage": usage, **more}


def priced(usage, deployment=OWN, **more):
    told = answer(usage, **more)
    return priced_answer(told, deployment, {"messages": []})


@pytest.mark.parametrize(("usage", "read", "millions"), [row[1:] for row in REPORTED], ids=[row[0] for row in REPORTED])
def test_an_endpoints_report_is_read_and_priced(usage, read, millions):
    found = priced(usage)
    assert found.usage == read
    assert found.cost == pytest.approx(millions / 1e6)
    assert not found.charged


@pytest.mark.parametrize(
    "usage",
    [None, {}, {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}, {"prompt_tokens": None}, [], 7],
)
def test_tokens_that_nobody_counted_are_estimated_and_cost_something(usage):
    found = chat_completions.response(answer(usage), {"messages": [{"role": "user", "content": "two and two"}]})
    assert found.usage == Usage(input=3, output=1, estimated=True)
    assert priced(usage).cost > 0


def test_sound_pictures_and_what_is_kept_for_an_hour_are_known_to_the_price_alone():
    found = billing.read({
        "prompt_tokens": 100, "completion_tokens": 50,
        "prompt_tokens_details": {
            "audio_tokens": 30, "image_tokens": 20, "cache_creation_tokens": 40,
            "cache_creation_token_details": {"ephemeral_5m_input_tokens": 10, "ephemeral_1h_input_tokens": 30},
        },
        "completion_tokens_details": {"audio_tokens": 25, "image_tokens": 5},
    })  # fmt: skip
    assert found == billing.Bill(
        Usage(input=100, output=50, written=40), written_long=30, audio_in=30, audio_out=25, image_in=20, image_out=5
    )


def test_no_more_is_cached_for_an_hour_than_is_cached_at_all():
    details = {"cache_creation_tokens": 40, "cache_creation_token_details": {"ephemeral_1h_input_tokens": 99}}
    bill = billing.read({"prompt_tokens": 100, "completion_tokens": 1, "prompt_tokens_details": details})
    assert (bill.usage.written, bill.written_long) == (40, 40)


def test_a_stream_reports_in_its_last_chunk_and_groq_in_a_place_of_its_own():
    usage = {"prompt_tokens": 38, "completion_tokens": 5, "total_tokens": 43}
    parts = chat_completions.Assembly()
    parts.add({"model": "m", "choices": [{"delta": {"content": "Hello"}}], "x_groq": {"id": "req_1"}})
    parts.add({"choices": [{"delta": {}, "finish_reason": "stop"}], "x_groq": {"id": "req_1", "usage": usage}})
    assert chat_completions.response(parts.whole(), {}).usage == Usage(input=38, output=5)
    parts.add({"choices": [], "usage": {**usage, "prompt_tokens": 39}, "service_tier": "flex"})
    assert chat_completions.response(parts.whole(), {}).usage == Usage(input=39, output=5)
    assert parts.whole()["service_tier"] == "flex"
