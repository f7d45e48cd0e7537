"""What a cell says of its safety holds wherever the cell is used; what ends an inner run ends all that hangs on it."""

import pytest
from lives import bind, restarted

from orchmagic.errors import CellError, InputError, SettingsError
from orchmagic.graph.draw import outline
from orchmagic.runtime.context import Context

KEY = "ghp_" + "16C7e42F292c6912E7710c838347Ae178B4a"

NESTINGS = {
    "call": "%%chain outer\nx = inner(text=text)\nsend\n    SEND {{ x }}\n",
    "run": "%%chain outer\nx(run=inner)\nsend\n    SEND {{ x }}\n",
    "over": "%%chain outer\nx(run=inner, over=texts, item=text)\nsend\n    SEND {{ x }}\n",
    "handler": "%%route outer\nrouter = 'a'\na(run=inner): one\nb: two\n    SEND {{ text }}\n",
    "section": "%%parallel outer\na(run=inner)\nb\n    Aside.\nmerge\n    SEND {{ a }} {{ b }}\n",
    "worker": "%%plan outer\nplan -> steps: list[str]\n    Plan.\nexecute(run=inner)\nanswer\n    SEND {{ results }}\n",
    "agent": "%%team outer\nsupervisor\n    Goal.\nhelper(run=inner): helps\n",
}


def answers(body):
    """A model that plans, leads a team and drafts; it never answers with what a draft says."""
    text = "\n".join(str(m["content"]) for m in body["messages"])
    if "You lead a team" in text:
        done = '"helper"' in text or "'helper'" in text
        return {"next": "finish" if done else "helper", "task": "" if done else "do it", "answer": "sent" * done}
    if "Plan." in text:
        return {"steps": ["one"]}
    return "DRAFT" if "Draft" in text else "sent"


def inner(nesting, line="", controls=""):
    name = {"worker": "step", "agent": "task"}.get(nesting, "text")
    more = "" if name == "text" else f" for {{{{ {name} }}}}"
    return f"%%chain inner {line}\ndraft\n    Draft: {{{{ text }}}}{more}\n{controls}"


def nest(notebook, nesting, line="", controls="", outer=""):
    """Defines the inner cell and the cell around it; `outer` is added to the magic line of the second."""
    notebook.space["text"] = f"the key is {KEY}"
    notebook.space["texts"] = [notebook.space["text"]]
    notebook.script(answers)
    bind(notebook, inner(nesting, line, controls))
    head, _, body = NESTINGS[nesting].partition("\n")
    return bind(notebook, f"{head} {outer}\n{body}")


def sent(notebook):
    return "\n".join(str(m["content"]) for body in notebook.scripted.requests for m in body["messages"])


@pytest.mark.parametrize("action", ["block", "redact"])
@pytest.mark.parametrize("nesting", NESTINGS)
def test_a_guard_holds_where_its_cell_is_used(notebook, nesting, action):
    nest(notebook, nesting, f"--guard secrets={action}")()
    assert KEY not in sent(notebook)
    assert ("Draft" in sent(notebook)) is (action == "redact")


@pytest.mark.parametrize("nesting", NESTINGS)
def test_a_guard_of_an_inner_cell_leaves_the_cell_around_it_alone(notebook, nesting):
    nest(notebook, nesting)()
    assert KEY in sent(notebook)


@pytest.mark.parametrize(
    ("outer", "own", "holds"),
    [
        ("secrets=block", "secrets=warn", "block"),
        ("secrets=warn", "secrets=block", "block"),
        ("secrets=redact", "off", "redact"),
        ("off", "secrets=redact", "redact"),
        ("secrets=restore", "secrets=redact", "redact"),
        ("secrets=warn", "secrets=warn", "warn"),
    ],
)
def test_of_two_rules_for_one_guard_the_stricter_holds(notebook, outer, own, holds):
    run = nest(notebook, "run", f"--guard {own}", outer=f"--guard {outer}")()
    assert (KEY in sent(notebook)) is (holds == "warn")
    assert run.status == ("failed" if holds == "block" else "done")


@pytest.mark.parametrize("nesting", NESTINGS)
def test_a_rejection_ends_what_hangs_on_it(notebook, nesting):
    run = nest(notebook, nesting, "--thread told", controls='approve "Send it?"\n', outer="--thread around")()
    assert run.status == "waiting"
    run.reject("too long")
    assert (run.status, run.output, run.reason, run.error) == ("rejected", None, "too long", None)
    assert (run.record.status, run.record.output) == ("rejected", None)
    assert "DRAFT" not in sent(notebook)
    store = notebook.session.services.history.store
    assert store.thread("told") == store.thread("around") == []
    with pytest.raises(InputError, match="is rejected: there is nothing to resume"):
        run.resume()


@pytest.mark.parametrize("nesting", NESTINGS)
def test_an_inner_stop_ends_what_hangs_on_it(notebook, nesting):
    run = nest(notebook, nesting, controls='gate False else stop "not urgent"\n')()
    assert (run.status, run.output, run.reason) == ("done", None, "not urgent")
    assert "DRAFT" not in sent(notebook)


def test_a_rejection_without_a_reason_says_that_a_person_rejected_it(notebook):
    run = nest(notebook, "call", controls='approve "Send it?"\n')()
    assert run.reject().reason == "a person rejected it"


def test_the_first_cell_of_a_rejection_is_rejected_too(notebook):
    notebook.script("DRAFT")
    run = notebook.run('%%chain\ndraft\n    Draft.\napprove "Send it?"\nsend\n    SEND\n').reject("no")
    assert (run.status, run.output, run.reason, run.draft) == ("rejected", None, "no", "DRAFT")


def test_an_item_that_its_own_cell_stops_has_no_value_and_the_others_go_on(notebook):
    notebook.script(lambda body: "LONG" if "b" in body["messages"][-1]["content"] else "ok")
    bind(notebook, '%%chain inner\nn\n    {{ t }}\ngate len(n) < 4 else stop "too long"\n')
    run = notebook.run("%%chain outer\nx(run=inner, over=ts, item=t)\n", ts=["a", "b"])
    assert (run.status, run.output) == ("done", ["ok", None])
    assert "LONG" not in str(run.record.output)


def test_a_rejected_item_ends_the_run_though_another_one_waits(notebook):
    notebook.script(lambda body: f"DRAFT {body['messages'][-1]['content']}")
    bind(notebook, '%%chain inner\nn\n    {{ t }}\napprove "Send it?"\n')
    run = notebook.run("%%chain outer\nx(run=inner, over=ts, item=t)\nsend\n    {{ x }}\n", ts=["a", "b"])
    assert len(run.questions) == 2
    run.reject("no", span=run.questions[1].span)
    assert (run.status, run.output, run.reason, len(notebook.prompts)) == ("rejected", None, "no", 2)


@pytest.mark.parametrize("again", ["resume", "replay"])
def test_a_rejection_holds_in_a_later_kernel(notebook, again):
    outer = nest(notebook, "call", controls='approve "Send it?"\n')
    waits = outer()
    if again == "replay":
        waits.reject("too long")
    with restarted(notebook, text=notebook.space["text"]) as session:
        found = session.lookup.run(waits.id)
        run = found.reject("too long") if again == "resume" else found.replay()
        assert (run.status, run.output, run.reason) == ("rejected", None, "too long")
        assert session.lookup.run(waits.id).output is None
    assert "DRAFT" not in sent(notebook)


def test_the_rejected_step_and_all_around_it_are_marked(notebook):
    record = nest(notebook, "call", controls='approve "Send it?"\n')().reject("too long").record
    assert {s.id: s.status for s in record.spans if s.kind in {"sub", "approve"}} == {
        "x#1": "rejected",
        "x#1/approval_1#1": "rejected",
    }
    assert "x#1" in {
        s.id for s in record.spans if "rejected: a person rejected it: too long" in " ".join(map(str, s.why))
    }


ELSE = {
    "retry": ('approve "Send it?" else retry 1\n', ["no"], "done", 3),
    "retry used up": ('approve "Send it?" else retry 1\n', ["no", "still no"], "rejected", 2),
    "goto": ('approve "Send it?" else goto again\nsend\n    SEND {{ draft }}\nagain\n    AGAIN\n', ["no"], "done", 2),
    "stop": ('approve "Send it?" else stop "not sent"\n', [""], "rejected", 1),
}


@pytest.mark.parametrize("name", ELSE)
def test_an_else_of_an_approval_says_what_follows_a_rejection(notebook, name):
    controls, answers_, status, calls = ELSE[name]
    notebook.script("one", "two", "three")
    run = notebook.run(f"%%chain\ndraft\n    Draft.\n{controls}" + "last\n    {{ draft }}\n" * (name == "retry"))
    for why in answers_:
        run.reject(why)
    if name == "retry":
        assert "did not pass this check: no." in notebook.prompts[1]
        run.approve()
    assert (run.status, len(notebook.prompts)) == (status, calls)
    assert run.reason == {"retry used up": "still no", "stop": "not sent"}.get(name)


@pytest.mark.parametrize("controls", ['approve "Send it?"\n', 'gate False else stop "too long"\n'])
@pytest.mark.parametrize("check", ["x", "len(x) > 2"])
def test_the_cell_around_it_says_otherwise_with_the_else_of_a_gate(notebook, controls, check):
    notebook.script("DRAFT", "instead")
    bind(notebook, f"%%chain inner\ndraft\n    Draft.\n{controls}")
    cell = f"%%chain outer\nx = inner()\ngate {check} else goto other\nsend\n    SEND {{{{ x }}}}\nother\n    OTHER\n"
    run = notebook.run(cell)
    if run.status == "waiting":
        run.reject("too long")
    assert (run.status, run.output, run.x) == ("done", "instead", None)
    assert notebook.prompts[1:] == ["OTHER"]


def test_an_approval_cannot_ask_again(notebook):
    with pytest.raises(CellError, match="`approve` asks already"):
        notebook.define('%%chain\nx\n    X\napprove "Send it?" else ask "Why?"\n')


SAYS = [  # (the line of the cell around it, the line of the inner cell, an option of its step) -> what its calls do
    ("", "--timeout 7", "", {"timeout": 7}),
    ("--timeout 9", "--timeout 7", "", {"timeout": 7}),
    ("--timeout 5", "--timeout 7", "", {"timeout": 5}),
    ("--timeout 5", "--timeout none", "timeout=70", {"timeout": 5}),
    ("--timeout none", "", "timeout=70", {"timeout": 70}),
    ("", "--timeout 7", "timeout=70", {"timeout": 70}),
    ("--retry 3", "--retry 0", "", {"retries": 0}),
    ("--retry 0", "--retry 3", "", {"retries": 0}),
    ("", "--retry 5", "", {"retries": 5}),
    ("", "--no-cache", "", {"cache": "off"}),
    ("--refresh", "--no-cache", "", {"cache": "off"}),
    ("--refresh", "", "", {"cache": "refresh"}),
    ("", "--cache off", "", {"cache": "off"}),
    ("--cache off", "--cache 1d", "", {"cache": "off"}),
    ("--cache off", "", "cache=1d", {"cache": "off"}),
    ("--cache 1h", "--cache 1d", "", {"ttl": 3600}),
    ("--cache 1d", "", "cache=1h", {"ttl": 3600}),
    ("--cache 1d", "--cache 1h", "cache=2h", {"ttl": 7200}),
    ("--cache semantic", "--cache exact", "", {"cache": "use"}),
]


@pytest.mark.parametrize(("outer", "line", "option", "wanted"), SAYS)
def test_what_a_cell_says_of_its_calls_travels_and_the_stricter_holds(notebook, outer, line, option, wanted):
    asked = []
    notebook.script("x")
    bind(
        notebook, f"%%chain inner {line}\nstep({option})\n    X\n" if option else f"%%chain inner {line}\nstep\n    X\n"
    )
    made = notebook.define(f"%%chain outer {outer}\nx = inner()\n")
    run = made.prepare()
    opened = Context.open_pipeline

    def watched(ctx):
        opened(ctx)
        handler = ctx.handler

        async def ask(request):
            asked.append(request)
            return await handler(request)

        ctx.handler = ask

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Context, "open_pipeline", watched)
        run.start()
        run.wait()
    assert {name: getattr(asked[0], name) for name in wanted} == wanted


def test_a_thread_of_an_inner_cell_is_its_own(notebook):
    notebook.script("one", "two", "three", "four")
    bind(notebook, "%%chain inner --thread told\nsay\n    Say {{ what }}\n")
    outer = bind(notebook, "%%chain outer --thread around\nx = inner(what=what)\nend\n    End {{ x }}\n")
    for what in ("a", "b"):
        outer(what=what)
    told = [[m["content"] for m in body["messages"]] for body in notebook.scripted.requests]
    assert told[2] == ["Say a", "one", "Say b"]
    assert told[3] == ["End one", "two", "End three"]
    store = notebook.session.services.history.store
    assert [m["content"] for m in store.thread("told")] == ["Say a", "one", "Say b", "three"]


def test_a_fork_and_a_single_step_keep_the_guard(notebook):
    notebook.space["text"] = f"the key is {KEY}"
    notebook.script(answers)
    bind(notebook, inner("run", "--guard secrets=redact"))
    outer = bind(notebook, NESTINGS["run"])
    outer().replay(from_step="x")
    outer.step("x")(text=notebook.space["text"])
    assert "Draft" in sent(notebook)
    assert KEY not in sent(notebook)


def test_a_dry_run_and_the_graph_tell_the_guards_inside(notebook):
    made = nest(notebook, "call", "--guard secrets=redact,length:90=block")
    assert "Guards inside x: secrets=redact, length:90=block" in made.estimate().text()
    assert "inner, guard secrets=redact" in outline(made.definition)


def test_a_guard_that_is_gone_is_missed_before_a_call_is_paid(notebook):
    notebook.space["mine"] = lambda text: None
    made = nest(notebook, "call", "--guard mine=block")
    del notebook.space["mine"]
    with pytest.raises(SettingsError, match="mine"):
        made()
    assert notebook.prompts == []
