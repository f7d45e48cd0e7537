"""An alias of several deployments: who they are, what they are called, and what the alias itself looks like."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchmagic.core.settings import load
from orchmagic.errors import SettingsError
from orchmagic.models.routing.alias_advice import no_fallback
from orchmagic.models.routing.aliases import pool, resolvable, resolve
from orchmagic.models.routing.presets import PRESETS, fields
from orchmagic.models.wire.urls import is_address, on_loopback

KEY = {"OPENAI_API_KEY": "sk-test-000000"}


def settings(**models):
    return load({"models": models}, {}, Path("/"))


def members(entry, environ=KEY, **others):
    return pool("p", settings(p=entry, **others), environ, every=True).members


def test_a_list_of_names_is_a_pool_in_that_order():
    environ = {**KEY, "GROQ_API_KEY": "gsk_000000"}
    found = pool("p", settings(p=["groq/llama-3.1-8b-instant", "gpt-4.1-mini", "scripted"]), environ)
    assert [m.alias for m in found.members] == ["p@groq", "p@gpt-4.1-mini", "p@scripted"]
    assert (found.policy, found.hedge) == ("order", None)
    groq = found.members[0]
    assert (groq.base_url, groq.key_env) == ("https://api.groq.com/openai/v1", "GROQ_API_KEY")
    assert groq.model == "llama-3.1-8b-instant"


def test_members_may_be_tables_with_prices_limits_and_names():
    entry = {
        "policy": "weighted",
        "hedge": 2,
        "deployments": [
            {"name": "mine", "base_url": "http://127.0.0.1:1/v1", "model": "m", "concurrency": 4, "weight": 3},
            {"use": "small", "requests_per_minute": 60},
        ],
    }
    found = pool("p", settings(p=entry, small={"model": "s", "input_price": 1, "output_price": 2}), KEY)
    mine, small = found.members
    assert (found.policy, found.hedge) == ("weighted", 2.0)
    assert (mine.alias, mine.concurrency, mine.weight, mine.limited) == ("p@mine", 4, 3.0, True)
    assert (small.alias, small.model, small.input_price, small.requests_per_minute) == ("p@small", "s", 1.0, 60)


def test_deployments_of_the_same_place_are_numbered():
    url = "http://127.0.0.1:1/v1"
    found = members([{"base_url": url, "model": "a"}, {"base_url": url, "model": "b"}, {"base_url": url, "model": "c"}])
    assert [m.alias for m in found] == ["p@127.0.0.1:1", "p@127.0.0.1:1-2", "p@127.0.0.1:1-3"]


def test_each_member_can_be_named_and_the_alias_looks_like_the_first():
    entry = [
        {"base_url": "http://127.0.0.1:1/v1", "name": "a", "model": "a", "vision": False, "logprobs": True},
        {"base_url": "http://127.0.0.1:2/v1", "name": "b", "model": "b", "vision": True},
    ]
    known = settings(p=entry)
    assert resolve("p@b", known, KEY).model == "b"
    whole = resolve("p", known, KEY)
    assert (whole.alias, whole.model) == ("p", "a")
    assert (whole.vision, whole.logprobs) == (True, False)  # any can see, not all give logprobs
    assert pool("p@b", known, KEY) is None
    with pytest.raises(SettingsError, match=r"no deployment 'p@bb' \(known: p@a, p@b\); did you mean 'p@b'"):
        resolve("p@bb", known, KEY)


def test_who_has_no_key_is_left_out_as_long_as_somebody_has_one():
    known = settings(p=["groq/m", "gpt-4.1-mini"], q=["groq/m", "mistral/m"])
    assert [m.alias for m in pool("p", known, KEY).members] == ["p@gpt-4.1-mini"]
    assert resolve("p", known, KEY).model == "gpt-4.1-mini"
    assert resolve("p@groq", known, KEY).key_env == "GROQ_API_KEY"
    assert len(pool("p", known, KEY, every=True).members) == 2
    assert [m.alias for m in pool("q", known, KEY).members] == ["q@groq", "q@mistral"]  # the error names the key


def test_where_there_is_one_there_is_no_pool_unless_it_has_limits():
    known = settings(plain="m", few={"model": "m", "concurrency": 2}, toolless={"model": "m", "tools": "none"})
    assert pool("plain", known, KEY) is None
    assert pool("gpt-4.1", known, KEY) is None
    assert pool("few", known, KEY).members[0].concurrency == 2
    assert pool("toolless", known, KEY).members[0].tools == "none"


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ([{"name": "a", "model": "x"}, {"name": "a", "model": "y"}], "two deployments called 'a'"),
        (["q"], r"models.p.deployments\[1\] is 'q', an alias of several itself"),
        (["p"], "an alias of several itself"),
        ([{"endpoint": "grok", "model": "m"}], "unknown endpoint 'grok'.*did you mean 'groq'"),
        ([{"endpoint": "groq"}], r'models.p.deployments\[1\] names no model: write model = "…"'),
        (["azure/gpt-4.1"], "'azure' needs AZURE_OPENAI_ENDPOINT"),
    ],
)
def test_a_pool_that_cannot_be_says_what_to_write(entry, said):
    with pytest.raises(SettingsError, match=said):
        members(entry, q=["small"])


def test_a_pool_that_cannot_be_resolved_is_left_out_of_the_table():
    assert "p" not in [d.alias for d in resolvable(settings(p=["azure/m"]), KEY)]


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_an_address_with_a_key_of_its_own(name):
    found = fields(name, {"AZURE_OPENAI_ENDPOINT": "https://mine.openai.azure.com/"})
    assert is_address(found["base_url"])
    assert found["base_url"].startswith("https://") or on_loopback(found["base_url"])
    # a key of one vendor must never go to another
    assert (found["key_env"] == "OPENAI_API_KEY") == (name == "openai")


@pytest.mark.parametrize(
    ("name", "environ", "address"),
    [
        ("azure", {"AZURE_OPENAI_ENDPOINT": "https://r.openai.azure.com/"}, "https://r.openai.azure.com/openai/v1"),
        (
            "azure",
            {"AZURE_OPENAI_ENDPOINT": "https://r.openai.azure.com/openai/v1"},
            "https://r.openai.azure.com/openai/v1",
        ),
        ("ollama", {}, "http://127.0.0.1:11434/v1"),
        ("ollama", {"OLLAMA_HOST": "0.0.0.0"}, "http://127.0.0.1:11434/v1"),
        ("ollama", {"OLLAMA_HOST": "gpu:8000"}, "http://gpu:8000/v1"),
        ("ollama", {"OLLAMA_HOST": "https://gpu.example"}, "https://gpu.example/v1"),
        ("litellm", {"LITELLM_API_BASE": "http://proxy:4000"}, "http://proxy:4000/v1"),
    ],
)
def test_a_variable_that_holds_the_address_wins(name, environ, address):
    assert fields(name, environ)["base_url"] == address


def test_a_known_endpoint_needs_no_setting():
    found = resolve("groq/llama-3.1-8b-instant", settings(), {})
    assert (found.model, found.key_env) == ("llama-3.1-8b-instant", "GROQ_API_KEY")


@pytest.mark.parametrize("name", ["groq/llama-3.1-8b-instant", "openrouter/auto", "deepseek/deepseek-chat"])
def test_behind_a_server_of_one_s_own_such_a_name_is_the_server_s(name):
    environ = {"OPENAI_BASE_URL": "http://127.0.0.1:4000/v1"}
    found = resolve(name, settings(), environ)
    assert (found.model, found.base_url) == (name, environ["OPENAI_BASE_URL"])
    assert members([name], environ)[0].model == name.partition("/")[2]  # in a list the endpoint is meant


def test_a_model_without_a_fallback_is_named_with_what_to_write():
    said = no_fallback("small", (), settings(), KEY)
    assert said.startswith("'small' has one deployment (gpt-4.1-mini at api.openai.com) and no fallback")
    assert no_fallback("small", ("small",), settings(), KEY)
    assert no_fallback("small", ("large",), settings(), KEY) is None
    assert no_fallback("p", (), settings(p=["small", "scripted"]), KEY) is None
    assert no_fallback("p", (), settings(p=["small", "groq/m"]), KEY)  # whose key is not set
    assert no_fallback("p", (), settings(p=["small"]), KEY)
    assert no_fallback("local", (), settings(), KEY) is None


def test_presets_know_what_their_endpoints_do_not_enforce():
    assert resolve("deepseek/deepseek-chat", settings(), {}).schemas == "json"
    assert resolve("anthropic/claude", settings(), {}).schemas == "none"
    own = settings(c={"endpoint": "anthropic", "model": "claude", "schemas": "native"})
    assert resolve("c", own, {}).schemas == "native"
    assert resolve("groq/m", settings(), {}).schemas == "native"
