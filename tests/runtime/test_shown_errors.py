"""What a person sees when an orchestration is called wrongly from Python: their own line and one of ours, no frames."""

from __future__ import annotations

import pytest
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from orchmagic.models.providers.scripted import remove


@pytest.fixture
def shell():
    InteractiveShell.clear_instance()
    ip = InteractiveShell.instance(config=Config({"HistoryManager": {"enabled": False}}))
    ip.run_line_magic("load_ext", "orchmagic")
    ip.run_line_magic("config", "OrchMagic.live = False")
    ip.run_cell("%%chain say --model scripted --no-run\nreply\n    Hi {{ name }}\n")
    yield ip
    ip.run_line_magic("unload_ext", "orchmagic")
    InteractiveShell.clear_instance()
    remove()


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("x = 1\nsay(nmae='Ann')", ["line 2: say(nmae='Ann')", "InputError: say has no input 'nmae'"]),
        ("def ask():\n    return say()\n\nask()", ["line 2: return say()", "InputError: say needs name"]),
        ("say.step('replay')", ["line 1: say.step('replay')", "InputError: "]),
    ],
)
def test_a_wrong_call_is_the_persons_line_and_the_text(shell, capsys, cell, said):
    capsys.readouterr()
    assert not shell.run_cell(cell).success
    shown = capsys.readouterr()
    text = shown.out + shown.err
    assert all(part in text for part in said), text
    assert len(text.strip().splitlines()) == 2, text


def test_an_error_of_the_persons_own_keeps_its_traceback(shell, capsys):
    capsys.readouterr()
    shell.run_cell("1 / 0")
    shown = capsys.readouterr()
    assert "Traceback" in shown.out + shown.err
