"""One orchestration inside another: inputs, values, limits, trace, edits, circles."""

import threading

import pytest
from lives import bind, spans

from orchmagic import Reply
from orchmagic.errors import CellError
from orchmagic.graph.composition import downstream
from orchmagic.trace.events import Usage

TRIAGE = """%%chain triage
extract -> product: str, urgent: bool
    Read {{ ticket }}
"""
OUTER = """%%chain outer
found = triage(ticket=mail)
reply
    Answer about {{ found.product }}
"""
LAMP = {"product": "lamp", "urgent": True}
WORDS = "%%chain words{options}\nfirst\n    One {{{{ text }}}}\nsecond\n    Two {{{{ first }}}}\n"


def words(options=""):
    return WORDS.format(options=f" {options}" if options else "")


def echo(body):
    return f"<{body['messages'][-1]['content']}>"


def test_a_chain_runs_inside_a_chain_and_its_output_is_typed(notebook):
    bind(notebook, TRIAGE)
    notebook.script(LAMP, "sorry")
    run = notebook.run(OUTER, mail="it broke")
    assert (run.status, run.output, run.found.product, run.found.urgent) == ("done", "sorry", "lamp", True)
    assert notebook.prompts == ["Read it broke", "Answer about lamp"]


@pytest.mark.parametrize("call", ["triage(mail)", "triage(ticket=mail)", "triage(ticket=mail + '')"])
def test_inputs_go_by_place_or_by_name(notebook, call):
    bind(notebook, TRIAGE)
    notebook.script(LAMP, "sorry")
    run = notebook.run(OUTER.replace("triage(ticket=mail)", call), mail="it broke")
    assert notebook.prompts[0] == "Read it broke"
    assert run.inputs == {"mail": "it broke"}


def test_inputs_of_the_same_name_are_found_by_themselves(notebook):
    bind(notebook, TRIAGE)
    notebook.script(LAMP, "sorry")
    run = notebook.run(OUTER.replace("ticket=mail", ""), ticket="it broke")
    assert run.inputs == {"ticket": "it broke"}
    assert notebook.prompts[0] == "Read it broke"


def test_an_orchestration_is_a_step_by_run(notebook):
    bind(notebook, TRIAGE)
    notebook.script(LAMP, "sorry")
    run = notebook.run("%%chain\nfound(run=triage)\nreply\n    About {{ found.product }}\n", ticket="it broke")
    assert (run.output, notebook.prompts[1]) == ("sorry", "About lamp")


def test_an_orchestration_is_a_handler(notebook):
    bind(notebook, TRIAGE)
    notebook.script({"label": "broken"}, LAMP)
    run = notebook.run("%%route\nbroken(run=triage): broken things\nother: the rest\n    {{ ticket }}\n", ticket="t")
    assert (run.status, run.output.product) == ("done", "lamp")


def test_an_orchestration_runs_for_each_item(notebook):
    bind(notebook, words())
    notebook.script(echo)
    run = notebook.run("%%chain\nboth(run=words, over=texts, item=text)\n", texts=["a", "b"])
    assert run.output == ["<Two <One a>>", "<Two <One b>>"]
    assert spans(run, "item") == ["both#1/1", "both#1/2"]
    assert {"both#1/1/first#1", "both#1/2/second#1"} <= set(spans(run))


def test_a_false_condition_skips_the_whole_orchestration(notebook):
    bind(notebook, TRIAGE)
    run = notebook.run("%%chain\nfound(run=triage, when=False)\nlast\n    Hi\n", ticket="t")
    assert (run.found, notebook.prompts) == (None, ["Hi"])


def test_the_same_orchestration_may_run_twice_in_one_cell(notebook):
    bind(notebook, words())
    notebook.script(echo)
    run = notebook.run("%%chain\na = words(text='x')\nb = words(text=a)\n")
    assert run.output == "<Two <One <Two <One x>>>>"
    assert [s.id for s in run.record.steps] == ["a#1", "b#1"]


def test_orchestrations_nest_three_deep(notebook):
    bind(notebook, words())
    bind(notebook, "%%chain middle\nx = words(text=text)\nmore\n    More {{ x }}\n")
    notebook.script(echo)
    run = notebook.run("%%chain top\ny = middle(text=text)\nlast\n    Last {{ y }}\n", text="t")
    assert run.output == "<Last <More <Two <One t>>>>"
    assert "y#1/x#1/first#1" in spans(run)
    assert run.record.calls == 4


def test_calls_tokens_and_costs_of_the_inner_run_add_up(notebook):
    models = '{"priced": {"provider": "scripted", "model": "scripted", "input_price": 1, "output_price": 2}}'
    notebook.session.services.environ.update({"ORCHMAGIC_MODELS": models, "ORCHMAGIC_MODEL": "priced"})  # fmt: skip
    bind(notebook, words())
    notebook.script(lambda _: Reply("x", usage=Usage(input=1000, output=500)))
    run = notebook.run("%%chain\na = words(text='x')\nb\n    {{ a }}\n")
    assert run.record.calls == 3
    assert run.tokens == 4500
    assert run.cost == pytest.approx(3 * 0.002)
    assert [s.usage.total for s in run.record.steps] == [3000, 1500]


def test_the_inner_run_is_served_from_the_cache(notebook):
    bind(notebook, words())
    notebook.script(echo)
    cell = "%%chain\na = words(text='x')\nb\n    {{ a }}\n"
    first, second = notebook.run(cell), notebook.run(cell)
    assert (second.output, second.record.calls, second.record.cached) == (first.output, 0, 3)


LIMITED = "%%chain\na = words(text='x')\nlast\n    Got {{ a }}\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("limit", "told"), [("--max-steps 1", "max-steps"), ("--deadline 2s", "deadline"), ("--max-tokens 1400", "max-")]
)
def test_an_inner_limit_gives_the_partial_result_and_the_outer_run_goes_on(notebook, limit, told):
    bind(notebook, words(f"{limit} --no-cache"))
    slow = "deadline" in limit

    def answer(body):
        text = body["messages"][-1]["content"]
        spent = Usage(input=300, output=100)
        return Reply(f"<{text}>", latency=60 if slow and text.startswith("Two") else 0, usage=spent)

    notebook.script(answer)
    run = notebook.run(LIMITED)
    assert (run.status, run.output) == ("done", "<Got <One x>>")
    assert told in str([s.why for s in run.record.steps if s.name == "a"])


@pytest.mark.slow
@pytest.mark.parametrize("limit", ["--max-steps 2", "--deadline 2s", "--max-tokens 1400"])
def test_a_limit_of_the_outer_run_ends_it_also_inside_the_inner_one(notebook, limit):
    bind(notebook, words())

    def answer(body):
        text = body["messages"][-1]["content"]
        slow = "deadline" in limit and text.startswith("Two")
        return Reply(f"<{text}>", latency=60 if slow else 0, usage=Usage(input=300, output=100))

    notebook.script(answer)
    run = notebook.run(LIMITED.replace("%%chain", f"%%chain {limit} --no-cache"))
    assert run.status == "capped"
    assert limit.split()[0].removeprefix("--") in run.reason
    assert not any("Got" in p for p in notebook.prompts)


def test_an_inner_budget_ends_only_the_inner_run(notebook):
    models = '{"priced": {"provider": "scripted", "model": "scripted", "input_price": 1, "output_price": 100}}'
    notebook.session.services.environ.update({"ORCHMAGIC_MODELS": models, "ORCHMAGIC_MODEL": "priced"})  # fmt: skip
    bind(notebook, words("--budget 0.15"))
    notebook.script(lambda body: Reply(f"<{body['messages'][-1]['content']}>", usage=Usage(input=10, output=900)))
    run = notebook.run(LIMITED)
    assert (run.status, run.output) == ("done", "<Got <One x>>")
    assert "budget" in str(run.record.steps[0].why)


def test_a_gate_that_fails_inside_fails_the_outer_run_with_the_reason(notebook):
    bind(notebook, "%%chain strict\nfirst\n    One {{ text }}\ngate len(first) > 100\n")
    notebook.script(echo)
    run = notebook.run("%%chain\na = strict(text='x')\nlast\n    {{ a }}\n")
    assert run.status == "failed"
    assert "len(first) > 100 is false" in run.error
    assert run.record.steps[0].status == "failed"


def test_a_stop_inside_ends_the_outer_run_without_an_output(notebook):
    bind(notebook, '%%chain brief\nfirst\n    One {{ text }}\ngate False else stop "enough"\nmore\n    More\n')
    notebook.script(echo)
    run = notebook.run("%%chain\na = brief(text='x')\nlast\n    {{ a }}\n")
    assert (run.status, run.output, run.reason) == ("done", None, "enough")
    assert len(notebook.prompts) == 1
    assert "enough" in str(run.record.steps[0].why)


def test_a_cancel_reaches_the_inner_run(notebook):
    bind(notebook, words())
    notebook.script("one", Reply("never", latency=60))
    notebook.space["text"] = "x"
    run = notebook.define("%%chain --no-cache\na = words(text=text)\n").prepare()
    heard = threading.Event()
    run.trace.listeners.append(lambda e: heard.set() if getattr(e, "call", "") == "a#1/second#1.1" else None)
    run.start()
    assert heard.wait(10)
    run.cancel()
    assert run.status == "cancelled"
    assert next(s.status for s in run.record.spans if s.id == "a#1/second#1") == "cancelled"


def test_an_edited_inner_cell_is_taken_up_by_the_outer_one(notebook):
    bind(notebook, words())
    notebook.script(echo)
    outer = bind(notebook, "%%chain outer\na = words(text='x')\n")
    assert outer().output == "<Two <One x>>"
    bind(notebook, words().replace("Two", "Edited"))
    assert outer().output == "<Edited <One x>>"


def test_a_step_on_its_own_stays_a_step_when_an_inner_cell_is_edited(notebook):
    bind(notebook, words())
    notebook.script(echo)
    alone = bind(notebook, "%%chain outer\na = words(text='x')\nb\n    B {{ a }}\n").step("b")
    bind(notebook, words().replace("Two", "Edited"))
    assert alone(a="given").output == "<B given>"


def test_a_circle_is_refused(notebook):
    bind(notebook, "%%chain a\nx\n    {{ text }}\n")
    bind(notebook, "%%chain b\ny = a(text='t')\n")
    with pytest.raises(CellError, match="a → b → a is a circle"):
        bind(notebook, "%%chain a\nx = b()\n")


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("x = triage(ticket=mail).product", "is an orchestration. Write `x = triage(ticket=…)`"),
        ("x = [triage(t) for t in mail]", "orchestration"),
        ("x = triage", "orchestration"),
        ("x = triage(mail, 3)", "is given 2 inputs. Write triage(ticket=…)"),
        ("x = triage(mial=3)", "no input 'mial'"),
        ("x = triage(mail, ticket=mail)", "given 'ticket' twice"),
        ("x = triage(*mail)", "by name"),
        ("x = triage(**mail)", "by name"),
        ("x = triage(ticket=triage(mail))", "orchestration"),
        ("gate triage(mail)", "orchestration"),
        ("x(when=triage(mail))\n    Hi", "orchestration"),
        ("x(over=triage(mail))\n    Hi {{ item }}", "orchestration"),
        ("x(run=triage)\n    a prompt", "a prompt or output of its own"),
        ("x(run=triaeg)", "did you mean 'triage'"),
        ("x(run=triage, temperature=1)", "unknown option 'temperature'"),
        ("x\n    Use {{ triage(mail) }}", "orchestration"),
    ],
)
def test_an_orchestration_used_wrongly_is_one_clear_line(notebook, line, told):
    bind(notebook, TRIAGE)
    notebook.space["mail"] = "m"
    with pytest.raises(CellError) as caught:
        notebook.define(f"%%chain\nfirst\n    Hello\n{line}\n")
    assert told.lower() in str(caught.value).lower()
    assert caught.value.problems[0].write


def test_a_step_may_have_the_name_of_the_orchestration_that_it_runs(notebook):
    bind(notebook, TRIAGE)
    notebook.script(LAMP, "ok")
    run = notebook.run("%%chain\ntriage = triage(ticket='t')\nb\n    About {{ triage.product }}\n")
    assert (run.status, notebook.prompts[1]) == ("done", "About lamp")


def test_a_step_hides_the_orchestration_of_its_name(notebook):
    bind(notebook, TRIAGE)
    notebook.script("said", "ok")
    run = notebook.run("%%chain\ntriage\n    Hi\nx = triage.upper()\nb\n    {{ x }}\n")
    assert (run.status, run.x) == ("done", "SAID")


def test_a_run_of_an_orchestration_from_within_a_function_of_the_notebook_is_refused_not_hung(notebook):
    inner = bind(notebook, words())
    notebook.script(echo)

    async def nested(text):
        return (await inner.arun(text=text)).output

    run = notebook.run("%%chain\nx = nested('t')\n", nested=nested)
    assert (run.status, run.x) == ("done", "<Two <One t>>")


def test_what_a_loop_leads_back_to_is_not_downstream(notebook):
    rounds = notebook.define("%%refine\ngenerate\n    A\nlook = len(generate)\nevaluate\n    B\nuntil evaluate max 3\n")
    graph = rounds.definition
    assert [n.name for n in graph.nodes] == ["generate", "look", "evaluate", "rounds", "best"]
    assert ("best", "generate") in set(graph.arrows())
    assert downstream(graph, "look") == {"look", "evaluate", "rounds", "best"}
    assert downstream(graph, "best") == {"best"}


def test_downstream_leaves_the_other_branches_out(notebook):
    graph = notebook.define("%%route\na: x\n    A {{ q }}\nb: y\n    B {{ q }}\n").definition
    assert downstream(graph, "a") == {"a"}
    assert downstream(graph, "router") == {"router", "a", "b"}
