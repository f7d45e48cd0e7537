"""`make demo` on a small notebook: real kernels, a scripted model."""

from __future__ import annotations

import nbformat
import pytest

from orchmagic.__main__ import main

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

SETUP = """%load_ext orchmagic
%config OrchMagic.model = "scripted"
from orchmagic import Reply, Script, install
install(Script(lambda body: "fine" if "Say" in str(body) else "summed up"))
None"""
CHAIN = """%%chain told{}
first
    Say it
second
    Sum up {{{{ first }}}}"""


@pytest.mark.parametrize(("option", "code", "again"), [("", 0, "2 from cache"), (" --no-cache", 1, "2 calls")])
def test_the_demo_sums_up_every_run_and_fails_if_the_second_pass_asks_a_model(
    tmp_path, monkeypatch, capsys, option, code, again
):
    monkeypatch.setenv("ORCHMAGIC_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("ORCHMAGIC_HISTORY_DIR", str(tmp_path / "history"))
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in (SETUP, CHAIN.format(option))])
    nbformat.write(book, tmp_path / "small.ipynb")
    assert main(["demo", str(tmp_path / "small.ipynb"), "--out", str(tmp_path / "out")]) == code
    _, _, told = capsys.readouterr().out.partition("What the first pass did")
    first, _, second = told.partition("What the second pass did")
    for text in (first, second):
        for word in ("Done", "summed up", "first", "second"):
            assert word in text
    assert "2 calls" in first
    assert again in second
    page = (tmp_path / "out" / "small.html").read_text()
    assert "summed up" in page
    assert "<details" in page
