"""`%%orchtest` in a real IPython: gates that hold and fail, what is asked again, and its errors, one line each."""

from __future__ import annotations

import asyncio
import json

import pytest
from scripted_shell import run, scripted_shell

import orchmagic
from orchmagic import Reply, Script, install
from orchmagic.errors import OrchError, OrchtestFailed

TRIAGE = """%%chain triage --model scripted --no-run
extract -> product: str, count: int
    Ticket {{ ticket }}
urgent = extract.count > 2
gate extract.count > 0 else stop "nothing to do"
answer
    Answer {{ ticket }} about {{ extract.product }}
"""


def reply(body):
    text = body["messages"][-1]["content"]
    return "Thanks" if text.startswith("Answer") else json.dumps({"product": "export", "count": len(text.split()) - 1})


@pytest.fixture
def shell(monkeypatch):
    with scripted_shell(monkeypatch) as ip:
        yield ip


def test_each_gate_is_shown_with_the_values_that_it_read(shell, capsys):
    script = install(Script(reply))
    run(shell, TRIAGE)
    capsys.readouterr()
    cell = '%%orchtest triage.extract\nticket = "it broke"\ngate product == "export"\ngate extract.count >= limit\n'
    shell.user_ns["limit"] = 2
    assert run(shell, cell) is None
    assert capsys.readouterr().out == (
        "triage.extract: 0 of 2 gates failed\n"
        "  holds  product == \"export\"     product is 'export'\n"
        "  holds  extract.count >= limit  extract.count is 2, limit is 2\n"
    )
    assert run(shell, cell.replace("limit", "3")).args == (
        "triage.extract: gate extract.count >= 3 failed: extract.count is 2",
    )
    assert "  failed  extract.count >= 3" in capsys.readouterr().out
    assert len(script.requests) == 1  # another gate asks no model


def test_the_whole_orchestration_is_tested_and_is_no_run_of_the_history(shell):
    install(Script(reply))
    run(shell, TRIAGE)
    shell.user_ns["ticket"] = "a b c"
    cell = "%%orchtest triage\ngate output == 'Thanks' and urgent\ngate run.status == 'done' and calls == []\n"
    assert "calls == []" in str(run(shell, cell))  # `calls` is no list
    assert run(shell, cell.replace("calls == []", "len(calls) == 0")) is None
    assert shell._orchmagic_face.session.runs == []


@pytest.mark.parametrize(
    ("step", "body", "what"),
    [
        ("urgent", "extract = {'product': 'a', 'count': 3}\ngate output\n", None),
        ("urgent", "extract = {'product': 'a', 'count': 1}\ngate output\n", "gate output failed: output is False"),
        ("answer", "ticket = 'x'\nextract = {'product': 'a', 'count': 1}\ngate 'Thanks' in output\n", None),
        ("extract", "ticket = ' '.join(['a'] * 3)\ngate count == 3 and row.ticket == 'a a a'\n", None),
    ],
)
def test_steps_of_every_kind_are_tested(shell, step, body, what):
    install(Script(reply))
    run(shell, TRIAGE)
    done = run(shell, f"%%orchtest triage.{step}\n{body}")
    assert done is None if what is None else what in str(done)


BAD = {
    "no name": ("", "gate True\n", "%%orchtest names no orchestration: write %%orchtest triage"),
    "two names": ("triage, other", "gate True\n", "tests one at a time, not triage, other"),
    "unknown orchestration": ("triag", "gate True\n", "did you mean 'triage'?"),
    "unknown step": ("triage.extrct", "ticket = 'a'\ngate True\n", "did you mean 'extract'?"),
    "bad name": ("triage.a.b", "gate True\n", "'triage.a.b' is no name of an orchestration or a step"),
    "empty": ("triage.extract", "\n", "%%orchtest triage.extract is empty: write inputs"),
    "no gate": ("triage.extract", "ticket = 'a'\n", "triage.extract is tested by no gate: write gate output == …"),
    "unknown input": ("triage.extract", "tiket = 'a'\ngate True\n", "'tiket' is no input of triage.extract (inputs: ticket); did you mean 'ticket'?"),
    "missing input": ("triage.extract", "gate count > 1\n", "triage.extract needs ticket: write ticket = … above the gates"),
    "unknown name": ("triage.extract", "ticket = 'a'\ngate prodct == 'a'\n", "'prodct' is no input, field, step or notebook name; did you mean 'product'?"),
    "name in an input": ("triage.extract", "ticket = txt\ngate True\n", "ticket = txt: 'txt' is no notebook name"),
    "input that raises": ("triage.extract", "ticket = 1 / 0\ngate True\n", "ticket = 1 / 0 raised ZeroDivisionError"),
    "no bool": ("triage.extract", "ticket = 'a'\ngate count\n", "gate count is int (1): write a comparison"),
    "None": ("triage.extract", "ticket = 'a'\ngate None\n", "gate None is NoneType (None): write a comparison"),
    "gate that raises": ("triage.extract", "ticket = 'a'\ngate product.x == 1\n", "gate product.x == 1 raised AttributeError"),
    "else": ("triage.extract", "ticket = 'a'\ngate True else retry 2\n", "line 3: `else` after a gate of a test"),
    "until": ("triage.extract", "until True\n", "line 2: `until` is no part of a test"),
    "a step": ("triage.extract", "more\n    Prompt\ngate True\n", "line 2: the step 'more' is no part of a test"),
    "not Python": ("triage.extract", "ticket = 'a'\ngate ==\n", "line 3: "),
    "option": ("triage.extract --on rows", "gate True\n", "no option --on"),
    "no JSON": ("triage.extract", "ticket = object()\ngate True\n", "ticket"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_cells_say_what_to_write_and_are_no_failed_tests(shell, case):
    install(Script(reply))
    run(shell, TRIAGE)
    line, body, words = BAD[case]
    failed = run(shell, f"%%orchtest {line}\n{body}")
    assert isinstance(failed, OrchError)
    assert not isinstance(failed, AssertionError)
    assert words in str(failed)
    assert failed._render_traceback_() == [f"{type(failed).__name__}: {failed}"]


def test_a_name_with_two_meanings_is_refused(shell):
    install(Script(lambda body: '{"ticket": "b"}'))
    run(shell, "%%chain same --model scripted --no-run\nshort -> ticket: str\n    Shorten {{ ticket }}\n")
    cell = "%%orchtest same\nticket = 'a'\ngate ticket == 'b'\n"
    assert "write output.ticket for the field, row.ticket for the other" in str(run(shell, cell))
    assert run(shell, cell.replace("gate ticket", "gate row.ticket == 'a' and output.ticket")) is None


def test_a_tool_that_writes_is_refused_and_a_stand_in_is_called(shell):
    refunded = []

    @orchmagic.tool(writes=True)
    def refund(order: str) -> str:
        """Refund an order."""
        refunded.append(order)
        return "done"

    shell.user_ns.update(refund=refund, fake=lambda order: "done")

    def agent(body):
        asked = any(m.get("tool_calls") for m in body["messages"])
        return "refunded" if asked else Reply(tool_calls=[("refund", {"order": "A1"})])

    install(Script(agent))
    run(shell, "%%react orders --model scripted --no-run --tools refund\nHelp with order {{ order }}\n")
    body = "\norder = 'A1'\ngate calls.count('refund') == 1 and output == 'refunded'\n"
    refused = str(run(shell, f"%%orchtest orders{body}"))
    assert refused.startswith("orders may write (refund). Write --stand-in refund=FUNCTION")
    assert run(shell, f"%%orchtest orders --stand-in refund=fake{body}") is None
    assert refunded == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("no JSON at all", "triage.extract: the run failed: "),
        (Reply(fault="500"), "triage.extract: there is no answer: "),
    ],
)
def test_a_run_without_an_answer_fails_the_test(shell, text, words):
    install(Script(lambda body: text))
    run(shell, TRIAGE.replace("scripted", "scripted --retry 0"))
    assert words in str(run(shell, "%%orchtest triage.extract\nticket = 'a'\ngate count == 1\n"))


def test_help_and_the_awaited_cell_are_the_same(shell, capsys):
    install(Script(reply))
    run(shell, TRIAGE)
    shell.run_line_magic("orchtest", "")
    assert "gate product ==" in capsys.readouterr().out
    magic = shell.magics_manager.magics["cell"]["orchtest"]
    asyncio.run(magic.awaited("triage.extract", "ticket = 'a'\ngate count == 1\n"))
    assert "  holds  count == 1" in capsys.readouterr().out
    with pytest.raises(OrchtestFailed, match="gate count == 2 failed: count is 1"):
        asyncio.run(magic.awaited("triage.extract", "ticket = 'a'\ngate count == 2\n"))
