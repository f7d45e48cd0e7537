"""A cell that code runs sees the names of that code: of its function, the functions around it, its module."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.terminal.embed import InteractiveShellEmbed  # noqa: T100 - what the test is about
from traitlets.config import Config

from orchmagic import Script, install
from orchmagic.models.providers.scripted import remove

RUN = "get_ipython().run_cell_magic('chain', '--no-cache', 'say\\n    About {{ topic }}\\n')"
NO_HISTORY = Config({"HistoryManager": {"enabled": False}})


@pytest.fixture
def script() -> Iterator[Script]:
    yield install(Script(lambda _: "ok"))
    remove()


@pytest.fixture
def shell() -> Iterator[InteractiveShell]:
    InteractiveShell.clear_instance()
    made = InteractiveShell.instance(config=NO_HISTORY)
    made.run_line_magic("load_ext", "orchmagic")
    made.run_line_magic("config", "OrchMagic.live = False")
    made.run_line_magic("config", "OrchMagic.model = 'scripted'")
    made.user_ns["topic"] = "GLOBAL"
    yield made
    made.run_line_magic("unload_ext", "orchmagic")
    InteractiveShell.clear_instance()


def sent(script: Script) -> list[str]:
    return [body["messages"][0]["content"].removeprefix("About ") for body in script.requests]


@pytest.mark.parametrize(
    "code",
    [
        f"def ask(topic):\n    {RUN}\nask('MINE')",
        f"def loop():\n    for topic in ['MINE']:\n        {RUN}\nloop()",
        f"[{RUN} for topic in ['MINE']]",
        f"list({RUN} for topic in ['MINE'])",
        f"(lambda topic: {RUN})('MINE')",
        f"class A:\n    topic = 'MINE'\n    {RUN}",
        f"class A:\n    def ask(self, topic): {RUN}\nA().ask('MINE')",
        f"def outer(topic):\n    def inner(): {RUN}\n    inner()\nouter('MINE')",
        f"def outer(topic):\n    return [{RUN} for _ in [1]]\nouter('MINE')",
        f"def outer(topic):\n    def inner(): topic; {RUN}\n    return inner\nouter('MINE')()",
        f"def outer(topic):\n    def other(): {RUN}\n    def inner(): other()\n    inner()\nouter('MINE')",
        (
            f"from concurrent.futures import ThreadPoolExecutor\ndef ask(topic): {RUN}\n"
            "with ThreadPoolExecutor() as pool: pool.submit(ask, 'MINE').result()"
        ),
        f"async def ask(topic): {RUN}\nawait ask('MINE')",
        f"topic = 'MINE'\n{RUN}",
        f"def ask(): {RUN}\ntopic = 'MINE'\nask()",
        f"exec({RUN!r}, {{'topic': 'MINE', 'get_ipython': get_ipython}})",
        f"exec({RUN!r}, globals(), {{'topic': 'MINE'}})",
        f"def ask(topic):\n    get_ipython().run_cell_magic('capture', '', {RUN!r})\ntopic = 'MINE'\nask('x')",
        (
            "def ask(topic, f): get_ipython().run_cell_magic('chain', '--no-cache', 'x = f()\\nsay\\n    About {{ x }}')\n"
            "ask('', lambda: 'MINE')"
        ),
    ],
)
def test_a_cell_sees_the_names_of_the_code_that_runs_it(shell, script, code):
    shell.run_cell(code).raise_error()
    assert sent(script) == ["MINE"]


@pytest.mark.parametrize(
    "code",
    [
        f"def make(topic):\n    def ask(): {RUN}\n    return ask\nmake('MINE')()",
        f"class A:\n    def make(self, topic): return lambda: {RUN}\nA().make('MINE')()",
        f"def make(topic):\n    def middle():\n        def ask(): {RUN}\n        return ask\n    return middle\nmake('MINE')()()",
        f"def ask():\n    {RUN}\n    topic = 'MINE'\nask()",
        f"def ask(topic):\n    del topic\n    {RUN}\nask('MINE')",
    ],
)
def test_a_variable_of_a_function_that_is_not_there_is_told_and_no_other_is_taken(shell, script, capsys, code):
    shell.run_cell(code).raise_error()
    assert sent(script) == []
    assert "It needs topic" in capsys.readouterr().out


@pytest.mark.parametrize("module", ["topic = 'MINE'\n{run}", "def ask(topic):\n    {run}\nask('MINE')"])
@pytest.mark.parametrize("way", ["%run {file}", "import {name}", "%run -i {file}"])
def test_a_script_and_a_module_have_names_of_their_own(shell, script, tmp_path, monkeypatch, module, way):
    file = tmp_path / "names_of_its_own.py"
    file.write_text(f"from IPython import get_ipython\n{module.format(run=RUN)}\n")
    monkeypatch.syspath_prepend(tmp_path)
    shell.run_cell(way.format(file=file, name=file.stem)).raise_error()
    sys.modules.pop(file.stem, None)
    assert sent(script) == ["MINE"]


def test_a_module_does_not_see_the_notebook(shell, script, capsys, tmp_path, monkeypatch):
    (tmp_path / "sees_nothing.py").write_text(f"from IPython import get_ipython\ndef ask():\n    {RUN}\n")
    monkeypatch.syspath_prepend(tmp_path)
    shell.run_cell("import sees_nothing\nsees_nothing.ask()").raise_error()
    assert sent(script) == []
    assert "It needs topic" in capsys.readouterr().out


def test_a_cell_of_a_script_binds_its_name_and_output_there(shell, script, tmp_path):
    file = tmp_path / "binds.py"
    cell = RUN.replace("--no-cache", "told -o kept --no-cache")
    file.write_text(f"from IPython import get_ipython\ntopic = 'MINE'\n{cell}\nfound = (told.last.output, kept)\n")
    shell.run_cell(f"%run {file}").raise_error()
    assert shell.user_ns["found"] == ("ok", "ok")


def test_an_orchestration_of_a_function_keeps_its_names(shell, script):
    cell = RUN.replace("--no-cache", "told --no-run --no-cache")
    shell.run_cell(f"def make(topic):\n    {cell}\n    return told\nmade = make('MINE')\ntopic = 'OTHER'")
    shell.run_cell("made().replay()").raise_error()
    assert sent(script) == ["MINE"]


def test_each_call_of_an_embedded_shell_sees_its_caller(script):
    InteractiveShellEmbed.clear_instance()
    embedded = InteractiveShellEmbed.instance(config=NO_HISTORY)
    embedded.run_line_magic("load_ext", "orchmagic")
    embedded.run_line_magic("config", "OrchMagic.model = 'scripted'")
    embedded.interact = lambda *_, **__: embedded.run_cell("%%chain --no-cache\nsay\n    About {{ topic }}\n")

    def ask(topic: str) -> None:
        embedded()

    try:
        ask("cats")
        ask("MINE")
    finally:
        embedded.run_line_magic("unload_ext", "orchmagic")
        InteractiveShellEmbed.clear_instance()
    assert sent(script) == ["cats", "MINE"]
