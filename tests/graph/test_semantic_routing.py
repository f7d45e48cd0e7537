"""`router(by=meaning)`: a route without a model call, on the real embedder."""

from __future__ import annotations

import subprocess
import sys

import pytest

from orchmagic.errors import CellError, ExportError
from orchmagic.graph.functions.semantic_routing import NOTHING, SHARPNESS, by_meaning
from orchmagic.trace.events import Decided

CELL = """%%route helpdesk{options}
router(by=meaning)
billing(examples=["I was charged twice", "where is my refund?"]): refunds, invoices, double charges
    B {{{{ question }}}}
technical: errors, crashes, API questions
    T {{{{ question }}}}
shipping: delivery, parcels, tracking, addresses
    S {{{{ question }}}}
human(ask="Please answer: {{{{ question }}}}"): anything legal, angry or unclear
"""
SURE = " --min-confidence 0.5 --otherwise human"
TICKETS = {  # written before the router was run on them
    "billing": [
        "You took the money from my card two times for one order.",
        "Please send me the invoice for March.",
        "I would like a refund for my last purchase.",
        "Why is the amount on my bill higher than the price on the page?",
        "My payment was debited but the order says unpaid.",
        "Can I get my money back?",
        "The invoice shows the wrong VAT number.",
    ],
    "technical": [
        "The app crashes as soon as I open it.",
        "Your API returns a 500 error for every request.",
        "I get an exception when I call the export endpoint.",
        "The page shows an error message and nothing loads.",
        "How do I authenticate against the API?",
        "The program freezes and then crashes on Windows.",
        "Error code 0x80070057 during installation.",
    ],
    "shipping": [
        "Where is my parcel? It should have arrived on Monday.",
        "The tracking number does not work.",
        "Please change the delivery address of my order.",
        "The courier left the package at the wrong house.",
        "When will my order be delivered?",
        "How long does delivery to Austria take?",
    ],
}


def decided(run):
    (found,) = [e for e in run.trace.events if isinstance(e, Decided)]
    return found


def test_twenty_tickets_reach_their_handlers_without_a_router_call(notebook):
    notebook.script(lambda body: body["messages"][-1]["content"][0])
    route = notebook.define(CELL.format(options=" --no-cache"))
    wrong = [t for name, texts in TICKETS.items() for t in texts if route(question=t).output != name[0].upper()]
    assert sum(map(len, TICKETS.values())) == len(notebook.scripted.requests) == 20
    assert wrong == []


@pytest.mark.parametrize("text", ["What is the weather in Rome?", "Who won the cup in 1974?", "asdf qwer", " "])
def test_what_is_near_to_no_handler_goes_to_otherwise(notebook, text):
    run = notebook.run(CELL.format(options=SURE), question=text)
    assert (run.status, run.reason) == ("waiting", f"Please answer: {text}")
    assert decided(run).choice == "human"
    assert decided(run).confidence < 0.5


def test_the_trace_says_how_sure_it_was_and_whence(notebook):
    run = notebook.run(CELL.format(options=SURE), question="I was charged twice for one order")
    event = decided(run)
    assert (event.choice, event.basis) == ("billing", "softmax of cosines")
    assert event.confidence == run.router["confidence"] > 0.9
    assert event.reason.text.startswith("likeness 0.")
    assert run.record.calls == 1


def test_the_confidence_can_be_computed_by_hand():
    found = by_meaning("charged twice", {"a": ("charged twice", ()), "b": ("errors", ())})
    _, likeness, *_, other = found["why"].replace(",", "").split()
    assert likeness == "1.00"
    from math import exp  # noqa: PLC0415 - only here

    whole = sum(exp((s - 1.0) / SHARPNESS) for s in (1.0, float(other), NOTHING))
    assert found["confidence"] == pytest.approx(1 / whole, abs=1e-3)


def test_a_text_longer_than_the_model_reads_is_read_whole():
    filler = "I hope that you are well and that the weather is fine where you are. " * 12
    kinds = {"refund": ("refunds and double charges", ()), "crash": ("errors and crashes of the app", ())}
    assert by_meaning(f"{filler} My app crashes with an error.", kinds)["label"] == "crash"
    assert by_meaning(f"{filler} I want a refund, I was charged twice.", kinds)["label"] == "refund"
    assert by_meaning("x" * 20_000, kinds)["label"] in kinds


def test_examples_may_be_a_variable_of_the_notebook(notebook):
    cell = "%%route\nrouter(by=meaning)\na(examples=PAID): x\n    A {{ q }}\nb: y\n    B {{ q }}\n"
    notebook.script(lambda body: body["messages"][-1]["content"][0])
    assert notebook.run(cell, q="Where is my refund?", PAID=["where is my refund?"]).output == "A"
    run = notebook.run(cell, q="Where is my refund?", PAID="where is my refund?")
    assert run.status == "failed"
    assert "examples of 'a' are 'where is my refund?': write a list of texts" in run.error


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        (
            "router(by=menaing)\na: x\n    {{ q }}\nb: y\n    {{ q }}\n",
            r"by=menaing is no way to route. Write router\(by",
        ),
        ("router(by=meaning)\n    Which?\na: x\n    {{ q }}\nb: y\n    {{ q }}\n", "asks no model, and has a prompt"),
        ("router(by=meaning)\na: x\n    {{ q }}\nb: y\n    {{ p }}\n", r"Write `router\(by=meaning, on=question\)`"),
        ("router(by=meaning)\na(match='x'): x\n    {{ q }}\nb: y\n    {{ q }}\n", "match= beside router"),
        ("router(by=meaning)\na(examples='x'): x\n    {{ q }}\nb: y\n    {{ q }}\n", "examples='x' is no list"),
        ("a(examples=['x']): x\n    {{ q }}\nb: y\n    {{ q }}\n", "examples=, which this router does not read"),
        ("router(by=meaning, model=small)\na: x\n    {{ q }}\nb: y\n    {{ q }}\n", "unknown option 'model'"),
    ],
)
def test_a_mistake_is_told_with_what_to_write(notebook, cell, said):
    with pytest.raises(CellError, match=said):
        notebook.define(f"%%route\n{cell}")


def test_min_confidence_needs_otherwise_whoever_routes(notebook):
    with pytest.raises(CellError, match="Add --otherwise HANDLER"):
        notebook.define(CELL.format(options=" --min-confidence 0.5"))


def test_its_export_is_refused_with_what_to_write_instead(notebook, tmp_path):
    with pytest.raises(ExportError, match=r'give the handlers match="…", write `router = your_function\(question\)`'):
        notebook.define(CELL.format(options="")).export(tmp_path / "helpdesk.py")
    assert list(tmp_path.glob("*.py")) == []


def test_nothing_heavy_is_loaded_until_a_route_needs_it():
    code = "import orchmagic.graph.functions, sys; print({'numpy', 'onnxruntime'} & sys.modules.keys())"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"
