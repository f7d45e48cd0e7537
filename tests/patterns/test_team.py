"""%%team: the supervisor picks who works, each agent has its own prompt, model and tools, all turns are capped."""

import json

import pytest

from orchmagic import Reply, Script, install
from orchmagic.errors import CellError
from orchmagic.models.providers.scripted import remove
from orchmagic.patterns import PATTERNS

CELL = """%%team launch{options}
supervisor(model=scripted/boss)
    Goal: {{{{ brief }}}}
researcher(model=scripted/researcher, tools=search): finds and checks facts
    You research. Cite sources.
writer(model=scripted/writer): writes and revises the copy
    You write plainly.
"""
ROLES = ("boss", "researcher", "writer")


def search(query: str) -> str:
    """Search the web."""
    return f"found {query}"


def publish(text: str) -> str:
    """Publish."""
    return "published"


def turn(who, task="", answer=""):
    return {"next": who, "task": task, "answer": answer}


@pytest.fixture
def team(notebook):
    """Scripts by role: `team(boss=[...], writer=[...])`."""
    notebook.space |= {"search": search, "publish": publish, "brief": "a lamp"}

    def scripts(**replies):
        return {name: install(Script(replies.get(name, [])), name) for name in ROLES}

    yield scripts
    for name in ROLES:
        remove(name)


def run(notebook, options=""):
    return notebook.define(CELL.format(options=options))()


def last(script, number=-1):
    return script.requests[number]["messages"][-1]["content"]


def test_the_supervisor_picks_an_agent_each_turn_until_it_finishes(notebook, team):
    models = team(
        boss=[turn("researcher", "Find facts"), turn("writer", "Write it"), turn("finish", answer="The whole copy")],
        researcher=["It shines."],
        writer=["A lamp that shines."],
    )
    done = run(notebook)
    assert (done.status, done.output) == ("done", "The whole copy")
    assert [s.name for s in done.record.steps if s.name in {"researcher", "writer"}] == ["researcher", "writer"]
    assert {name: len(script.requests) for name, script in models.items()} == {"boss": 3, "researcher": 1, "writer": 1}


def test_the_workspace_is_shared_and_seen_by_all(notebook, team):
    models = team(
        boss=[turn("researcher", "Find facts"), turn("writer", "Write it"), turn("finish")],
        researcher=["It shines."],
        writer=["A lamp that shines."],
    )
    done = run(notebook)
    assert [(t["agent"], t["task"], t["result"]) for t in done.workspace] == [
        ("researcher", "Find facts", "It shines."),
        ("writer", "Write it", "A lamp that shines."),
    ]
    assert last(models["researcher"]) == "Find facts"
    assert last(models["writer"]).startswith("Write it\n\nWorkspace of the team, oldest turn first:\n[{")
    assert '"result":"It shines."' in last(models["writer"])
    assert last(models["boss"], 0) == "Goal: a lamp\n\nWorkspace, oldest turn first:\n[]"
    assert '"result":"A lamp that shines."' in last(models["boss"])
    spans = [s for s in done.record.steps if s.name == "workspace"]
    assert [len(s.output) for s in spans] == [1, 2]


def test_without_an_answer_the_last_result_is_the_answer(notebook, team):
    team(boss=[turn("writer", "Write it"), turn("finish")], writer=["A lamp."])
    assert run(notebook).output == "A lamp."


def test_the_supervisor_knows_its_team_and_is_held_to_it(notebook, team):
    models = team(boss=[turn("finish", answer="x")])
    run(notebook)
    body = models["boss"].requests[0]
    told = body["messages"][0]["content"]
    assert "- researcher: finds and checks facts\n- writer: writes and revises the copy" in told
    schema = body["response_format"]["json_schema"]["schema"]["properties"]
    assert schema["next"]["enum"] == ["researcher", "writer", "finish"]


def test_an_agent_uses_its_own_tools(notebook, team):
    models = team(
        boss=[turn("researcher", "Find facts"), turn("finish")],
        researcher=[Reply(tool_calls=[("search", {"query": "lamps"})]), "Lamps shine."],
    )
    done = run(notebook)
    assert (done.output, len(models["researcher"].requests)) == ("Lamps shine.", 2)
    first, second = models["researcher"].requests
    assert [t["function"]["name"] for t in first["tools"]] == ["search"]
    assert second["messages"][-1]["content"] == "found lamps"
    assert [m["role"] for m in first["messages"]] == ["system", "user"]


def test_an_agent_cannot_call_the_tools_of_another(notebook, team):
    published = []

    def post(text: str) -> str:
        """Publish."""
        published.append(text)
        return "published"

    notebook.space["publish"] = post
    models = team(
        boss=[turn("researcher", "Publish it"), turn("writer", "Write"), turn("finish")],
        researcher=[Reply(tool_calls=[("publish", {"text": "x"})]), "I cannot."],
        writer=["copy"],
    )
    cell = CELL.format(options="").replace("(model=scripted/writer)", "(model=scripted/writer, tools=[publish])")
    notebook.define(cell)()
    assert "there is no tool 'publish'; there are: search" in last(models["researcher"])
    assert [t["function"]["name"] for t in models["writer"].requests[0]["tools"]] == ["publish"]
    assert published == []


def test_an_agent_without_tools_is_offered_none(notebook, team):
    models = team(boss=[turn("writer", "Write it"), turn("finish")], writer=["A lamp."])
    run(notebook)
    assert "tools" not in models["writer"].requests[0]
    assert models["writer"].requests[0]["messages"][0] == {"role": "system", "content": "You write plainly."}


def test_turns_of_all_agents_together_are_capped(notebook, team):
    turns = iter(range(100))
    models = team(
        boss=lambda _: turn("writer" if next(turns) % 2 else "researcher", "more"),
        researcher=lambda _: "fact",
        writer=lambda body: f"draft {len(body['messages'][-1]['content'])}",
    )
    done = run(notebook, " --no-cache --max-turns 3")
    assert done.status == "capped"
    assert "3 turns were not enough" in done.reason
    assert len(models["researcher"].requests) + len(models["writer"].requests) == 3
    assert done.output == "fact" == done.workspace[-1]["result"]


def test_ten_turns_are_the_default(notebook, team):
    models = team(boss=lambda body: turn("writer", str(len(json.dumps(body)))), writer=lambda _: "draft")
    assert run(notebook, " --no-cache").status == "capped"
    assert len(models["writer"].requests) == 10


def test_the_steps_of_an_agent_are_capped_too(notebook, team):
    models = team(
        boss=[turn("researcher", "Find facts"), turn("writer", "Write"), turn("finish")],
        researcher=lambda body: Reply("still looking", tool_calls=[("search", {"query": str(len(body["messages"]))})]),
        writer=["copy"],
    )
    done = run(notebook, " --max-iterations 2")
    assert (done.status, done.output) == ("done", "copy")
    assert len(models["researcher"].requests) == 2
    assert done.workspace[0]["result"] == "still looking"


def test_an_agent_that_fails_is_told_to_the_supervisor(notebook, team):
    models = team(
        boss=[turn("writer", "Write it"), turn("researcher", "You do it"), turn("finish")],
        writer=[Reply(fault="401")],
        researcher=["Done by me."],
    )
    done = run(notebook)
    assert (done.status, done.output) == ("done", "Done by me.")
    first, second = done.workspace
    assert first["result"] is None
    assert "401" in first["error"]
    assert second["error"] is None
    assert '"result":null' in last(models["boss"], 1)


def test_an_agent_that_fails_and_then_works_is_not_said_to_fail(notebook, team):
    team(
        boss=[turn("writer", "Write it"), turn("writer", "Again"), turn("finish")],
        writer=[Reply(fault="401"), "copy"],
    )
    done = run(notebook)
    assert [t["error"] is None for t in done.workspace] == [False, True]
    assert done.output == "copy"


def test_the_supervisor_may_say_more_in_outputs_of_its_own(notebook, team):
    team(boss=[{"why": "empty", **turn("finish", answer="nothing")}])
    cell = CELL.format(options="").replace(
        "supervisor(model=scripted/boss)", "supervisor(model=scripted/boss) -> why: str"
    )
    done = notebook.define(cell)()
    assert (done.supervisor.why, done.output) == ("empty", "nothing")


def test_agents_may_have_typed_results(notebook, team):
    team(boss=[turn("writer", "Write it"), turn("finish")], writer=[{"title": "Lamp", "words": 3}])
    cell = CELL.format(options="").replace("writer(model=scripted/writer): writes and revises the copy",
                                           "writer(model=scripted/writer) -> title: str, words: int")  # fmt: skip
    assert notebook.define(cell)().workspace[0]["result"] == {"title": "Lamp", "words": 3}


def test_an_agent_may_be_another_orchestration(notebook, team):
    notebook.space["study"] = notebook.define(
        "%%chain study\nread(model=scripted/researcher)\n    Read about {{ topic }}\n"
    )
    models = team(boss=[turn("scholar", "lamps"), turn("finish")], researcher=["Lamps are old."])
    done = notebook.define(
        "%%team\nsupervisor(model=scripted/boss)\n    Goal: {{ brief }}\nscholar(run=study): reads books\n"
    )()
    assert (done.output, last(models["researcher"])) == ("Lamps are old.", "Read about lamps")


def test_an_orchestration_that_fails_is_told_to_the_supervisor(notebook, team):
    notebook.space["study"] = notebook.define(
        "%%chain study\nread(model=scripted/researcher)\n    Read about {{ task }}\n"
    )
    team(boss=[turn("scholar", "lamps"), turn("finish", answer="none")], researcher=[Reply(fault="401")])
    done = notebook.define(
        "%%team\nsupervisor(model=scripted/boss)\n    Goal: {{ brief }}\nscholar(run=study): reads books\n"
    )()
    assert (done.status, done.output, done.workspace[0]["result"]) == ("done", "none", None)
    assert "401" in done.workspace[0]["error"]


def test_without_a_prompt_the_supervisor_reads_what_its_agents_read(notebook):
    notebook.script(turn("writer", "Write"), "copy", turn("finish"))
    done = notebook.run("%%team\nwriter: writes\n    You write about {{ brief }}.\n", brief="lamps")
    assert done.output == "copy"
    assert notebook.prompts[0].startswith("lamps\n")


def test_an_agent_that_reads_the_supervisor_itself_is_told_nothing_more(notebook):
    notebook.script(turn("writer", "a poem"), "copy", turn("finish"))
    notebook.run(
        "%%team\nsupervisor\n    {{ brief }}\nwriter: writes\n    system: You write.\n    user: Write {{ supervisor.task }}\n",
        brief="x",
    )
    assert notebook.prompts[1] == "Write a poem"


def test_thinker_worker_and_verifier_are_a_plan_with_three_models(notebook):
    thinker = install(Script([{"steps": ["draft"]}, {"steps": ["redraft"]}]), "thinker")
    worker = install(Script(["rough", "polished"]), "worker")
    verifier = install(Script([{"ok": False, "feedback": "too rough"}, {"ok": True, "feedback": ""}]), "verifier")
    done = notebook.run(
        """%%plan roles --max-replans 3
plan(model=scripted/thinker) -> steps: list[str]
    Decompose: {{ goal }}
execute(model=scripted/worker)
    Do: {{ step }}
reflect(model=scripted/verifier) -> ok: bool, feedback: str
    Check {{ results }}
""",
        goal="a copy",
    )
    for name in ("thinker", "worker", "verifier"):
        remove(name)
    assert done.status == "done"
    assert [r["result"] for r in done.results] == ["rough", "polished"]
    assert "too rough" in last(thinker)
    assert [len(s.requests) for s in (thinker, worker, verifier)] == [2, 2, 2]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("supervisor\n    x {{ brief }}\n", "a team needs agents"),
        ("writer: writes\n    You write.\n", "the supervisor has no goal"),
        ("supervisor = pick()\nwriter: writes\n    {{ brief }}\n", "'supervisor' is a prompt"),
        ("supervisor\n    x\nwriter(tools=serch): writes\n    y\n", "no function 'serch'"),
        ("supervisor\n    x\nwriter(tools=3): writes\n    y\n", "tools=3 cannot be read"),
        ("supervisor -> list[str]\n    x\nwriter: writes\n    y\n", "the supervisor returns named outputs"),
        ("supervisor\n    x\nfinish: writes\n    y\n", "'finish' is a name of %%team itself"),
        ("supervisor\n    x\nworkspace: writes\n    y\n", "'workspace' is a name of %%team itself"),
        ("supervisor\n    x\nwriter: writes\n    y\ngate True\n", "no `gate` line"),
        ("supervisor\n    x\nwriter(run=nothing): writes\n", "run=nothing is no orchestration"),
        ("supervisor\n    x\nwriter(modl=a): writes\n    y\n", "unknown option 'modl'"),
    ],
)
def test_a_wrong_cell_is_one_clear_line(notebook, team, text, told):
    with pytest.raises(CellError) as caught:
        notebook.define(f"%%team\n{text}")
    assert [p for p in caught.value.problems if told in p.found]
    assert all(p.write for p in caught.value.problems)


def test_the_example_runs(notebook):
    notebook.space["search"] = search
    notebook.script(turn("researcher", "find"), "facts", turn("writer", "write"), "copy", turn("finish"))
    done = notebook.run(PATTERNS.get("team").example, brief="a lamp")
    assert (done.status, done.output) == ("done", "copy")
