"""%%react: reason, call notebook functions, read, answer; bounded, and nothing a model writes can break it."""

import threading

import pytest

from orchmagic import Reply
from orchmagic.errors import CellError

CELL = "%%react orders --tools find_order,broken{options}\nHelp with {{{{ question }}}}\n"


def find_order(order_id: str) -> dict:
    """Look up an order."""
    return {"id": order_id, "status": "delayed"}


def broken(x: int) -> str:
    """Always fails."""
    raise OSError("the warehouse does not answer")


@pytest.fixture
def orders(notebook):
    notebook.space |= {"find_order": find_order, "broken": broken}
    return notebook


def tool_messages(body):
    return [m["content"] for m in body["messages"] if m["role"] == "tool"]


def test_a_tool_is_called_and_its_result_is_read(orders):
    orders.script(Reply(tool_calls=[("find_order", {"order_id": "B42"})]), "It is delayed.")
    run = orders.run(CELL.format(options=""), question="B42")
    assert (run.status, run.output) == ("done", "It is delayed.")
    assert tool_messages(orders.scripted.requests[1]) == ['{"id":"B42","status":"delayed"}']
    assert [t["function"]["name"] for t in orders.scripted.requests[0]["tools"]] == ["find_order", "broken"]


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (("find_order", {}), "order_id: Field required"),
        (("find_order", "no json"), "Invalid JSON"),
        (("find_ordr", {"order_id": "1"}), "there is no tool 'find_ordr'"),
        (("broken", {"x": 1}), "OSError: the warehouse does not answer"),
    ],
)
def test_what_goes_wrong_is_told_to_the_model(orders, call, told):
    orders.script(Reply(tool_calls=[call]), "sorry")
    run = orders.run(CELL.format(options=""), question="q")
    assert run.status == "done"
    assert told in tool_messages(orders.scripted.requests[1])[0]


def test_parallel_calls_overlap(notebook):
    both = threading.Barrier(2, timeout=20)

    def meet(x: int) -> int:
        """Wait for the other."""
        both.wait()
        return x

    notebook.script(Reply(tool_calls=[("meet", {"x": 1}), ("meet", {"x": 2})]), "met")
    run = notebook.run("%%react --tools meet\nGo\n", meet=meet)
    assert run.output == "met"
    assert tool_messages(notebook.scripted.requests[1]) == ["1", "2"]


def test_the_cap_ends_the_loop_with_what_there_is(orders):
    orders.script(
        lambda body: Reply("still looking", tool_calls=[("find_order", {"order_id": str(len(body["messages"]))})])
    )
    run = orders.run(CELL.format(options=""), question="q")
    assert (run.status, run.output) == ("capped", "still looking")
    assert len(orders.scripted.requests) == 8
    assert run.reason == "Stopped after 8 rounds without an answer"


def test_max_iterations_changes_the_cap(orders):
    orders.script(lambda body: Reply(tool_calls=[("find_order", {"order_id": str(len(body["messages"]))})]))
    assert orders.run(CELL.format(options=" --max-iterations 2"), question="q").status == "capped"
    assert len(orders.scripted.requests) == 2


def test_max_steps_bounds_the_whole_run(orders):
    orders.script(lambda body: Reply(tool_calls=[("find_order", {"order_id": str(len(body["messages"]))})]))
    run = orders.run(CELL.format(options=" --max-steps 3"), question="q")
    assert (run.status, len(run.record.steps)) == ("capped", 3)
    assert "max-steps" in run.reason


def test_the_answer_can_be_typed(orders):
    orders.script({"answer": "late", "ids": ["B42"]})
    run = orders.run(CELL.format(options=' --returns "answer: str, ids: list[str]"'), question="q")
    assert (run.output.answer, run.output.ids) == ("late", ["B42"])


def test_an_answer_of_the_wrong_type_is_asked_again(orders):
    orders.script({"answer": "late"}, {"answer": "late", "ids": []})
    run = orders.run(CELL.format(options=' --returns "answer: str, ids: list[str]"'), question="q")
    assert run.output.ids == []
    assert "ids" in orders.prompts[1]


def test_an_async_function_is_a_tool(notebook):
    async def fetch(x: int) -> int:
        """Fetch."""
        return x + 1

    notebook.script(Reply(tool_calls=[("fetch", {"x": 1})]), "done")
    notebook.run("%%react --tools fetch\nGo\n", fetch=fetch)
    assert tool_messages(notebook.scripted.requests[1]) == ["2"]


def test_the_second_run_of_an_agent_makes_no_call(orders):
    orders.script(Reply(tool_calls=[("find_order", {"order_id": "B42"})]), "It is delayed.")
    orders.run(CELL.format(options=""), question="B42")
    again = orders.run(CELL.format(options=""), question="B42")
    assert (again.output, again.record.calls) == ("It is delayed.", 0)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("", "needs tools"),
        ("--tools find_ordr", "did you mean 'find_order'"),
        ("--tools ORDERS", "'ORDERS' is a list, not a function"),
        ("--tools bare", "no type hint for x"),
        ("--tools find_order --returns list[", "cannot be read"),
    ],
)
def test_a_wrong_cell_is_one_clear_line(orders, line, told):
    orders.space |= {"ORDERS": [], "bare": lambda x: x}
    with pytest.raises(CellError) as caught:
        orders.define(f"%%react {line}\nGo\n")
    assert told in str(caught.value)
