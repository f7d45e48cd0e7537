"""Every decision of a run is an event with its time, a reason that people read, and a line of the audit log."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from orchmagic import Reply, Script, install, tool
from orchmagic.models.providers.scripted import remove
from orchmagic.trace import events

CHAIN = "%%chain c --no-cache {}\nsay\n    {{{{ q }}}}"
PLAIN = CHAIN.format("")
ROUTE = (
    "%%route r --no-cache\nrouter\n    Which? {{ q }}\nbilling: money\n    Money: {{ q }}\nother: the rest\n    {{ q }}"
)
WHEN = "%%chain c --no-cache\nsay\n    {{ q }}\nmore(when=say == 'x')\n    {{ q }}"
WHY = "why"
POOL = {
    "deployments": [{"name": n, "provider": "scripted", "model": m} for n, m in (("a", "first"), ("b", "scripted"))]
}


def scripts(*, first_fails: bool) -> None:
    install(Script(lambda _: Reply("", fault="402") if first_fails else Reply("yes")), "first")


# (cell, replies, the event, words of the reason in the trace, the line's event, its field that says why, its words)
DECISIONS = {
    "a route": (ROUTE, {"JSON|label": {"label": "billing"}}, events.Decided, "→ billing", "decided", "choice", "billing"),
    "a gate": (
        f'{PLAIN}\ngate len(say) > 99 else stop "too short"',
        "no", events.Decided, "→ stopped: too short", "decided", WHY, "too short",
    ),
    "another round": (
        f"{PLAIN}\ngate len(say) > 9 else retry 1",
        ["no", "certainly so"], events.Decided, "len(say) > 9 is false (say = 'no')", "decided", WHY, "len(say) > 9 is false",
    ),
    "a condition": (WHEN, "no", events.NodeSkipped, "when say == 'x' is false", "skipped", WHY, "when say == 'x' is false"),
    "a vote": (
        PLAIN.replace("say\n", "say(votes=3)\n"),
        lambda _: "yes", events.Decided, "3 of 3 votes", "decided", WHY, "3 of 3 votes",
    ),
    "a redaction": (CHAIN.format("--guard pii=redact"), "yes", events.GuardTriggered, "found email", "guarded", "found", "email"),
    "a block": (CHAIN.format("--guard pii=block"), "yes", events.GuardTriggered, "(block) found email", "guarded", "action", "block"),
    "a fallback": (
        CHAIN.format("--model scripted/first --fallback scripted"),
        "yes", events.FellBack, "switched from scripted/first to scripted: the account", "fell back", WHY, "402",
    ),
    "another deployment": (
        CHAIN.format("--model p"), "yes", events.DeploymentChosen, "number 2 of 2", "chosen", WHY, "number 2 of 2",
    ),
    "another try": (
        PLAIN, [Reply("", fault="429", retry_after=0.01), "yes"],
        events.AttemptFailed, "attempt 1 failed (", "attempt failed", WHY, "429",
    ),
    "a limit": (
        CHAIN.format("--max-tokens 3"), "no", events.RunFinished, "max-tokens: limit 3,", "ended", WHY, "max-tokens: limit 3,",
    ),
}  # fmt: skip  # a table


@pytest.fixture
def log(notebook, tmp_path) -> Path:
    path = tmp_path / "audit.jsonl"
    notebook.session.services.environ.update({"ORCHMAGIC_AUDIT": str(path)})
    notebook.session.add_models({"p": POOL})
    scripts(first_fails=True)
    return path


def reasons(run) -> list[str]:
    return [run.reason or "", *(str(why) for span in run.record.spans for why in span.why)]


def logged(path: Path, event: str) -> list[dict]:
    found = [json.loads(line) for line in path.read_text().splitlines()]
    return [line for line in found if line["event"] == event]


@pytest.mark.parametrize("what", DECISIONS)
def test_a_decision_has_a_time_a_reason_and_a_line(notebook, log, what):
    cell, replies, event, words, name, field, logged_words = DECISIONS[what]
    notebook.script(*(replies if isinstance(replies, list) else [replies]))
    run = notebook.run(cell, q="joe@example.com")
    found = [x for x in run.trace.events if isinstance(x, event)]
    assert found
    assert all(0 < x.at <= run.record.seconds for x in found)
    assert any(words in why for why in reasons(run)), reasons(run)
    lines = logged(log, name)
    assert len(lines) == len(found)
    assert any(str(line[field]).startswith(logged_words) for line in lines), lines
    assert all(line["at"] and line["run"] == run.id for line in lines)


def test_an_approval_is_asked_and_answered_with_time_and_reason(notebook, log):
    @tool
    def send(to: str) -> str:
        """Send it.

        Args:
            to: the address.
        """
        return "sent"

    notebook.script(Reply(tool_calls=[("send", {"to": "joe"})]), "done")
    run = notebook.run("%%react r --tools send --approve send --no-cache\n{{ q }}", q="go", send=send)
    run.reject("too early")
    assert [
        type(x).__name__ for x in run.trace.events if isinstance(x, events.InputRequested | events.InputReceived)
    ] == [
        "InputRequested",
        "InputReceived",
    ]
    assert any("rejected by a person: too early" in why for why in reasons(run))
    (asked,), (answered,) = logged(log, "asked"), logged(log, "answered")
    assert (asked["tool"], asked["choices"]) == ("send", ["approve", "edit", "reject"])
    assert (answered["answer"], answered["user"]) == ("reject", asked["user"])
    assert "too early" not in log.read_text()


def test_a_cache_hit_says_how_old_the_answer_is_and_what_it_saved(notebook, log):
    cell = PLAIN.replace(" --no-cache", "")
    notebook.run(cell, q="go")
    run = notebook.run(cell, q="go")
    (hit,) = [x for x in run.trace.events if isinstance(x, events.CacheHit)]
    assert hit.at > 0
    (line,) = logged(log, "cache hit")
    assert (line["how"], line["run"]) == ("exact", run.id)
    assert line["age"] >= 0
    assert [s.age for s in run.record.spans if s.kind == "ask"] == [hit.age]


def test_a_replayed_answer_says_that_it_is_one(notebook, log):
    run = notebook.run(PLAIN, q="go").replay()
    assert any("replayed: the answer of the earlier run" in why for why in reasons(run))
    (line,) = logged(log, "recalled")
    assert (line["why"], line["run"]) == ("a replay", run.id)


def test_a_limit_of_an_inner_orchestration_is_its_own_decision(notebook, log):
    notebook.space["inner"] = notebook.define("%%chain inner --no-cache --max-tokens 3\nsay\n    {{ q }}")
    run = notebook.run("%%chain outer --no-cache\nx = inner(q=q)", q="go")
    assert any("max-tokens: limit 3" in why for why in reasons(run))
    assert [line["why"][:22] for line in logged(log, "decided")] == ["max-tokens: limit 3, s"]


@pytest.fixture(autouse=True)
def _gone():
    yield
    remove("first")
