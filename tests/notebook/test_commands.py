"""%orch: runs of this and earlier kernels are listed, shown, answered, resumed, replayed; a wrong line is one line."""

import pytest
from lives import restarted

from orchmagic import Reply, Script, install
from orchmagic.errors import InputError, OrchError
from orchmagic.models.types import ToolCall
from orchmagic.notebook import commands
from orchmagic.runtime.tools import tool
from orchmagic.trace import marks

TWO = "%%chain two --no-cache\na\n    A {{ x }}\nb\n    B {{ a }}\n"
DRAFT = '%%chain careful --no-cache\ndraft\n    Draft for {{ who }}\napprove "Send?"\nlast\n    Sent {{ draft }}\n'


def orch(notebook, line):
    return commands.run(notebook.session, line)


def rows(text):
    return [line.split() for line in str(text).splitlines()]


def test_runs_are_listed_newest_last_with_what_they_cost(notebook):
    notebook.script("one", "two", Reply(fault="400"))
    notebook.run(TWO, x="x")
    notebook.run(TWO, x="y")
    found = rows(orch(notebook, "runs"))
    assert found[0][:4] == ["run", "name", "pattern", "status"]
    assert [(r[0], *r[3:5]) for r in found[1:]] == [("r1", "✓", "Done"), ("r2", "✗", "Failed")]


def test_runs_survive_the_kernel(notebook):
    notebook.script("one", "two")
    notebook.run(TWO, x="x")
    notebook.session.close()
    with restarted(notebook) as session:
        assert rows(commands.run(session, "runs"))[1][:5] == ["r1", "two", "chain", "✓", "Done"]
        assert commands.run(session, "show r1").output == "two"
        assert commands.run(session, "show").output == "two"
        assert commands.run(session, "show two").record.calls == 2


def test_runs_of_one_name(notebook):
    notebook.script("one", "two", "draft")
    notebook.run(TWO, x="x")
    notebook.run(DRAFT, who="ada")
    assert [r[0] for r in rows(orch(notebook, "runs careful"))[1:]] == ["r2"]
    assert orch(notebook, "runs nothing") == "No run of 'nothing' yet: run a cell such as %%chain."


@pytest.mark.parametrize("which", ["", " careful", " r1"])
def test_a_waiting_run_is_approved_by_a_command(notebook, which):
    notebook.script("draft", "sent")
    notebook.run(DRAFT, who="ada")
    assert orch(notebook, f"approve{which}").output == "sent"


def test_an_edit_takes_the_words_as_they_were_typed(notebook):
    notebook.script("draft", "sent")
    notebook.run(DRAFT, who="ada")
    run = orch(notebook, 'edit r1 Don\'t "quote"   me')
    assert run.draft == 'Don\'t "quote"   me'


def test_an_edit_may_be_json(notebook):
    notebook.script({"n": 1}, "sent")
    notebook.run('%%chain c\ndraft -> n: int\n    D\napprove "Send?"\nlast\n    S {{ draft.n }}\n')
    assert orch(notebook, 'edit r1 {"n": 2}').draft.n == 2


def test_a_rejection_has_a_reason(notebook):
    notebook.script("draft")
    notebook.run(DRAFT, who="ada")
    run = orch(notebook, "reject careful too long, isn't it")
    assert run.status == "rejected"
    assert "too long, isn't it" in str(run.record.spans)


def test_an_answer_is_given_by_resume(notebook):
    notebook.script("ok")
    notebook.run('%%chain\ngate False else ask "Who?"\nx\n    {{ answer }}\n')
    orch(notebook, "resume r1 it's me")
    assert notebook.prompts == ["it's me"]


def test_a_failed_run_is_resumed(notebook):
    notebook.script("one", Reply(fault="400"), "two")
    notebook.run(TWO, x="x")
    assert orch(notebook, "resume r1").output == "two"
    assert notebook.prompts == ["A x", "B one", "B one"]


def test_a_run_of_an_earlier_kernel_is_answered(notebook):
    notebook.script("draft", "sent")
    notebook.run(DRAFT, who="ada")
    notebook.session.close()
    with restarted(notebook) as session:
        assert commands.run(session, "approve").output == "sent"


def test_a_replay_and_a_fork(notebook):
    notebook.script("one", "two", "three")
    notebook.run(TWO, x="x")
    again = orch(notebook, "replay r1")
    assert (again.output, again.record.calls) == ("two", 0)
    assert orch(notebook, "replay r1 from=b model=scripted").output == "three"
    assert [r[-1] for r in rows(orch(notebook, "runs"))[2:]] == ["r1", "r1"]


def test_dead_letters_are_listed(notebook):
    notebook.script(lambda b: Reply(fault="400") if b["messages"][-1]["content"] == "S b" else "ok")
    notebook.run("%%chain\nx(over=items)\n    S {{ item }}\n", items=["a", "b"])
    assert rows(orch(notebook, "dead"))[1][:4] == ["x", "2", "1", "b"]
    notebook.run("%%chain\nx(over=items)\n    S {{ item }}\n", items=["a"])
    assert orch(notebook, "dead r2") == "No item of run r2 failed."


def test_writes_are_listed_and_forgotten(notebook):
    done = []

    @tool(writes=True, key=lambda who: who)
    def pay(who: str) -> str:
        done.append(who)
        return "paid"

    assert orch(notebook, "writes") == "No tool marked writes=True has run yet."
    notebook.run("%%chain\nx = pay('ada')\n", pay=pay)
    assert "pay('ada')" in orch(notebook, "writes")
    assert orch(notebook, "writes forget w1") == "pay('ada') may be done again."
    notebook.run("%%chain\nx = pay('ada')\n")
    assert done == ["ada", "ada"]


def test_a_cancelled_write_says_which_commands_settle_it(notebook):
    @tool(writes=True, key=lambda who: who)
    def pay(who: str) -> str:
        return "paid"

    notebook.space["pay"] = pay
    ledger = notebook.session.services.history.store.ledger
    write = ledger.claim("pay", "ada", "pay('ada')", "r9")
    ledger.cut_off(write.id)
    run = notebook.run("%%chain\nx = pay('ada')\n")
    assert run.status == "failed"
    assert f"%orch writes settle {write.id}" in run.error
    assert f"%orch writes forget {write.id}" in run.error
    for wrong, told in (("", f"writes settle {write.id} RESULT"), (" 3", "3 is no result of pay: it returns str")):
        with pytest.raises(InputError, match=told):
            orch(notebook, f"writes settle {write.id}{wrong}")
    told = orch(notebook, f"writes settle {write.id} it's paid")
    assert told == "pay('ada') counts as done; steps that call it get it's paid."
    assert (run.resume().status, run.output) == ("done", "it's paid")


def test_arguments_that_no_file_can_hold_go_back_to_the_model(notebook):
    @tool(writes=True)
    def pay(who: str) -> str:
        return "paid"

    notebook.space["pay"] = pay
    call = Reply("", tool_calls=[ToolCall("c", "pay", '{"who": "\\ud800"}')])
    notebook.script(call, "done")
    run = notebook.run("%%react --tools pay\nGo\n")
    assert run.status == "done"
    assert "bad arguments for pay" in notebook.scripted.requests[-1]["messages"][-1]["content"]
    assert orch(notebook, "writes") == "No tool marked writes=True has run yet."


WRONG = [
    "rnus", "show r99", "show nothing", "show a b", "resume", "resume r1 hello", "resume r99", "approve r1",
    "approve r99", "approve nothing", "approve", "edit", "edit r1", "edit r2", "edit r1 x", "reject r1", "reject",
    "replay", "replay r99", "replay r1 from=c", "replay r1 form=b", "replay r1 model=none/x", "replay r1 from=",
    "diff", "diff r1", "diff r1 r99", "diff r1 r1 r1", "dead r99", "dead r1 r1", "thread forget x", "writes forget",
    "writes forget w99", "writes settle w99", "writes delete w1", "show 'open", "export", "export two", "cache wipe",
    "models now", "runs a b",
]  # fmt: skip


@pytest.mark.parametrize("line", WRONG)
def test_a_wrong_line_is_told_in_one_line(notebook, line):
    notebook.script("one", "two")
    notebook.run(TWO, x="x")
    with pytest.raises(OrchError) as caught:
        orch(notebook, line)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) > 15


def test_an_edit_without_a_value_edits_nothing(notebook):
    notebook.script("draft")
    run = notebook.run(DRAFT, who="ada")
    with pytest.raises(OrchError, match="write %orch edit r1 VALUE"):
        orch(notebook, "edit r1")
    assert run.status == "waiting"


@pytest.mark.parametrize("line", ["", "help", "-h", "--help"])
def test_help_lists_all_commands(notebook, line):
    assert all(name in orch(notebook, line) for name in commands.COMMANDS)


def test_runs_are_compared_side_by_side(notebook):
    notebook.script("one", "two")
    for word in "ab":
        notebook.run("%%chain c\nfirst\n    Say {{ x }}\n", x=word)
    found = str(orch(notebook, "compare r1 r2"))
    assert "- one" in found
    assert "+ two" in found
    assert notebook.session.runs[0].compare(notebook.session.runs[1]).rows[1]["run"] == "r2"


def test_one_run_is_nothing_to_compare(notebook):
    notebook.script("one")
    notebook.run("%%chain c\nfirst\n    Say\n")
    with pytest.raises(OrchError, match="name 2 to 6"):
        orch(notebook, "compare r1")


def test_the_dashboard_is_text_outside_a_kernel(notebook):
    notebook.script("one")
    notebook.run("%%chain costly\nfirst\n    Say\n")
    assert "chain" in str(orch(notebook, "dash"))


def test_the_overview_has_every_command_once_on_a_line_that_fits():
    _, *lines = commands.overview().splitlines()
    assert [line.split()[0].rstrip(":") for line in lines] == list(commands.COMMANDS)
    assert [line for line in lines if len(line) > 100] == []


CASCADE = '%%cascade solve --models scripted/a,scripted/b\nanswer\n    Solve {{ q }}\nverify answer == "4"'
ITEMS = "%%chain items\nx(over=[1, 0], item=n)\n    {{ 1 // n }}"


@pytest.mark.parametrize(
    ("cell", "mark"),
    [
        (CASCADE, "! Not verified"),
        ("%%chain outer\nx = solve(q=1)", "! Not verified"),
        ("%%chain outer\nx(run=solve, over=[1, 2], item=q)", "! Not verified"),
        (ITEMS, "! Done, with failures"),
        ("%%chain fine\na\n    Hello", "✓ Done"),
        ("%%chain broken\nx = 1 / 0", "✗ Failed"),
    ],
)
def test_the_list_of_runs_wears_the_marks_of_their_cards(notebook, cell, mark):
    notebook.script(lambda _: "six")
    for name in ("a", "b"):
        install(Script(lambda _: "five"), name)
    notebook.space["solve"] = notebook.define(CASCADE)
    run = notebook.run(cell, q=1)
    assert mark == "{0.sign} {0.word}".format(marks.of(run.record))
    here = orch(notebook, "runs")
    notebook.session.close()
    with restarted(notebook) as session:
        for listed in (here, commands.run(session, "runs")):
            assert mark in listed
            assert mark in listed._repr_html_()
            assert "called by" not in listed
