"""Which name becomes which model, at which endpoint, depending on keys and settings."""

from __future__ import annotations

import pytest

from orchmagic.core.settings import Settings
from orchmagic.errors import SettingsError
from orchmagic.models.routing.aliases import LOCAL_MODEL, has_key, resolvable, resolve
from orchmagic.models.types import Deployment
from orchmagic.models.wire.urls import OPENAI, at_openai, host, on_loopback, shown

KEY = {"OPENAI_API_KEY": "sk-test-000000"}
SERVER = {"OPENAI_BASE_URL": "http://127.0.0.1:8080/v1"}
NOTHING: dict[str, str] = {}


@pytest.mark.parametrize(
    ("name", "settings", "environ", "provider", "model"),
    [
        ("default", Settings(), NOTHING, "local", LOCAL_MODEL),
        ("large", Settings(), NOTHING, "local", LOCAL_MODEL),
        ("default", Settings(), KEY, "openai", "gpt-4.1-mini"),
        ("small", Settings(), KEY, "openai", "gpt-4.1-mini"),
        ("large", Settings(), KEY, "openai", "gpt-4.1"),
        ("tiny", Settings(), KEY, "openai", "gpt-4.1-nano"),
        ("default", Settings(model="large"), KEY, "openai", "gpt-4.1"),
        ("default", Settings(model="large"), NOTHING, "local", LOCAL_MODEL),
        ("default", Settings(model="gpt-4o"), KEY, "openai", "gpt-4o"),
        ("small", Settings(model="gpt-4o"), KEY, "openai", "gpt-4.1-mini"),
        ("default", Settings(model="llama3"), SERVER, "openai", "llama3"),
        ("large", Settings(model="llama3"), SERVER, "openai", "llama3"),
        ("large", Settings(model="scripted"), NOTHING, "scripted", "scripted"),
        ("large", Settings(model="scripted"), KEY, "openai", "gpt-4.1"),
        ("small", Settings(models={"small": {"model": "phi"}}), SERVER, "openai", "phi"),
        ("default", Settings(model="small", models={"small": {"model": "phi"}}), SERVER, "openai", "phi"),
        ("large", Settings(model="small", models={"small": {"model": "phi"}}), SERVER, "openai", "phi"),
        ("mine", Settings(models={"mine": {}}), KEY, "openai", "mine"),
        ("mine", Settings(models={"mine": {"provider": "local"}}), KEY, "local", LOCAL_MODEL),
        ("mine", Settings(models={"mine": {"provider": "scripted"}}), KEY, "scripted", "scripted"),
        ("local", Settings(), KEY, "local", LOCAL_MODEL),
        ("local/models/phi.gguf", Settings(), NOTHING, "local", "models/phi.gguf"),
        ("local//abs/phi.gguf", Settings(), NOTHING, "local", "/abs/phi.gguf"),
        ("scripted", Settings(), NOTHING, "scripted", "scripted"),
        ("scripted/flaky", Settings(), NOTHING, "scripted", "flaky"),
        ("openai/gpt-4o", Settings(), KEY, "openai", "gpt-4o"),
        ("gpt-4o", Settings(), KEY, "openai", "gpt-4o"),
        ("meta-llama/llama-3.1-8b", Settings(), SERVER, "openai", "meta-llama/llama-3.1-8b"),
        ("qwen2.5:7b", Settings(), SERVER, "openai", "qwen2.5:7b"),
    ],
)
def test_a_name_becomes_a_model(name, settings, environ, provider, model):
    found = resolve(name, settings, environ)
    assert (found.alias, found.provider, found.model) == (name, provider, model)


def test_at_openai_the_known_models_are_spoken_to_as_they_want():
    found = resolve("small", Settings(), KEY)
    assert found.base_url == OPENAI
    assert found.max_tokens_field == "max_completion_tokens"
    assert found.logprobs
    assert not resolve("o3", Settings(), KEY).logprobs


def test_elsewhere_nothing_is_taken_for_granted():
    found = resolve("gpt-4-clone", Settings(), SERVER)
    assert found.base_url == SERVER["OPENAI_BASE_URL"]
    assert (found.max_tokens_field, found.logprobs, found.tools) == ("max_tokens", False, "native")


def test_the_settings_have_the_last_word():
    entry = {"model": "m", "base_url": OPENAI, "logprobs": True, "max_tokens_field": "max_tokens", "key_env": "K"}
    found = resolve("mine", Settings(models={"mine": entry}), NOTHING)
    assert found == Deployment("mine", "openai", "m", OPENAI, "K", logprobs=True)


def test_the_local_model_is_asked_for_json_actions_and_steady_output():
    found = resolve("local", Settings(), NOTHING)
    assert (found.tools, found.logprobs) == ("json", True)
    assert found.parameters == {"temperature": 0, "seed": 1, "cache_prompt": False}
    warm = resolve("warm", Settings(models={"warm": {"provider": "local", "parameters": {"temperature": 1}}}), NOTHING)
    assert warm.parameters == {"temperature": 1, "seed": 1, "cache_prompt": False}


def test_a_foreign_endpoint_without_a_named_model_asks_for_one():
    with pytest.raises(SettingsError, match=r"'small' names no model at http://127\.0\.0\.1:8080/v1.*ORCHMAGIC_MODEL"):
        resolve("small", Settings(), SERVER)


@pytest.mark.parametrize("name", ["gpt-4o", "openai/gpt-4o"])
def test_a_model_without_a_key_says_what_to_set(name):
    with pytest.raises(SettingsError, match=f"model '{name}' needs a key and OPENAI_API_KEY is not set: set it"):
        resolve(name, Settings(), NOTHING)


def test_a_misspelt_model_offers_the_nearest_of_the_price_list():
    with pytest.raises(SettingsError, match=r"did you mean 'gpt-4'\?$"):
        resolve("gtp-4", Settings(), NOTHING)
    with pytest.raises(SettingsError) as caught:
        resolve("gpt-4", Settings(), NOTHING)
    assert "did you mean" not in str(caught.value)


def test_a_misspelt_alias_offers_the_nearest():
    with pytest.raises(SettingsError, match="did you mean 'small'"):
        resolve("smal", Settings(), NOTHING)


def test_the_table_lists_what_can_be_used_now():
    names = [d.alias for d in resolvable(Settings(models={"mine": {"model": "m"}}), KEY)]
    assert names == ["mine", "default", "small", "large", "tiny", "local", "scripted"]
    assert [d.alias for d in resolvable(Settings(), SERVER)] == ["local", "scripted"]


def test_a_deployment_is_ready_with_its_key_or_without_needing_one():
    assert has_key(resolve("small", Settings(), KEY), KEY)
    assert not has_key(resolve("small", Settings(), KEY), NOTHING)
    assert has_key(resolve("x", Settings(), SERVER), NOTHING)
    assert has_key(resolve("local", Settings(), NOTHING), NOTHING)


@pytest.mark.parametrize(
    ("url", "loopback", "openai", "place"),
    [
        ("http://127.0.0.1:9/v1", True, False, "127.0.0.1:9"),
        ("http://LOCALHOST/v1", True, False, "LOCALHOST"),
        ("http://[::1]:9/v1", True, False, "[::1]:9"),
        ("https://api.openai.com/v1", False, True, "api.openai.com"),
        ("https://api.openai.com.example.org/v1", False, False, "api.openai.com.example.org"),
        ("https://me:secret@example.org/v1", False, False, "example.org"),
        ("http://[::1", False, False, "http://[::1"),
        ("nonsense", False, False, "nonsense"),
    ],
)
def test_addresses_are_understood(url, loopback, openai, place):
    assert (on_loopback(url), at_openai(url), host(url)) == (loopback, openai, place)
    assert "secret" not in shown(url)
