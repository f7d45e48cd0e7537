"""Runs whose answers are in a real Redis: kernels share them, and a server that dies in mid-run costs one warning."""

import asyncio
import json
import os
import subprocess
import sys
import warnings

import pytest

pytest.importorskip("redis")

from lives import restarted
from redis_server import Server, needs_redis, served

from orchmagic import Script, serve
from orchmagic.models.cache import CacheWarning
from orchmagic.models.middleware.caching import Caching
from orchmagic.models.types import Deployment, ModelRequest, ModelResponse

pytestmark = [pytest.mark.slow, needs_redis]
TWO = "%%chain two {options}\na\n    A {{{{ x }}}}\nb\n    B {{{{ a }}}}\n"


@pytest.fixture
def server(server: Server, notebook):
    use(notebook, server.url)
    notebook.script(echo)
    notebook.space["x"] = 1
    return server


def echo(body):
    return f"<{body['messages'][-1]['content']}>"


def use(notebook, url, **more):
    notebook.session.services.environ.update({"ORCHMAGIC_CACHE_URL": url, **more})
    notebook.session.reload()


def two(options="--cache 1h"):
    return TWO.format(options=options)


def kept(run):
    return [(row["cache"], row["age"] is not None) for row in run.receipt()]


def test_another_kernel_of_another_folder_is_answered_without_a_call(notebook, server, tmp_path):
    first = notebook.run(two())
    assert kept(first) == [("miss", False), ("miss", False)]
    notebook.session.services.environ.update({"ORCHMAGIC_CACHE_DIR": str(tmp_path / "b")})
    with restarted(notebook, two(), x=1) as other:
        again = other.defined["two"]()
        assert kept(again) == [("hit", True), ("hit", True)]
        assert (again.output, again.cost, again.tokens) == (first.output, 0.0, 0)
    assert len(notebook.prompts) == 2
    assert not (tmp_path / "answers").exists()


PROCESS = """
import sys
from orchmagic import Session
session = Session({"x": 1})
run = session.define("chain", "two --cache 1h", "a\\n    A {{ x }}\\nb\\n    B {{ a }}\\n")()
print(run.output, [row["cache"] for row in run.receipt()])
session.close()
"""


def test_two_processes_share_answers(server, tmp_path):
    with serve(Script(echo)) as endpoint:
        environ = {**os.environ, "OPENAI_BASE_URL": endpoint.base_url, "OPENAI_API_KEY": "none"}
        environ |= {"ORCHMAGIC_MODEL": "m", "ORCHMAGIC_CACHE_URL": server.url}
        said = [
            subprocess.run(
                [sys.executable, "-W", "error", "-c", PROCESS],
                env={**environ, "ORCHMAGIC_CACHE_DIR": str(tmp_path / name)},
                capture_output=True, text=True, check=True, timeout=60,
            ).stdout.strip()
            for name in "ab"
        ]  # fmt: skip
        assert said == ["<B <A 1>> ['miss', 'miss']", "<B <A 1>> ['hit', 'hit']"]
        assert len(endpoint.requests) == 2


def test_an_edited_step_asks_anew_from_there(notebook, server):
    notebook.run(two())
    notebook.run(two().replace("B ", "C "))
    assert notebook.prompts == ["A 1", "B <A 1>", "C <A 1>"]


@pytest.mark.parametrize(("given", "seconds"), [("10s", 10), ("1h", 3600), ("365d", 365 * 86400)])
def test_the_server_keeps_an_answer_as_long_as_the_cell_says(notebook, server, given, seconds):
    notebook.run(two(f"--cache {given}"))
    with server.inside as inside:
        names = inside.keys("orchmagic:answer:*")
        assert len(names) == 2
        for name in names:
            assert seconds - 60 < inside.pttl(name) / 1000 <= seconds
            inside.pexpireat(name, 1)  # its time is over
    assert kept(notebook.run(two(f"--cache {given}"))) == [("miss", False), ("miss", False)]


def test_no_cache_neither_reads_nor_stores_and_refresh_stores_anew(notebook, server):
    notebook.run(two("--no-cache"))
    assert notebook.session.services.caches.answers.stats()["entries"] == 0
    notebook.run(two())
    assert kept(notebook.run(two("--refresh"))) == [("miss", False), ("miss", False)]
    assert len(notebook.prompts) == 6
    use(notebook, server.url, ORCHMAGIC_CACHE="off")
    notebook.run(two(""))
    assert len(notebook.prompts) == 8


def test_votes_are_stored_each_for_itself(notebook, server):
    cell = "%%parallel --cache 1h\na(votes=3, temperature=0.9) -> str\n    A {{ x }}\n"
    for _ in range(2):
        notebook.run(cell)
        assert len(notebook.prompts) == 3
    assert notebook.session.services.caches.answers.stats()["entries"] == 3


def test_errors_are_not_stored(notebook, server):
    notebook.script(lambda body: "")
    assert notebook.run(two("--cache 1h --retry 0")).status == "failed"
    assert notebook.session.services.caches.answers.stats()["entries"] == 0


def test_an_answer_that_any_deployment_gave_is_served_without_choosing_one(notebook, server):
    members = [{"use": "scripted", "name": name} for name in "ab"]
    use(notebook, server.url, ORCHMAGIC_MODELS=json.dumps({"p": {"policy": "uptime", "deployments": members}}))
    cell = two("--model p --cache 1h")
    assert kept(notebook.run(cell)) == [("miss", False), ("miss", False)]
    assert kept(notebook.run(cell)) == [("hit", True), ("hit", True)]
    assert len(notebook.prompts) == 2


@pytest.mark.parametrize("when", ["A 1", "B <A 1>"])
def test_a_server_that_is_killed_in_mid_run_costs_a_warning_and_is_used_again(notebook, when):
    with served() as server:
        use(notebook, server.url)
        prompts = []

        def reply(body):
            prompts.append(body["messages"][-1]["content"])
            if prompts[-1] == when and len(prompts) <= 2:
                server.kill()
            return echo(body)

        notebook.script(reply)
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            first = notebook.run(two(), x=1)
            second = notebook.run(two(), x=1)
        assert (first.status, first.output, second.output) == ("done", "<B <A 1>>", "<B <A 1>>")
        assert [w.category for w in seen] == [CacheWarning]
        assert len(prompts) == 4
        server.start()
        later = notebook.session.services.caches.answers._clock() + 60
        notebook.session.services.caches.answers._clock = lambda: later
        notebook.run(two())  # stored again
        assert kept(notebook.run(two())) == [("hit", True), ("hit", True)]
        assert len(prompts) == 6
        notebook.session.close()


def test_a_cell_runs_without_its_server(notebook):
    with served() as server:
        server.kill()
        use(notebook, server.url)
        notebook.script(echo)
        with pytest.warns(CacheWarning, match="Connection refused") as seen:
            assert notebook.run(two(), x=1).output == "<B <A 1>>"
        assert len(seen) == 1
        server.start()
        notebook.session.reload()  # a changed setting asks at once
        notebook.run(two())
        assert notebook.session.services.caches.answers.stats()["entries"] == 2
        notebook.session.close()


async def test_a_slow_server_stalls_nobody_else(notebook, server):
    cache = notebook.session.services.caches.answers
    request = ModelRequest(call="a#1.1", model="m", messages=({"role": "user", "content": "hi"},))
    answer = ModelResponse("yes", model="m", provider="openai")
    caching = Caching(cache, lambda _: Deployment("m", "openai", "m"), lambda _: None)

    async def model(_):
        return answer

    assert (await caching(request, model)).text == "yes"
    with server.frozen():
        waiting = [asyncio.create_task(caching(request, model)), asyncio.create_task(caching.holds(request))]
        for _ in range(100):  # the loop turns, others are served
            await asyncio.sleep(0)
        assert not any(task.done() for task in waiting)
    found, held = await asyncio.gather(*waiting)
    assert (found.age is not None, held) == (True, True)


HELP = "%%chain desk --cache semantic\na\n    Answer this question of a customer: {{ q }}\n"


def test_a_semantic_hit_needs_its_answer_which_a_server_that_hangs_does_not_lose(notebook, server):
    pytest.importorskip("onnxruntime")
    use(notebook, server.url, ORCHMAGIC_SEMANTIC="audits=0")
    ask = [notebook.run(HELP, q=q) for q in ("How do I reset my password?", "How can I reset my password?")]
    assert [kept(run)[0][0] for run in ask] == ["miss", "hit"]
    memory = notebook.session.services.caches.semantic.store
    with server.frozen(), pytest.warns(CacheWarning):
        assert kept(notebook.run(HELP, q="how do I reset my password"))[0][0] == "miss"
    assert len(memory.entries()) == 2  # the one that was near is still known
    later = notebook.session.services.caches.answers._clock() + 60
    notebook.session.services.caches.answers._clock = lambda: later
    notebook.session.services.caches.answers.clear()
    assert kept(notebook.run(HELP, q="How can I reset my password?"))[0][0] == "miss"
    assert len(notebook.prompts) == 3
