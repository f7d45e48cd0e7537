"""A session survives its notebook: what ends a process is a failed step with its cause, wherever code is entered."""

import asyncio
import re
import threading

import pytest
from pydantic import BaseModel, field_serializer, field_validator

from orchmagic import Reply
from orchmagic.errors import CellError, CodeExit, OrchError

FINE = "%%chain fine --no-cache\nsay\n    hello\n"


class PanicException(BaseException):
    """A Rust panic, as pyo3 raises it."""


KINDS = {
    "exit": SystemExit(2),
    "interrupt": KeyboardInterrupt(),
    "nothing found": StopIteration(),
    "nothing found async": StopAsyncIteration(),
    "panic": PanicException("boom"),
    "cancelled": asyncio.CancelledError(),
    "generator": GeneratorExit(),
}


def bad(error):
    """The notebook of a user whose code raises: a function, an async one, classes and objects."""

    def f(x: str = "x") -> str:
        """A tool."""
        raise error

    async def later(x: str = "x") -> str:
        """A tool."""
        raise error

    class Checked(BaseModel):
        a: str

        @field_validator("a")
        @classmethod
        def check(cls, _):
            raise error

    class Written(BaseModel):
        a: str

        @field_serializer("a")
        def write(self, _):
            raise error

    class Sized(BaseModel):
        a: str

        @property
        def size(self):
            raise error

    def items():
        yield "one"
        raise error

    def takes(x: Checked) -> str:
        """A tool."""
        return "fine"

    return {
        "f": f, "later": later, "Checked": Checked, "Written": Written, "Sized": Sized, "items": items, "takes": takes,
        "q": "x",
    }  # fmt: skip


STEPS = {
    "code": "%%chain one --no-cache\nx = f(q)\nsay\n    {{ x }}\n",
    "async code": "%%chain one --no-cache\nx = later(q)\nsay\n    {{ x }}\n",
    "attribute": "%%chain one --no-cache\nsay -> Sized\n    {{ q }}\nx = say.size\n",
    "when": "%%chain one --no-cache\nsay(when=f(q))\n    {{ q }}\n",
    "gate": "%%chain one --no-cache\nsay\n    {{ q }}\ngate f(say)\n",
    "items": "%%chain one --no-cache\nsay(over=f(q), item=i)\n    {{ i }}\n",
    "iterator": "%%chain one --no-cache\nsay(over=items(), item=i)\n    {{ i }}\n",
    "router": "%%route one --no-cache\nrouter = f(q)\na: x\n    A\nb: y\n    B\n",
    "prompt": "%%chain one --no-cache\nsay\n    {{ f(q) }}\n",
    "attribute in a prompt": "%%chain one --no-cache\nsay -> Sized\n    {{ q }}\nmore\n    {{ say.size }}\n",
    "validator": "%%chain one --no-cache\nsay -> Checked\n    {{ q }}\n",
    "serialiser": "%%chain one --no-cache\nsay -> Written\n    {{ q }}\nmore\n    {{ say }}\n",
    "guard": "%%chain one --no-cache --guard f=block\nsay\n    {{ q }}\n",
    "question": '%%chain one --no-cache\nsay\n    {{ q }}\napprove "Is {{ f(q) }} right?"\n',
}  # fmt: skip


@pytest.mark.parametrize("place", STEPS)
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_error_fails_its_step_and_nothing_else(notebook, kind, place):
    error = KINDS[kind]
    notebook.space |= bad(error)
    notebook.script(lambda body: '{"a": "x"}')
    run = notebook.run(STEPS[place])
    assert run.status == "failed", run.reason
    assert type(error).__name__ in run.error
    assert notebook.run(FINE).status == "done"


@pytest.mark.parametrize("tool", ["f", "later", "takes"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_model_is_told_what_a_tool_raised(notebook, kind, tool):
    notebook.space |= bad(KINDS[kind])

    def script(body):
        arguments = {"x": {"a": "1"} if tool == "takes" else "x"}
        return "told" if body["messages"][-1]["role"] == "tool" else Reply(tool_calls=[(tool, arguments)])

    notebook.script(script)
    run = notebook.run(f"%%react one --no-cache --tools {tool}\nGo\n")
    assert (run.status, run.output) == ("done", "told")
    (said,) = [m["content"] for m in run["messages"] if m["role"] == "tool"]
    assert type(KINDS[kind]).__name__ in said


@pytest.mark.parametrize("kind", KINDS)
def test_one_item_fails_alone(notebook, kind):
    def f(x):
        if x == 2:
            raise KINDS[kind]
        return x

    notebook.script(lambda body: "fine")
    run = notebook.run("%%chain one --no-cache\nsay(over=[1, 2, 3], item=i)\n    {{ f(i) }}\n", f=f)
    assert (run.status, run.output) == ("done", ["fine", None, "fine"])
    assert [type(KINDS[kind]).__name__ in (s.error or "") for s in run.record.spans if s.kind == "item"] == [
        False,
        True,
        False,
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_that_is_a_function_of_the_notebook(notebook, kind):
    def script(_):
        raise KINDS[kind]

    notebook.script(script)
    run = notebook.run(FINE.replace("fine", "one"))
    assert run.status == "failed"
    assert type(KINDS[kind]).__name__ in run.error


@pytest.mark.parametrize("kind", KINDS)
def test_a_listener_of_a_run(notebook, kind):
    def listener(_):
        raise KINDS[kind]

    run = notebook.define(FINE.replace("fine", "one")).prepare()
    run.watch(listener)
    run.start()
    run.wait()
    assert run.status == "done"
    assert type(KINDS[kind]).__name__ in run.reason


@pytest.mark.parametrize("kind", ["exit", "panic", "nothing found"])
def test_a_class_that_cannot_be_read_is_a_problem_of_the_cell(notebook, kind):
    class Odd:
        @classmethod
        def __get_pydantic_core_schema__(cls, source, handler):
            raise KINDS[kind]

    notebook.space["Odd"] = Odd
    with pytest.raises(CellError, match=type(KINDS[kind]).__name__):
        notebook.define("%%chain one\nsay -> x: Odd\n    hi\n")


def test_the_loop_survives_what_a_task_of_the_notebook_raises(notebook):
    async def stray():
        raise SystemExit(3)

    async def f(x):
        task = asyncio.get_running_loop().create_task(stray())
        await asyncio.wait([task])
        return type(task.exception()).__name__

    loop = notebook.session.services.loop
    assert loop.run(f("x")) == "SystemExit"  # on the loop of the runs
    run = notebook.run("%%chain one --no-cache\nx = f(1)\nsay\n    {{ x }}\n", f=f)
    assert (run.status, run["x"]) == ("done", "SystemExit")
    assert notebook.run(FINE).status == "done"


def test_a_callback_that_exits_does_not_end_the_loop(notebook):
    def leave():
        raise SystemExit

    loop = notebook.session.services.loop
    loop.loop.call_soon_threadsafe(leave)
    assert notebook.run(FINE).status == "done"


def test_async_functions_share_a_loop_and_keep_off_the_runs(notebook):
    loops = []

    async def f(x):
        loops.append((asyncio.get_running_loop(), threading.current_thread().name))
        return x

    notebook.run("%%chain one --no-cache\nx = f(1)\ny = f(2)\nsay\n    {{ y }}\n", f=f)
    assert loops[0] == loops[1]
    assert loops[0][0] is not notebook.session.services.loop.loop


def test_a_function_that_never_returns_is_named_and_costs_no_one_else_its_time(notebook):
    gate = threading.Event()
    try:
        run = notebook.run("%%chain one --no-cache --deadline 0.5s\nx = never('a')\nsay\n    {{ x }}\n",
                           never=lambda _: gate.wait())  # fmt: skip
        assert (run.status, run.reason) == (
            "capped", "deadline: 0.5 s were not enough; never('a') has not returned",
        )  # fmt: skip
        assert notebook.run(FINE).status == "done"
    finally:
        gate.set()


def test_timeout_bounds_code_steps_and_tools(notebook):
    gate = threading.Event()

    def never(x: str = "a") -> str:
        """Never."""
        gate.wait()

    try:
        run = notebook.run("%%chain one --no-cache --timeout 0.2s\nx = never('a')\nsay\n    {{ x }}\n", never=never)
        assert run.error == "step 'x': `never('a')` gave no value within 0.2 s"
        run = notebook.run("%%chain two --no-cache --timeout 0.2s\nsay\n    {{ never('a') }}\n")
        assert run.error == "step 'say': its prompt was not filled in within 0.2 s"
        notebook.script(Reply(tool_calls=[("never", {"x": "a"})]), "told")
        run = notebook.run("%%react three --no-cache --timeout 0.2s --tools never\nGo\n")
        assert "never gave no answer within 0.2 s" in str(run["messages"])
    finally:
        gate.set()


def test_an_async_function_that_blocks_is_named_and_the_run_goes_on(notebook):
    gate = threading.Event()

    async def rude(x):
        gate.wait()

    try:
        run = notebook.run("%%chain one --no-cache --deadline 3s\nx = rude(1)\nsay\n    {{ x }}\n", rude=rude)
    finally:
        gate.set()
    assert run.status == "capped"
    assert re.fullmatch(r"deadline: 3 s were not enough; rude\(1\) has not returned", run.reason)
    assert re.match(r"rude \(line \d+\) blocks the loop", run.trace.remarks[0])


def test_a_cancelled_async_function_may_tidy_up(notebook):
    tidied = []

    async def f(x):
        try:
            await asyncio.Event().wait()
        finally:
            tidied.append(x)

    run = notebook.run("%%chain one --no-cache --deadline 0.2s\nx = f(1)\nsay\n    {{ x }}\n", f=f)
    assert (run.status, tidied) == ("capped", [1])


def test_a_blocked_loop_is_named_to_who_waits(notebook):
    gate = threading.Event()
    said = notebook.said

    def release(text):
        said.append(text)
        gate.set()

    class Slow(BaseModel):
        a: str

        @property
        def size(self):
            return gate.wait(20)

    notebook.session.services.loop._notify = release
    notebook.script('{"a": "x"}')
    run = notebook.run("%%chain one --no-cache\nsay -> Slow\n    hi\nx = say.size\n", Slow=Slow)
    assert run.status == "done"
    assert re.match(r"size \(line \d+\) has blocked all runs", said[-1])


def test_code_exit_is_public_in_the_tree_of_errors():
    assert issubclass(CodeExit, OrchError)
