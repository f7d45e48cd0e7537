"""A replay is a copy of the record: whatever the run was and however it ended, no call is made and no code runs."""

import pytest
from lives import bind, restarted
from nine_patterns import AGENT, TURNS, find, replies

from orchmagic import Reply, tool
from orchmagic.errors import InputError
from orchmagic.models.types import ToolCall
from orchmagic.notebook import commands
from orchmagic.views import answer

ASKED = '%%chain {name} --no-cache\ndraft\n    Draft {{{{ q }}}}\napprove "Send?"\nsend\n    Send {{{{ draft }}}}\n'
LETTER = ASKED.format(name="letter")
INNER = "%%chain inner --no-cache{}\nsay\n    Say {{{{ q }}}}\n{}"


def answers(fault=""):
    """Answers every prompt, but fails those that contain `fault`."""

    def answer(body):
        text = str(body["messages"][-1]["content"])
        return Reply(fault="400") if fault and fault in text else f"<{text}>"

    return answer


def pattern(name):
    def run(notebook):
        notebook.script(replies)
        notebook.space["find"] = find
        bind(notebook, AGENT)
        head, _, body = TURNS[name][0].partition("\n")
        return notebook.run(f"{head} --no-cache\n{body}", q="x")

    return run


def chain(body, line="", fault="", q="x"):
    def run(notebook):
        notebook.script(answers(fault))
        return notebook.run(f"%%chain t --no-cache{line}\n{body}", q=q)

    return run


def person(answer):
    def run(notebook):
        notebook.script(answers())
        waits = notebook.run(LETTER, q="x")
        return answer(waits)

    return run


def nested(line="", end="", outer="x = inner(q=q)\nend\n    End {{ x }}\n"):
    def run(notebook):
        notebook.script(answers())
        bind(notebook, INNER.format(line, end))
        return notebook.run(f"%%chain outer --no-cache\n{outer}", q="x")

    return run


def writes(notebook):
    @tool(writes=True)
    def pay(who: str) -> str:
        return f"paid {who}"

    call = Reply("", tool_calls=[ToolCall("c1", "pay", '{"who": "ada"}')])
    notebook.script(lambda body: call if body["messages"][-1]["role"] == "user" else "all done")
    return notebook.run("%%react agent --no-cache --tools pay\nHelp {{ q }}\n", q="x", pay=pay)


def failing_tool(notebook):
    called = notebook.space.setdefault("called", [])

    def look(what: str) -> str:
        called.append(what)
        raise RuntimeError("no network")

    call = Reply("", tool_calls=[ToolCall("c1", "look", '{"what": "x"}')])
    notebook.script(lambda body: call if body["messages"][-1]["role"] == "user" else "sorry")
    return notebook.run("%%react agent --no-cache --tools look\nHelp {{ q }}\n", q="x", look=look)


def failing_code(notebook):
    called = notebook.space.setdefault("called", [])

    def load(text):
        called.append(text)
        raise RuntimeError("no network")

    notebook.script(answers())
    return notebook.run("%%chain t --no-cache\na\n    A {{ q }}\nb = load(a)\n", q="x", load=load)


EACH = "x(over=q, item=i)\n    Say {{ i }}\ny\n    Sum {{ x }}\n"
TWO = "a\n    A {{ q }}\nb\n    B {{ a }}\n"
RUNS = {
    **{name: (pattern(name), "done") for name in TURNS},
    "failed": (chain(TWO, fault="B "), "failed"),
    "failed at first": (chain(TWO, fault="A "), "failed"),
    "gate failed": (chain(TWO + "gate False\n"), "failed"),
    "stopped by its cell": (chain(TWO + 'gate False else stop "no"\n'), "done"),
    "capped by steps": (chain(TWO, " --max-steps 1"), "capped"),
    "capped by tokens": (chain(TWO, " --max-tokens 1"), "capped"),
    "over items": (chain(EACH, q=["a", "b"]), "done"),
    "a failed item": (chain(EACH, fault="Say b", q=["a", "b"]), "done"),
    "all items failed": (chain(EACH, fault="Say", q=["a", "b"]), "failed"),
    "votes": (chain("a(votes=3)\n    A {{ q }}\n"), "done"),
    "approved": (person(lambda run: run.approve()), "done"),
    "edited": (person(lambda run: run.edit("mine")), "done"),
    "rejected": (person(lambda run: run.reject("too long")), "rejected"),
    "waiting": (person(lambda run: run), "waiting"),
    "nested": (nested(), "done"),
    "nested and capped": (nested(" --max-tokens 1"), "done"),
    "nested and stopped": (nested(end='gate False else stop "no"\n'), "done"),
    "nested over items": (nested(outer="x(run=inner, over=[1, 2], item=q)\n"), "done"),
    "thread": (chain(TWO, " --thread talk"), "done"),
    "writes": (writes, "done"),
    "a tool that failed": (failing_tool, "done"),
    "code that failed": (failing_code, "failed"),
}


def same(again, run, status):
    """Checks that a replay shows what the run showed, and costs nothing."""
    told = run.record
    if status == "waiting":
        assert (again.status, again.record.calls) == ("cancelled", 0)
        assert "answer that one" in again.reason
        return
    assert (again.status, again.error, again.reason) == (told.status, told.error, told.reason)
    assert again.record.output == told.output
    assert (again.record.calls, again.record.cost, again.tokens, again.record.cached) == (0, 0.0, 0, 0)
    kept = [s.id for s in told.spans if s.kind != "attempt"]
    assert [s.id for s in again.record.spans] == kept
    assert [s.output for s in again.record.steps] == [s.output for s in told.steps]


@pytest.mark.parametrize("kind", RUNS)
def test_a_replay_makes_no_call_here_and_in_a_kernel_without_the_functions(notebook, kind):
    start, status = RUNS[kind]
    run = start(notebook)
    assert run.status == status
    requests, called = len(notebook.scripted.requests), list(notebook.space.get("called", ()))
    turns = notebook.session.services.history.store.threads()
    again = run.replay()
    same(again, run, status)
    same(again.replay(), run, status)
    assert again.output == (None if status == "waiting" and run.output is None else run.output)
    notebook.session.close()
    with restarted(notebook) as session:
        old = session.lookup.run(run.id)
        same(old.replay(), run, status)
        same(session.lookup.run(again.id).replay(), run, status)
        assert session.services.history.store.threads() == turns
        assert str(commands.run(session, f"compare {run.id} {again.id}"))
    assert len(notebook.scripted.requests) == requests
    assert notebook.space.get("called", []) == called


def test_a_run_without_its_functions_is_shown_and_says_what_it_needs(notebook):
    run = failing_code(notebook)
    notebook.session.close()
    with restarted(notebook) as session:
        old = commands.run(session, f"show {run.id}")
        assert (old.status, old.error, old.a, old.output) == (run.status, run.error, "<A x>", run.record.output)
        for act in (old.resume, old.retry, lambda: old.replay(from_step="a"), lambda: old.replay(model="scripted")):
            with pytest.raises(InputError, match=r"run r1 needs load of its notebook: run the cell that defines it"):
                act()
        session.services.namespace["load"] = str.upper
        assert session.lookup.run(run.id).resume().output == "<A X>"


def test_a_fork_of_a_replay_finds_what_the_first_run_paid(notebook):
    notebook.script(answers())
    run = notebook.run(f"%%chain t --no-cache\n{TWO}", q="x")
    fork = run.replay().replay().replay(from_step="b")
    assert (fork.record.calls, fork.output, len(notebook.prompts)) == (1, run.output, 3)


def test_a_running_run_is_not_replayed(notebook):
    run = notebook.define(f"%%chain t --no-cache\n{TWO}").prepare(q="x")
    with pytest.raises(InputError, match="has not ended"):
        run.replay()


@pytest.mark.parametrize(("step", "calls"), [(1, 3), (2, 2), (3, 1), ("3", 1), ("c", 1)])
def test_a_step_may_be_named_by_its_number(notebook, step, calls):
    notebook.script(answers())
    run = notebook.run(f"%%chain t --no-cache\n{TWO}c\n    C {{{{ b }}}}\n", q="x")
    assert run.replay(from_step=step).record.calls == calls


@pytest.mark.parametrize("step", [0, 4, -1, 2.5, True, "d", "4", ""])
def test_a_step_that_is_not_there_is_refused_with_the_steps_that_are(notebook, step):
    notebook.script(answers())
    run = notebook.run(f"%%chain t --no-cache\n{TWO}c\n    C {{{{ b }}}}\n", q="x")
    with pytest.raises(InputError, match=r"has no step .* \(steps: 1 a, 2 b, 3 c\)"):
        run.replay(from_step=step)


@pytest.mark.parametrize("way", ["answered", "failed"])
def test_a_run_that_is_resumed_in_a_later_kernel_binds_its_name(notebook, way):
    if way == "answered":
        run = person(lambda waits: waits)(notebook)
    else:
        notebook.script(answers("Send"))
        run = notebook.run(LETTER.replace('approve "Send?"\n', ""), q="x")
    notebook.script(answers())
    notebook.session.close()
    with restarted(notebook) as session:
        found = session.lookup.run(run.id)
        assert "letter" not in session.services.namespace
        found.approve() if way == "answered" else found.resume()
        assert session.services.namespace["letter"].last is found
        assert session.find("letter").last.output == found.output


def test_a_resumed_run_replaces_no_value_of_the_notebook(notebook):
    run = person(lambda waits: waits)(notebook)
    notebook.session.close()
    with restarted(notebook, letter="mine") as session:
        session.lookup.run(run.id).approve()
        assert session.services.namespace["letter"] == "mine"


def test_the_latest_two_runs_are_compared_by_default(notebook):
    notebook.script(answers())
    for name in ("one", "two", "three"):
        notebook.run(f"%%chain {name} --no-cache\nsay\n    Say {{{{ q }}}}\n", q="x")
    assert [r.name for r in commands.run(notebook.session, "compare").records] == ["two", "three"]
    assert [r.name for r in commands.run(notebook.session, "compare r1 r3").records] == ["one", "three"]


def test_the_id_of_a_run_stands_below_its_cell(notebook):
    notebook.script(answers("Send"))
    for run in (notebook.run(LETTER, q="x"), notebook.run("%%chain t\na\n    Send {{ q }}\n", q="x")):
        shown = answer.bundle(run.record)
        assert f" · {run.id}</div>" in shown["text/html"]
        assert run.id in shown["text/plain"]
