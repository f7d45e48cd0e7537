"""A run goes on after a fault, a cancel or a restart, and can be replayed: what was paid or done is not again."""

import threading

import pytest
from lives import asked, bind, restarted, spans

from orchmagic import Reply, Script, install
from orchmagic.errors import InputError, OrchError
from orchmagic.models.providers.scripted import remove
from orchmagic.models.types import ToolCall
from orchmagic.runtime.tools import tool

pytestmark = pytest.mark.slow

THREE = "%%chain three --no-cache\na\n    A {{ x }}\nb\n    B {{ a }}\nc\n    C {{ b }}\n"


def echo(body):
    return f"<{body['messages'][-1]['content']}>"


def faulty(words, fault="400"):
    return lambda body: Reply(fault=fault) if words in body["messages"][-1]["content"] else echo(body)


# resume


def test_a_failed_run_goes_on_where_it_failed(notebook):
    notebook.script(faulty("B "))
    run = notebook.run(THREE, x="x")
    assert run.status == "failed"
    notebook.script(echo)
    run.resume()
    assert (run.status, run.error, run.output) == ("done", None, "<C <B <A x>>>")
    assert notebook.prompts == ["B <A x>", "C <B <A x>>"]
    assert run.record.calls == 3


def test_a_step_whose_answers_never_fitted_is_asked_again(notebook):
    notebook.script(lambda _: {"n": "no number"})
    run = notebook.run("%%chain\na(retry=1) -> n: int\n    A\n")
    assert run.status == "failed"
    notebook.script(lambda _: {"n": 3})
    assert run.resume().output.n == 3
    assert notebook.prompts == ["A"]


def test_a_cancelled_run_goes_on(notebook):
    notebook.script("one", Reply("never", latency=60), "two", "three")
    notebook.space["x"] = "x"
    run = notebook.define(THREE).prepare()
    heard = threading.Event()
    run.trace.listeners.append(lambda e: heard.set() if getattr(e, "call", "") == "b#1.1" else None)
    run.start()
    assert heard.wait(10)
    run.cancel()
    run.resume()
    assert (run.status, run.output) == ("done", "three")
    assert notebook.prompts == ["A x", "B one", "B one", "C two"]


def test_a_failed_run_goes_on_in_the_next_kernel(notebook):
    notebook.script(faulty("C "))
    first = notebook.run(THREE, x="x")
    notebook.session.close()
    notebook.script(echo)
    with restarted(notebook) as session:
        run = session.lookup.run(first.id)
        assert (run.status, run.b, run.error) == ("failed", "<B <A x>>", first.error)
        run.resume()
        assert (run.status, run.output) == ("done", "<C <B <A x>>>")
        assert session.lookup.run(first.id) is run
    assert notebook.prompts == ["C <B <A x>>"]


def test_what_the_next_kernel_did_with_a_run_is_seen_here(notebook):
    notebook.script(faulty("C "))
    first = notebook.run(THREE, x="x")
    notebook.script(echo)
    with restarted(notebook) as session:
        session.lookup.run(first.id).resume()
    with pytest.raises(InputError, match="another kernel went on with run r1: it is done there"):
        first.resume()
    assert notebook.session.lookup.run(first.id).output == "<C <B <A x>>>"
    assert len(notebook.prompts) == 1


def test_a_run_closed_in_the_middle_is_left_readable_and_goes_on(notebook):
    notebook.script("one", Reply("never", latency=60), "two", "three")
    notebook.space["x"] = "x"
    first = notebook.define(THREE).prepare()
    heard = threading.Event()
    first.trace.listeners.append(lambda e: heard.set() if getattr(e, "call", "") == "b#1.1" else None)
    first.start()
    assert heard.wait(10)
    notebook.session.close()
    assert first.status == "cancelled"
    with restarted(notebook) as session:
        run = session.lookup.run(first.id)
        assert (run.status, run.a) == ("cancelled", "one")
        assert run.resume().output == "three"
    assert notebook.prompts == ["A x", "B one", "B one", "C two"]


def test_of_two_who_resume_at_once_one_does(notebook):
    notebook.script(faulty("C "))
    run = notebook.run(THREE, x="x")
    notebook.script(lambda body: Reply(echo(body), latency=0.1))
    told, ready = [], threading.Barrier(4)

    def resume():
        ready.wait()
        try:
            told.append(run.resume().status)
        except InputError as error:
            told.append(str(error))

    threads = [threading.Thread(target=resume) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert told.count("done") == 1, told
    assert notebook.prompts == ["C <B <A x>>"]


def test_a_typed_result_is_typed_in_the_next_kernel_too(notebook):
    bind(notebook, "%%chain inner\nfound -> n: int, word: str\n    Read {{ x }}\n")
    notebook.script({"n": 3, "word": "w"})
    first = notebook.run("%%chain outer\ny = inner(x='t')\n")
    notebook.session.close()
    with restarted(notebook) as session:
        run = session.lookup.run(first.id)
        assert (run.y.n, run.output.word) == (3, "w")
        assert (run.cost, run.tokens, run.record.output) == (first.cost, first.tokens, {"n": 3, "word": "w"})


def test_one_step_that_was_run_alone_is_resumed_alone(notebook):
    notebook.script(faulty("C "))
    alone = notebook.define(THREE).step("c")
    first = alone(b="given")
    assert first.status == "failed"
    notebook.session.close()
    notebook.script(echo)
    with restarted(notebook) as session:
        assert session.lookup.run(first.id).resume().output == "<C given>"
    assert notebook.prompts == ["C given"]


def test_a_capped_run_ends_again_as_capped_and_pays_nothing(notebook):
    notebook.script(echo)
    run = notebook.run(THREE.replace("--no-cache", "--no-cache --max-steps 2"), x="x")
    assert run.status == "capped"
    run.resume()
    assert (run.status, run.output, len(notebook.prompts)) == ("capped", "<B <A x>>", 2)


# replay


def test_a_replay_makes_no_call_and_gives_the_same(notebook):
    notebook.script(echo)
    run = notebook.run(THREE, x="x")
    again = run.replay()
    assert again.id != run.id
    assert (again.status, again.record.output, again.record.calls) == ("done", run.record.output, 0)
    assert (again.cost, again.record.recalled, len(notebook.prompts)) == (0, 3, 3)


def test_a_replay_from_a_step_asks_it_and_what_follows(notebook):
    notebook.script(echo)
    run = notebook.run(THREE, x="x")
    notebook.script(lambda body: echo(body).upper())
    again = run.replay(from_step="b")
    assert (again.output, again.a) == ("<C <B <A X>>>".upper(), "<A x>")
    assert len(notebook.prompts) == 2
    assert run.output == "<C <B <A x>>>"


def test_a_replay_from_a_step_asks_anew_although_the_cache_has_it(notebook):
    notebook.script(echo)
    run = notebook.run(THREE.replace(" --no-cache", ""), x="x")
    notebook.script("new b", "new c")
    assert run.replay(from_step="b").output == "new c"


def test_a_replay_from_one_section_leaves_those_beside_it_alone(notebook):
    notebook.script(echo)
    run = notebook.run(
        "%%parallel --no-cache\na\n    A {{ x }}\nb\n    B {{ x }}\nmerge\n    M {{ a }} {{ b }}\n", x="x"
    )
    notebook.script(lambda body: echo(body).upper())
    assert run.replay(from_step="a").output == "<M <A X> <B X>>"
    assert asked(notebook) == ["A x", "M <A X> <B x>"]


def test_a_replay_with_another_model_pays_for_what_it_asks_of_it(notebook):
    large = install(Script(lambda body: f"large {body['messages'][-1]['content']}"), "large")
    notebook.script(echo)
    run = notebook.run(THREE, x="x")
    again = run.replay(from_step="c", model="scripted/large")
    remove("large")
    assert again.output == "large C <B <A x>>"
    assert (len(notebook.prompts), len(large.requests)) == (3, 1)


def test_a_fork_that_broke_off_goes_on_after_a_restart_as_the_fork_it_was(notebook):
    large = install(Script([Reply(fault="400"), "large at last"]), "large")
    notebook.script(echo)
    run = notebook.run(THREE, x="x")
    fork = run.replay(from_step="c", model="scripted/large")
    assert fork.status == "failed"
    with restarted(notebook, x="x") as session:
        again = session.lookup.run(fork.id)
        assert again.resume().output == "large at last"
        deeper = again.replay(from_step="b")
        assert (deeper.status, len(large.requests)) == ("done", 3)  # the model of `c` stays the fork's
    remove("large")
    assert len(notebook.prompts) == 4  # three, and b once more


def test_a_fork_of_a_fork_keeps_the_models_of_both_through_a_restart(notebook):
    large = install(Script(lambda body: f"large {body['messages'][-1]['content']}"), "large")
    notebook.script(echo)
    run = notebook.run(THREE, x="x")
    fork = run.replay(from_step="c", model="scripted/large").replay(from_step="b")
    with restarted(notebook, x="x") as session:
        session.lookup.run(fork.id).replay(from_step="c")
    remove("large")
    assert len(large.requests) == 3


def test_a_replay_with_another_input_asks_what_changes(notebook):
    cell = "%%chain --no-cache\na\n    A {{ x }}\nb\n    B {{ y }}\nc\n    C {{ a }} {{ b }}\n"
    notebook.script(echo)
    run = notebook.run(cell, x="x", y="y")
    again = run.replay(y="z")
    assert again.output == "<C <A x> <B z>>"
    assert (len(notebook.prompts), again.record.calls) == (5, 2)
    assert run.inputs == {"x": "x", "y": "y"}


@pytest.mark.parametrize(
    ("given", "told"), [({"from_step": "d"}, "no step 'd'"), ({"z": 1}, "no input 'z'"), ({"model": "none/x"}, "none")]
)
def test_a_wrong_replay_is_one_clear_line(notebook, given, told):
    notebook.script(echo)
    run = notebook.run(THREE, x="x")
    with pytest.raises(OrchError) as caught:
        run.replay(**given)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(notebook.prompts) == 3


def test_a_replay_of_a_replay_and_one_in_the_next_kernel_make_no_call(notebook):
    notebook.script(echo)
    run = notebook.run(THREE, x="x").replay()
    assert run.replay().record.calls == 0
    notebook.session.close()
    with restarted(notebook) as session:
        again = session.lookup.run(run.id).replay()
        assert (again.record.calls, again.output) == (0, run.output)
    assert len(notebook.prompts) == 3


def test_a_replay_of_a_run_with_a_person_asks_nobody(notebook):
    notebook.script("draft", "sent")
    run = notebook.run('%%chain p --no-cache\na\n    A\napprove "Send?"\nb\n    B {{ a }}\n').edit("other")
    again = run.replay()
    assert (again.status, again.record.output, again.a) == ("done", run.record.output, "other")
    assert again.record.calls == 0


def agent(notebook, done):
    @tool(writes=True)
    def pay(who: str) -> str:
        done.append(who)
        return f"paid {who}"

    notebook.space.update(pay=pay, ticket="t")
    calls = Reply("", tool_calls=[ToolCall("c1", "pay", '{"who": "ada"}')])
    notebook.script(lambda body: calls if body["messages"][-1]["role"] == "user" else "all done")
    return "%%react agent --no-cache --tools pay\nHelp {{ ticket }}\n"


def test_a_replay_of_an_agent_runs_no_tool(notebook):
    done = []
    run = notebook.run(agent(notebook, done))
    again = run.replay()
    assert (again.output, again.record.calls, done) == ("all done", 0, ["ada"])


def test_a_write_is_done_once_by_all_runs(notebook):
    done = []
    cell = agent(notebook, done)
    first = notebook.run(cell)
    second = notebook.run(cell)
    third = first.replay(from_step="agent")
    assert [r.status for r in (first, second, third)] == ["done"] * 3
    assert done == ["ada"]


def test_a_write_that_failed_is_done_by_the_next_life(notebook):
    done = []

    @tool(writes=True)
    def pay(who):
        if not done:
            done.append("tried")
            raise OSError("no connection")
        done.append(who)
        return f"paid {who}"

    notebook.script(echo)
    run = notebook.run("%%chain\nx = pay(who)\ny\n    {{ x }}\n", pay=pay, who="ada")
    assert run.status == "failed"
    run.resume()
    assert (run.status, run.output, done) == ("done", "<paid ada>", ["tried", "ada"])
    again = notebook.run("%%chain\nx = pay(who)\n")
    assert (again.output, done) == ("paid ada", ["tried", "ada"])


VOTES = "%%chain --no-cache\nx(votes=3, by=l) -> l: str\n    Which {{ q }}?\n"
LOOP = (
    "%%refine --no-cache\ngenerate\n    Write {{ q }}{% if evaluate %} better{% endif %}\n"
    "evaluate -> score: float, feedback: str\n    Score {{ generate }}\nuntil evaluate.score >= 8 max 3\n"
)
EACH = "%%chain --no-cache\nx(over=q, item=i)\n    Say {{ i }}\ny\n    Sum {{ x }}\n"


@pytest.mark.parametrize(
    ("cell", "q", "script"),
    [
        (VOTES, "a", [{"l": "a"}, {"l": "b"}, {"l": "b"}]),
        (LOOP, "b", ["one", {"score": 3, "feedback": "no"}, "two", {"score": 9, "feedback": "yes"}]),
        (EACH, ["a", "b"], ["1", "2", "3"]),
    ],
)
def test_votes_loops_and_items_replay_without_a_call(notebook, cell, q, script):
    notebook.script(*script)
    run = notebook.run(cell, q=q)
    count = len(notebook.prompts)
    again = run.replay()
    assert (run.status, again.status, again.record.calls) == ("done", "done", 0)
    assert again.record.output == run.record.output
    assert len(notebook.prompts) == count
    assert [s.id for s in again.record.steps] == [s.id for s in run.record.steps]


def test_without_history_a_run_can_be_resumed_in_this_kernel(notebook):
    notebook.session.services.environ.update({"ORCHMAGIC_HISTORY": "off"})
    notebook.script(faulty("B "))
    run = notebook.run(THREE, x="x")
    notebook.script(echo)
    assert run.resume().output == "<C <B <A x>>>"
    assert len(notebook.prompts) == 2
    assert run.replay().record.calls == 0
    notebook.session.close()
    with restarted(notebook) as session, pytest.raises(InputError, match="no run 'r1'"):
        session.lookup.run(run.id)


def test_a_cell_that_changes_while_its_run_goes_on_changes_only_the_next_run(notebook):
    notebook.script("one", Reply("two", latency=0.2), "three", "new")
    notebook.space["x"] = "x"
    run = notebook.define(THREE).start()
    notebook.define(THREE.replace("C {{", "D {{"))
    assert run.wait().output == "three"
    assert notebook.prompts[-1] == "C two"


def test_a_long_wait_for_a_person_takes_no_time_of_the_run(notebook):
    now = [0.0]
    notebook.script("draft", Reply(fault="500"), "sent")
    run = notebook.define('%%chain p --deadline 60s\na\n    A\napprove "Send?"\nb\n    B {{ a }}\n').prepare()
    run.trace._clock = lambda: now[0]
    run.start()
    run.wait()
    now[0] += 3600
    run.approve()
    assert (run.status, run.output) == ("done", "sent")


def test_spans_of_a_resumed_run_are_those_of_one_that_never_failed(notebook):
    notebook.script(faulty("B "))
    run = notebook.run(THREE, x="x")
    notebook.script(echo)
    run.resume()
    assert spans(run, "call") == ["a#1", "b#1", "c#1"]
    assert [s.status for s in run.record.steps] == ["done"] * 3


def test_a_write_that_an_earlier_run_did_is_told(notebook):
    done = []

    @tool(writes=True)
    def refund(order: str) -> str:
        """Pay back."""
        done.append(order)
        return f"paid {order}"

    notebook.space["refund"] = refund
    first = notebook.run("%%chain --no-cache\nreceipt = refund(order)\n", order="A1")
    again = notebook.run("%%chain --no-cache\nreceipt = refund(order)\n", order="A1")
    assert (first.reason, again.output, done) == (None, "paid A1", ["A1"])
    assert again.reason == "refund(order='A1') was done before, by run r1: its result was served"
