"""The extension in a real IPython: magics, `%orch`, `%config`, completion, help; nothing else changes in the notebook."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator

import pytest
from IPython.core.completer import CompletionContext, provisionalcompleter
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from orchmagic import Script, install
from orchmagic.errors import InputError
from orchmagic.models.providers.scripted import remove
from orchmagic.notebook import panel
from orchmagic.patterns import PATTERNS

CHAIN = "%%chain triage --model scripted\nextract -> product: str\n    Read {{ ticket }}\nreply\n    About {{ extract.product }}\n"


@pytest.fixture
def shell(capsys: pytest.CaptureFixture[str]) -> Iterator[InteractiveShell]:
    InteractiveShell.clear_instance()
    ip = InteractiveShell.instance(config=Config({"HistoryManager": {"enabled": False}}))
    ip.run_line_magic("load_ext", "orchmagic")
    ip.run_line_magic("config", "OrchMagic.live = False")
    yield ip
    ip.run_line_magic("unload_ext", "orchmagic")
    InteractiveShell.clear_instance()
    remove()


def test_a_cell_is_a_run_and_its_name_a_function(shell):
    install(Script([{"product": "lamp"}, "sorry"]))
    shell.user_ns["ticket"] = "it broke"
    done = shell.run_cell(CHAIN)
    assert done.success
    assert done.result.output == "sorry"
    assert shell.user_ns["triage"](ticket="it broke").record.calls == 0


def test_dollars_and_braces_reach_the_model_byte_for_byte(shell):
    script = install(Script(["ok"]))
    prompt = 'Pay $5 to {x} and $HOME: {"a": {"b": [1]}} `{{{{` {% raw %}{{ no }}{% endraw %} # not a comment'.replace(
        "{{{{`", "{{ '{{' }}`"
    )
    assert shell.run_cell(f"%%chain --model scripted\nsay\n    {prompt}\n").success
    assert script.requests[0]["messages"][0]["content"] == (
        'Pay $5 to {x} and $HOME: {"a": {"b": [1]}} `{{` {{ no }} # not a comment'
    )


def test_variables_may_have_names_of_the_run(shell):
    script = install(Script(["ok"]))
    shell.run_cell("messages, errors, visits, feedback, split, pack = ['hi'], ['disk'], 3, 'good', 0.2, ['p']")
    cell = "%%chain tell --model scripted\na\n    {{ messages[0] }} {{ errors[0] }} {{ visits }} {{ feedback }} {{ split }} {{ pack[0] }}\n"
    assert shell.run_cell(cell).success
    assert [r["messages"][0]["content"] for r in script.requests] == ["hi disk 3 good 0.2 p"]


def test_a_missing_variable_defines_the_pattern_and_says_so(shell, capsys):
    done = shell.run_cell(CHAIN)
    assert done.success
    assert done.result is None
    assert "It needs ticket" in capsys.readouterr().out
    assert callable(shell.user_ns["triage"])


def test_a_misspelt_variable_offers_the_nearest_when_it_is_defined_and_called(shell, capsys):
    shell.user_ns["ticket"] = "My order is late."
    assert shell.run_cell("%%chain triage\nsay\n    Answer {{ tiket }}\n").success
    assert "It needs tiket, not in the notebook yet; did you mean 'ticket'? Run it" in capsys.readouterr().out
    with pytest.raises(InputError, match=r"or pass tiket=…; did you mean 'ticket'\?$"):
        shell.user_ns["triage"]()


def test_result_goes_into_a_variable(shell):
    install(Script(["hello"]))
    shell.run_cell("%%chain --model scripted -o greeting\nsay\n    Say hello\n")
    assert shell.user_ns["greeting"] == "hello"


ASKS = '%%chain letter --model scripted --no-cache -o kept\ndraft\n    Draft.\napprove "Send it?"\nsend\n    Send {{ draft }}\n'


def _by_panel(shell):
    run = shell.user_ns["letter"].last
    panel.ask(_face(shell).session, json.dumps(["answer", run.id, {"action": "approve"}]))
    run.wait()


def _face(shell):
    return shell._orchmagic_face


ANSWERS = {  # ways to answer the latest run, and what the variable then holds
    "run.approve()": (lambda shell: shell.user_ns["letter"].last.approve(), "sent"),
    "run.edit()": (lambda shell: shell.user_ns["letter"].last.edit("other"), "sent"),
    "run.reject()": (lambda shell: shell.user_ns["letter"].last.reject("no"), None),
    "run.respond()": (lambda shell: shell.user_ns["letter"].last.respond({"action": "approve"}).wait(), "sent"),
    "%orch approve": (lambda shell: shell.run_cell("%orch approve letter"), "sent"),
    "%orch reject": (lambda shell: shell.run_cell("%orch reject letter too long"), None),
    "panel": (_by_panel, "sent"),
}


@pytest.mark.parametrize("way", ANSWERS)
def test_the_variable_of_o_has_no_value_while_the_run_waits_and_then_the_last_one(shell, capsys, way):
    answer, holds = ANSWERS[way]
    install(Script(["draft", "sent"]))
    shell.user_ns["kept"] = "of another run"
    shell.run_cell(ASKS)
    assert "kept" not in shell.user_ns
    assert "kept has no value yet: it gets the output when the question is answered." in capsys.readouterr().out
    answer(shell)
    assert shell.user_ns["kept"] == holds


def test_a_call_or_a_replay_of_the_cell_leaves_the_variable_of_o_alone(shell):
    install(Script(["draft", "sent", "draft", "sent"]))
    shell.run_cell(ASKS)
    run = shell.user_ns["letter"].last.approve()
    shell.user_ns["kept"] = "mine"
    run.replay()
    shell.user_ns["letter"]().approve()
    assert shell.user_ns["kept"] == "mine"


WRONG = [
    ("%%chain --modle x\nsay\n    hi\n", "--model"),
    ("%%chain\nsay(modle=x)\n    hi\n", "did you mean 'model'"),
    ("%%chain\ngreet\n    hi\ngate geret\n", "did you mean 'greet'"),
    ("%%chain --model smal\nsay\n    hi\n", "did you mean 'small'"),
    ("%%react --tools ticket\nhi\n", "is a str, not a function"),
    ("%orch shw", "did you mean 'show'"),
    ("%orch show r99", "no run"),
    ("%orch export nothing x.py", "no orchestration 'nothing'"),
    ("%orch export triage", "%orch export NAME FILE"),
]


@pytest.mark.parametrize(("cell", "told"), WRONG)
def test_bad_input_is_told_without_a_traceback_and_changes_nothing(shell, capsys, cell, told):
    shell.user_ns["ticket"] = "t"
    before = {k for k in shell.user_ns if not k.startswith("_")}
    done = shell.run_cell(cell)
    shown = capsys.readouterr()
    assert not done.success
    assert told in shown.out + shown.err
    assert "Traceback" not in shown.out + shown.err
    assert {k for k in shell.user_ns if not k.startswith("_")} == before


def test_a_failed_run_shows_its_trace_and_fails_the_cell(shell, capsys):
    install(Script([{"product": "lamp"}]))
    shell.user_ns["ticket"] = "t"
    done = shell.run_cell("%%chain c --model scripted\na -> product: str\n    {{ ticket }}\ngate a.product == 'x'\n")
    shown = capsys.readouterr()
    assert not done.success
    assert "a.product = 'lamp'" in shown.out + shown.err
    assert "Traceback" not in shown.out + shown.err


def test_dry_run_calls_no_model(shell, capsys):
    script = install(Script())
    shell.user_ns["ticket"] = "t"
    assert shell.run_cell(CHAIN.replace("triage", "triage --dry-run")).success
    assert script.requests == []
    assert "2" in capsys.readouterr().out


def test_orch_runs_lists_the_runs(shell, capsys):
    install(Script(["hello"]))
    shell.run_cell("%%chain greet --model scripted\nsay\n    Say hello\n")
    listed = shell.run_line_magic("orch", "runs")
    assert "greet" in listed
    assert "✓ Done" in listed
    assert shell.run_line_magic("orch", "show greet").output == "hello"


@pytest.mark.parametrize("command", ["models", "cache", "cache clear", "doctor", "", "--help"])
def test_orch_commands_answer_with_text(shell, command):
    assert len(shell.run_line_magic("orch", command)) > 10


def test_config_sets_defaults_for_all_cells(shell):
    script = install(Script(["hello"]))
    shell.run_line_magic("config", "OrchMagic.model = 'scripted'")
    shell.run_line_magic("config", "OrchMagic.reply_tokens = 77")
    shell.run_cell("%%chain\nsay\n    Say hello\n")
    assert script.requests[0]["max_tokens"] == 77


def test_a_config_line_over_a_broken_project_says_so_once_and_in_one_line(shell, capsys, caplog, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    shell.run_cell("%orch help")
    assert shell.run_cell("%orch runs").success
    (tmp_path / "pyproject.toml").write_text('[tool.orchmagic]\nmodell = "x"\n')
    capsys.readouterr()
    for line in ("model = 'scripted'", "budget = 1.0"):
        shell.run_cell(f"%config OrchMagic.{line}")
        (told,) = filter(None, "".join(capsys.readouterr()).splitlines())
        assert told.startswith(f"UsageError: [tool.orchmagic] of {tmp_path / 'pyproject.toml'}: modell is unknown")
    assert caplog.records == []  # IPython's own ERROR:root
    (tmp_path / "pyproject.toml").unlink()
    shell.run_cell("%config OrchMagic.budget = 2.0")
    assert "".join(capsys.readouterr()) == ""


@pytest.mark.parametrize("line", ["cache = 'soon'", "concurrency = 0", "retry = 1.5", "budget = 'much'"])
def test_a_wrong_config_value_is_told_at_once_and_lets_no_cell_run(shell, capsys, line):
    install(Script(["hello"]))
    shell.run_cell("%orch help")
    capsys.readouterr()
    shell.run_cell(f"%config OrchMagic.{line}")
    name, _, value = line.partition(" = ")
    (told,) = filter(None, "".join(capsys.readouterr()).splitlines())
    assert told.startswith(f"UsageError: %config OrchMagic: {name} is {value}: write ")
    assert not shell.run_cell("%%chain --model scripted\nsay\n    Say hello\n").success
    assert f"{name} is {value}" in "".join(capsys.readouterr())


def test_an_open_limit_can_be_set_by_config(shell, capsys):
    shell.run_cell("%config OrchMagic.deadline = 'none'")
    shell.run_cell("%%chain --dry-run --model scripted\nsay\n    Say hello\n")
    assert "it has no deadline" in capsys.readouterr().out


def test_a_config_name_that_does_not_exist_is_told_with_the_nearest_one(shell):
    with pytest.warns(UserWarning, match="`dedline` not recognized by `OrchMagic`.*Did you mean.*`deadline`"):
        shell.run_cell("%config OrchMagic.dedline = 90")


@pytest.mark.parametrize("pattern", ["chain", "route", "react"])
def test_help_shows_when_to_use_it_and_an_example(shell, pattern, capsys):
    text = shell.find_cell_magic(pattern).__doc__
    assert "Breaks when" in text
    assert f"%%{pattern} " in text
    shell.run_cell(f"%%{pattern} --help\n\n ")
    assert "--model" in capsys.readouterr().out
    shell.run_line_magic(pattern, "")
    assert "Breaks when" in capsys.readouterr().out


def complete(shell, text, line, column=None):
    column = len(text.split("\n")[line]) if column is None else column
    with provisionalcompleter():
        context = CompletionContext(token="", full_text=text, cursor_position=column, cursor_line=line, limit=None)
        matcher = next(m for m in shell.Completer.custom_matchers if m.matcher_identifier == "orchmagic")
        return [c.text for c in matcher(context)["completions"]]


def test_completion_of_options_models_steps_and_names(shell):
    shell.user_ns["ticket"] = "t"
    assert "--budget" in complete(shell, "%%chain --bu", 0)
    assert "small" in complete(shell, "%%chain --model sm", 0)
    assert "--tools" in complete(shell, "%%react --to", 0)
    assert "temperature=" in complete(shell, "%%chain\nextract(tem", 1)
    assert "large" in complete(shell, "%%chain\nextract(model=la", 1)
    typed = "%%chain\nextract -> product: str\n    x\ngate extract.pro"
    assert complete(shell, typed, 3) == ["extract.product"]
    assert "ticket" in complete(shell, "%%chain\nextract\n    Read {{ tic", 2)


OPTIONS = {
    f"{name}="
    for name in ("model", "fallback", "temperature", "max_tokens", "timeout", "retry", "cache", "when", "over")
}


def test_completion_offers_every_option_of_a_step(shell):
    assert set(complete(shell, "%%chain\nextract(", 1)) >= OPTIONS
    assert complete(shell, "%%chain\nextract(temperature=0, wh", 1) == ["when="]
    for name in PATTERNS.names():
        known = {f"{option.name}=" for option in PATTERNS.get(name).step_options}
        assert set(complete(shell, f"%%{name}\nextract(", 1)) >= known


def test_completion_offers_the_actions_of_a_gate_and_the_control_words_of_a_pattern(shell):
    assert set(complete(shell, "%%chain\na\n    x\ngate a else ", 3)) >= {"retry", "goto", "ask", "stop"}
    assert complete(shell, "%%chain\na\n    x\ngat", 3) == ["gate"]
    for name in PATTERNS.names():
        assert set(complete(shell, f"%%{name}\n", 1)) >= set(PATTERNS.get(name).controls)


def test_completion_of_cells_about_rows(shell):
    shell.run_cell("%%chain triage --no-run\nextract -> product: str\n    Read {{ ticket }}\n")
    shell.user_ns["tickets"] = []
    assert complete(shell, "%%evaluate tri", 0) == ["triage"]
    assert complete(shell, "%%evaluate triage --on tic", 0) == ["tickets"]
    assert "--stand-in" in complete(shell, "%%evaluate triage --st", 0)
    assert "small" in complete(shell, "%%evaluate triage --models large,sm", 0)
    assert complete(shell, "%%evaluate triage\ntar", 1) == ["target"]
    assert complete(shell, "%%evaluate triage\njudge\n    Read tic", 2) == []
    assert complete(shell, "%%orchtest triage.ex", 0) == ["triage.extract"]
    assert complete(shell, "%%orchtest triage --allow", 0) == ["--allow-writes"]
    assert complete(shell, "%%orchtest triage\ngat", 1) == ["gate"]
    assert "extract" in complete(shell, "%%orchtest triage\ngate ext", 1)


def test_completion_keeps_out_of_prose_and_other_cells(shell):
    shell.user_ns["ticket"] = "t"
    assert complete(shell, "%%chain\nextract\n    Read tic", 2) == []
    assert complete(shell, "tic", 0) == []


def test_unloading_takes_everything_away(shell):
    shell.run_line_magic("unload_ext", "orchmagic")
    assert "chain" not in shell.magics_manager.magics["cell"]
    assert not any(getattr(m, "matcher_identifier", "") == "orchmagic" for m in shell.Completer.custom_matchers)
    shell.run_line_magic("load_ext", "orchmagic")
    assert "chain" in shell.magics_manager.magics["cell"]


def test_loading_imports_nothing_heavy():
    code = (
        "import sys; from IPython.core.interactiveshell import InteractiveShell as S; s = S.instance();"
        "s.run_line_magic('load_ext', 'orchmagic');"
        "print([m for m in ('langgraph', 'openai', 'plotly', 'diskcache', 'pydantic', 'jinja2', 'genai_prices') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


ASKING = '%%chain asking --no-cache --model scripted\nreply\n    A\ngate False else ask "Send it?"\nlast\n    B {{ answer }}\n'


def test_an_answer_is_taken_as_it_was_typed_and_goes_to_the_run_that_waits(shell, capsys):
    script = install(Script(lambda _: "ok"))
    assert shell.run_cell(ASKING).success
    assert not shell.run_cell("%orch resume asking").success
    assert "an answer is missing" in "".join(capsys.readouterr())
    assert shell.run_line_magic("orch", "resume asking I don't know").status == "done"
    assert script.requests[-1]["messages"][-1]["content"] == "B I don't know"


@pytest.mark.parametrize("options", ["-o 3x", "-o class", "-o later --background"])
def test_a_result_that_cannot_be_stored_is_refused(shell, capsys, options):
    script = install(Script(["x"]))
    assert not shell.run_cell(f"%%chain {options} --model scripted\na\n    b\n").success
    assert "-o" in "".join(capsys.readouterr())
    assert script.requests == []


def test_showing_the_langgraph_asks_nobody(shell, capsys):
    shell.run_cell("%%chain local --no-run --model scripted\na\n    b\n")
    data, _ = shell.display_formatter.format(shell.user_ns["local"].graph)
    assert "graph" in data["text/plain"]


@pytest.mark.parametrize("value", [[1, 2], {"a": 1}, "text", 0, None, len, str, json])
@pytest.mark.parametrize("option", ["", " --dry-run", " --no-run"])
def test_a_cell_does_not_replace_a_value_of_the_notebook(shell, capsys, value, option):
    script = install(Script(["ok"]))
    shell.user_ns["tickets"] = value
    assert not shell.run_cell(f"%%chain tickets --model scripted{option}\nsay\n    Hi\n").success
    told = capsys.readouterr()
    assert "'tickets' is a" in told.err + told.out
    assert shell.user_ns["tickets"] is value
    assert script.requests == []


def test_the_same_cell_again_and_a_changed_one_keep_their_name(shell):
    script = install(Script(lambda _: "ok"))
    for text in ("Hi", "Hi", "Ho"):
        assert shell.run_cell(f"%%chain greet --model scripted --no-cache\nsay\n    {text}\n").success
    assert len(script.requests) == 3
