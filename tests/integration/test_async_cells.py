"""Cells in a real kernel: awaited where they can be, blocking where they cannot, and IPython's own things as ever."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from test_kernel import SETUP, Kernel, shown

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

CELL = "%%chain told --no-cache\nfirst\n    Say;\n"
SLOW = "%%chain slow --no-cache\nfirst\n    WAIT\n"
SCRIPT = """
def SCRIPT(body):
    return Reply("fine", latency=60 if "WAIT" in str(body["messages"]) else 0.4 if "SOON" in str(body["messages"]) else 0)
"""
LOADED = f"{SETUP}\n{SCRIPT}"


@pytest.fixture(scope="module")
def kernel() -> Iterator[Kernel]:
    made = Kernel()
    made.run(LOADED)
    yield made
    made.close()


def said(kernel: Kernel, code: str) -> str:
    """What a cell prints."""
    return "".join(m["content"]["text"] for m in kernel.run(code) if m["msg_type"] == "stream")


def status(kernel: Kernel, asked: str) -> str:
    while True:
        reply = kernel.client.get_shell_msg(timeout=30)
        if reply["parent_header"]["msg_id"] == asked:
            return str(reply["content"]["status"])


def begun(kernel: Kernel, cell: str) -> tuple[str, list[dict[str, Any]]]:
    """Start a cell and come back when its live view is seen."""
    asked = kernel.start(cell)
    seen = []
    for message in kernel.messages(asked):
        seen.append(message)
        if message["msg_type"] == "update_display_data" and "running" in str(message["content"]["data"]).lower():
            return asked, seen
    raise AssertionError(shown(seen))


def test_the_value_of_the_cell_is_its_run(kernel):
    kernel.run(CELL)
    assert said(kernel, "print(_.output, Out[max(Out)].output)") == "fine fine\n"


def test_the_history_has_the_words_of_the_user_and_python_that_runs(kernel):
    kernel.run(CELL)
    assert said(kernel, "print(repr(_i))") == f"{CELL.rstrip()!r}\n"
    assert CELL.rstrip() in said(kernel, "%history")
    kernel.run(CELL)
    assert "await" not in said(kernel, "print(In[-2])")
    number = int(said(kernel, "print(len(In) - 3)"))  # other cells of this kernel do await
    assert "run_cell_magic('chain'" in (kept := said(kernel, f"%history -t {number}"))
    assert "await" not in kept


@pytest.mark.parametrize(
    "again",
    [
        "%macro -q again {n}\nagain",
        "exec(In[{n}])",
        "get_ipython().run_cell(In[{n}]).raise_error()",
        "%rerun {n}",
        "%save -f again.py {n}\n%run again.py",
        "%recall {n}",
    ],
)
def test_what_ipython_kept_of_a_cell_runs_again(kernel, again, tmp_path):
    kernel.run(f"%cd -q {tmp_path}")
    kernel.run(CELL)
    number = int(said(kernel, "print(len(In) - 2)"))
    kernel.run("before = told.last.id")
    for line in again.format(n=number).split("\n"):
        asked = kernel.start(line)
        seen = shown(list(kernel.messages(asked)))
        assert status(kernel, asked) == "ok", seen
    if "recall" not in again:
        assert said(kernel, "print(told.last.id != before, told.last.output)") == "True fine\n"


def test_a_log_of_a_session_is_python(kernel, tmp_path):
    log = tmp_path / "session.py"
    kernel.run(f"%logstart -q {log} over")
    kernel.run(CELL)
    kernel.run("%logstop")
    _, mark, of_the_test = log.read_text().rpartition(
        "get_ipython().run_line_magic('logstart'"
    )  # the log begins with all cells
    assert "run_cell_magic('chain'" in of_the_test
    compile(mark + of_the_test, "log", "exec")


@pytest.mark.parametrize(
    ("cell", "told"),
    [
        (f"%%time\n{CELL}", "Wall time"),
        (f"%%capture kept\n{CELL}", ""),
        ("r = get_ipython().run_cell_magic('chain', '--no-cache', 'a\\n    b\\n')\nprint(r.output)", "fine"),
        ("get_ipython().run_cell_magic('chain', '--no-cache', 'a\\n    b\\n').output", "fine"),
        ("get_ipython().run_cell('%%chain --no-cache\\na\\n    b\\n').result.output", "fine"),
        ("get_ipython().run_cell('')\nget_ipython().run_cell('%%chain --no-cache\\na\\n    b\\n').result.output", "fine"),
        ("run = await told.arun()\nprint(run.output)", "fine"),
        ("%alias_magic --cell tale chain\nget_ipython().run_cell_magic('tale', '--no-cache', 'a\\n    b\\n').output", "fine"),
    ],
)  # fmt: skip
def test_nested_cells_block_and_work(kernel, cell, told):
    kernel.run(CELL)
    asked = kernel.start(cell)
    seen = list(kernel.messages(asked))
    assert status(kernel, asked) == "ok", shown(seen)
    assert told in shown(seen)


def test_captured_output_holds_no_frames(kernel):
    kernel.run("%%capture kept\n" + CELL.replace("Say;", "SOON"))
    assert said(kernel, "print(sum('running' in str(o.data).lower() for o in kept.outputs))") == "0\n"


def test_autoawait_off_blocks(kernel):
    kernel.run("%autoawait off")
    try:
        asked = kernel.start(CELL)
        assert "fine" in shown(list(kernel.messages(asked)))
        assert status(kernel, asked) == "ok"
    finally:
        kernel.run("%autoawait asyncio")


@pytest.mark.parametrize(
    "cell",
    [
        "%%chain --modle x\na\n    b",
        "%%chain --no-cache\na\n    b\ngate False",
        "%%evaluate nobody --on rows\nright = output",
        "%orch show r99999",
        "shown = %orch show r99999",
        "%orch shwo",
    ],
)
def test_a_wrong_cell_fails_in_one_line(kernel, cell):
    asked = kernel.start(cell)
    (told,) = [m["content"] for m in kernel.messages(asked) if m["header"]["msg_type"] == "error"]
    assert told["traceback"] == [f"{told['ename']}: {told['evalue']}"]  # nbval fails a cell for this message alone
    assert told["evalue"]
    assert status(kernel, asked) == "error"


def test_an_output_goes_into_a_variable(kernel):
    kernel.run(CELL.replace("told", "told -o kept"))
    assert said(kernel, "print(kept)") == "fine\n"


def test_stop_in_mid_cell_ends_it_within_a_second(kernel):
    for _ in range(3):  # a busy machine gets another chance
        asked, seen = begun(kernel, SLOW)
        view = None
        for message in kernel.messages(asked):  # the button stands below the live view, and comes after it
            seen.append(message)
            view = message["content"].get("data", {}).get("application/vnd.jupyter.widget-view+json")
            if view:
                break
        began = time.monotonic()
        click = {"comm_id": view["model_id"], "data": {"method": "custom", "content": {"event": "click"}}}
        kernel.client.shell_channel.send(kernel.client.session.msg("comm_msg", click))
        seen += kernel.messages(asked)
        took = time.monotonic() - began
        assert "was stopped" in shown(seen)
        if took < 1:
            break
    assert took < 1, took
    last = {m["content"]["transient"]["display_id"]: m for m in seen if m["msg_type"] == "update_display_data"}
    card, button = [m["content"]["data"] for m in last.values()]
    assert "Stopped" in card["text/plain"]
    assert button == {"text/plain": "", "text/html": ""}
    assert sum(m["msg_type"] == "comm_open" for m in seen) == sum(m["msg_type"] == "comm_close" for m in seen) + 2


def test_an_interrupt_of_arun_is_heard_within_a_second(kernel):
    kernel.run(SLOW.replace("slow", "slow --no-run"))
    for _ in range(3):
        asked = kernel.start("print('begun', flush=True)\nawait slow.arun()")
        next(m for m in kernel.messages(asked) if m["msg_type"] == "stream")
        time.sleep(0.3)
        began = time.monotonic()
        kernel.manager.interrupt_kernel()
        seen = list(kernel.messages(asked))
        took = time.monotonic() - began
        if took < 1:
            break
    assert "CancelledError" in shown(seen)
    assert took < 1, took
    assert "cancelled" in said(kernel, "print(slow.last.status)")


def test_a_run_in_the_background_is_shown_after_its_cell(kernel):
    seen = kernel.run("%%chain behind --no-cache --background\nfirst\n    SOON\n")
    places = [m["content"]["transient"]["display_id"] for m in seen if m["msg_type"] == "display_data"]
    assert len(places) == len(set(places))
    updates: dict[str, Any] = {}
    kernel.start("import asyncio\nawait asyncio.sleep(1.5)")
    until = time.monotonic() + 20
    while time.monotonic() < until and not ("fine" in str(updates) and "Done" in str(updates)):
        message = kernel.client.get_iopub_msg(timeout=10)
        if message["msg_type"] == "update_display_data":
            updates[message["content"]["transient"]["display_id"]] = message["content"]["data"]
    shown_in = [place for place, data in updates.items() if "fine" in str(data)]
    assert len(shown_in) == 1
    assert shown_in[0] in places
    assert "Done" in updates[shown_in[0]]["text/plain"]
    kernel.run("behind.last.wait()\nNone")


def test_unloading_and_loading_again_leave_one_of_each(kernel):
    kernel.run("%unload_ext orchmagic")
    assert "not found" in shown(kernel.run(CELL))
    count = "print(sum('Awaited' in str(type(t)) for t in get_ipython().ast_transformers))"
    assert said(kernel, count) == "0\n"
    kernel.run("%load_ext orchmagic\n%reload_ext orchmagic\n" + '%config OrchMagic.model = "scripted"')
    assert said(kernel, count) == "1\n"
    kernel.run(CELL)
    assert said(kernel, "print(_.output)") == "fine\n"


def test_nbclient_runs_all_cells_without_a_widget():
    book = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(c) for c in (LOADED, CELL.replace("Say;", "SOON"))]
    )
    NotebookClient(book, timeout=60, kernel_name="python3").execute()
    outputs = book.cells[1].outputs
    assert [o.output_type for o in outputs] == ["display_data"] * 2
    assert "fine" in outputs[0].data["text/html"]
    assert outputs[1].data == {"text/plain": "", "text/html": ""}  # the place of a question, which nobody asked
    assert "widgets" not in book.metadata
    wrong = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(c) for c in (LOADED, "%%chain\na\n    b\ngate False")]
    )
    with pytest.raises(CellExecutionError, match="False is false"):
        NotebookClient(wrong, timeout=60, kernel_name="python3").execute()
