"""What a notebook saves of a run is small, says each text once, and is the same when an unchanged cell runs again."""

import json

import pytest
from card_kinds import KINDS, SETUP
from scripted_shell import run, scripted_shell

from orchmagic.trace.record import MIME
from orchmagic.views import card

TWENTY = "%%chain twenty --no-cache\n" + "".join(
    f"step{i}\n    Write part {i} of the report{f' after {{{{ step{i - 1} }}}}' * (i > 0)}\n" for i in range(20)
)
MOST = {"chain": 12_288, "twenty": 40_000, "cascade": 13_000, "items": 40_960, "digest": 45_000, "votes": 45_000}
"""Bytes of the output in the file, with room for times and prices that take more digits."""


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """The records of each kind of run; the cached one ran three times."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("ORCHMAGIC_CACHE_DIR", "XDG_STATE_HOME", "IPYTHONDIR"):
            patch.setenv(name, str(tmp_path_factory.mktemp(name)))
        yield records(patch)


def records(patch):
    with scripted_shell(patch) as shell:
        run(shell, SETUP.replace("PACE = 1.0", "PACE = 0.02"))
        face = shell._orchmagic_face
        found = {}
        for name, cell in (KINDS | {"twenty": TWENTY}).items():
            for _ in range(3 if name == "cached" else 1):
                run(shell, cell)
                found.setdefault(name, []).append(face.session.runs[-1].record)
        return found


def saved(record):
    """The lines of the output in the notebook's file: it holds texts by the line."""
    output = card.output(record, card=True)
    by_line = {mime: data if mime == MIME else data.splitlines(keepends=True) for mime, data in output.items()}
    return json.dumps(by_line, indent=1, ensure_ascii=False).splitlines()


def size(record):
    return sum(len(line.encode()) + 1 for line in saved(record))


@pytest.mark.parametrize("kind", MOST)
def test_an_output_is_small(ran, kind):
    assert size(ran[kind][0]) <= MOST[kind]


def test_no_kind_needs_more_than_60_kb(ran):
    assert {kind: size(record) for kind, (record, *_) in ran.items() if size(record) > 60_000} == {}


def test_a_cached_run_again_changes_nothing_but_its_number(ran):
    _paid, first, second = (saved(record) for record in ran["cached"])
    assert len(first) == len(second)
    changed = [line for line, other in zip(first, second, strict=True) if line != other]
    assert 0 < len(changed) <= 8
    assert sum(map(len, changed)) <= 1_000


def test_the_answer_is_saved_once_a_form(ran):
    output = card.output(ran["chain"][0], card=True)
    for text in (output["text/html"], output["text/plain"], json.dumps(output[MIME])):
        assert text.count("was wired to the old address") == 1
    assert "<i>Reply</i>: as above" in output["text/html"]


def test_a_row_with_low_agreement_wears_no_check_mark(ran):
    html = card.output(ran["votes"][0], card=True)["text/html"]
    rows = [line for line in html.splitlines() if "review" in line and line.startswith("<tr>")]
    assert rows
    assert all("!</td>" in row and "✓" not in row for row in rows if "0.666667" in row)


def test_an_answer_that_nothing_verified_names_the_check(ran):
    why = card.payload(ran["cascade"][0])["card"]["why"]
    assert why == "Every answer was refused by a check: answer.value == 4"


def test_a_table_that_shows_some_of_the_rows_does_not_stand_for_the_value(ran):
    html = card.output(ran["items"][0], card=True)["text/html"]
    step = html.partition("<summary>rate</summary>")[2].partition("</details>")[0]
    assert "as above" not in step
    assert '"stars"' in step
