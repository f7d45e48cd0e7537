"""What ended well without being good has no check mark: a check that said no, an answer that nobody verified."""

import pytest

from orchmagic import Script, install
from orchmagic.models.providers.scripted import remove
from orchmagic.trace import audit_lines, marks, otel_spans, summary
from orchmagic.trace.record import NOT_VERIFIED, SAID_NO, Record
from orchmagic.views import answer, live
from orchmagic.views.formats import html, text
from orchmagic.views.svg import svg_of

LADDER = "--models scripted/tiny,scripted/large"
SOLVE = f"""%%cascade solve {LADDER}
answer -> value: int
    Solve. {{{{ question }}}}
verify answer.value == 4"""
PLACES = {
    "cascade": (None, "the cascade itself"),
    "step": ("%%chain outer\nx = solve(question=q)\nlast\n    Say {{ x }}", "x"),
    "run=": ("%%chain outer\nx(run=solve, over=[q], item=question)\nlast\n    Say {{ x }}", "x"),
    "section": ("%%parallel outer\nx(run=solve)\ny\n    Hello {{ question }}\nmerge\n    {{ x }} {{ y }}", "x"),
    "handler": (
        "%%route outer --otherwise other\nrouter = 'x'\nx(run=solve): sums\nother: the rest\n    O {{ question }}",
        "x",
    ),
    "agent": (
        "%%team outer\nsupervisor(model=scripted/boss)\n    Goal: {{ q }}\nx(run=solve): solves\nwriter: writes\n    Write.",
        "x",
    ),
    "worker": (
        "%%plan outer\nplan(model=scripted/planner) -> steps: list[str]\n    Plan {{ q }}\nexecute(run=solve)\nanswer",
        "execute",
    ),
    "function": ("%%chain outer\nx = ask(q)\nlast\n    Say {{ x }}", "x"),
}


@pytest.fixture
def models(notebook):
    """Scripts of the models; `good` says whether the last one of the ladder is right."""

    def make(*, good):
        for name, value in (("tiny", 3), ("large", 4 if good else 5)):
            install(Script(lambda _, value=value: {"value": value}), name)
        install(Script(lambda _: "said"))

    yield make
    for name in ("tiny", "large", "boss", "planner"):
        remove(name)


def ran(notebook, place):
    cell, _ = PLACES[place]
    install(Script([{"next": "x", "task": "2+2", "answer": ""}, {"next": "finish", "task": "", "answer": "4"}]), "boss")
    install(Script([{"steps": ["2+2"]}]), "planner")
    solve = notebook.define(SOLVE.replace("question", {"agent": "task", "worker": "step"}.get(place, "question")))
    given = {"q": "2+2", "question": "2+2", "solve": solve, "ask": lambda q: solve(question=q).output.value}
    return notebook.run(cell, **given) if cell else notebook.run(SOLVE, question="2+2")


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("good", [True, False])
def test_an_answer_that_nobody_verified_is_marked_wherever_the_cascade_runs(notebook, models, place, good):
    models(good=good)
    run = ran(notebook, place)
    record = Record.from_json(run.record.to_json())
    assert (run.status, run.verified, record.verified) == ("done", good, good)
    shown = answer.bundle(record)
    heads = (
        shown["text/plain"].splitlines()[0],
        shown["text/html"].partition("</div>")[0],
        live.frame(record)["text/plain"],
    )
    word = "Done" if good else "Not verified"
    assert all(word in head for head in heads)
    assert marks.of(record)[:2] == ("✓" if good else "!", word)
    own = "answer" if place == "worker" else ""  # the plan's own last step, which no cascade checks
    said = [row["verified"] for row in run.receipt() if row["step"].endswith("answer") and row["step"] != own]
    assert said == [False, good]
    assert run.receipt().text.startswith(word)
    step = PLACES[place][1] if place != "cascade" else "answer"
    signs = {s.name: marks.of(s).sign for s in record.spans if s.parent is None}
    assert signs[step] == ("✓" if good else "!")
    assert f"{signs[step]} {step}" in " ".join(text.render(record).split()) or not good
    assert (dict(record.picture.troubles).get(step) == NOT_VERIFIED) is not good
    assert (f"! {step}" in svg_of(record.picture)) is not good


def test_of_many_items_the_row_of_each_says_whether_it_was_verified(notebook, models):
    install(Script(lambda _: "said"))
    install(Script(lambda body: {"value": 4 if "two" in str(body) else 3}), "tiny")
    install(Script(lambda _: {"value": 5}), "large")
    cell = "%%chain outer\nx(run=solve, over=qs, item=question)"
    run = notebook.run(cell, qs=["one", "two", "three"], solve=notebook.define(SOLVE))
    items = [s for s in run.record.spans if s.kind == "item"]
    assert [(s.verified, marks.of(s).sign) for s in items] == [(False, "!"), (True, "✓"), (False, "!")]
    assert run.record.steps[0].verified is False
    assert "2 not verified" in summary.parts(run.record, run.record.steps[0])
    assert "Not verified" in html.render(run.record)
    logged = audit_lines.end(run.record)
    assert (logged["verified"], logged["doubt"]) == (False, NOT_VERIFIED)
    sent = {s.id: s.attributes for s in otel_spans.to_otel_spans(run.record)}
    assert (sent[""]["orchmagic.verified"], sent[""]["orchmagic.doubt"]) == (False, NOT_VERIFIED)
    assert [sent[item.id]["orchmagic.verified"] for item in items] == [False, True, False]
    assert [sent[item.id].get("orchmagic.doubt") for item in items] == [NOT_VERIFIED, None, NOT_VERIFIED]


@pytest.mark.parametrize(
    ("line", "values", "signs", "graph"),
    [
        ("gate draft > 3 else retry 2", [1, 5], ["!", "✓"], None),
        ('gate draft > 3 else stop "too small"', [1], ["!"], SAID_NO),
        ("gate draft > 3", [5], ["✓"], None),
        ("gate draft > 3", [1], ["!"], SAID_NO),
    ],
)
def test_a_check_that_said_no_has_no_check_mark(notebook, line, values, signs, graph):
    install(Script(values))
    run = notebook.run(f"%%chain checked\ndraft -> int\n    A number\n{line}")
    gates = [s for s in run.record.steps if s.kind == "gate"]
    assert [marks.of(s).sign for s in gates] == signs
    assert dict(run.record.picture.troubles).get(gates[-1].name) == graph
    rows = [line for line in text.render(run.record).splitlines() if gates[0].name in line.split()]
    assert [row.lstrip()[0] for row in rows if "tok" in row][: len(signs)] == signs


def test_a_failed_step_is_marked_in_the_graph(notebook):
    install(Script([{"fine": 1}]))
    run = notebook.run("%%chain broken\nfirst = 1\nsecond = 1 / 0\nthird\n    {{ second }}")
    assert run.status == "failed"
    assert run.record.picture.troubles == (("second", "failed"),)
    drawn = svg_of(run.record.picture)
    assert "✗ second" in drawn
    assert "✗ first" not in drawn
    assert "! " not in drawn


@pytest.mark.parametrize(("scores", "best"), [([4, 9, 7], 2), ([9, 9, 3], 2), ([3, 2, 1], 1), ([1, 8], 2)], ids=str)
def test_the_star_stands_at_the_round_that_is_the_result(notebook, scores, best):
    replies = [reply for i, s in enumerate(scores, 1) for reply in (f"text {i}", {"score": s, "feedback": "f"})]
    install(Script(replies))
    cell = f"%%refine tagline\ngenerate\n    Write.\nuntil evaluate.score >= {8 if len(scores) == 2 else 10} max {len(scores)}"
    run = notebook.run(cell)
    assert run.output == f"text {best}"
    rounds = [s for s in run.record.steps if s.name == "evaluate"]
    stars = [i for i, s in enumerate(rounds, 1) if "★" in summary.score(run.record, s)]
    assert stars == [best]
