"""date, datetime and Decimal as outputs of steps and as names in expressions, without an import."""

import datetime as dt
import json
import time
from decimal import Decimal

import pytest

from orchmagic.errors import CellError, OutputError
from orchmagic.graph.output_types import OutputType, resolve
from orchmagic.language.annotations import parse_output
from orchmagic.views import card

REPLY = {"due": "2026-01-31", "at": "2026-01-31T10:00:00+01:00", "total": "1234567890.1234567890"}
DUE, AT, TOTAL = dt.date(2026, 1, 31), dt.datetime.fromisoformat(REPLY["at"]), Decimal(REPLY["total"])
CELL = "%%chain bill --cache 1d\nextract -> due: date, at: datetime, total: Decimal\n    Read {{ mail }}\n"


def of(output: str, **namespace: object) -> OutputType:
    return resolve("extract", parse_output(output), namespace)


def test_the_model_is_asked_for_iso_dates_and_decimals_in_quotes():
    schema = of("due: date, at: datetime, total: Decimal, more: list[date], maybe: Decimal | None").schema
    properties = schema.schema["properties"]
    decimal = {"type": "string", "pattern": "^-?[0-9]+([.][0-9]+)?$"}
    assert {n: {k: v for k, v in p.items() if k != "title"} for n, p in properties.items()} == {
        "due": {"type": "string", "format": "date"},
        "at": {"type": "string", "format": "date-time"},
        "total": decimal,
        "more": {"type": "array", "items": {"type": "string", "format": "date"}},
        "maybe": {"anyOf": [decimal, {"type": "null"}]},
    }
    assert schema.strict


def test_a_reply_becomes_json_and_then_the_values():
    kind = of("due: date, at: datetime, total: Decimal")
    value, repaired = kind.parse(json.dumps(REPLY))
    assert (value, repaired) == (REPLY, None)
    seen = kind.rebuild(json.loads(json.dumps(value)))
    assert (seen.due, seen.at, seen.total) == (DUE, AT, TOTAL)


@pytest.mark.parametrize(
    ("output", "reply", "value"),
    [
        ("date", "2026-01-31", DUE),
        ("list[date]", ["2026-01-31"], [DUE]),
        ("date | None", None, None),
        ("Optional[date]", "2026-01-31", DUE),
        ("datetime", "2026-01-31T10:00:00", dt.datetime(2026, 1, 31, 10)),  # noqa: DTZ001 - as the model wrote it
        ("Decimal", "1.10", Decimal("1.10")),
        ("Decimal", 12.5, Decimal("12.5")),
        ("Decimal", 7, Decimal(7)),
        ("list[Decimal | None]", ["0.1", None], [Decimal("0.1"), None]),
        ("dict[str, Decimal]", {"a": "1"}, {"a": Decimal(1)}),
    ],
)
def test_lists_and_optionals_of_them(output, reply, value):
    kind = of(output)
    stored, _ = kind.parse(json.dumps({"value": reply}))
    assert kind.rebuild(json.loads(json.dumps(stored))) == value


@pytest.mark.parametrize(
    ("output", "reply", "why"),
    [
        ("date", 86400, "write ISO text such as 2026-01-31"),  # Pydantic: a day after 1970
        ("date", "86400", "write ISO text"),
        ("date", "31.1.2026", "write ISO text"),
        ("date", "2026-02-30", "day value is outside expected range"),
        ("datetime", "2026", "write ISO text"),  # Pydantic: 34 minutes after 1970
        ("datetime", 1767225600, "write ISO text"),
        ("datetime", "2026-01-31T25:00:00", "valid datetime"),
        ("Decimal", "a lot", "valid decimal"),
        ("Decimal", "NaN", "finite number"),
        ("Decimal", True, "Decimal input should be"),
        ("Decimal", 0.12345678901234567, "in quotes"),  # a float has changed it already
        ("Decimal", 1e20, "in quotes"),
    ],
)
def test_what_is_none_is_asked_again(output, reply, why):
    with pytest.raises(OutputError, match=why):
        of(output).parse(json.dumps({"value": reply}))


def test_the_notebook_sees_python_values_also_from_cache_and_record(notebook):
    notebook.script(json.dumps(REPLY))
    run = notebook.run(CELL, mail="m")
    again = notebook.define(CELL)()
    for one in (run, again, run.replay()):
        assert (one.extract.due, one.extract.at, one.extract.total) == (DUE, AT, TOTAL)
        assert type(one.extract.due) is dt.date
    assert len(notebook.scripted.requests) == 1
    assert all(text in card.output(run.record, card=True)["text/html"] for text in REPLY.values())


def test_gates_and_conditions_compare_them_without_an_import(notebook):
    notebook.script(json.dumps(REPLY), "late", json.dumps(REPLY | {"due": "2025-12-31"}))
    gate = 'gate extract.due >= date(2026, 1, 1) and extract.at.year == datetime.min.year + 2025 else stop "old"\n'
    cell = (
        f'{CELL}{gate}reply(when=extract.total > Decimal("10.5"))\n    {{{{ extract.due }}}}, {{{{ extract.total }}}}\n'
    )
    assert notebook.run(cell, mail="m").output == "late"
    assert notebook.prompts[-1] == f"2026-01-31, {REPLY['total']}"
    assert notebook.define(cell).definition.inputs == ("mail",)
    notebook.run(cell, mail="another")
    assert len(notebook.scripted.requests) == 3  # the gate has stopped it


def test_today_is_the_class_of_the_standard_library(notebook):
    notebook.script('{"value": "2999-01-01"}')
    assert notebook.run("%%chain\ndue -> date\n    When?\ngate due > date.today()\n").output == dt.date(2999, 1, 1)


def test_a_time_of_day_is_read_compared_and_exported(notebook, tmp_path):
    cell = "%%chain visit\nextract -> at: time\n    Read {{ mail }}\ngate extract.at >= time(9, 30)\n"
    assert of("at: time").schema.schema["properties"]["at"]["format"] == "time"
    with pytest.raises(OutputError, match="write ISO text such as 2026-01-31 or 14:30"):
        of("time").parse('{"value": 34200}')  # Pydantic: half past nine
    notebook.script('{"at": "14:30:00"}', '{"at": "08:00"}')
    assert notebook.run(cell, mail="m").extract.at == dt.time(14, 30)
    assert notebook.run(cell, mail="an early one").status == "failed"
    module = notebook.define(cell).export(tmp_path / "visit.py").read_text("utf-8")
    assert "IsoTime: TypeAlias = Annotated[time, BeforeValidator(iso_text)]" in module
    assert "    at: IsoTime" in module


def test_the_module_time_of_a_notebook_stays_what_it_is(notebook):
    notebook.space["time"] = time
    notebook.script('{"at": "14:30:00"}')
    cell = "%%chain\nextract -> at: time\n    Hi\ngate time.monotonic() > 0\n"
    assert notebook.run(cell).extract.at == dt.time(14, 30)


def test_a_prompt_may_still_read_an_input_that_is_called_date(notebook):
    notebook.script('{"value": "2026-01-31"}')
    made = notebook.define("%%chain\ndue -> date\n    Today is {{ date }}. When is it due?\n")
    assert (made.definition.inputs, made.definition.code) == (("date",), ())
    assert made(date="Monday").output == DUE
    assert notebook.prompts == ["Today is Monday. When is it due?"]


def test_an_input_in_an_expression_is_one_too(notebook):
    assert notebook.define("%%chain\nx(when=date)\n    Hi\n").definition.inputs == ("date",)
    assert notebook.define("%%chain\nx(when=date.year > 1)\n    Hi\n").definition.inputs == ("date",)


def test_a_class_of_the_notebook_comes_first(notebook):
    class Decimal(dt.date):
        pass

    notebook.space["Decimal"] = Decimal
    with pytest.raises(CellError, match="cannot be used"):
        notebook.define("%%chain\nx -> list[Decimal]\n    Hi\n")


@pytest.mark.parametrize("own", [{}, {"date": dt.date}, {"datetime": dt, "date": "a text"}])
def test_what_else_the_notebook_calls_so_is_no_type(own):
    assert of("a: date, b: datetime", **own).schema == of("a: date, b: datetime").schema


def test_they_are_voted_mapped_and_nested(notebook):
    notebook.script(lambda _: '{"value": "2026-01-31"}')
    assert notebook.run("%%parallel\nx(votes=3) -> date\n    Hi\n").x.value == DUE
    notebook.space["inner"] = notebook.define("%%chain inner --no-cache\nx(over=[1, 2]) -> date\n    Hi {{ item }}\n")
    assert notebook.space["inner"]().output == [DUE, DUE]
    assert notebook.run("%%chain\nmany = inner()\ny = [d.year for d in many]\n").output == [2026, 2026]


def test_a_date_that_another_step_made_as_code_is_text(notebook):
    notebook.script('{"value": "2026-01-31"}')
    run = notebook.run("%%chain\nlast = date(2026, 1, 1)\ndue -> date\n    Hi\ngate due > last\n")
    assert run.status == "failed"
    assert "not supported between instances of 'datetime.date' and 'str'" in run.error
