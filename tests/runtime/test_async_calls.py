"""An async function of the notebook is awaited wherever an expression calls it: its coroutine is never the value."""

import asyncio
import gc
import threading

import pytest

pytestmark = pytest.mark.filterwarnings("error::RuntimeWarning")  # a coroutine that nobody awaited


async def no(*_: object) -> bool:
    await asyncio.sleep(0)
    return False


async def double(x: int) -> int:
    await asyncio.sleep(0)
    return 2 * x


class Checker:
    async def no(self, x: object) -> bool:
        return await no(x)

    @classmethod
    async def never(cls, x: object) -> bool:
        return await no(x)

    async def __call__(self, x: object) -> bool:
        return await no(x)


SPACE = {
    "no": no,
    "double": double,
    "yes": lambda *_: True,
    "Checker": Checker,
    "checker": Checker(),
    "later": lambda *rows: no(*rows, 1),  # a plain function that returns a coroutine
    "functions": type(threading)("functions"),
}
SPACE["functions"].no = no


@pytest.mark.parametrize(
    "gate",
    [
        "no(first)",
        "no(first) and yes(first)",
        "yes(first) and no(first)",
        "not (not no(first))",
        "bool(no(first))",
        "no(first) == True",
        "all([yes(first), no(first)])",
        "all(no(x) for x in [1, 2])",
        "all(map(no, [1, 2]))",
        "any([no(x) for x in [1, 2]])",
        "(lambda x: no(x))(first) or False",
        "yes(no(first)) and no(double(1) + double(2))",
        "later(first) or False",
        "checker(first) or False",
        "Checker.never(first) or False",
        "functions.no(first) or False",
        "double(double(1)) == 5",
    ],
)
def test_a_gate_reads_the_result_of_an_async_function(notebook, gate):
    notebook.script(lambda _: "ok")
    run = notebook.run(f"%%chain t --no-cache\nfirst\n    hi\ngate {gate}\n", **SPACE)
    assert run.status == "failed"
    assert "is false" in run.error


@pytest.mark.parametrize(
    ("cell", "output"),
    [
        ("x = double(2) + double(double(1))", 8),
        ("x = [double(n) for n in [1, 2]]", [2, 4]),
        ("x = list(map(double, [1, 2]))", [2, 4]),
        ("x = {'n': double(1)}", {"n": 2}),
        ("first(over=[double(1), double(2)])\n    {{ item }}", ["ok", "ok"]),
        ("first(when=not no(1))\n    hi", "ok"),
        ("first(when=no(1) or no(2))\n    hi", None),
    ],
)
def test_code_steps_items_and_conditions_read_it_too(notebook, cell, output):
    notebook.script(lambda _: "ok")
    run = notebook.run(f"%%chain t --no-cache\n{cell}\n", **SPACE)
    assert (run.status, run.error, run.output) == ("done", None, output)


def test_what_it_raises_is_the_failure_of_the_step(notebook):
    async def fails() -> None:
        raise ValueError("too long")

    run = notebook.run("%%chain t\nx = [fails()]\n", fails=fails)
    assert (run.status, "raised ValueError: too long" in run.error) == ("failed", True)


def test_stop_ends_it(notebook):
    began, ended = threading.Event(), threading.Event()

    async def waits() -> bool:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return True

    notebook.space["waits"] = waits
    run = notebook.define("%%chain t\nx = [waits()]\n").start()
    assert began.wait(10)
    run.cancel()
    assert ended.wait(10)
    assert run.status == "cancelled"


def test_an_error_after_stop_is_not_printed_by_asyncio(notebook, caplog):
    began = threading.Event()

    async def waits() -> bool:
        began.set()
        try:
            return await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise RuntimeError("cannot tidy up") from None

    notebook.space["waits"] = waits
    run = notebook.define("%%chain t\nx = [waits()]\n").start()
    assert began.wait(10)
    run.cancel()
    run.wait()
    assert run.status == "cancelled"
    gc.collect()
    assert [record.name for record in caplog.records] == []
