"""A model of unknown price under a budget: the advice is a line that works, wherever its price is looked up."""

from __future__ import annotations

import json
import re
import tomllib

import pytest

from orchmagic import Reply
from orchmagic.models.scripting.server import serve
from orchmagic.notebook.commands import run as orch
from orchmagic.trace.events import Usage

pytestmark = pytest.mark.slow

CELL = "%%chain asked --budget 0.01 --no-cache{}\nsay\n    Hello\n"
LINE = re.compile(r"write (?P<add>%orch models add .*? input_price=IN output_price=OUT), or in pyproject\.toml "
                  r"\[tool\.orchmagic\.models\] (?P<entry>.*) \(IN and OUT")  # fmt: skip


@pytest.fixture
def server():
    with serve(lambda body: Reply("hm", usage=Usage(input=100, output=5))) as running:
        yield running


def at(notebook, server, model="the-model:7b", **models):
    """The notebook behind a server of one's own, as README's first cell may be."""
    own = {"OPENAI_BASE_URL": server.base_url, "ORCHMAGIC_MODEL": model, "ORCHMAGIC_MODELS": json.dumps(models)}
    notebook.session.services.environ.update({**own, "GROQ_API_KEY": "k"})
    notebook.session.reload()
    return notebook


def refused(notebook, line=""):
    run = notebook.run(CELL.format(line))
    assert run.status == "capped", run.error
    found = LINE.search(run.reason)
    assert found, run.reason
    return run, found


CASES = {
    "a bare name": ("", {}, '"the-model:7b"'),
    "a built-in alias that the one model stands for": (" --model large", {}, '"the-model:7b"'),
    "an alias": (" --model own", {"own": "m"}, "own"),
    "an alias with more to it": (
        " --model own",
        {"own": {"model": "m", "parameters": {"seed": 1, "stop": ["a b"]}, "vision": False, "concurrency": 2}},
        "own",
    ),
    "a deployment of a pool, with an entry of its own": (" --model good", {"b": "m", "good": ["b", "c"]}, "b"),
    "a deployment of a pool, a bare name": (" --model good", {"good": ["x/y", "c"]}, '"x/y"'),
    "one deployment of a pool alone": (" --model good@c", {"good": ["b", "c"]}, "c"),
}


@pytest.mark.parametrize(("line", "models", "key"), CASES.values(), ids=CASES)
def test_the_command_that_it_proposes_works_at_once(notebook, server, line, models, key):
    book = at(notebook, server, **models)
    run, found = refused(book, line)
    orch(book.session, found["add"].removeprefix("%orch ").replace("=IN", "=0.5").replace("=OUT", "=2"))
    again = book.run(CELL.format(line))
    assert again.status == "done", again.reason
    assert again.cost == pytest.approx(60e-6)
    assert run.resume().status == "done"


@pytest.mark.parametrize(("line", "models", "key"), CASES.values(), ids=CASES)
def test_the_entry_that_it_proposes_works_as_well(notebook, server, line, models, key):
    book = at(notebook, server, **models)
    _, found = refused(book, line)
    assert found["entry"].startswith(f"{key} = {{ ")
    entry = tomllib.loads(found["entry"].replace("= IN", "= 0.5").replace("= OUT", "= 2"))
    assert at(book, server, **{**models, **entry}).run(CELL.format(line)).cost == pytest.approx(60e-6)


def test_of_a_deployment_without_a_name_elsewhere_the_place_in_the_list_is_told(notebook, server):
    own = {"base_url": server.base_url, "model": "m", "name": "b"}
    book = at(notebook, server, good=[{"use": "a", "input_price": 0.0, "output_price": 0.0}, own])
    run = book.run(CELL.format(" --model good@b"))
    assert (
        "the price of 'good@b' (m) is unknown: add input_price = IN, output_price = OUT to number 2 of its "
        "deployments, [tool.orchmagic.models] good, and restart the kernel" in run.reason
    )


def test_a_known_endpoint_keeps_its_address(notebook):
    notebook.session.services.environ.update({"GROQ_API_KEY": "k"})
    run = notebook.run(CELL.format(" --model groq/nobodys-model"))
    assert run.status == "capped"
    assert "%orch models add groq/nobodys-model endpoint=groq model=nobodys-model input_price=IN" in run.reason
    assert '"groq/nobodys-model" = { endpoint = "groq", model = "nobodys-model", input_price = IN' in run.reason


def test_without_a_budget_nothing_is_refused(notebook, server):
    run = at(notebook, server).run(CELL.replace("--budget 0.01 ", "").format(""))
    assert (run.status, run.cost) == ("done", None)
