"""%%plan: typed steps, side by side where they wait for nothing, revised when they fail or do not suffice; bounded."""

import json
import threading

import pytest
from pydantic import BaseModel

from orchmagic import Reply, Script, install
from orchmagic.errors import CellError
from orchmagic.models.providers.scripted import remove
from orchmagic.patterns import PATTERNS

CELL = """%%plan report --no-cache{options}
plan(model=scripted/planner) -> steps: list[str]
    Break the goal into steps: {{{{ goal }}}}
execute(model=scripted/worker)
    Do this step: {{{{ step }}}}. Results so far: {{{{ results }}}}
"""
REFLECT = """reflect(model=scripted/critic) -> ok: bool, feedback: str
    Goal: {{ goal }}. Results: {{ results }}. Complete?
"""
ANSWER = "answer(model=scripted/writer)\n"
ROLES = ("planner", "worker", "critic", "writer")


@pytest.fixture
def roles(notebook):
    notebook.space["goal"] = "tea"

    def scripts(**replies):
        return {name: install(Script(replies.get(name, [])), name) for name in ROLES}

    yield scripts
    for name in ROLES:
        remove(name)


def run(notebook, rest="", options=""):
    return notebook.define(CELL.format(options=options) + rest)()


def prompts(script):
    return [body["messages"][-1]["content"] for body in script.requests]


def counts(models):
    return tuple(len(models[name].requests) for name in ROLES)


def steps(*names):
    return {"steps": list(names)}


def ok(good=True, feedback=""):
    return {"ok": good, "feedback": feedback}


def test_steps_are_done_in_order_and_each_sees_the_results_so_far(notebook, roles):
    models = roles(planner=[steps("boil", "pour")], worker=["hot", "full"])
    done = run(notebook)
    assert done.status == "done"
    assert done.plan.steps == ["boil", "pour"]
    assert done.output == [
        {"round": 1, "number": 1, "step": "boil", "result": "hot"},
        {"round": 1, "number": 2, "step": "pour", "result": "full"},
    ]
    assert prompts(models["planner"]) == ["Break the goal into steps: tea"]
    assert prompts(models["worker"])[0] == "Do this step: boil. Results so far: "
    assert '"result":"hot"' in prompts(models["worker"])[1]


def test_parallel_workers_overlap_and_their_number_is_the_planners(notebook, roles):
    together = threading.Barrier(3, timeout=20)

    def brew(what: str) -> str:
        """Wait for the other two."""
        together.wait()
        return what

    def work(body):
        said = body["messages"][-1]
        step = body["messages"][0]["content"].split(": ")[1].split(".")[0]
        return said["content"] if said["role"] == "tool" else Reply(tool_calls=[("brew", {"what": step})])

    notebook.space["brew"] = brew
    models = roles(planner=[steps("a", "b", "c")], worker=work)
    done = run(notebook, options=" --parallel --tools brew")
    assert [r["result"] for r in done.results] == ["a", "b", "c"]
    assert [s.name for s in done.record.steps].count("execute") == 1
    assert len(models["worker"].requests) == 6


class Task(BaseModel):
    what: str
    after: list[int]


TYPED = CELL.replace("steps: list[str]", "steps: list[Task]").replace("{{{{ step }}}}", "{{{{ step.what }}}}")


def test_independent_steps_run_side_by_side_in_waves(notebook, roles):
    tasks = [{"what": "c", "after": [2, 3]}, {"what": "a", "after": []}, {"what": "b", "after": []}]
    models = roles(planner=[{"steps": tasks}], worker=lambda body: body["messages"][0]["content"][14:15])
    notebook.space["Task"] = Task
    done = notebook.define(TYPED.format(options=""))()
    assert [(r["number"], r["result"]) for r in done.results] == [(2, "a"), (3, "b"), (1, "c")]
    assert done.results[0]["step"] == {"what": "a", "after": []}
    assert [s.output for s in done.record.steps if s.name == "wave"] == [[2, 3], [1]]
    assert len(models["worker"].requests) == 3


@pytest.mark.parametrize(
    ("after", "told"), [([[2], [1]], "steps 1, 2 wait for each other"), ([[], [9]], "step 2 waits for step 9")]
)
def test_a_plan_that_cannot_be_carried_out_is_told_to_the_planner(notebook, roles, after, told):
    bad = [{"what": "a", "after": after[0]}, {"what": "b", "after": after[1]}]
    models = roles(planner=[{"steps": bad}, {"steps": [{"what": "a", "after": []}]}], worker=["done"])
    notebook.space["Task"] = Task
    done = notebook.define(TYPED.format(options=""))()
    assert (done.status, [r["result"] for r in done.results]) == ("done", ["done"])
    assert told in prompts(models["planner"])[1]
    assert len(models["worker"].requests) == 1


def test_an_empty_plan_is_told_to_the_planner(notebook, roles):
    models = roles(planner=[steps(), steps("a")], worker=["x"])
    assert run(notebook).status == "done"
    assert "the plan has no step" in prompts(models["planner"])[1]


def test_a_failing_step_makes_a_revised_plan_that_sees_what_was_done(notebook, roles):
    models = roles(
        planner=[steps("boil", "steep", "pour"), steps("pour cold")], worker=["hot", Reply(fault="401"), "full"]
    )
    done = run(notebook)
    assert done.status == "done"
    assert [(r["round"], r["step"], r["result"]) for r in done.results] == [
        (1, "boil", "hot"),
        (1, "steep", None),
        (2, "pour cold", "full"),
    ]
    revised = prompts(models["planner"])[1]
    assert '"result":"hot"' in revised
    assert "step 2 failed: " in revised
    assert "401" in revised
    assert counts(models) == (2, 3, 0, 0)


def test_a_failing_step_leaves_those_beside_it_alone(notebook, roles):
    def work(body):
        return Reply(fault="401") if "step: b." in body["messages"][0]["content"] else "fine"

    models = roles(planner=[steps("a", "b", "c"), steps("d")], worker=work)
    done = run(notebook, options=" --parallel")
    assert [r["result"] for r in done.results] == ["fine", None, "fine", "fine"]
    assert "step 2 failed: " in prompts(models["planner"])[1]


def test_revisions_are_capped_with_the_partial_results(notebook, roles):
    models = roles(
        planner=lambda body: steps("a", "b"),
        worker=lambda body: "fine" if "step: a." in body["messages"][0]["content"] else Reply(fault="401"),
    )
    done = run(notebook)
    assert (done.status, len(models["planner"].requests)) == ("capped", 3)
    assert "2 revisions of the plan were not enough" in done.reason
    assert [r["result"] for r in done.output] == ["fine", None] * 3


def test_no_revision_is_made_when_none_is_allowed(notebook, roles):
    models = roles(planner=lambda _: steps("a"), worker=lambda _: Reply(fault="401"))
    done = run(notebook, options=" --max-replans 0")
    assert (done.status, len(models["planner"].requests)) == ("capped", 1)


def test_reflection_ends_the_run_when_it_is_satisfied(notebook, roles):
    models = roles(planner=[steps("boil")], worker=["hot"], critic=[ok()])
    done = run(notebook, REFLECT)
    assert (done.status, counts(models)) == ("done", (1, 1, 1, 0))


def test_reflection_that_is_not_satisfied_makes_one_more_round(notebook, roles):
    models = roles(
        planner=[steps("boil"), steps("pour")], worker=["hot", "full"], critic=[ok(False, "no tea yet"), ok()]
    )
    done = run(notebook, REFLECT)
    assert (done.status, counts(models)) == ("done", (2, 2, 2, 0))
    assert "no tea yet" in prompts(models["planner"])[1]
    assert [(r["round"], r["result"]) for r in done.results] == [(1, "hot"), (2, "full")]


def test_a_revised_plan_with_nothing_left_to_do_goes_on_to_reflection(notebook, roles):
    models = roles(planner=[steps("boil", "steep"), steps()], worker=["hot", Reply(fault="401")], critic=[ok()])
    done = run(notebook, REFLECT)
    assert (done.status, counts(models)) == ("done", (2, 2, 1, 0))


def test_reflection_without_words_still_makes_another_round(notebook, roles):
    models = roles(planner=[steps("a"), steps("b")], worker=["x", "y"], critic=[ok(False), ok()])
    assert run(notebook, REFLECT).status == "done"
    assert "not good enough yet" in prompts(models["planner"])[1]


def test_rounds_of_reflection_are_capped_with_the_partial_results(notebook, roles):
    models = roles(planner=lambda _: steps("a"), worker=lambda _: "x", critic=lambda _: ok(False, "more"))
    done = run(notebook, REFLECT, " --max-replans 1")
    assert (done.status, [r["result"] for r in done.output], counts(models)) == ("capped", ["x", "x"], (2, 2, 2, 0))


def test_max_steps_ends_the_run_with_the_partial_results(notebook, roles):
    roles(planner=[steps(*"abcdefghij")], worker=lambda _: "x")
    done = run(notebook, options=" --max-steps 7")
    assert done.status == "capped"
    assert 0 < len(done.output) < 10


@pytest.mark.slow
def test_the_deadline_ends_the_run_with_the_partial_results(notebook, roles):
    waits = threading.Event()

    def hang(body):
        if "step: b." in body["messages"][0]["content"]:
            return Reply("late", latency=60)
        waits.set()
        return "x"

    roles(planner=[steps("a", "b")], worker=hang)
    done = run(notebook, options=" --deadline 3s")
    assert waits.is_set()
    assert (done.status, [r["result"] for r in done.output]) == ("capped", ["x"])
    assert "deadline" in done.reason


@pytest.mark.parametrize(("options", "limit"), [("", 16), (" --max-tasks 2", 2)])
def test_a_plan_of_too_many_steps_is_not_begun(notebook, roles, options, limit):
    models = roles(planner=[steps(*map(str, range(limit + 1)))])
    done = run(notebook, options=options)
    assert done.status == "capped"
    assert f"more than {limit} steps" in done.reason
    assert counts(models) == (1, 0, 0, 0)


def test_an_answer_is_written_from_the_results(notebook, roles):
    models = roles(planner=[steps("boil")], worker=["hot"], critic=[ok()], writer=["Tea is ready."])
    done = run(notebook, REFLECT + ANSWER)
    assert (done.status, done.output) == ("done", "Tea is ready.")
    assert '"result":"hot"' in prompts(models["writer"])[0]
    assert prompts(models["writer"])[0].startswith("Task:\nBreak the goal into steps: tea")


def test_the_partial_results_are_the_output_while_there_is_no_answer(notebook, roles):
    roles(planner=lambda _: steps("a"), worker=lambda _: "x", critic=lambda _: ok(False, "more"))
    done = run(notebook, REFLECT + ANSWER, " --max-replans 0")
    assert (done.status, done.output[0]["result"]) == ("capped", "x")


def test_only_plan_needs_a_prompt(notebook):
    notebook.script(steps("boil"), "hot", {"ok": True, "feedback": ""}, "Tea.")
    done = notebook.run("%%plan\nplan\n    Plan {{ goal }}\nreflect\nanswer\n", goal="tea")
    assert (done.status, done.output) == ("done", "Tea.")
    assert notebook.prompts[1] == "Step: boil"


def test_a_worker_whose_prompt_does_not_name_the_step_is_told_it(notebook):
    notebook.script(steps("boil"), "hot")
    notebook.run("%%plan\nplan\n    Plan {{ goal }}\nexecute\n    Be quick.\n", goal="tea")
    assert notebook.prompts[1] == "Be quick.\n\nStep: boil"


def test_workers_use_tools_each_in_a_conversation_of_its_own(notebook, roles):
    def heat(what: str) -> str:
        """Heat it."""
        return f"{what} is hot"

    def work(body):
        said = body["messages"][-1]
        return (
            said["content"]
            if said["role"] == "tool"
            else Reply(tool_calls=[("heat", {"what": str(len(body["messages"]))})])
        )

    notebook.space["heat"] = heat
    models = roles(planner=[steps("a", "b")], worker=work)
    done = run(notebook, options=" --tools heat")
    assert [r["result"] for r in done.results] == ["1 is hot", "1 is hot"]
    assert {len(b["messages"]) for b in models["worker"].requests} == {1, 3}
    assert "tools" not in models["planner"].requests[0]


def test_a_worker_may_be_another_orchestration(notebook, roles):
    notebook.space["brew"] = notebook.define("%%chain brew\npour(model=scripted/worker)\n    Brew {{ what }}\n")
    models = roles(planner=[steps("green", "black")], worker=["G", "B"])
    done = notebook.define(
        "%%plan\nplan(model=scripted/planner) -> steps: list[str]\n    Plan {{ goal }}\nexecute(run=brew)\n"
    )()
    assert [r["result"] for r in done.results] == ["G", "B"]
    assert prompts(models["worker"]) == ["Brew green", "Brew black"]


def test_typed_results_travel_as_json(notebook):
    notebook.script(steps("boil"), {"degrees": 100, "ok": True})
    done = notebook.run(
        "%%plan\nplan\n    Plan {{ goal }}\nexecute -> degrees: int, ok: bool\n    Do {{ step }}\n", goal="tea"
    )
    assert json.loads(json.dumps(done.output))[0]["result"] == {"degrees": 100, "ok": True}


def test_code_before_the_plan_runs_once(notebook):
    notebook.script(steps("a"), "x")
    done = notebook.run(
        "%%plan\ndocs = search(goal)\nplan\n    Plan {{ goal }} with {{ docs }}\n", goal="tea", search=lambda g: [g]
    )
    assert (done.docs, notebook.prompts[0]) == (["tea"], 'Plan tea with ["tea"]')


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("execute\n    x\n", "no step 'plan'"),
        ("plan\nexecute\n    x\n", "step 'plan' has no prompt"),
        ("plan -> why: str\n    x\n", "'plan' returns no list of steps"),
        ("plan\n    x\nreflect -> why: str\n    y\n", "'reflect' returns no verdict"),
        ("plan\n    x\nexecut\n    y\n", "no step 'execut'"),
        ("plan\n    x\nresults = 1\n", "'results' is a name of %%plan itself"),
        ("plan\n    x\nwave = 1\n", "'wave' is a name of %%plan itself"),
        ("plan = make()\n", "'plan' is a prompt in %%plan"),
        ("plan\n    x\nexecute(over=goals)\n    y\n", "`over=` of `execute`"),
        ("plan\n    x\ngate True\n", "no `gate` line"),
    ],
)
def test_a_wrong_cell_is_one_clear_line(notebook, text, told):
    with pytest.raises(CellError) as caught:
        notebook.define(f"%%plan\n{text}")
    assert [p for p in caught.value.problems if told in p.found]
    assert all(p.write for p in caught.value.problems)


def test_a_tool_that_is_not_there_is_one_clear_line(notebook):
    with pytest.raises(CellError, match="no function 'serch'"):
        notebook.define("%%plan --tools serch\nplan\n    x\n")


def test_the_example_runs(notebook):
    def search(query: str) -> str:
        """Search."""
        return query

    notebook.space["search"] = search
    notebook.script(steps("find", "write"), Reply(tool_calls=[("search", {"query": "q"})]), "found", "written", ok())
    done = notebook.run(PATTERNS.get("plan").example, goal="a report")
    assert (done.status, [r["result"] for r in done.results]) == ("done", ["found", "written"])
