"""`--over ROWS` on a magic line: each row is run, shown beside its answer, and kept in a table of the same kind."""

from __future__ import annotations

import json

import pandas as pd
import pytest
from scripted_shell import run, scripted_shell

from orchmagic import Reply, Script, install

CELL = "%%chain triage --retry 0 --over {}\nextract -> team: str, count: int\n    Ticket {{{{ ticket }}}}\n"


def reply(body):
    number = int(body["messages"][-1]["content"].split()[-1])
    if number == 7:
        return "no JSON"
    return Reply(fault="500") if number == 9 else json.dumps({"team": f"t{number % 3}", "count": number})


@pytest.fixture
def shell(monkeypatch):
    with scripted_shell(
        monkeypatch, tickets=pd.DataFrame({"ticket": [f"no {i}" for i in range(1, 11)]}, index=range(100, 110))
    ) as ip:
        yield ip


def test_rows_are_shown_beside_their_answers_the_failed_ones_first(shell, capsys):
    script = install(Script(reply))
    assert run(shell, CELL.format("tickets -o done")) is None
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "triage: 10 rows: 1 failed, 1 no answer, 8 done, $0; all are in done"
    assert lines[1].split() == ["row", "ticket", "team", "count", "_status", "_error"]
    assert [line.split()[0] for line in lines[2:]] == ["7", "9", "1", "2", "3", "4", "5", "6", "8", "10"]
    done = shell.user_ns["done"]
    assert done.index.tolist() == [*range(100, 110)]
    assert done["count"].tolist()[:3] == [1, 2, 3]
    assert shell.user_ns["triage"](ticket="no 2").output.team == "t2"  # the name is bound as always
    asked = len(script.requests)
    run(shell, CELL.format("tickets"))
    assert len(script.requests) - asked <= 2  # what has an answer is not asked again
    assert shell._orchmagic_face.session.runs[0].inputs == {"ticket": "no 2"}  # rows are no runs


def test_files_and_lists_are_tables_too(shell, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    install(Script(reply))
    (tmp_path / "t.csv").write_text("ticket\nno 1\nno 2\n", "utf-8")
    shell.user_ns["some"] = [{"ticket": f"no {i}"} for i in range(11, 40)]
    run(shell, CELL.format("t.csv"))
    assert "triage: 2 rows: 2 done, $0; -o NAME keeps them" in capsys.readouterr().out
    run(shell, CELL.format("some -o found"))
    assert "… 9 more rows" in capsys.readouterr().out
    assert shell.user_ns["found"][0]["team"] == "t2"


def test_a_dry_run_and_a_definition_ask_nothing(shell, capsys):
    script = install(Script(reply))
    run(shell, CELL.format("tickets --dry-run"))
    assert "This is the first row; there are 10 rows." in capsys.readouterr().out
    run(shell, CELL.format("tickets --no-run"))
    assert "Defined <%%chain triage(ticket)" in capsys.readouterr().out
    assert script.requests == []


BAD = {
    "unknown": ("tikets", "--over tikets: the notebook has no variable 'tikets'; did you mean 'tickets'?"),
    "no table": ("number", "is of type int"),
    "no file": ("none.csv", "none.csv"),
    "no input": ("others", "row 1: triage needs ticket"),
    "background": ("tickets --background", "--background with --over"),
    "thread": ("tickets --thread a", "--thread with --over"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_lines_say_what_to_write(shell, case):
    script = install(Script(reply))
    shell.user_ns.update(number=3, others=[{"text": "a"}])
    line, words = BAD[case]
    assert words in str(run(shell, CELL.format(line)))
    assert script.requests == []


def test_mapreduce_keeps_its_own_over(shell, capsys):
    install(Script(lambda body: "[]" if "Claims" in str(body) else "merged"))
    shell.user_ns["document"] = "a text"
    run(shell, "%%mapreduce digest --over document\nmap\n    Claims of {{ chunk }}\nreduce\n    Merge {{ parts }}\n")
    assert shell.user_ns["digest"].last.output == "merged"
    shell.run_line_magic("mapreduce", "")
    assert capsys.readouterr().out.count("--over ") <= 2  # the option, and the example
