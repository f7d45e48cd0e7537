"""%%parallel: sections side by side in declared order, votes counted, a failure that leaves the others alone."""

import asyncio
import threading

import pytest

from orchmagic import Reply
from orchmagic.errors import CellError
from orchmagic.patterns.parallel import pattern

TWO = """%%parallel
first
    A {{ post }}
second
    B {{ post }}
"""
MERGED = (
    TWO
    + """merge
    Together: {{ first }} | {{ second }}
"""
)


def echo(body):
    return f"<{body['messages'][-1]['content']}>"


def rules(**answers):
    """The answer of the first word that stands in the prompt."""
    return lambda body: next(a for word, a in answers.items() if word in body["messages"][-1]["content"])


def test_the_value_is_a_record_of_the_sections_in_declared_order(notebook):
    notebook.script(echo)
    run = notebook.run(TWO, post="x")
    assert (run.status, list(run.output.items())) == ("done", [("first", "<A x>"), ("second", "<B x>")])
    assert (run.first, run.second) == ("<A x>", "<B x>")


def test_the_merge_reads_all_sections(notebook):
    notebook.script(echo)
    assert notebook.run(MERGED, post="x").output == "<Together: <A x> | <B x>>"


def test_the_merge_may_stand_first_and_may_be_code(notebook):
    notebook.script(echo)
    cell = TWO.replace("%%parallel\n", "%%parallel\nmerge = second + first\n")
    assert notebook.run(cell, post="x").output == "<B x><A x>"


def test_sections_really_run_at_the_same_time(notebook):
    """Each answer waits until all three questions are there: one after the other would never end."""
    together = threading.Barrier(3, timeout=20)

    async def meet(body):
        await asyncio.to_thread(together.wait)
        return "ok"

    for name in "abc":
        notebook.space[name] = meet
    cell = "%%parallel\nx = a(post)\ny = b(post)\nz = c(post)\n"
    assert notebook.run(cell, post="p").output == {"x": "ok", "y": "ok", "z": "ok"}


def test_three_slow_sections_take_as_long_as_one(notebook):
    notebook.script(lambda _: Reply("ok", latency=1))
    cell = "%%parallel\n" + "".join(f"s{i}\n    {i} {{{{ post }}}}\n" for i in range(3))
    run = notebook.run(cell, post="p")
    assert run.output == {"s0": "ok", "s1": "ok", "s2": "ok"}
    assert 1 <= run.record.seconds < 2.9  # one after the other they take 3


def test_a_section_that_fails_leaves_the_others_alone(notebook):
    notebook.script(rules(Together="merged", A=Reply(fault="400"), B="fine"))
    run = notebook.run(MERGED, post="x")
    assert (run.status, run.first, run.second, run.output) == ("done", None, "fine", "merged")
    assert notebook.prompts[-1] == "Together:  | fine"
    assert [s.status for s in run.record.steps if s.name == "first"] == ["failed"]


def test_a_code_section_that_raises_leaves_the_others_alone(notebook):
    notebook.script(echo)
    run = notebook.run(TWO + "third = 1 / 0\n", post="x")
    assert run.output == {"first": "<A x>", "second": "<B x>", "third": None}


def test_when_every_section_fails_nothing_is_merged(notebook):
    notebook.script(rules(Together="merged", x=Reply(fault="400")))
    run = notebook.run(MERGED, post="x")
    assert run.status == "failed"
    assert "no section gave a value" in run.error
    assert len(notebook.scripted.requests) == 2


def test_a_false_condition_leaves_a_section_out(notebook):
    notebook.script(echo)
    run = notebook.run(TWO.replace("second", "second(when=len(post) > 3)", 1), post="x")
    assert run.output == {"first": "<A x>", "second": None}


def test_a_section_runs_once_per_item(notebook):
    notebook.script(echo)
    cell = "%%parallel\neach(over=posts, item=post)\n    A {{ post }}\nall\n    B {{ posts }}\n"
    run = notebook.run(cell, posts=["x", "y"])
    assert run.output == {"each": ["<A x>", "<A y>"], "all": '<B ["x","y"]>'}


VOTE = """%%parallel
toxic(votes=5, by=label, min=0.6{options}) -> label: "ok" | "toxic", why: str
    Is it toxic? {{{{ post }}}}
"""


def labels(*names):
    return [{"label": n, "why": str(i)} for i, n in enumerate(names)]


def test_one_section_with_votes_is_its_majority(notebook):
    notebook.script(*labels("ok", "toxic", "toxic", "ok", "toxic"))
    run = notebook.run(VOTE.format(options=""), post="x")
    assert (run.output.label, run.output.agreement, len(run.output.dissent)) == ("toxic", 0.6, 2)
    assert (run.output.tie, run.output.decided) == (False, True)
    assert len(notebook.scripted.requests) == 5


def test_each_vote_is_cached_on_its_own(notebook):
    notebook.script(*labels("ok", "toxic", "toxic", "ok", "toxic"))
    notebook.run(VOTE.format(options=""), post="x")
    again = notebook.run(VOTE.format(options=""), post="x")
    assert (again.output.label, again.record.calls, again.record.cached) == ("toxic", 0, 5)


def test_votes_can_be_merged_with_another_section(notebook):
    def answer(body):
        asked = body["messages"][-1]["content"]
        return {"label": "ok", "why": "fine"} if "toxic" in asked else "clean"

    notebook.script(answer)
    run = notebook.run(
        VOTE.format(options="") + "personal\n    Personal? {{ post }}\nmerge = toxic.agreement\n", post="x"
    )
    assert run.output == 1.0


def test_another_pattern_can_be_a_section(notebook):
    notebook.script(echo)
    notebook.space["shout"] = notebook.define("%%chain shout\nloud\n    LOUD {{ post }}\n")
    run = notebook.run(TWO + "third(run=shout)\nfourth = shout(post=post + '!')\n", post="x")
    assert list(run.output.values()) == ["<A x>", "<B x>", "<LOUD x>", "<LOUD x!>"]


def test_a_nested_section_that_fails_leaves_the_others_alone(notebook):
    notebook.script(rules(LOUD=Reply(fault="400"), x="fine"))
    notebook.space["shout"] = notebook.define("%%chain shout\nloud\n    LOUD {{ post }}\n")
    run = notebook.run(TWO + "third(run=shout)\n", post="x")
    assert run.output == {"first": "fine", "second": "fine", "third": None}


def test_the_example_runs(notebook):
    notebook.session.services.environ.update(
        {
            "ORCHMAGIC_MODELS": '{"large": {"provider": "scripted", "model": "scripted"}}',
        }
    )
    run = notebook.run(pattern.example, post="hello")
    assert run.status == "done"
    assert set(run.output.model_dump()) == {"publish", "why"}


@pytest.mark.parametrize(
    ("cell", "told"),
    [
        ("%%parallel\nfirst\n    x\n", "nothing to run side by side"),
        ("%%parallel\nmerge\n    x\n", "nothing to run side by side"),
        (TWO + "third\n    {{ first }}\n", "section 'third' reads 'first'"),
        (TWO.replace("A {{ post }}", "A {{ second }}"), "section 'first' reads 'second'"),
        (TWO + "third = merge\n", "section 'third' reads 'merge'"),
        (TWO + "gate first\n", "%%parallel has no `gate` line"),
        (TWO + "until first max 3\n", "%%parallel has no `until` line"),
        (TWO + "gathered\n    x\n", "'gathered' is a name of %%parallel itself"),
        (VOTE.format(options="").replace("votes=5", "votes=1"), "votes=1"),
        (VOTE.format(options="").replace("by=label", "by=lable"), "did you mean 'label'"),
        (VOTE.format(options="").replace("min=0.6", "min=6"), "min="),
        (TWO.replace("first", "first(by=x)", 1), "by= needs votes="),
    ],
)
def test_a_wrong_cell_is_one_clear_line(notebook, cell, told):
    with pytest.raises(CellError) as caught:
        notebook.define(cell)
    assert told in str(caught.value)
    assert len(caught.value.problems) == 1
    assert caught.value.problems[0].write
