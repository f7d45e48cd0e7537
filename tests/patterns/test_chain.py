"""%%chain: steps in order, each reading those before it; gates, conditions and code steps between them."""

import pytest

from orchmagic.errors import CellError, InputError, SettingsError
from orchmagic.graph.model import END

THREE = """%%chain
first
    A {{ topic }}
second
    B {{ first }}
third
    C {{ second }}
"""


def test_three_steps_make_three_calls_in_order(notebook):
    notebook.script("one", "two", "three")
    run = notebook.run(THREE, topic="bees")
    assert (run.status, run.output) == ("done", "three")
    assert notebook.prompts == ["A bees", "B one", "C two"]


def test_the_same_cell_again_makes_no_call(notebook):
    notebook.script("one", "two", "three", "four")
    notebook.run(THREE, topic="bees")
    again = notebook.run(THREE, topic="bees")
    assert (again.output, again.record.calls, again.record.cached) == ("three", 0, 3)
    assert len(notebook.scripted.requests) == 3


def test_an_edited_step_runs_again_with_those_behind_it(notebook):
    notebook.script("one", "two", "three", "deux", "trois")
    notebook.run(THREE, topic="bees")
    edited = notebook.run(THREE.replace("B {{", "Edited {{"), topic="bees")
    assert edited.output == "trois"
    assert (edited.record.calls, edited.record.cached) == (2, 1)


def test_an_edited_prompt_never_gets_the_old_answer(notebook):
    notebook.script("one", "two", "three", "new")
    notebook.run(THREE, topic="bees")
    assert notebook.run(THREE.replace("C {{", "D {{"), topic="bees").output == "new"


def test_one_step_can_have_its_own_model(notebook):
    notebook.script("one", "two", "three")
    run = notebook.run(THREE.replace("second", "second(model=scripted, temperature=0.5)", 1), topic="x")
    assert [b.get("temperature") for b in notebook.scripted.requests] == [None, 0.5, None]
    assert [s.model for s in run.record.spans if s.kind == "ask"] == ["scripted"] * 3


TYPED = """%%chain
extract(retry={retry}) -> product: str, severity: "low" | "high"
    Read {{{{ ticket }}}}
reply(when=extract.severity == "high")
    About {{{{ extract.product }}}}
"""


def test_outputs_are_typed_values(notebook):
    notebook.script({"product": "lamp", "severity": "high"}, "sorry")
    run = notebook.run(TYPED.format(retry=1), ticket="t")
    assert (run.extract.product, run.extract.severity, run.reply) == ("lamp", "high", "sorry")
    assert notebook.prompts[1] == "About lamp"


def test_a_false_condition_skips_the_step(notebook):
    notebook.script({"product": "lamp", "severity": "low"})
    run = notebook.run(TYPED.format(retry=1), ticket="t")
    assert run.reply is None
    assert run.output.product == "lamp"
    assert [s.status for s in run.record.steps] == ["done", "skipped"]


def test_a_wrong_value_is_asked_again_with_the_error(notebook):
    notebook.script({"product": "lamp", "severity": "huge"}, {"product": "lamp", "severity": "low"})
    run = notebook.run(TYPED.format(retry=1), ticket="t")
    assert run.extract.severity == "low"
    assert "severity" in notebook.prompts[1]
    assert notebook.scripted.requests[1]["messages"][-2]["role"] == "assistant"


def test_a_value_that_stays_wrong_fails_at_that_step(notebook):
    notebook.script(*[{"product": "lamp", "severity": "huge"}] * 3)
    run = notebook.run(TYPED.format(retry=2), ticket="t")
    assert run.status == "failed"
    assert "'extract'" in run.error
    assert len(notebook.scripted.requests) == 3


def test_broken_json_is_mended_without_paying_again(notebook):
    notebook.script('```json\n{"product": "lamp", "severity": "low",}\n```')
    run = notebook.run(TYPED.format(retry=1), ticket="t")
    assert run.extract.product == "lamp"
    assert len(notebook.scripted.requests) == 1


GATE = """%%chain
extract -> quote: str
    Read {{{{ ticket }}}}
gate extract.quote in ticket{action}
reply
    Answer {{{{ extract.quote }}}}
"""


def test_a_passed_gate_lets_the_run_go_on(notebook):
    notebook.script({"quote": "broken"}, "fine")
    assert notebook.run(GATE.format(action=""), ticket="it is broken").output == "fine"


def test_a_failed_gate_stops_before_the_next_call(notebook):
    notebook.script({"quote": "invented"})
    run = notebook.run(GATE.format(action=""), ticket="it is broken")
    assert run.status == "failed"
    assert "extract.quote in ticket" in run.error
    assert "extract.quote = 'invented'" in run.error
    assert len(notebook.scripted.requests) == 1


def test_gate_retry_asks_again_with_the_failed_check(notebook):
    notebook.script({"quote": "invented"}, {"quote": "broken"}, "fine")
    run = notebook.run(GATE.format(action=" else retry 2"), ticket="it is broken")
    assert run.output == "fine"
    assert "extract.quote in ticket" in notebook.prompts[1]
    assert notebook.scripted.requests[1]["messages"][-2]["content"] == '{"quote":"invented"}'


def test_gate_retry_ends_after_its_number(notebook):
    notebook.script(*[{"quote": f"invented {i}"} for i in range(5)])
    run = notebook.run(GATE.format(action=" else retry 2"), ticket="it is broken")
    assert run.status == "failed"
    assert len(notebook.scripted.requests) == 3


def test_gate_stop_ends_the_run_with_its_reason(notebook):
    notebook.script({"quote": "invented"})
    run = notebook.run(GATE.format(action=' else stop "no quote"'), ticket="it is broken")
    assert (run.status, run.reason) == ("done", "no quote")
    assert run.reply is None


def test_gate_goto_jumps_ahead(notebook):
    cell = """%%chain
sort -> kind: str
    Kind of {{ text }}
gate sort.kind == "a" else goto last
middle
    Middle
last
    Last
"""
    notebook.script({"kind": "b"}, "end")
    run = notebook.run(cell, text="t")
    assert (run.middle, run.last) == (None, "end")


def test_gate_goto_back_is_capped(notebook):
    cell = """%%chain --max-iterations 3
draft
    Draft {{ text }}
gate False else goto draft
"""
    notebook.script(lambda _: "one")
    run = notebook.run(cell, text="t")
    assert run.status == "capped"
    assert run.output == "one"
    assert "3 times" in run.reason


def test_gate_ask_waits_and_goes_on_with_the_reply(notebook):
    cell = """%%chain helper
sort -> clear: bool
    Is it clear? {{ text }}
gate sort.clear else ask "Which product do you mean?"
reply
    Answer {{ text }} {{ answer }}
"""
    notebook.script({"clear": False}, "thanks")
    run = notebook.run(cell, text="it broke")
    assert (run.status, run.reason) == ("waiting", "Which product do you mean?")
    assert len(notebook.scripted.requests) == 1
    run.resume("the lamp")
    assert (run.status, run.output) == ("done", "thanks")
    assert notebook.prompts[1] == "Answer it broke the lamp"
    assert len(notebook.scripted.requests) == 2


def test_nobody_is_asked_when_the_gate_holds(notebook):
    cell = """%%chain
gate len(text) > 3 else ask "More, please"
reply
    Answer {{ text }}{{ answer }}
"""
    notebook.script("ok")
    assert notebook.run(cell, text="long enough").output == "ok"
    assert notebook.prompts == ["Answer long enough"]


def test_a_code_step_calls_a_notebook_function(notebook):
    notebook.script("answer")
    run = notebook.run(
        "%%chain\ndocs = search(text, k=2)\nreply\n    Use {{ docs }}\n", text="t", search=lambda q, k: [q] * k
    )
    assert run.docs == ["t", "t"]
    assert notebook.prompts == ['Use ["t","t"]']


def test_a_code_step_that_raises_names_the_step_and_the_expression(notebook):
    run = notebook.run("%%chain\nx = 1 / zero\nreply\n    {{ x }}\n", zero=0)
    assert run.status == "failed"
    assert "step 'x'" in run.error
    assert "ZeroDivisionError" in run.error


def test_a_value_that_is_no_json_is_named(notebook):
    run = notebook.run("%%chain\nx = make()\nreply\n    {{ x }}\n", make=object)
    assert run.status == "failed"
    assert "'x' is of type object, which is not JSON" in run.error


def test_a_function_may_be_async(notebook):
    async def fetch(word):
        return word * 2

    notebook.script("ok")
    assert notebook.run("%%chain\nx = fetch(word)\nreply\n    {{ x }}\n", word="a", fetch=fetch).x == "aa"


@pytest.mark.parametrize(
    ("cell", "told"),
    [
        ("%%chain\nfirst(modle=large)\n    x\n", "unknown option 'modle'"),
        ("%%chain\nfirst(temperature=hot)\n    x\n", "temperature=hot cannot be read"),
        ("%%chain\nfirst -> a: str\n    x\ngate first.b == 1\n", "no output 'b'"),
        ("%%chain\nfirst\n    x\ngate frst\n", "did you mean 'first'"),
        ("%%chain\nfirst\n    x\ngate True else goto secnd\nsecond\n    y\n", "did you mean 'second'"),
        ("%%chain\ngate True else retry 2\nfirst\n    x\n", "no step to retry"),
        ("%%chain\nfirst\n    x\nuntil first max 3\n", "%%chain has no `until` line"),
        ("%%chain\nfirst -> Tiket\n    x\n", "Tiket"),
        ("%%chain --budgt 1\nfirst\n    x\n", "--budget"),
        ("%%chain\n", "empty"),
    ],
)
def test_a_wrong_cell_is_one_clear_line(notebook, cell, told):
    with pytest.raises(CellError) as caught:
        notebook.define(cell)
    assert told in str(caught.value)
    assert caught.value.problems[0].write


def test_a_name_that_looks_like_a_step_is_an_input_where_the_line_says_so(notebook):
    with pytest.raises(CellError, match="'darft' is no step and no notebook variable"):
        notebook.define("%%chain\ndraft\n    {{ darft }}\n")
    assert notebook.define("%%chain -i darft\ndraft\n    {{ darft }}\n").definition.inputs == ("darft",)


def test_all_problems_are_told_at_once(notebook):
    with pytest.raises(CellError) as caught:
        notebook.define("%%chain\nfirst(modle=a)\n    x\nsecond(tmeout=2)\n    y\ngate first and secnd\n")
    assert [p.line for p in caught.value.problems] == [2, 4, 6]


@pytest.mark.parametrize(
    ("cell", "told"),
    [
        ("%%chain q\na\n    about {{ q }}\n", "also something that the cell reads"),
        ("%%chain list\na\n    b\n", "is a Python builtin"),
        ("%%chain\na\n    {{ b }}\nb\n    x\n", "step 'a' reads 'b', which runs later"),
        ("%%chain\na\n    {{ a }}\n", "step 'a' reads 'a', which runs later"),
        ("%%chain\na(when=b)\n    x\nb\n    y\n", "step 'a' reads 'b', which runs later"),
        ("%%chain\na\n    {{ b }}\ngate a != '' else goto a\nb\n    y\n", "step 'a' reads 'b', which runs later"),
    ],
)
def test_what_would_only_show_when_it_runs_is_found_before(notebook, cell, told):
    notebook.space["q"] = "hello"
    with pytest.raises(CellError) as caught:
        notebook.define(cell)
    assert told in str(caught.value)


def test_a_step_may_read_a_later_one_when_a_loop_leads_back(notebook):
    notebook.script("one", {"good": False}, "two", {"good": True})
    run = notebook.run(
        "%%chain --no-cache\na\n    Write {% if b %}better{% endif %}\nb -> good: bool\n    Judge {{ a }}\n"
        "gate b.good else goto a\n"
    )
    assert (run.status, run.a) == ("done", "two")
    assert notebook.prompts[2] == "Write better"


def test_a_function_that_is_not_there_is_missed_before_a_call_is_paid(notebook):
    made = notebook.define("%%chain\na\n    hi\ngate nosuch(a)\n")
    assert made.missing() == ["nosuch"]
    with pytest.raises(InputError, match="needs nosuch"):
        made()
    assert notebook.scripted.requests == []


def test_a_key_that_a_later_step_needs_is_missed_before_a_call_is_paid(notebook):
    models = '{"far": {"model": "x", "base_url": "http://192.0.2.1/v1", "key_env": "FOO_KEY"}}'
    notebook.session.services.environ.update({"ORCHMAGIC_MODELS": models})
    with pytest.raises(SettingsError, match="needs FOO_KEY: set it"):
        notebook.run("%%chain\na\n    x\nb(model=far)\n    y\n")
    assert notebook.scripted.requests == []


def test_goto_goes_back_at_most_as_often_as_the_magic_line_says(notebook):
    branch = notebook.define("%%chain --max-iterations 3\na\n    A\ngate a else goto a\n").definition.link("gate_1")
    assert [(arm.target, arm.limit) for arm in branch.arms] == [(END, None), ("a", 2)]
