"""`%%evaluate` in a real IPython: its cells, its errors, its progress, and what the same cell asks again."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import pytest
from scripted_shell import run, scripted_shell

import orchmagic
from orchmagic import Script, install, serve
from orchmagic.models.providers.scripted import remove

TEAMS = ("billing", "tech", "human")
HELPDESK = """%%chain helpdesk --model scripted --no-run
router -> label: "billing" | "tech" | "human"
    Ticket {{ ticket }}
"""


def route(body):
    number = int(body["messages"][-1]["content"].split()[-1])
    return json.dumps({"label": TEAMS[(number + (number % 10 == 0)) % 3]})


@pytest.fixture
def shell(monkeypatch):
    with scripted_shell(
        monkeypatch, tickets=[{"ticket": f"ticket {i}", "team": TEAMS[i % 3]} for i in range(1, 61)]
    ) as ip:
        yield ip


def test_a_cell_is_evaluated_and_the_same_cell_asks_nothing(shell, capsys):
    script = install(Script(route))
    run(shell, HELPDESK)
    capsys.readouterr()
    cell = "%%evaluate helpdesk --on tickets -o found\nright = router.label == team\ntarget right >= 0.8\n"
    first = run(shell, cell)
    assert first.chosen == "helpdesk"
    assert shell.user_ns["found"] is first
    shown = capsys.readouterr().out
    assert "Choose helpdesk: it is shown to meet right >= 0.8." in shown
    assert len(script.requests) == 60
    assert repr(run(shell, cell)) == repr(first)
    changed = run(shell, cell.replace("right", "same"))
    assert changed.details[0].metrics["same"].value == 0.9
    assert len(script.requests) == 60


def test_a_judge_is_a_step_and_labels_of_persons_correct_it(shell):
    def reply(body):
        text = body["messages"][-1]["content"]
        if "Answer:" in text:
            return json.dumps({"verdict": "bad" if text.split()[-1].endswith("0") else "good", "why": "so"})
        return text.split()[-1]

    install(Script(reply))
    run(shell, "%%chain answer --model scripted --no-run\nsay\n    Echo {{ ticket }}\n")
    for row in shell.user_ns["tickets"][:30]:
        row["good"] = "bad" if row["ticket"].endswith(("0", "5")) else "good"
    found = run(
        shell,
        '%%evaluate answer --on tickets\nhelpful(model=scripted, human=good) -> verdict: "good" | "bad", why: str\n'
        "    Question: {{ ticket }} Answer: {{ output }}\ntarget helpful >= 0.7\n",
    )
    assert found.details[0].metrics["helpful"].value == 0.9
    assert found.details[0].verdict == "meets"
    [calibration] = found.calibration
    assert (calibration.labels, calibration.kind, calibration.agree) == (30, 3, 0.9)
    assert calibration.corrected.value < 0.9
    assert "with 30 human labels: 8" in repr(found)
    assert "3 of 30 too kind" in repr(found)


def test_few_labels_are_shown_and_not_used(shell):
    install(Script(lambda body: "true" if "Answer" in body["messages"][-1]["content"] else "x"))
    run(shell, "%%chain answer --model scripted --no-run\nsay\n    Echo {{ ticket }}\n")
    for row in shell.user_ns["tickets"][:8]:
        row["good"] = True
    found = run(shell, "%%evaluate answer --on tickets\nfine(human=good) -> bool\n    Answer {{ output }}\n")
    assert "human= has 8 labels; below 20 they are shown, not used." in repr(found)


def test_a_metric_reads_a_judge_and_none_does_not_apply(shell):
    install(
        Script(
            lambda body: (
                json.dumps({"total": int(body["messages"][-1]["content"].split()[-1]) % 3, "supported": 1})
                if "Count" in body["messages"][-1]["content"]
                else body["messages"][-1]["content"].split()[-1]
            )
        )
    )
    run(shell, "%%chain answer --model scripted --no-run\nsay\n    Echo {{ ticket }}\n")
    found = run(
        shell,
        "%%evaluate answer --on tickets\nclaims(model=scripted) -> total: int, supported: int\n"
        "    Count {{ output }}\ngrounded = claims.supported / claims.total if claims.total else None\n",
    )
    assert found.metrics == ("grounded",)
    assert (found.details[0].metrics["grounded"].value, found.details[0].metrics["grounded"].rows) == (0.75, 40)


def test_tool_calls_in_order_are_a_metric_and_the_real_tool_never_runs(shell):
    refunded = []

    @orchmagic.tool(writes=True)
    def refund(order: str) -> str:
        """Refund an order."""
        refunded.append(order)
        return "done"

    def find_order(order: str) -> str:
        """Find an order."""
        return f"order {order}"

    shell.user_ns.update(refund=refund, find_order=find_order, fake_refund=lambda order: "done")
    shell.user_ns["cases"] = [{"order": f"A{i}", "refund_due": i % 2 == 0} for i in range(4)]

    def reply(body):
        asked = [m["tool_calls"][0]["function"]["name"] for m in body["messages"] if m.get("tool_calls")]
        order = body["messages"][0]["content"].split()[-1] if body["messages"][0]["role"] == "user" else "A0"
        if not asked:
            return orchmagic.Reply(tool_calls=[("find_order", {"order": order})])
        if asked == ["find_order"]:
            return orchmagic.Reply(tool_calls=[("refund", {"order": order})])
        return "refunded"

    install(Script(reply))
    run(shell, "%%react orders --model scripted --no-run --tools find_order,refund\nHelp with order {{ order }}\n")
    refused = run(shell, "%%evaluate orders --on cases\ncareful = calls.before('find_order', 'refund')\n")
    assert str(refused) == (
        "orders may write (refund), once for each of 4 rows. Write --stand-in refund=FUNCTION or --allow-writes"
    )
    found = run(
        shell,
        "%%evaluate orders --on cases --stand-in refund=fake_refund\n"
        "careful = calls.before('find_order', 'refund')\nunasked = 'refund' not in calls or row.refund_due\n",
    )
    values = {n: f.value for n, f in found.details[0].metrics.items()}
    assert (values, refunded) == ({"careful": 1.0, "unasked": 0.5}, [])


def test_plain_is_one_call_with_all_instructions(shell):
    script = install(Script(lambda body: '{"label": "tech"}' if len(body["messages"][-1]["content"]) > 60 else "short"))
    run(
        shell,
        '%%chain helpdesk --model scripted --no-run\nfacts\n    Facts of {{ ticket }}\nrouter -> label: "tech" | "human"\n'
        "    With {{ facts }}, which team answers this ticket, if you think about it?\n",
    )
    shell.user_ns["tickets"] = shell.user_ns["tickets"][:2]
    found = run(
        shell, "%%evaluate helpdesk --on tickets --against plain\nright = router.label == team\nwords = len(facts)\n"
    )
    assert found.variants == ["helpdesk", "helpdesk_plain"]
    assert len(script.requests) == 2 + 1 + 2  # `facts` is the same for both: the second step is asked once
    plain = next(p for r in script.requests if (p := r["messages"][-1]["content"]).startswith("Do the following"))
    assert "Facts of ticket" in plain
    assert "With [facts], which team" in plain
    assert found.details[1].metrics["words"].value is None


def test_a_baseline_is_written_and_then_compared(shell, tmp_path):
    install(Script(route))
    run(shell, HELPDESK)
    cell = f"%%evaluate helpdesk --on tickets --baseline {tmp_path / 'base.json'}\nright = router.label == team\n"
    assert "the scores were written to the baseline" in repr(run(shell, cell))
    shell.user_ns["tickets"][0]["team"] = "nobody"
    assert "right since the baseline: 1 row newly wrong, 0 newly right" in repr(run(shell, cell))


def test_a_dry_run_calls_no_model(shell, capsys):
    script = install(Script(route))
    run(shell, HELPDESK)
    assert run(shell, "%%evaluate helpdesk --on tickets --dry-run\nright = router.label == team\n") is None
    assert "helpdesk: 60 runs to do, $0 to $0" in capsys.readouterr().out
    assert script.requests == []


BAD = {
    "no metric": ("--on tickets\n# none\n", "an evaluation needs a metric. Write right = output == team (columns: ticket, team)"),
    "only a target": ("--on tickets\ntarget right >= 0.8\n", "an evaluation needs a metric."),
    "no rows": ("\nright = True\n", "%%evaluate helpdesk has no rows: write --on ROWS"),
    "unknown rows": ("--on tikets\nright = True\n", "the notebook has no variable 'tikets'; did you mean 'tickets'?"),
    "unknown name": ("--on tickets\nright = router.label == teem\n", "'teem' is no column, step or notebook name; did you mean 'team'?"),
    "control": ("--on tickets\nright = True\ngate right\n", "line 3: `gate` is no part of an evaluation"),
    "option": ("--on tickets --thread a\nright = True\n", "no option --thread"),
    "scale": ("--on tickets\nright = router.label == team\ntarget right >= 90\n", "right lies in 0..1; did you mean 0.9?"),
    "stand-in": ("--on tickets --stand-in a\nright = True\n", "--stand-in a: write --stand-in TOOL=FUNCTION"),
    "human": ("--on tickets\nfine(human=good) -> bool\n    Is {{ output }} fine?\n", "human=good is no column"),
    "judge": ("--on tickets\nfine -> bool\n    Is {{ outptu }} fine?\n", "'outptu' is no column, step or notebook name; did you mean 'output'?"),
    "stop": ("--on tickets --stop first\nright = True\n", "--stop first needs a target"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_cells_say_what_to_write(shell, case):
    install(Script(route))
    run(shell, HELPDESK)
    rest, words = BAD[case]
    assert words in str(run(shell, f"%%evaluate helpdesk {rest}"))


def test_an_unknown_variant_is_named(shell):
    run(shell, HELPDESK)
    assert "did you mean 'helpdesk'?" in str(run(shell, "%%evaluate helpdsk --on tickets\nright = True\n"))


def test_help_and_the_picture(shell, capsys):
    install(Script(route))
    run(shell, HELPDESK)
    shell.run_line_magic("evaluate", "")
    assert "--stand-in TOOL=FUNCTION" in capsys.readouterr().out
    found = run(
        shell, "%%evaluate helpdesk --on tickets --models scripted\nright = router.label == team\ntarget right >= 0.8\n"
    )
    table, picture = found.bundles()
    assert "<table" in table["text/html"]
    figure = picture["application/vnd.plotly.v1+json"]
    assert figure["data"][0]["x"] == [0.9]
    assert figure["layout"]["shapes"][0]["x0"] == 0.8


def test_a_column_may_have_the_name_of_a_step_with_fields(shell):
    install(Script(lambda body: json.dumps({"value": int(body["messages"][-1]["content"].split()[-1]) % 50})))
    run(
        shell,
        "%%cascade solve --models scripted,scripted --no-run\nanswer -> value: int\n    Solve {{ problem }}\nverify True\n",
    )
    run(shell, "%%chain said --model scripted --no-run\nanswer\n    Solve {{ problem }}\n")
    shell.user_ns["sums"] = [{"problem": f"no {i}", "answer": i} for i in range(1, 61)]
    found = run(
        shell, "%%evaluate solve --on sums\nright = output.value == answer\nsame = run.answer.value == row.answer\n"
    )
    assert {n: f.value for n, f in found.details[0].metrics.items()} == {"right": 49 / 60, "same": 49 / 60}
    for cell in (
        "solve, said --on sums\nright = output == answer",
        "solve --on sums\nright = answer == 1",
        "solve --on sums\nright = answer.value == answer",
    ):
        assert "'answer' is a column and a step: write row.answer for the column" in str(
            run(shell, f"%%evaluate {cell}\n")
        )


def test_metrics_read_the_objects_that_a_function_returned_by_attribute(shell):
    shell.run_cell(
        "from dataclasses import dataclass\n@dataclass\nclass Doc:\n    id: str\n    parts: list\n"
        "def search(q): return [Doc(q[-1], [{'page': 1}])]\n"
    )
    run(shell, "%%chain find --no-run\ndocs = search(q)\n")
    shell.user_ns["faq"] = [{"q": "about 1", "source": "1"}, {"q": "about 2", "source": "3"}]
    metrics = {
        "there = source in [d.id for d in docs]": 0.5,
        "listed = source in [d['id'] for d in docs]": 0.5,
        "nested = docs[0].parts[0].page == 1": 1.0,
        "whole = output[0].id == docs[0].id": 1.0,
        "plain = docs == [{'id': q[-1], 'parts': [{'page': 1}]}]": 1.0,
    }
    found = run(shell, "%%evaluate find --on faq\n" + "\n".join(metrics) + "\n")
    assert [f.value for f in found.details[0].metrics.values()] == [*metrics.values()]
    assert "there is no 'idd'" in str(run(shell, "%%evaluate find --on faq\nright = docs[0].idd == 1\n"))


def test_a_cascade_is_tried_after_its_cheapest_model_and_before_its_dearest(shell):
    session = shell._orchmagic_face.session
    for name, price in (("small", 1), ("large", 10)):
        install(Script(lambda body: '{"value": 0}'), name)
        session.add_models({name: {"model": f"scripted/{name}", "input_price": price, "output_price": price}})
    for name, magic, models in (
        ("large_one", "chain", "--model large"),
        ("both", "cascade", "--models small,large"),
        ("small_one", "chain", "--model small"),
    ):
        run(
            shell,
            f"%%{magic} {name} {models} --no-run\nanswer -> value: int\n    Solve {{{{ ticket }}}}\n"
            + "verify True\n" * (magic == "cascade"),
        )
    found = run(
        shell,
        "%%evaluate large_one, both, small_one --on tickets --stop first\nright = output.value == 1\ntarget right >= 0.5\n",
    )
    assert found.variants == ["small_one", "both", "large_one"]
    for name in ("small", "large"):
        remove(name)


def test_an_engine_is_named_or_a_variable(shell):
    run(shell, HELPDESK.replace("scripted", "far"))
    cell = "%%evaluate helpdesk --on tickets --engine ENGINE\nright = router.label == team\n"
    shell.user_ns["number"] = 4
    with serve(Script(route)) as server, ThreadPoolExecutor(2) as pool:
        shell.user_ns |= {"pool": pool, "far": {"far": {"model": "m", "base_url": server.base_url}}}
        shell.run_line_magic("config", "OrchMagic.models = far")
        for engine, said in {
            "proceses": "engine is 'proceses': write processes, processes:4, dask, dask://HOST:PORT",
            "dask://": "engine is 'dask://'",
            "number": "engine is of type int",
        }.items():
            assert said in str(run(shell, cell.replace("ENGINE", engine)))
        assert not server.requests
        there = run(shell, cell.replace("ENGINE", "pool"))
        assert there.details[0].metrics["right"].value == 0.9
        assert len(server.requests) == 60
        assert repr(run(shell, cell.replace("--engine ENGINE", ""))) == repr(there)
        assert len(server.requests) == 60
