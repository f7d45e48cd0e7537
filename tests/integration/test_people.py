"""A run that needs a person ends as waiting, says what it asks, and goes on from there: nothing is asked or done twice."""

import threading

import pytest
from lives import bind, restarted, spans

from orchmagic import Reply
from orchmagic.errors import CellError, InputError
from orchmagic.models.types import ToolCall
from orchmagic.notebook.commands import run as orch
from orchmagic.runtime.tools import tool

pytestmark = pytest.mark.slow

DRAFT = '%%chain careful\ndraft\n    Draft for {{ who }}\napprove "Send it to {{ who }}?"\nlast\n    Sent {{ draft }}\n'
DESK = '%%route desk\nbot: easy things\n    {{ q }}\nhuman(ask="Please answer: {{ q }}"): the rest\n'


def test_a_chain_waits_and_shows_what_is_to_be_approved(notebook):
    notebook.script("dear ada", "ok")
    run = notebook.run(DRAFT, who="ada")
    assert (run.status, run.reason) == ("waiting", "Send it to ada?")
    assert (run.waiting.question, run.waiting.choices) == ("Send it to ada?", ("approve", "edit", "reject"))
    assert run.waiting.value == "dear ada"
    assert notebook.prompts == ["Draft for ada"]


def test_approved_it_goes_on_with_one_more_call(notebook):
    notebook.script("dear ada", "ok")
    run = notebook.run(DRAFT, who="ada").approve()
    assert (run.status, run.output, run.waiting) == ("done", "ok", None)
    assert notebook.prompts == ["Draft for ada", "Sent dear ada"]
    assert run.record.calls == 2


def test_edited_it_goes_on_with_the_edit(notebook):
    notebook.script("dear ada", "ok")
    run = notebook.run(DRAFT, who="ada").edit("hello ada")
    assert (run.status, run.draft) == ("done", "hello ada")
    assert notebook.prompts[1] == "Sent hello ada"


def test_rejected_it_ends_without_an_output(notebook):
    notebook.script("dear ada", "ok")
    run = notebook.run(DRAFT, who="ada").reject("too short")
    assert (run.status, run.output, run.reason) == ("rejected", None, "too short")
    assert len(notebook.prompts) == 1
    assert "too short" in str(run.record.spans)


@pytest.mark.parametrize(
    "reply",
    ["yes", "", '{"action": "approve"}', {"action": "delete"}, {"action": ["approve"]}, {}, 3, True, ["approve"],
     {"action": "edit"}, {"action": "approve", "extra": object()}, None],
)  # fmt: skip
def test_a_wrong_reply_is_told_and_the_run_still_waits(notebook, reply):
    notebook.script("dear ada", "ok")
    run = notebook.run(DRAFT, who="ada")
    with pytest.raises(InputError) as caught:
        run.resume(reply)
    assert "\n" not in str(caught.value)
    assert (run.status, run.waiting.value) == ("waiting", "dear ada")
    assert run.approve().status == "done"


@pytest.mark.parametrize("reply", ["approve", {"action": "approve"}])
def test_a_word_is_an_answer_too(notebook, reply):
    notebook.script("dear ada", "ok")
    assert notebook.run(DRAFT, who="ada").resume(reply).output == "ok"


TYPED = '%%chain sized\nsize -> width: int, name: str\n    Measure {{ x }}\napprove "Right?"\nlast\n    Got {{ size.width }}\n'


def test_an_edit_must_fit_the_type_of_what_is_approved(notebook):
    notebook.script({"width": 3, "name": "a"}, "ok")
    run = notebook.run(TYPED, x="x")
    with pytest.raises(InputError, match="does not fit 'size'"):
        run.edit({"width": "wide", "name": "a"})
    assert run.status == "waiting"
    run.edit({"width": 4, "name": "b"})
    assert (run.size.width, notebook.prompts[1]) == (4, "Got 4")


def test_half_a_surrogate_pair_in_an_answer_breaks_nothing(notebook):
    notebook.script("dear ada", "ok")
    run = notebook.run(DRAFT, who="ada").edit("odd \ud800 text")
    assert run.status in {"done", "failed"}
    assert run.draft == "odd \ud800 text"


def test_a_question_about_half_a_surrogate_pair_is_asked(notebook):
    notebook.script("odd \ud800 text", "ok")
    run = notebook.run(DRAFT, who="ada")
    assert (run.status, run.waiting.value) == ("waiting", "odd \ud800 text"), run.error
    assert run.approve().status == "done"


TWO = """%%chain two
gate False else ask "First?"
gate False else ask "Second?"
reply
    {{ answer }} and {{ answer_2 }}
"""


def test_two_questions_come_one_after_the_other(notebook):
    notebook.script("ok")
    run = notebook.run(TWO)
    assert run.waiting.question == "First?"
    run.resume("one")
    assert (run.status, run.waiting.question) == ("waiting", "Second?")
    run.resume("two")
    assert (run.status, notebook.prompts) == ("done", ["one and two"])


def test_an_empty_text_is_an_answer_but_nothing_is_none(notebook):
    run = notebook.run(TWO)
    with pytest.raises(InputError, match=r"answer is missing: First\?"):
        run.resume()
    assert run.resume("").waiting.question == "Second?"


def test_a_route_hands_over_to_a_person(notebook):
    notebook.script({"label": "human"})
    run = notebook.run(DESK, q="hard")
    assert (run.status, run.waiting.question, run.waiting.choices) == ("waiting", "Please answer: hard", ())
    assert run.resume("by hand").output == "by hand"


DECISIONS = {
    "approve": lambda run: run.approve(),
    "edit": lambda run: run.edit("x"),
    "reject": lambda run: run.reject("no"),
    "button": lambda run: run.respond({"action": "approve"}),
}


@pytest.mark.parametrize("decide", DECISIONS.values(), ids=DECISIONS)
def test_a_question_that_asks_for_an_answer_takes_no_yes_for_one(notebook, decide):
    notebook.script({"label": "human"})
    run = notebook.run(DESK, q="hard")
    with pytest.raises(InputError, match=f"{run.id} asks for an answer.*write %orch resume {run.id} YOUR ANSWER"):
        decide(run)
    assert (run.status, run.waiting.question) == ("waiting", "Please answer: hard")
    assert run.resume("approve").output == "approve"  # the word alone is what a person wrote


def test_an_approving_line_of_such_a_question_is_told_what_to_write(notebook):
    notebook.script({"label": "human"})
    run = notebook.run(DESK, q="hard")
    with pytest.raises(InputError, match=f"write %orch resume {run.id} YOUR ANSWER"):
        orch(notebook.session, f"approve {run.id}")
    assert orch(notebook.session, f"resume {run.id} by hand").output == "by hand"


def test_an_answer_may_be_a_table_that_has_an_action(notebook):
    notebook.script({"label": "human"})
    assert notebook.run(DESK, q="hard").resume({"action": "approve", "amount": 3}).output["amount"] == 3


def test_a_question_that_is_no_template_is_told_before_anything_runs(notebook):
    with pytest.raises(CellError, match="for a value"):
        notebook.define('%%route desk\nbot: easy\n    {{ q }}\nhuman(ask="Please: {{ q x }}"): the rest\n')


@pytest.mark.parametrize("name", ["answer", "gate_1"])
def test_a_step_cannot_have_the_name_of_the_answer(notebook, name):
    with pytest.raises(CellError, match=f"'{name}' is also the name of a step that the pattern makes itself"):
        notebook.define(f'%%chain\ngate False else ask "Who?"\n{name}\n    Hi\n')


def test_a_done_or_failed_run_has_nothing_to_answer(notebook):
    notebook.script("one")
    run = notebook.run("%%chain\na\n    A\n")
    for act in (run.approve, run.resume, lambda: run.edit(1), lambda: run.reject("x")):
        with pytest.raises(InputError, match="is done"):
            act()


def test_of_two_who_answer_at_once_one_is_heard(notebook):
    notebook.script("dear ada", lambda _: "ok")
    notebook.script(lambda body: "dear ada" if "Draft" in body["messages"][-1]["content"] else Reply("ok", latency=0.1))
    run = notebook.run(DRAFT, who="ada")
    told, ready = [], threading.Barrier(4)

    def answer():
        ready.wait()
        try:
            run.approve()
            told.append("heard")
        except InputError as error:
            told.append(str(error))

    threads = [threading.Thread(target=answer) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert told.count("heard") == 1, told
    assert run.status == "done"
    assert len(notebook.prompts) == 2


@pytest.mark.parametrize("act", ["approve", "reject"])
def test_answering_a_run_that_failed_does_not_start_it_again(notebook, act):
    notebook.script(Reply(fault="400"), "draft")
    run = notebook.run(DRAFT, who="ada")
    with pytest.raises(InputError, match="is failed: only a waiting run can be answered"):
        getattr(run, act)()
    with pytest.raises(InputError, match="is failed: only a waiting run can be answered"):
        run.resume("yes")
    assert (run.status, len(notebook.prompts)) == ("failed", 1)


# tools

AGENT = "%%react orders --tools find,refund --approve refund\nHelp. {{ ticket }}\n"


class Desk:
    """Tools that count, and a script that calls both at once and then tells what it read."""

    def __init__(self, notebook, *calls):
        self.done = []

        def find(what: str) -> str:
            self.done.append(f"find {what}")
            return f"found {what}"

        def refund(order: str, amount: int = 1) -> str:
            self.done.append(f"refund {order} {amount}")
            return f"refunded {order} {amount}"

        notebook.space.update(find=find, refund=refund, ticket="t")
        first = Reply("", tool_calls=[ToolCall(f"c{i}", n, a) for i, (n, a) in enumerate(calls)])
        notebook.script(lambda body: first if body["messages"][-1]["role"] == "user" else "all done")

    def told(self, notebook):
        return [m["content"] for m in notebook.scripted.requests[-1]["messages"] if m["role"] == "tool"]


def test_a_tool_waits_for_approval_and_shows_its_arguments(notebook):
    desk = Desk(notebook, ("refund", '{"order": "A1"}'))
    run = notebook.run(AGENT)
    assert run.status == "waiting"
    assert run.waiting.value == {"tool": "refund", "arguments": {"order": "A1"}}
    assert desk.done == []
    run.approve()
    assert (run.output, desk.done) == ("all done", ["refund A1 1"])
    assert len(notebook.scripted.requests) == 2


def test_the_arguments_of_a_tool_can_be_edited(notebook):
    desk = Desk(notebook, ("refund", '{"order": "A1"}'))
    run = notebook.run(AGENT).edit({"order": "A1", "amount": 5})
    assert (run.status, desk.done, desk.told(notebook)) == ("done", ["refund A1 5"], ["refunded A1 5"])


def test_what_was_shown_can_be_edited_and_given_back_whole(notebook):
    desk = Desk(notebook, ("refund", '{"order": "A1"}'))
    run = notebook.run(AGENT)
    run.edit({"tool": "refund", "arguments": {"order": "A1", "amount": 7}})
    assert desk.done == ["refund A1 7"]


@pytest.mark.parametrize("value", [{"order": "A1", "amount": "much"}, {"odrer": "A1"}, "A1", None, [1]])
def test_arguments_that_do_not_fit_the_tool_are_told_and_the_run_still_waits(notebook, value):
    desk = Desk(notebook, ("refund", '{"order": "A1"}'))
    run = notebook.run(AGENT)
    with pytest.raises(InputError, match="does not fit"):
        run.edit(value)
    assert (run.status, desk.done) == ("waiting", [])
    assert run.approve().status == "done"


def test_a_rejected_tool_is_told_to_the_model_with_the_reason(notebook):
    desk = Desk(notebook, ("refund", '{"order": "A1"}'))
    run = notebook.run(AGENT).reject("not this customer")
    assert (run.status, desk.done) == ("done", [])
    assert "not this customer" in desk.told(notebook)[0]


def test_of_several_calls_each_is_asked_and_none_runs_twice(notebook):
    desk = Desk(
        notebook, ("find", '{"what": "x"}'), ("refund", '{"order": "A1"}'), ("refund", '{"order": "B2"}'),
        ("find", '{"what": "y"}'),
    )  # fmt: skip
    run = notebook.run(AGENT)
    assert run.waiting.value["arguments"] == {"order": "A1"}
    assert sorted(desk.done) == ["find x", "find y"]
    run.approve()
    assert run.waiting.value["arguments"] == {"order": "B2"}
    run.reject("no")
    assert run.status == "done"
    assert sorted(desk.done) == ["find x", "find y", "refund A1 1"]
    told = desk.told(notebook)
    assert (told[0], told[1], told[3]) == ("found x", "refunded A1 1", "found y")
    assert "no" in told[2]
    assert len(notebook.scripted.requests) == 2


def test_bad_arguments_of_the_model_go_back_to_it_and_nobody_is_asked(notebook):
    desk = Desk(notebook, ("refund", '{"order": 3}'), ("refund", "no json"))
    run = notebook.run(AGENT)
    assert (run.status, desk.done) == ("done", [])
    assert all("bad arguments for refund" in t for t in desk.told(notebook))


# inside other graphs


def test_a_question_inside_a_nested_graph_is_asked_by_the_outer_run(notebook):
    bind(notebook, DRAFT)
    notebook.script("dear ada", "ok", "end")
    run = notebook.run("%%chain outer\nx = careful(who='ada')\nlast\n    After {{ x }}\n")
    assert (run.status, run.waiting.question, run.waiting.span) == ("waiting", "Send it to ada?", "x#1/approval_1#1")
    run.edit("hi")
    assert (run.status, run.output) == ("done", "end")
    assert notebook.prompts == ["Draft for ada", "Sent hi", "After ok"]
    assert run.record.calls == 3


def test_an_edit_inside_a_nested_graph_must_fit_too(notebook):
    bind(notebook, TYPED)
    notebook.script({"width": 3, "name": "a"}, "ok")
    run = notebook.run("%%chain outer\nx = sized(x='x')\n")
    with pytest.raises(InputError, match="does not fit 'size'"):
        run.edit({"width": "wide", "name": "a"})
    assert run.edit({"width": 4, "name": "b"}).status == "done"


def test_two_sections_that_wait_are_answered_one_after_the_other(notebook):
    bind(notebook, DRAFT)
    notebook.script(lambda body: f"<{body['messages'][-1]['content']}>")
    run = notebook.run("%%parallel both\na = careful(who='ada')\nb = careful(who='bob')\n")
    asked = []
    while run.status == "waiting":
        asked.append(run.waiting.question)
        run.approve()
    assert sorted(asked) == ["Send it to ada?", "Send it to bob?"]
    assert run.status == "done"
    assert run.output == {"a": "<Sent <Draft for ada>>", "b": "<Sent <Draft for bob>>"}
    assert sorted(notebook.prompts) == sorted(
        [f"{p}" for w in ("ada", "bob") for p in (f"Draft for {w}", f"Sent <Draft for {w}>")]
    )


def test_items_that_wait_are_answered_in_their_order(notebook):
    bind(notebook, DRAFT)
    notebook.script(lambda body: f"<{body['messages'][-1]['content']}>")
    run = notebook.run("%%chain everybody\neach(run=careful, over=people, item=who)\n", people=["ada", "bob", "cid"])
    asked = []
    while run.status == "waiting":
        asked.append(run.waiting.question)
        run.approve()
    assert asked == ["Send it to ada?", "Send it to bob?", "Send it to cid?"]
    assert run.output == [f"<Sent <Draft for {w}>>" for w in ("ada", "bob", "cid")]
    assert len(notebook.prompts) == 6
    assert len(spans(run, "item")) == 3


def test_an_agent_inside_a_chain_asks_before_its_tool_runs(notebook):
    desk = Desk(notebook, ("find", '{"what": "x"}'), ("refund", '{"order": "A1"}'))
    bind(notebook, AGENT)
    run = notebook.run("%%chain outer\nx = orders(ticket=ticket)\n")
    assert (run.status, run.waiting.value["tool"]) == ("waiting", "refund")
    with pytest.raises(InputError, match="does not fit"):
        run.edit({"amount": "x"})
    run.approve()
    assert (run.status, sorted(desk.done)) == ("done", ["find x", "refund A1 1"])
    assert len(notebook.scripted.requests) == 2


def test_what_an_inner_run_found_can_be_edited(notebook):
    bind(notebook, "%%chain words\nx\n    Say {{ who }}\n")
    notebook.script("one", "end")
    run = notebook.run('%%chain outer\na = words(who="w")\napprove "Good?"\nlast\n    {{ a }}\n')
    assert run.waiting.value == "one"
    assert run.edit("two").a == "two"
    assert notebook.prompts[-1] == "two"


def test_what_inner_runs_of_items_found_can_be_edited(notebook):
    bind(notebook, "%%chain words\nx\n    Say {{ who }}\n")
    notebook.script(lambda body: f"<{body['messages'][-1]['content']}>")
    cell = '%%chain outer\na(run=words, over=people, item=who)\napprove "Good?"\nlast\n    {{ a }}\n'
    run = notebook.run(cell, people=["p", "q"])
    assert run.waiting.value == ["<Say p>", "<Say q>"]
    run.edit(["one", "two"])
    assert (run.status, run.a) == ("done", ["one", "two"])


def test_many_questions_do_not_use_up_the_steps_of_the_run(notebook):
    gates = "".join(f'gate False else ask "Q{i}?"\n' for i in range(8))
    bind(notebook, f"%%chain asks\n{gates}end\n    Done {{{{ answer_8 }}}}\n")
    notebook.script("ok")
    run = notebook.run("%%chain outer --max-steps 24\nx = asks()\n")
    while run.status == "waiting":
        run.resume("a")
    assert (run.status, run.output) == ("done", "ok"), run.reason


# after a restart


def test_a_waiting_run_is_answered_by_the_next_kernel(notebook):
    notebook.script("dear ada", "ok")
    first = notebook.run(DRAFT, who="ada")
    notebook.session.close()
    with restarted(notebook) as session:
        run = session.lookup.run(first.id)
        assert (run.status, run.waiting.question, run.waiting.value) == ("waiting", "Send it to ada?", "dear ada")
        run.edit("hi")
        assert (run.status, run.output, run.draft) == ("done", "ok", "hi")
        assert run.record.calls == 2
    assert notebook.prompts == ["Draft for ada", "Sent hi"]


def test_a_nested_run_with_half_its_tools_done_is_answered_by_the_next_kernel(notebook):
    desk = Desk(notebook, ("find", '{"what": "x"}'), ("refund", '{"order": "A1"}'), ("refund", '{"order": "B2"}'))
    bind(notebook, AGENT)
    first = notebook.run("%%chain outer\nx = orders(ticket=ticket)\n")
    first.approve()
    assert first.status == "waiting"
    notebook.session.close()
    code = {n: notebook.space[n] for n in ("find", "refund")}
    with restarted(notebook, **code) as session:
        run = session.lookup.run(first.id)
        assert run.waiting.value["arguments"] == {"order": "B2"}
        run.approve()
        assert (run.status, run.output) == ("done", "all done")
    assert sorted(desk.done) == ["find x", "refund A1 1", "refund B2 1"]
    assert len(notebook.scripted.requests) == 2


def test_a_function_that_the_next_kernel_lacks_is_named(notebook):
    Desk(notebook, ("refund", '{"order": "A1"}'))
    first = notebook.run(AGENT)
    notebook.session.close()
    with restarted(notebook) as session:
        found = session.lookup.run(first.id)
        assert (found.status, [q.value["tool"] for q in found.questions]) == ("waiting", ["refund"])
        with pytest.raises(InputError) as caught:
            found.approve()
    assert "find" in str(caught.value)
    assert "refund" in str(caught.value)


def test_who_answers_second_in_another_kernel_is_told(notebook):
    notebook.script("dear ada", "ok")
    first = notebook.run(DRAFT, who="ada")
    with restarted(notebook) as session:
        other = session.lookup.run(first.id)
        assert other.approve().status == "done"
        with pytest.raises(InputError, match="another kernel went on with run r1: it is done there"):
            first.approve()
    assert notebook.session.lookup.run(first.id).status == "done"
    assert len(notebook.prompts) == 2


def test_a_run_that_was_answered_and_then_fails_goes_on_without_asking_again(notebook):
    notebook.script("dear ada", Reply(fault="400"), "ok")
    run = notebook.run(DRAFT, who="ada").approve()
    assert run.status == "failed"
    run.resume()
    assert (run.status, run.output) == ("done", "ok")
    assert notebook.prompts == ["Draft for ada", "Sent dear ada", "Sent dear ada"]


def test_a_run_that_was_answered_and_then_fails_goes_on_in_the_next_kernel(notebook):
    notebook.script("dear ada", Reply(fault="400"), "ok")
    first = notebook.run(DRAFT, who="ada").edit("hi")
    assert first.status == "failed"
    notebook.session.close()
    with restarted(notebook) as session:
        run = session.lookup.run(first.id).resume()
        assert (run.status, run.output, run.draft) == ("done", "ok", "hi")


def test_without_history_a_run_still_waits_and_goes_on(notebook):
    notebook.session.services.environ.update({"ORCHMAGIC_HISTORY": "off"})
    notebook.script("dear ada", "ok")
    run = notebook.run(DRAFT, who="ada")
    assert run.status == "waiting"
    assert run.approve().output == "ok"
    assert len(notebook.prompts) == 2


def test_a_write_before_the_question_is_done_once(notebook):
    done = []

    @tool(writes=True)
    def pay(who: str) -> str:
        done.append(who)
        return f"paid {who}"

    notebook.script("ok")
    bind(notebook, '%%chain inner\nx = pay(who)\ngate False else ask "Sure?"\ny\n    {{ x }} {{ answer }}\n')
    notebook.space["pay"] = pay
    bind(notebook, '%%chain inner\nx = pay(who)\ngate False else ask "Sure?"\ny\n    {{ x }} {{ answer }}\n')
    run = notebook.run("%%chain outer\nz = inner(who='ada')\n")
    assert run.status == "waiting"
    run.resume("yes")
    assert (run.status, done, notebook.prompts) == ("done", ["ada"], ["paid ada yes"])


def test_each_of_many_questions_may_be_answered_in_a_kernel_of_its_own(notebook):
    done = []

    def refund(order: str) -> str:
        done.append(order)
        return f"refunded {order}"

    def answer(body):
        last = body["messages"][-1]
        if not body.get("tools") or last["role"] != "user":
            return f"<{last['content']}>"
        who = last["content"].split()[-1]
        return Reply("", tool_calls=[("refund", {"order": f"{who}{i}"}) for i in (1, 2)])

    notebook.space.update(refund=refund, people=["cid", "dan"])
    notebook.script(answer)
    bind(notebook, "%%react agent --tools refund --approve refund\nPay {{ who }}\n")
    bind(notebook, '%%chain both\nx = agent(who=who)\napprove "Fine, {{ who }}?"\n')
    run = notebook.run("%%parallel\na = both(who='ada')\nb = both(who='bob')\neach(run=both, over=people, item=who)\n")
    notebook.session.close()
    asked = []
    while run.status == "waiting":
        asked.append(run.waiting.span)
        with restarted(notebook, refund=refund) as session:
            again = session.lookup.run(run.id)
            assert again.waiting.span == run.waiting.span
            run = again.approve()
            assert run.status in {"waiting", "done"}, run.error
    places = ("a#1", "b#1", "each#1/1", "each#1/2")
    assert asked == [f"{p}/{q}" for p in places for q in ("x#1/tools#1.1", "x#1/tools#1.2", "approval_1#1")]
    assert done == [f"{who}{i}" for who in ("ada", "bob", "cid", "dan") for i in (1, 2)]
    assert (run.status, len(notebook.scripted.requests), run.record.calls) == ("done", 8, 8)
