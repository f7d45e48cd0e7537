"""A key of the environment is in no record of a run, and LangGraph's own tracing posts nothing."""

from __future__ import annotations

import json

import pytest

from orchmagic import views

KEY = "sk-canary-0123456789"


@pytest.mark.parametrize(
    "cell",
    [
        "%%chain t\na\n    Say {{ text }}",
        "%%chain t\nx = broken(text)",
        "%%chain t\nx = shout(text)\na\n    {{ x }}",
        "%%chain t\na\n    Say hi\ngate shout(a) == text else stop 'no'",
    ],
)
def test_a_key_is_in_no_record_view_or_audit(notebook, tmp_path, cell):
    def broken(text):
        raise ValueError(f"refused: {text}")

    log = tmp_path / "audit.jsonl"
    notebook.session.services.environ.update({"OPENAI_API_KEY": KEY, "ORCHMAGIC_AUDIT": str(log)})
    notebook.session.reload()
    notebook.space.update(text=f"with {KEY}", broken=broken, shout=str.upper)
    notebook.script(f"echo {KEY}")
    run = notebook.define(cell).prepare()
    run.start()
    run.wait()
    shown = json.dumps([run.record.to_json(), views.bundle(run.record)], default=str)
    stored = json.dumps(notebook.session.services.history.store.run(run.id).record, default=str)
    for said in (shown, stored, log.read_text("utf-8"), str(run.error)):
        assert KEY not in said
    assert "[key]" in shown


def test_langgraph_does_not_post_runs_to_langsmith(notebook, monkeypatch):
    from langsmith import utils  # noqa: PLC0415 - comes with LangGraph

    monkeypatch.setenv("LANGSMITH_TRACING", "true")
    utils.get_env_var.cache_clear()
    traced = []

    def look(text):
        traced.append(utils.tracing_is_enabled())
        return text

    notebook.space["look"] = look
    try:
        assert utils.tracing_is_enabled() is True
        run = notebook.run("%%chain t\nx = look('a')")
    finally:
        utils.get_env_var.cache_clear()
    assert run.status == "done"
    assert traced == [False]
