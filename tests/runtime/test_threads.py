"""--thread: a conversation goes on across cells and kernels."""

import pytest
from lives import bind, restarted
from nine_patterns import AGENT, TURNS, find, replies

from orchmagic import Reply, Session
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


def test_of_a_chain_the_words_of_the_user_and_the_answer_are_kept(notebook):
    notebook.script("draft", "final", "next")
    two = "%%chain two --thread talk\nplan\n    Plan {{ q }}\nreply\n    Answer {{ plan }}\n"
    notebook.run(two, q="x")
    notebook.run(ASK, q="y")
    assert said(notebook.scripted.requests[-1])[1:3] == [("user", "Plan x"), ("assistant", "final")]


def test_an_agent_has_a_thread_too(notebook):
    def find(what: str) -> str:
        return f"found {what}"

    call = Reply("", tool_calls=[ToolCall("c", "find", '{"what": "x"}')])
    notebook.script(call, "it is x", "as I said")
    cell = "%%react agent --thread talk --tools find\n{{ q }}\n"
    notebook.run(cell, q="first", find=find)
    notebook.run(cell, q="second")
    assert said(notebook.scripted.requests[-1]) == [
        ("user", "first"), ("assistant", None), ("tool", "found x"), ("assistant", "it is x"), ("user", "second"),
    ]  # fmt: skip
    made = notebook.scripted.requests[-1]["messages"][1]["tool_calls"]
    assert [(c["id"], c["function"]["name"]) for c in made] == [("c", "find")]


def test_a_step_without_tools_reads_the_calls_of_tools_in_words(notebook):
    def find(what: str) -> str:
        return f"flight XY{what}"

    call = Reply("", tool_calls=[ToolCall("c", "find", '{"what": "7"}')])
    notebook.script(call, "found one", "booked")
    notebook.run("%%react agent --thread talk --tools find\n{{ q }}\n", q="first", find=find)
    notebook.run(ASK, q="book it")
    roles = [m["role"] for m in notebook.scripted.requests[-1]["messages"]]
    assert roles == ["system", "user", "assistant", "user", "assistant", "user"]
    assert "flight XY7" in notebook.scripted.requests[-1]["messages"][3]["content"]


@pytest.mark.parametrize("pattern", TURNS)
def test_a_turn_has_the_words_of_the_user_the_tools_and_the_answer(notebook, pattern):
    cell, words = TURNS[pattern]
    head, _, body = cell.partition("\n")
    notebook.script(replies)
    notebook.space["find"] = find
    bind(notebook, AGENT)
    run = notebook.run(f"{head} --thread talk --no-cache\n{body}", q="x", find=find)
    assert run.status == "done", (run.status, run.error, run.reason)
    turn = notebook.session.services.history.store.thread("talk")
    assert turn[0]["role"] == "user"
    assert turn[0]["content"].startswith(words)
    assert (turn[-1]["role"], [m["role"] for m in turn].count("user")) == ("assistant", 1)
    assert [m["content"] for m in turn if m["role"] == "tool"] == ["flight x"] * ("find" in cell or "agent" in cell)


def test_a_question_and_its_answer_are_part_of_the_turn_in_the_next_kernel_too(notebook):
    cell = '%%chain t --thread talk\nguess\n    Guess {{ q }}\ngate False else ask "Which one?"\nreply\n    {{ q }}: {{ answer }}\n'
    notebook.script("a guess", "fine")
    run = notebook.run(cell, q="x")
    assert run.status == "waiting"
    notebook.session.close()
    with restarted(notebook) as session:
        session.lookup.run(run.id).resume("the second")
        assert [m["content"] for m in session.services.history.store.thread("talk")] == [
            "x: the second", "Which one?", "the second", "fine",
        ]  # fmt: skip


UNSAID = {
    "rejected": ('say\n    Say {{ q }}\napprove "ok?"\n', lambda run: run.reject("no"), "rejected"),
    "stopped": ('say\n    Say {{ q }}\ngate False else stop "no"\n', lambda run: run, "done"),
    "failed": ("say\n    Say {{ q }}\nx = 1 / 0\n", lambda run: run, "failed"),
    "gate": ("say\n    Say {{ q }}\ngate False\n", lambda run: run, "failed"),
    "capped": ("say\n    Say {{ q }}\nmore\n    More {{ say }}\n", lambda run: run, "capped"),
    "waiting": ('say\n    Say {{ q }}\napprove "ok?"\n', lambda run: run, "waiting"),
}


@pytest.mark.parametrize("how", UNSAID)
def test_a_turn_that_did_not_end_well_is_not_remembered(notebook, how):
    body, end, status = UNSAID[how]
    notebook.script(lambda _: "words")
    run = end(notebook.run(f"%%chain t --thread talk --max-steps {1 if how == 'capped' else 9}\n{body}", q="x"))
    assert run.status == status
    assert notebook.session.services.history.store.thread("talk") == []


def test_run_all_again_asks_the_same_and_doubles_nothing(notebook):
    cells = [(ASK, "a"), (ASK.replace("chain ask", "chain other"), "b"), (ASK, "c")]
    notebook.script("one", "two", "three", "one", "two", "three")
    for cell, q in cells:
        notebook.run(cell, q=q)
    first = [said(body) for body in notebook.scripted.requests]
    store = notebook.session.services.history.store
    turns = store.thread("talk")
    for cell, q in cells:
        notebook.run(cell, q=q)
    assert [said(body) for body in notebook.scripted.requests[3:]] == first
    assert store.thread("talk") == turns


def test_a_restarted_kernel_that_runs_all_makes_no_call(notebook):
    cell = ASK.replace("--no-cache ", "")
    notebook.script("one", "two")
    for q in ("a", "b"):
        notebook.run(cell, q=q)
    notebook.session.close()
    for q in ("a", "b"):
        with restarted(notebook, cell, q=q) as session:
            assert session.defined["ask"]().record.calls == 0
            assert session.services.history.store.threads() == {"talk": 4}


def test_a_call_of_the_same_words_is_a_new_turn(notebook):
    notebook.script("one", "two")
    made = notebook.define(ASK)
    made(q="yes")
    made(q="yes")
    assert said(notebook.scripted.requests[1])[1:] == [("user", "yes"), ("assistant", "one"), ("user", "yes")]


def test_the_cell_that_runs_is_the_key_if_the_kernel_names_it(notebook):
    place = ["cell-1", "message-1"]
    notebook.script(lambda body: str(len(body["messages"])))
    environ = notebook.session.services.environ
    session = Session(notebook.space, environ=environ, notify=notebook.said.append, cell=lambda: (place[0], place[1]))
    made, store = session.define("chain", *ASK.removeprefix("%%chain ").split("\n", 1)), session.services.history.store
    made(q="yes")
    place[:] = ["cell-2", "message-2"]
    made(q="yes")
    assert store.threads() == {"talk": 4}
    place[:] = ["cell-1", "message-3"]
    made(q="yes")
    assert store.threads() == {"talk": 4}
    assert len(notebook.scripted.requests[-1]["messages"]) == 2
    session.close()


def test_only_the_latest_turns_that_fit_are_sent_and_the_run_says_so(notebook):
    notebook.script(lambda _: "word " * 40)
    for q in "abc":
        notebook.run(ASK.replace("ask", f"ask{q}"), q=q)
    run = notebook.run(ASK.replace("--thread talk", "--thread talk --thread-tokens 100"), q="d")
    assert [c for _, c in said(notebook.scripted.requests[-1])][1::2] == ["c", "d"]
    assert "4 earlier messages of thread 'talk' not sent" in run.reason
    assert len(notebook.session.services.history.store.thread("talk")) == 8


def test_a_summary_stands_for_the_turns_that_do_not_fit(notebook):
    def answer(body):
        asks = body["messages"][0]["content"].startswith("Summarise")
        return "IN SHORT" if asks else "word " * 40

    notebook.script(answer)
    for q in "abc":
        notebook.run(ASK.replace("ask", f"ask{q}"), q=q)
    cell = ASK.replace("--thread talk", "--thread talk --thread-tokens 140 --thread-summary")
    run = notebook.run(cell, q="d")
    sent = said(notebook.scripted.requests[-1])
    assert [c for _, c in sent][2::2] == ["IN SHORT", "word " * 40]
    assert (run.record.calls, run.replay().record.calls) == (2, 0)
    calls = len(notebook.scripted.requests)
    notebook.run(cell.replace("chain ask", "chain last"), q="e")
    summaries = [b for b in notebook.scripted.requests[calls:] if b["messages"][0]["content"].startswith("Summarise")]
    assert all("IN SHORT" in b["messages"][1]["content"] for b in summaries)
    assert "IN SHORT" not in str(notebook.session.services.history.store.thread("talk"))


@pytest.mark.parametrize("flag", ["--thread-summary", "--thread-tokens 5"])
def test_an_option_of_threads_without_a_thread_is_refused(notebook, flag):
    with pytest.raises(InputError, match="without --thread does nothing"):
        notebook.define(f"%%chain t {flag}\na\n    A\n")


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
