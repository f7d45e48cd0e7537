"""What a person meets who writes an alias for the first time: names, keys, `%orch models`, `%orch doctor`."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest
from desk import Desk, always
from model_table import ModelTable

from orchmagic import Reply
from orchmagic.core.settings import load
from orchmagic.errors import InputError, OrchError, SettingsError
from orchmagic.models.budget import Budget
from orchmagic.models.middleware.single_flight import SingleFlight
from orchmagic.models.pipeline import PipelineParts, World, build
from orchmagic.models.routing import reachability
from orchmagic.models.routing.aliases import pool, resolve
from orchmagic.models.routing.api_keys import key_environment
from orchmagic.models.routing.health import opened
from orchmagic.models.types import Deployment, ModelRequest, ModelResponse, Pool
from orchmagic.models.wire import http_errors
from orchmagic.storage.journal import NoJournal
from orchmagic.trace.events import TextStreamed, Usage

pytestmark = pytest.mark.slow

SAY = "%%chain --no-cache{}\nsay\n    Say it.\n"
KEY = {"OPENAI_API_KEY": "sk-test-000000"}
OWN = {"OPENAI_BASE_URL": "http://127.0.0.1:4000/v1"}


@pytest.fixture
def desk(notebook, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made = Desk(notebook, tmp_path)
    yield made
    made.close()


def settings(**models):
    return load({"models": models}, {}, Path("/"))


@pytest.mark.parametrize(
    "entry", ["groq/llama", {"model": "groq/llama"}, ["groq/llama"], {"endpoint": "groq", "model": "llama"}]
)
@pytest.mark.parametrize("environ", [{}, KEY])
def test_an_endpoint_in_front_of_a_model_means_the_same_wherever_it_is_written(entry, environ):
    found = resolve("keyd", settings(keyd=entry), environ)
    said = resolve("groq/llama", settings(), environ)
    assert (found.model, found.base_url, found.key_env) == (said.model, said.base_url, said.key_env)
    assert (found.alias, found.model, found.key_env) == ("keyd", "llama", "GROQ_API_KEY")


def test_fields_of_such_an_alias_win_over_those_of_its_endpoint():
    entry = {"model": "anthropic/claude", "key_env": "MINE", "schemas": "native", "input_price": 1, "output_price": 2}
    found = resolve("c", settings(c=entry), {})
    assert (found.model, found.key_env, found.schemas, found.input_price) == ("claude", "MINE", "native", 1.0)


@pytest.mark.parametrize("name", ["groq/llama", "meta-llama/Llama-3", "grok/llama"])
def test_behind_a_server_of_one_s_own_a_slash_belongs_to_the_model(name):
    for found in (resolve(name, settings(), OWN), resolve("a", settings(a=name), OWN)):
        assert (found.model, found.base_url) == (name, OWN["OPENAI_BASE_URL"])


@pytest.mark.parametrize("environ", [{}, KEY])
@pytest.mark.parametrize("entry", ["grok/llama", {"model": "grok/llama"}, ["grok/llama"]])
def test_an_endpoint_that_nobody_knows_is_told_with_the_nearest(entry, environ):
    with pytest.raises(SettingsError, match=r"no endpoint 'grok' for model 'grok/llama'.*did you mean 'groq'\?$"):
        pool("fast", settings(fast=entry), environ, every=True)
    with pytest.raises(SettingsError, match="no endpoint 'grok'"):
        resolve("grok/llama", settings(), environ)


def test_a_model_with_a_slash_needs_only_to_be_told_where_it_is():
    entries = ({"endpoint": "openrouter", "model": "meta-llama/Llama-3"}, "openrouter/meta-llama/Llama-3")
    for entry in entries:
        found = resolve("a", settings(a=entry), KEY)
        assert (found.model, found.key_env) == ("meta-llama/Llama-3", "OPENROUTER_API_KEY")
    at = {"base_url": "http://127.0.0.1:1/v1", "model": "meta-llama/Llama-3"}
    assert resolve("a", settings(a=at), KEY).model == "meta-llama/Llama-3"


@pytest.mark.parametrize("entry", [{"base_url": "http://127.0.0.1:1/v1"}, {"endpoint": "ollama"}])
def test_an_address_without_a_model_is_refused(entry):
    with pytest.raises(SettingsError, match=r'^models\.a names no model at http://127.*: write model = "…"$'):
        resolve("a", settings(a=entry), KEY)


def test_an_alias_that_cannot_be_is_not_kept(desk):
    desk.project(models={})
    with pytest.raises(SettingsError, match="no endpoint 'grok'"):
        desk.orch("models add fast grok/llama")
    assert "fast" not in desk.session.settings.models
    assert "fast" not in str(desk.orch("models"))


def test_an_alias_can_be_removed_again(desk):
    desk.serve("here")
    desk.project("small", models={"small": desk.at("here", "of-the-project")})
    desk.orch(f"models add small base_url={desk.urls['here']} model=added")
    desk.orch(f"models add mine base_url={desk.urls['here']} model=own")
    assert "'mine' is removed." in str(desk.orch("models remove mine"))
    assert "mine" not in desk.session.settings.models
    assert "'small' is again what the settings say." in str(desk.orch("models remove small"))
    assert desk.session.services.models.resolve("small").model == "of-the-project"
    with pytest.raises(InputError, match=r"'small' was not added here: remove it where it stands, in pyproject\.toml"):
        desk.orch("models remove small")
    with pytest.raises(InputError, match=r"no alias 'nobody' was added here \(added: none\)"):
        desk.orch("models remove nobody")


@pytest.mark.parametrize("line", ["models remove", "models remove a b", "models delete a"])
def test_a_line_that_changes_nothing_says_what_can_be_written(desk, line):
    desk.project(models={})
    with pytest.raises(OrchError, match="%orch models remove NAME"):
        desk.orch(line)


def test_a_keyring_that_is_missing_is_one_line_and_the_rest_is_shown(desk, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "keyring", None)
    trusted = {"ORCHMAGIC_TRUST": str(tmp_path / "pyproject.toml")}
    desk.restart(key_environment({**desk.session.services.environ, **trusted}, tmp_path))
    desk.serve("here")
    models = {
        "ringed": {"base_url": "https://api.example.org/v1", "model": "m", "key_env": "keyring:mine"},
        "fine": desk.at("here"),
        "both": [desk.at("here", name="a"), {"base_url": "https://x.example", "model": "m", "key_env": "keyring:b"}],
    }
    desk.project("fine", models=models)
    for line in ("doctor", "models"):
        said = [t for t in str(desk.orch(line)).splitlines() if "pip install 'orchmagic[keyring]'" in t]
        assert len(said) == 2  # one for each alias that needs it
        assert "ringed" in said[0]
    shown = str(desk.orch("models"))
    assert "fine" in shown
    assert "cannot be read" in shown
    assert desk.run(SAY.format(" --model both")).status == "done"  # by whom no keyring is needed
    with pytest.raises(SettingsError, match=r"'ringed' cannot be called: .* pip install 'orchmagic\[keyring\]'"):
        desk.run(SAY.format(" --model ringed"))


def row(text, name):
    return next(line for line in str(text).splitlines() if line.startswith(name))


def test_a_server_on_this_machine_needs_no_key_and_is_not_asked_for_one(desk):
    desk.serve("here")
    desk.project("small", models={"mine": desk.at("here"), "far": {"endpoint": "groq", "model": "m"}})
    del desk.session.services.environ["OPENAI_API_KEY"]
    desk.session.reload()
    shown = desk.orch("models")
    assert "none needed" in row(shown, "mine")
    assert "set GROQ_API_KEY" in row(shown, "far")


async def test_reached_is_who_has_a_list_of_models_and_no_other():
    said = {b"/v1/models": (200, b'{"data": []}'), b"/page/models": (200, b"<html>"), b"/sick/models": (503, b"")}

    async def answer(reader, writer):
        path = (await reader.readuntil(b"\r\n\r\n")).split()[1]
        status, body = said.get(path, (404, b"{}"))
        writer.write(b"HTTP/1.1 %d X\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (status, len(body), body))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    found = {
        p: await reachability.check(Deployment("m", "openai", "m", f"{url}/{p}"), {})
        for p in ("v1", "v2", "page", "sick")
    }
    server.close()
    assert {p: r.reachable for p, r in found.items()} == {"v1": True, "v2": False, "page": False, "sick": False}
    assert found["v1"].note.endswith(" ms")
    assert found["v2"].note == "404 for /models: is base_url right?"
    assert found["page"].note == "200, not in the protocol: is base_url right?"
    assert found["sick"].note == "503 for /models: is base_url right?"


def test_a_wait_that_is_too_long_is_told_with_what_helps(desk):
    desk.serve("here", always(Reply(fault="429", retry_after=300)))
    desk.project("small", models={"small": desk.at("here")}, retry=2)
    run = desk.run(SAY.format(""))
    assert "which asks to wait 300 s" in run.error
    assert run.error.endswith("write --fallback MODEL, or give the alias another deployment")
    assert "\n" not in run.error


@pytest.mark.parametrize(("option", "asked"), [(" --retry 0", 1), (" --retry 1", 2), ("", 3)])
def test_retry_on_the_magic_line_counts_failed_calls_too(desk, option, asked):
    desk.serve("here", always(Reply(fault="429", retry_after=0.01)))
    desk.project("small", models={"small": desk.at("here")}, retry=2)
    assert desk.run(SAY.format(option)).status == "failed"
    assert desk.asked("here") == (asked,)
    stated = desk.define(SAY.format(option)).estimate().attempts
    assert stated == asked


def test_rounds_of_a_pool_follow_the_magic_line(desk):
    desk.serve("a", always(Reply(fault="429", retry_after=0.01)))
    desk.serve("b", always(Reply(fault="429", retry_after=0.01)))
    desk.project("p", models={"p": [desk.at("a", name="a"), desk.at("b", name="b")]}, retry=2)
    assert desk.run(SAY.format(" --retry 0")).status == "failed"
    assert desk.asked("a", "b") == (1, 1)


def test_a_pool_that_fails_whole_says_each_reason_once_and_briefly():
    long = http_errors.rejected(Deployment("m", "openai", "m", "http://x.example"), 500, "very sorry " * 40)
    tried = [("p@a", long), ("p@b", http_errors.late(Deployment("m", "openai", "m"), 3)), ("p@a", long), ("p@a", long)]
    said = http_errors.each(tried)
    assert (said.count("p@a"), said.count("p@b")) == (1, 1)
    assert said.startswith("500 from p@a (3 times): 500 from x.example: very sorry")
    assert "; call timeout from p@b: m at openai did not answer within 3 s" in said
    assert len(said) < 260


class Slow:
    """A provider whose first text comes at once, and the rest later."""

    LATENCY = 0.05  # seconds

    async def complete(self, request, deployment, emit):
        emit(TextStreamed(call=request.call, text="at last"))
        await asyncio.sleep(self.LATENCY)
        return ModelResponse("at last", usage=Usage(input=1, output=2))


async def test_in_the_pipeline_the_first_text_of_a_stream_is_measured():
    members = tuple(Deployment(f"p@{n}", "slow", n, input_price=0.0, output_price=0.0) for n in "ab")
    found = Pool("p", members, "latency")
    named = {"p": members[0], **{m.alias: m for m in members}}
    health = opened(None)
    parts = PipelineParts(
        emit=lambda _: None,
        models=ModelTable(named.__getitem__, lambda _: Slow(), lambda name: found if name == "p" else None),
        health=health,
        flights=SingleFlight(),
        budget=Budget(),
        journal=NoJournal(),
        retry=0,
        world=World(chance=lambda: 0.5),
    )
    ask = build(parts)
    await ask(ModelRequest("a#1.1", "p", ({"role": "user", "content": "hi"},), stream=True, cache="off"))
    figures = health.stats(members)["p@a"]
    assert 0 < figures.first < Slow.LATENCY <= figures.latency
