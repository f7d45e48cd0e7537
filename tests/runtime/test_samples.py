"""Which answer a request gets from the cache: never one that was refused, and never one for several samples."""

import pytest

from orchmagic import Reply

GATED = """%%chain one
draft(retry=0)
    Write {{{{ topic }}}}.
gate "good" in draft {otherwise}
"""


def counted(notebook, answers):
    """A script that numbers its answers; `answers` are used first."""
    left = list(answers)
    return notebook.script(lambda body: left.pop(0) if left else "good")


@pytest.mark.parametrize("otherwise", ['else stop "bad"', "else retry 1", "else goto draft", ""])
def test_an_answer_that_fails_its_gate_is_not_served_again(notebook, otherwise):
    first = counted(notebook, ["bad"])
    one = notebook.define(GATED.format(otherwise=otherwise))
    notebook.space["topic"] = "x"
    one()
    asked = len(first.requests)
    assert one().output == "good"
    assert len(first.requests) > asked
    asked = len(first.requests)
    assert one().output == "good"
    assert len(first.requests) == asked, "what passed its gate is served"


@pytest.mark.parametrize("bad", [{"severity": "purple"}, "no JSON", {"other": 1}])
def test_an_answer_that_does_not_fit_is_not_served_again(notebook, bad):
    script = counted(notebook, [bad, {"severity": "high"}])
    one = notebook.define('%%chain one\nx(retry=0) -> severity: "low" | "high"\n    hi\n')
    assert one().status == "failed"
    assert one().output.severity == "high"
    assert one().output.severity == "high"
    assert len(script.requests) == 2


def test_a_stored_answer_that_does_not_fit_is_no_attempt(notebook):
    counted(notebook, ["3.5"])
    text = notebook.define("%%chain one\nx\n    hi\n")()
    assert text.output == "3.5"
    key = next(iter(text._context.answered["x"]))
    answers = notebook.session.services.caches.answers
    entry = answers.get(key)
    script = counted(notebook, [{"value": 7}])
    one = notebook.define("%%chain two\ny(retry=0) -> int\n    hi\n")
    one()
    (key,) = one.last._context.answered["y"]
    answers.set(key, entry)  # what an older version stored
    counted(notebook, [{"value": 8}])
    run = one()
    assert (run.status, run.output) == ("done", 8)
    assert len(script.requests) == 1


def test_what_a_person_rejected_is_not_served_again(notebook):
    script = counted(notebook, ["first draft", "second draft"])
    one = notebook.define('%%chain one\ndraft\n    hi\napprove "Send it?"\n')
    one().reject("too short")
    run = one()
    assert run.waiting.value == "second draft"
    run.approve()
    assert len(script.requests) == 2
    assert one().waiting.value == "second draft"


def test_each_visit_of_a_loop_is_asked_anew(notebook):
    numbers = iter(range(1, 99))
    script = notebook.script(lambda body: str(next(numbers)))
    cell = """%%chain one
roll
    Roll a die.
gate int(roll) >= 3 else goto roll
"""
    one = notebook.define(cell)
    assert one().output == "3"
    assert len(script.requests) == 3


@pytest.mark.parametrize(("temperature", "calls"), [("0.9", 5), ("0", 3), (None, 3)])
def test_equal_items_are_samples_of_their_own_at_a_temperature(notebook, temperature, calls):
    numbers = iter(range(1, 99))
    script = notebook.script(lambda body: Reply(str(next(numbers)), latency=0.01))
    option = "" if temperature is None else f", temperature={temperature}"
    one = notebook.define(f"%%chain one\nname(over=things, item=thing{option})\n    Name {{{{ thing }}}}.\n")
    notebook.space["things"] = ["cat", "dog", "cat", "cat", "owl"]
    first = one().output
    assert (len(script.requests), len(set(first))) == (calls, calls)
    assert one().output == first
    assert len(script.requests) == calls, "the second run makes no call"


def test_the_same_model_twice_is_asked_twice(notebook):
    notebook.script(lambda body: "4")
    cell = "%%cascade one --models scripted,scripted,scripted\nanswer\n    2 + 2?\nverify answer == '5'\n"
    run = notebook.run(cell)
    assert len(notebook.scripted.requests) == 3
    assert run.record.cached == 0


def test_a_time_on_the_line_lifts_a_cache_that_is_off(notebook):
    notebook.session.services.environ["ORCHMAGIC_CACHE"] = "off"
    notebook.session.reload()
    script = counted(notebook, [])
    for line, calls in (("", 2), (" --cache 1h", 3), (" --cache off", 5)):
        one = notebook.define(f"%%chain one{line}\nx\n    hi\n")
        one()
        one()
        assert len(script.requests) == calls
