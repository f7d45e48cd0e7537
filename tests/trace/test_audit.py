"""The audit log: who decided what, when and why; never what was said; and no line is torn or lost."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest

from orchmagic import Reply, Script, Session, install, tool
from orchmagic.core import process
from orchmagic.errors import SettingsError
from orchmagic.trace import audit_lines
from orchmagic.trace.audit import AuditWarning, append
from orchmagic.trace.events import AttemptFinished, AttemptStarted, RunFinished, RunStarted, Usage
from orchmagic.trace.run_trace import Trace

KEY = "ghp_" + "16C7e42F292c6912E7710c838347Ae178B4a"
CELL = "%%chain c --no-cache\nsay\n    About {{ topic }}"

posix = pytest.mark.skipif(not hasattr(os, "fork"), reason="its promises are those of POSIX files")


@pytest.fixture
def log(notebook, tmp_path) -> Path:
    path = tmp_path / "audit.jsonl"
    notebook.session.services.environ.update({"ORCHMAGIC_AUDIT": str(path)})
    return path


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines() if line]


def told(path: Path, event: str) -> list[dict]:
    return [line for line in lines(path) if line["event"] == event]


def test_a_run_leaves_who_where_when_and_what_it_took(notebook, log):
    notebook.space["__session__"] = "reports/may.ipynb"
    before = datetime.now(UTC)
    run = notebook.run(CELL, topic="bees")
    begun, ended = lines(log)
    assert (begun["event"], ended["event"], ended["status"]) == ("begun", "ended", "done")
    for line in (begun, ended):
        assert (line["run"], line["name"], line["pattern"]) == (run.id, "c", "chain")
        assert (line["user"], line["notebook"], line["pid"]) == (process.user(), "reports/may.ipynb", os.getpid())
        assert line["host"]
        assert before <= datetime.fromisoformat(line["at"]) <= datetime.now(UTC)
    assert ended["tokens"] == run.tokens > 0
    assert ended["cost"] == run.cost == 0.0
    assert ended["models"] == {"scripted": {"attempts": 1, "tokens": run.tokens, "cost": 0.0}}


def test_off_nothing_listens_and_nothing_is_written(notebook, tmp_path):
    notebook.run(CELL, topic="bees")
    assert notebook.session.runs[-1].trace.listeners == []
    assert not (tmp_path / "audit.jsonl").exists()


def test_a_cost_that_is_not_known_is_null_and_never_0():
    trace = Trace("r1", "c", "chain")
    trace.add(RunStarted())
    for number, (model, cost) in enumerate([("small", 0.25), ("new", None)], 1):
        who = {"call": f"say#1.{number}", "attempt": 1, "model": model, "provider": "openai"}
        trace.add(AttemptStarted(**who))
        trace.add(AttemptFinished(**who, usage=Usage(input=3, output=4), cost=cost))
    trace.add(RunFinished(status="done"))
    ended = audit_lines.end(trace.snapshot())
    assert (ended["cost"], ended["known_cost"], ended["unpriced"]) == (None, 0.25, 1)
    assert ended["models"] == {
        "small": {"attempts": 1, "tokens": 7, "cost": 0.25}, "new": {"attempts": 1, "tokens": 7, "cost": None},
    }  # fmt: skip  # a table


def test_it_is_made_for_its_owner_and_a_shared_one_keeps_its_rights(notebook, log):
    notebook.run(CELL, topic="bees")
    assert stat.S_IMODE(log.stat().st_mode) == 0o600
    log.chmod(0o660)
    notebook.run(CELL, topic="wasps")
    assert stat.S_IMODE(log.stat().st_mode) == 0o660


def test_a_file_that_was_moved_away_is_begun_anew(notebook, log):
    notebook.run(CELL, topic="bees")
    log.rename(log.with_suffix(".1"))
    notebook.run(CELL, topic="wasps")
    assert [line["event"] for line in lines(log)] == ["begun", "ended"]


def test_a_change_of_folder_does_not_move_it(notebook, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    notebook.session.services.environ.update({"ORCHMAGIC_AUDIT": "a.jsonl"})
    notebook.run(CELL, topic="bees")
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")
    notebook.run(CELL, topic="wasps")
    assert len(lines(tmp_path / "a.jsonl")) == 4
    assert list((tmp_path / "other").iterdir()) == []


# what must be nowhere in the log: prompts, answers, arguments, results, what a person wrote, what was found
SAID = ("sesame", "quince", "medlar", "sorrel", "tansy", KEY)


def test_no_decision_tells_what_was_said(notebook, log):
    @tool(writes=True)
    def order(what: str) -> str:
        """Order it.

        Args:
            what: the thing.
        """
        return f"sorrel for {what}"

    notebook.space["order"] = order
    calls = [Reply(tool_calls=[("order", {"what": "medlar"})]), "quince"]
    notebook.script(*calls)
    run = notebook.run(
        "%%react r --tools order --approve order --guard secrets=redact --no-cache\n{{ q }}", q=f"sesame {KEY}"
    )
    run.edit({"what": "tansy"})
    assert run.status == "done", run.error
    notebook.script(lambda _: "quince")
    stopped = notebook.run(
        '%%chain g --no-cache\nsay\n    About {{ q }}\ngate len(say) > 100 else stop "too short"', q="sesame"
    )
    assert stopped.reason == "too short"
    failed = notebook.run("%%chain f --no-cache\nsay\n    About {{ q }}\ngate say == 'x'", q="sesame")
    assert "quince" in failed.error
    voted = notebook.run("%%chain v --no-cache\nsay(votes=3)\n    About {{ q }}", q="sesame")
    assert voted.status == "done"
    text = log.read_text()
    assert [word for word in SAID if word in text] == []
    assert {line["event"] for line in lines(log)} >= {
        "begun", "asked", "answered", "guarded", "write", "tool begun", "tool ended", "decided", "ended",
    }  # fmt: skip  # one set
    assert {(line["tool"], line["state"]) for line in told(log, "write")} == {("order", "begun"), ("order", "done")}
    assert told(log, "answered")[0]["answer"] == "edit"
    assert [line["why"] for line in told(log, "decided")][-3:] == ["too short", "say == 'x' is false", "3 of 3 votes"]


@pytest.mark.parametrize("reply", ["tansy", {"action": "tansy"}])
def test_an_answer_in_a_persons_own_words_is_a_text(notebook, log, reply):
    run = notebook.run('%%chain a --no-cache\nsay\n    {{ q }}\ngate False else ask "Which?"', q="go")
    run.resume(reply)
    assert told(log, "answered")[0]["answer"] == "a text"
    assert "tansy" not in log.read_text()


def test_a_write_that_was_done_before_is_logged_as_served(notebook, log):
    @tool(writes=True)
    def pay(amount: int) -> str:
        """Pay."""
        return f"paid {amount}"

    notebook.space["pay"] = pay
    first = notebook.run("%%chain p\nx = pay(3)")
    again = notebook.run("%%chain p\nx = pay(3)")
    assert [(w["run"], w["state"]) for w in told(log, "write")] == [
        (first.id, "begun"), (first.id, "done"), (again.id, "served"),
    ]  # fmt: skip  # a table


def test_a_capped_run_says_whose_limit_it_was(notebook, log):
    notebook.run(CELL.replace("--no-cache", "--no-cache --max-tokens 5"), topic="bees")
    (ended,) = told(log, "ended")
    assert ended["status"] == "capped"
    assert ended["why"].startswith("max-tokens: limit 5")


def test_the_error_of_a_failed_run_is_its_kind_alone(notebook, log):
    notebook.script(Reply(f"no such thing as {KEY}", fault="400"))
    run = notebook.run(CELL, topic="bees")
    assert run.status == "failed"
    (ended,) = told(log, "ended")
    assert ended["why"] == "400"
    assert told(log, "attempt failed")[0]["why"] == "400"
    assert KEY not in log.read_text()


def test_a_run_that_another_kernel_goes_on_with_is_one_story(notebook, log):
    run = notebook.run('%%chain w --no-cache\nsay\n    About {{ topic }}\napprove "Send {{ say }}?"', topic="bees")
    assert run.status == "waiting"
    other = Session(dict(notebook.space), environ=notebook.session.services.environ)
    install(Script())
    other.lookup.run(run.id).approve()
    other.close()
    story = [line["event"] for line in lines(log) if line["run"] == run.id]
    assert story == ["begun", "asked", "ended", "answered", "ended"]
    assert [line["status"] for line in told(log, "ended")] == ["waiting", "done"]


@pytest.mark.parametrize("kind", ["no folder", "a folder", "a pipe"])
def test_a_log_that_cannot_be_written_lets_no_run_begin(notebook, log, tmp_path, kind):
    path = {"no folder": tmp_path / "gone" / "a.jsonl", "a folder": tmp_path, "a pipe": tmp_path / "pipe"}[kind]
    if kind == "a pipe":
        os.mkfifo(path)
    notebook.session.services.environ.update({"ORCHMAGIC_AUDIT": str(path)})
    with pytest.raises(SettingsError, match=r"audit: no line can be added to .*so no run begins: make its folder"):
        notebook.run(CELL, topic="bees")
    assert notebook.scripted.requests == []
    assert notebook.session.services.history.store.runs() == []


def test_a_log_that_breaks_under_a_run_is_one_warning_and_a_note_in_the_run(notebook, log):
    def look() -> str:
        """Look."""
        log.unlink()
        log.mkdir()
        return "seen"

    notebook.script(Reply(tool_calls=[("look", {})]), "done")
    with pytest.warns(AuditWarning) as warned:
        run = notebook.run("%%react r --tools look --no-cache\n{{ q }}", q="what?", look=look)
    assert run.status == "done"
    assert len(warned) == 1
    assert "the audit log lacks lines of this run" in run.reason


WRITER = """
import os, sys
from pathlib import Path
from orchmagic.trace.audit import append

path, who, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
n = 0
while n < count:
    append(path, {"who": who, "n": n, "text": "x" * (n * 37 % 9000)})
    n += 1
    if len(sys.argv) > 4:
        os.write(1, b"%d\\n" % n)
"""


def writer(path: Path, who: str, count: int, *more: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", WRITER, str(path), who, str(count), *more]
    return subprocess.Popen(command, stdout=subprocess.PIPE)


@pytest.mark.slow
@posix
def test_eight_processes_tear_and_lose_no_line(tmp_path):
    path = tmp_path / "audit.jsonl"
    running = [writer(path, str(n), 300) for n in range(8)]
    assert [p.wait() for p in running] == [0] * 8
    for writing in running:
        writing.stdout.close()
    found = Counter(line["who"] for line in lines(path))
    assert found == {str(n): 300 for n in range(8)}


@pytest.mark.slow
@posix
def test_who_is_killed_in_the_middle_tears_no_line_of_another_and_loses_none_that_was_written(tmp_path):
    path = tmp_path / "audit.jsonl"
    victims = [writer(path, f"victim {n}", 10**9, "tell") for n in range(4)]
    survivors = [writer(path, f"survivor {n}", 300) for n in range(2)]
    acknowledged = {}
    for number, victim in enumerate(victims):
        for _ in range(50 + number):
            victim.stdout.readline()
        victim.send_signal(signal.SIGKILL)
        acknowledged[f"victim {number}"] = 50 + number + sum(1 for _ in victim.stdout if _.endswith(b"\n"))
        victim.wait()
        victim.stdout.close()
    for survivor in survivors:
        assert survivor.wait() == 0
        survivor.stdout.close()
    whole, torn = Counter(), 0
    for line in path.read_bytes().splitlines():
        try:
            whole[json.loads(line)["who"]] += 1
        except ValueError:
            torn += bool(line)
    assert torn <= len(victims)
    assert {name: whole[name] for name in whole if name.startswith("survivor")} == {
        "survivor 0": 300, "survivor 1": 300,
    }  # fmt: skip  # a table
    assert all(whole[name] >= count for name, count in acknowledged.items())


def test_a_line_that_went_on_in_half_a_line_of_somebody_who_died_is_written_again(tmp_path):
    path = tmp_path / "audit.jsonl"
    path.write_text('{"event":"begun","na')
    append(path, {"event": "begun"})
    append(path, {"event": "ended"})
    ours = '{"event":"begun"}\n'
    assert path.read_text() == f'{{"event":"begun","na{ours}{ours}{{"event":"ended"}}\n'


def test_who_dies_between_our_look_and_our_line_costs_no_line(tmp_path, monkeypatch):
    path = tmp_path / "audit.jsonl"
    append(path, {"event": "begun"})
    write, dying = os.write, [b'{"event":"dec']

    def late(file: int, data: bytes) -> int:
        if dying:
            write(file, dying.pop())
        return write(file, data)

    monkeypatch.setattr(os, "write", late)
    append(path, {"event": "ended"})
    assert path.read_text().splitlines()[-1] == '{"event":"ended"}'


def test_where_no_line_stands_alone_it_says_so_and_does_not_go_on_for_ever(tmp_path, monkeypatch):
    path = tmp_path / "audit.jsonl"
    append(path, {"event": "begun"})
    write = os.write
    monkeypatch.setattr(os, "write", lambda file, data: write(file, b"}" + data) and len(data))
    with pytest.raises(OSError, match="run into each other"):
        append(path, {"event": "ended"})
    assert len(path.read_text().splitlines()) == 4


def test_a_name_that_no_file_can_hold_is_written_all_the_same(tmp_path):
    path = tmp_path / "audit.jsonl"
    append(path, {"name": "Zoë\ud800\n"})
    assert lines(path) == [{"name": "Zoë\ud800\n"}]
    assert len(path.read_text().splitlines()) == 1


@pytest.mark.parametrize(
    ("space", "environ", "name"),
    [
        ({"__vsc_ipynb_file__": "/srv/ann/a.ipynb"}, {"JPY_SESSION_NAME": "b.ipynb"}, "/srv/ann/a.ipynb"),
        ({"__session__": "c.ipynb"}, {}, "c.ipynb"),
        ({}, {"JPY_SESSION_NAME": "b.ipynb"}, "b.ipynb"),
        ({"__session__": 3}, {}, ""),
        ({}, {}, ""),
    ],
)
def test_the_notebooks_name_is_what_its_front_end_tells(space, environ, name):
    assert process.notebook(space, environ) == name
