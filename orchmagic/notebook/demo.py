"""Executes a notebook twice in a real kernel and summarises its runs: steps, tokens, seconds, cache hits."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path
from typing import Any

from orchmagic.trace.record import MIME


def show(notebook: Path, out: Path) -> int:
    """Runs `notebook` with an empty cache, then again; prints a line per cell and a summary; writes HTML to `out`.

    Returns 0 if every cell ran and the second pass made no model call.
    """
    out.mkdir(parents=True, exist_ok=True)
    store = out / "cache"
    shutil.rmtree(store / "answers", ignore_errors=True)
    os.environ.setdefault("ORCHMAGIC_CACHE_DIR", str(store.resolve()))
    os.environ.setdefault("ORCHMAGIC_HISTORY_DIR", str((out / "history").resolve()))
    _say(f"First pass of {notebook} (a real kernel, a real model)")
    first = _execute(notebook, out)
    _say("\nSecond pass: the same cells, a new kernel")
    second = _execute(notebook, out)
    page = _write_html(first, out / f"{notebook.stem}.html")
    _summary("What the first pass did", first)
    calls = _summary("What the second pass did", second)
    _say(f"\nModel calls in the second pass: {calls}")
    _say(f"The executed notebook, with every trace: {page.resolve()}")
    return 0 if calls == 0 else 1


def _execute(notebook: Path, out: Path) -> Any:
    import nbformat  # noqa: PLC0415 - only the demo needs the notebook packages
    import zmq  # noqa: PLC0415 - as above
    from nbclient import NotebookClient  # noqa: PLC0415 - as above
    from traitlets.config import Config  # noqa: PLC0415 - as above

    # avoids the kernel's warning at each start that its connection is not encrypted
    encrypted = Config({"KernelManager": {"transport_encryption": "auto"}} if zmq.has("curve") else {})
    book = nbformat.read(notebook, as_version=4)  # type: ignore[no-untyped-call]  # untyped there
    client = NotebookClient(
        book,
        timeout=600,
        kernel_name="python3",
        resources={"metadata": {"path": str(out)}},
        store_widget_state=False,
        config=encrypted,
    )
    cells = [i for i, c in enumerate(book.cells) if c.cell_type == "code"]
    with client.setup_kernel():
        for number, index in enumerate(cells, 1):
            started = time.monotonic()
            head = book.cells[index].source.strip().splitlines()[0][:60]
            _say(f"  [{number}/{len(cells)}] {head}", end="", flush=True)
            client.execute_cell(book.cells[index], index)
            _say(f"  {time.monotonic() - started:.1f} s")
    return book


def _summary(title: str, book: Any) -> int:
    """Prints the text of every run of an executed notebook; returns how many model calls they made."""
    _say(f"\n{title}\n{'=' * len(title)}")
    calls = 0
    for data in (output.get("data", {}) for cell in book.cells for output in cell.get("outputs", ())):
        if MIME in data:
            calls += data[MIME].get("calls", 0)
            _say(f"\n{data['text/plain']}")
    return calls


def _write_html(book: Any, page: Path) -> Path:
    from nbconvert import HTMLExporter  # noqa: PLC0415 - only here

    body, _ = HTMLExporter().from_notebook_node(book)  # type: ignore[no-untyped-call]  # untyped there
    page.write_text(body, encoding="utf-8")
    return page


def _say(text: str, end: str = "\n", *, flush: bool = False) -> None:
    print(text, end=end, flush=flush)  # noqa: T201 - a command line
