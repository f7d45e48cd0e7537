"""--thread: a conversation goes on across cells and kernels."""

import pytest
from lives import bind, restarted

from orchmagic import Reply
from orchmagic.errors import InputError
from orchmagic.models.types import ToolCall
from orchmagic.notebook import commands

ASK = "%%chain ask --no-cache --thread talk\nreply\n    system: Be kind.\n    user: {{ q }}\n"


def said(body):
    return [(m["role"], m["content"]) for m in body["messages"]]


def test_the_next_cell_reads_what_was_said_before(notebook):
    notebook.script("hello ada", "ada")
    notebook.run(ASK, q="I am Ada")
    notebook.run(ASK.replace("chain ask", "chain other"), q="Who am I?")
    assert said(notebook.scripted.requests[1]) == [
        ("system", "Be kind."), ("user", "I am Ada"), ("assistant", "hello ada"), ("user", "Who am I?"),
    ]  # fmt: skip


def test_the_next_kernel_reads_it_too(notebook):
    notebook.script("hello ada", "ada")
    notebook.run(ASK, q="I am Ada")
    notebook.session.close()
    with restarted(notebook, ASK, q="Who am I?") as session:
        session.defined["ask"]()
    assert said(notebook.scripted.requests[1])[1] == ("user", "I am Ada")


def test_threads_do_not_hear_each_other(notebook):
    notebook.script("one", "two", "three")
    notebook.run(ASK, q="a")
    notebook.run(ASK.replace("talk", "elsewhere"), q="b")
    notebook.run(ASK.replace(" --thread talk", ""), q="c")
    assert [len(r["messages"]) for r in notebook.scripted.requests] == [2, 2, 2]


def test_a_run_that_fails_adds_nothing(notebook):
    notebook.script("hello", Reply(fault="400"), "still there")
    notebook.run(ASK, q="a")
    assert notebook.run(ASK, q="bad").status == "failed"
    notebook.run(ASK, q="c")
    assert said(notebook.scripted.requests[-1])[1:] == [("user", "a"), ("assistant", "hello"), ("user", "c")]


def test_a_failed_run_that_goes_on_adds_its_turn_once(notebook):
    notebook.script(Reply(fault="400"), "late")
    run = notebook.run(ASK, q="a")
    run.resume()
    assert notebook.session.services.history.store.threads() == {"talk": 2}


def test_only_the_step_that_answers_is_kept_of_a_chain(notebook):
    notebook.script("draft", "final", "next")
    two = "%%chain two --thread talk\nplan\n    Plan {{ q }}\nreply\n    Answer {{ plan }}\n"
    notebook.run(two, q="x")
    notebook.run(ASK, q="y")
    assert said(notebook.scripted.requests[-1])[1:3] == [("user", "Answer draft"), ("assistant", "final")]


def test_an_agent_has_a_thread_too(notebook):
    def find(what: str) -> str:
        return f"found {what}"

    call = Reply("", tool_calls=[ToolCall("c", "find", '{"what": "x"}')])
    notebook.script(call, "it is x", "as I said")
    cell = "%%react agent --thread talk --tools find\n{{ q }}\n"
    notebook.run(cell, q="first", find=find)
    notebook.run(cell, q="second")
    assert said(notebook.scripted.requests[-1]) == [("user", "first"), ("assistant", "it is x"), ("user", "second")]


def test_a_nested_orchestration_answers_in_the_thread(notebook):
    bind(notebook, "%%chain inner\nreply\n    Say {{ q }}\n")
    notebook.script("one", "two")
    cell = "%%chain outer --thread talk\nx = inner(q=q)\n"
    notebook.run(cell, q="a")
    notebook.run(cell, q="b")
    assert said(notebook.scripted.requests[1]) == [("user", "Say a"), ("assistant", "one"), ("user", "Say b")]


def test_typed_answers_are_kept_as_json(notebook):
    notebook.script({"n": 3}, "ok")
    notebook.run("%%chain t --thread talk\nx -> n: int\n    Count {{ q }}\n", q="a")
    notebook.run(ASK, q="b")
    assert said(notebook.scripted.requests[1])[2] == ("assistant", '{"n":3}')


def test_one_command_shows_and_clears_it(notebook):
    notebook.script("hello", "again")
    notebook.run(ASK, q="a")
    session = notebook.session
    assert "talk    2" in commands.run(session, "thread")
    assert commands.run(session, "thread show talk") == "user: a\nassistant: hello"
    assert commands.run(session, "thread clear talk") == "Forgot 2 messages of 'talk'."
    notebook.run(ASK, q="b")
    assert len(notebook.scripted.requests[1]["messages"]) == 2


@pytest.mark.parametrize("line", ["thread clear", "thread show", "thread forget talk", "thread clear tlak"])
def test_a_wrong_command_is_one_line(notebook, line):
    notebook.script("hello")
    notebook.run(ASK, q="a")
    with pytest.raises(InputError) as caught:
        commands.run(notebook.session, line)
    assert "\n" not in str(caught.value)
    assert "talk" in str(caught.value) or "NAME" in str(caught.value)


def test_a_replay_reads_the_thread_as_it_was_and_adds_nothing(notebook):
    notebook.script("one", "two", "three")
    notebook.run(ASK, q="a")
    run = notebook.run(ASK, q="b")
    notebook.run(ASK, q="c")
    again = run.replay()
    assert (again.record.calls, again.output) == (0, "two")
    assert notebook.session.services.history.store.threads() == {"talk": 6}
