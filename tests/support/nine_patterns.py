"""One cell of each pattern, with a tool where it can have one, and a model that answers all of them."""

from __future__ import annotations

import json
from typing import Any

from orchmagic import Reply
from orchmagic.models.types import ToolCall


def find(what: str) -> str:
    """Find a flight."""
    return f"flight {what}"


AGENT = "%%react agent --tools find\nFind {{ q }}\n"
TURNS = {
    "chain": ("%%chain t\na = agent(q=q)\nb\n    Then {{ a }}\n", "Find x"),
    "route": ("%%route t\nrouter\n    Which? {{ q }}\none(run=agent): any\ntwo: none\n    Two {{ q }}\n", "Find x"),
    "react": ("%%react t --tools find\nDo {{ q }}\n", "Do x"),
    "parallel": ("%%parallel t\na\n    Part {{ q }}\nb(run=agent)\nmerge\n    All {{ a }} {{ b }}\n", "Part x"),
    "team": ("%%team t\nsupervisor\n    Goal {{ q }}\none(tools=find): works\n    You work.\n", "Goal x"),
    "plan": (
        ("%%plan t --tools find\nplan -> steps: list[str]\n    Plan {{ q }}\nexecute\n    Do {{ step }}\n"
        "reflect -> ok: bool, feedback: str\n    Goal {{ q }}. {{ results }}\n"), "Plan x",
    ),
    "refine": (
        ("%%refine t\ngenerate\n    Write {{ q }}\nevaluate -> score: float, feedback: str\n    Score {{ generate }}\n"
        "until evaluate.score >= 8 max 2\n"), "Write x",
    ),
    "cascade": (
        ("%%cascade t --models scripted,scripted\nanswer\n    Solve {{ q }}\nverify judge >= 0.8\n"
        "    Is {{ answer }} right?\n"), "Solve x",
    ),
    "mapreduce": ("%%mapreduce t --over q\nmap\n    Read {{ chunk }}\nreduce\n    Join {{ parts }}\n", "Join"),
}  # fmt: skip


def replies(body: Any) -> Any:
    """A model that calls the tool `find` once for each conversation, and answers what its schema wants."""
    messages, schema = body["messages"], body.get("response_format", {}).get("json_schema", {}).get("schema", {})
    if body.get("tools") and not any(m["role"] == "tool" for m in messages):
        return Reply("", tool_calls=[ToolCall("c1", "find", '{"what": "x"}')])
    wanted = schema.get("properties", {})
    if not wanted:
        return "an answer"
    values = {
        "label": "one", "steps": ["only"], "ok": True, "feedback": "", "score": 9.0, "next": _next(messages),
        "task": "do", "value": 1.0, "answer": "an answer",
    }  # fmt: skip
    return json.dumps({name: values.get(name, "an answer") for name in wanted})


def _next(messages: Any) -> str:
    return "finish" if "flight" in str(messages) or "an answer" in str(messages) else "one"
