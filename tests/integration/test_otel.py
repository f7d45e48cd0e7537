"""A run arrives at an OpenTelemetry collector as the GenAI conventions have it, and never suffers from one."""

import gzip
import json
import subprocess
import sys
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from orchmagic import Reply
from orchmagic.trace import otel, otel_spans
from orchmagic.trace.otel import TelemetryWarning
from orchmagic.trace.run_trace import Trace

pytestmark = pytest.mark.slow

CANARY = "sk-canary-0123456789abcdef"
CHAIN = "%%chain triage --no-cache\nextract -> name: str\n    Name: {{ text }}\nreply\n    About {{ extract.name }}\n"


class Collector:
    """An OTLP/HTTP receiver on loopback that decodes what it gets."""

    def __init__(self):
        self.requests, self.headers, self.status, self.gate = [], [], 200, threading.Event()
        self.gate.set()
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                collector.gate.wait(30)
                body = gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body
                collector.headers.append((self.path, dict(self.headers)))
                collector.requests.append(ExportTraceServiceRequest.FromString(body))
                answer = ExportTraceServiceResponse().SerializeToString()
                self.send_response(collector.status)
                self.send_header("Content-Type", "application/x-protobuf")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *args):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()

    @property
    def spans(self):
        return [s for r in self.requests for rs in r.resource_spans for ss in rs.scope_spans for s in ss.spans]

    def find(self, name):
        return next(s for s in self.spans if s.name == name)

    def close(self):
        self.gate.set()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def collector(monkeypatch):
    made = Collector()
    for name in (*otel.ENDPOINTS, otel.CONTENT, "OTEL_SDK_DISABLED", "OTEL_TRACES_EXPORTER", "OTEL_SERVICE_NAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", made.url)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "2")
    yield made
    made.gate.set()
    otel.close()
    made.close()


def told(span):
    """The attributes of a span that arrived."""
    return {a.key: plain(a.value) for a in span.attributes}


def plain(value):
    kind = value.WhichOneof("value")
    return [plain(v) for v in value.array_value.values] if kind == "array_value" else getattr(value, kind)


def sent(record, **how):
    otel.export(record, **how)
    assert otel.flush(20)


@pytest.fixture
def notebook(notebook):
    """Its runs are sent by the tests, not by the session."""
    switch(notebook, "off")
    return notebook


def switch(notebook, otel):
    notebook.session.services.environ.update({"ORCHMAGIC_OTEL": otel})
    notebook.session.reload()


@pytest.fixture
def record(notebook):
    notebook.script(Reply(fault="500"), {"name": "lamp"}, "the secret reply")
    return notebook.run(CHAIN, text="the secret text").record


def test_a_run_arrives_as_one_trace_with_its_parents(collector, record):
    sent(record)
    spans = {s.span_id: s for s in collector.spans}
    assert len({s.trace_id for s in collector.spans}) == 1
    ways = {s.name: spans[s.parent_span_id].name for s in collector.spans if s.parent_span_id}
    assert ways == {
        "extract": "invoke_workflow triage",
        "reply": "invoke_workflow triage",
        "chat scripted": "reply",  # the last of two
        "attempt 1": "chat scripted",
        "attempt 2": "chat scripted",
    }


def test_a_question_has_the_names_of_the_conventions(collector, record):
    sent(record)
    asked = next(told(s) for s in collector.spans if told(s).get("orchmagic.span") == "extract#1.1")
    assert asked["gen_ai.operation.name"] == "chat"
    assert asked["gen_ai.provider.name"] == "scripted"
    assert asked["gen_ai.request.model"] == asked["gen_ai.response.model"] == "scripted"
    kinds = {s.name: s.kind for s in collector.spans}
    assert (kinds["chat scripted"], kinds["extract"]) == (3, 1)  # client, internal
    assert asked["gen_ai.usage.input_tokens"] == record.steps[0].usage.input > 0
    assert asked["gen_ai.usage.output_tokens"] == record.steps[0].usage.output > 0
    assert asked["orchmagic.attempts"] == 2
    (wait,) = [reason.wait for s in record.spans for reason in s.why]
    assert asked["orchmagic.why"] == [f"attempt 1 failed (500); tried again after {wait:.1f} s"]
    scope = collector.requests[0].resource_spans[0].scope_spans[0]
    assert scope.scope.name == "orchmagic"
    assert scope.schema_url == "https://opentelemetry.io/schemas/1.41.0"


def test_every_name_of_the_conventions_is_one_that_exists(notebook):
    from opentelemetry.semconv._incubating.attributes import gen_ai_attributes  # noqa: PLC0415 - of this test alone

    known = {v for k, v in vars(gen_ai_attributes).items() if k.startswith("GEN_AI_")}
    operations = {v.value for v in gen_ai_attributes.GenAiOperationNameValues}
    providers = {v.value for v in gen_ai_attributes.GenAiProviderNameValues} | {"moonshot_ai"}  # newer than the package
    notebook.script(Reply(tool_calls=[("find", {"order": "A1"})]), "done")
    notebook.space["find"] = find
    record = notebook.run("%%react orders --tools find\nWhere is A1?").record
    spans = list(otel_spans.to_otel_spans(record, content=True, thread="t"))
    used = {name for s in spans for name in s.attributes if name.startswith("gen_ai.")}
    assert len(used) > 10
    assert used <= known
    assert {
        s.attributes["gen_ai.operation.name"] for s in spans if "gen_ai.operation.name" in s.attributes
    } <= operations
    assert {otel_spans.provider(name) for name in otel_spans._PROVIDERS} <= providers


def test_tokens_that_a_backend_sums_are_those_of_the_run(collector, record):
    sent(record)
    known = [told(s) for s in collector.spans]
    assert sum(a.get("gen_ai.usage.input_tokens", 0) for a in known) == record.usage.input
    assert sum(a.get("gen_ai.usage.output_tokens", 0) for a in known) == record.usage.output


def test_times_are_those_of_the_clock_on_the_wall(collector):
    ticks = iter([10.0, 10.0, 12.5, 12.5, 12.5])
    trace = Trace("r1", "n", "chain", clock=lambda: next(ticks), started="2026-11-01T12:00:00+00:00")
    record = replace(trace.snapshot(), status="done", seconds=2.5)
    sent(record)
    zero = int(datetime(2026, 11, 1, 12, tzinfo=UTC).timestamp()) * 10**9
    root = collector.find("invoke_workflow n")
    assert (root.start_time_unix_nano, root.end_time_unix_nano) == (zero, zero + 2_500_000_000)


def test_steps_lie_within_their_run(collector, record):
    sent(record)
    root = collector.find("invoke_workflow triage")
    assert all(root.start_time_unix_nano <= s.start_time_unix_nano <= s.end_time_unix_nano for s in collector.spans)
    assert all(s.end_time_unix_nano <= root.end_time_unix_nano for s in collector.spans)


def test_what_was_said_stays_here_unless_it_is_asked_for(collector, record):
    sent(record)
    assert b"secret" not in b"".join(r.SerializeToString() for r in collector.requests)


def test_what_errors_and_stories_quote_stays_here_too(collector, notebook):
    notebook.script({"label": "the secret label"}, {"label": "the secret label"})
    failed = notebook.run('%%chain pick --no-cache\nx -> label: "a" | "b"\n    Pick.\n').record
    assert "secret" in str([(s.error, s.why) for s in failed.spans])
    notebook.script("draft", "end")
    waits = notebook.run('%%chain ask --no-cache\ndraft\n    Write.\napprove "Send the secret?"\nend\n    End\n')
    sent(failed)
    sent(waits.reject("it is secret").record)
    spans = [told(s) for s in collector.spans]
    assert ["rejected by a person", "→ rejected: a person rejected it"] in [s.get("orchmagic.why") for s in spans]
    assert b"secret" not in b"".join(r.SerializeToString() for r in collector.requests)


def test_what_was_said_goes_along_when_it_is_asked_for(collector, record, monkeypatch):
    monkeypatch.setenv(otel.CONTENT, "true")
    sent(record)
    asked = next(told(s) for s in collector.spans if told(s).get("orchmagic.span") == "reply#1.1")
    parts = [{"type": "text", "content": "About lamp"}]
    assert json.loads(asked["gen_ai.input.messages"]) == [{"role": "user", "parts": parts}]
    parts = [{"type": "text", "content": "the secret reply"}]
    assert json.loads(asked["gen_ai.output.messages"]) == [
        {"role": "assistant", "parts": parts, "finish_reason": "stop"}
    ]


def find(order: str) -> str:
    "Where an order is."
    return f"{order} is in Berlin"


def test_a_tool_call_is_told_as_one(collector, notebook, monkeypatch):
    monkeypatch.setenv(otel.CONTENT, "true")
    notebook.script(Reply(tool_calls=[("find", {"order": "A1"})]), "done")
    notebook.space["find"] = find
    sent(notebook.run("%%react orders --tools find\nWhere is A1?").record)
    tool = told(collector.find("execute_tool find"))
    assert (tool["gen_ai.operation.name"], tool["gen_ai.tool.name"], tool["gen_ai.tool.type"]) == (
        "execute_tool", "find", "function",
    )  # fmt: skip
    assert json.loads(tool["gen_ai.tool.call.arguments"]) == {"order": "A1"}
    assert "Berlin" in tool["gen_ai.tool.call.result"]
    last = [told(s) for s in collector.spans if s.name.startswith("chat")][-1]
    roles = [(m["role"], [p["type"] for p in m["parts"]]) for m in json.loads(last["gen_ai.input.messages"])]
    assert ("assistant", ["tool_call"]) in roles
    assert ("tool", ["tool_call_response"]) in roles


def test_a_failed_run_is_an_error_of_a_known_type(collector, notebook):
    notebook.script(Reply(fault="400"))
    sent(notebook.run(CHAIN, text="t").record)
    root, step = collector.find("invoke_workflow triage"), collector.find("extract")
    assert root.status.code == step.status.code == 2
    assert told(root)["error.type"] == told(step)["error.type"] == "400"
    assert collector.find("reply").status.code == 0  # it was skipped


def test_a_cached_answer_spends_nothing_and_says_so(collector, notebook):
    cell = "%%chain twice\nfirst\n    A\n"
    notebook.script("the reply")
    notebook.run(cell)
    sent(notebook.run(cell).record)
    asked = told(collector.find("chat scripted"))
    assert asked["orchmagic.cache.hit"] is True
    assert asked["orchmagic.cache.age_seconds"] >= 0
    assert "gen_ai.usage.input_tokens" not in asked
    assert told(collector.find("invoke_workflow twice"))["orchmagic.cache.hits"] == 1


def test_items_share_one_name_and_keep_their_number(collector, notebook):
    notebook.script(lambda request: "ok")
    notebook.run("%%chain many --no-cache\neach(over=texts, item=t)\n    {{ t }}\n", texts=["a", "b"])
    record = notebook.session.runs[-1].record
    sent(record)
    items = [told(s) for s in collector.spans if s.name == "each item"]
    assert sorted(i["orchmagic.span"] for i in items) == ["each#1/1", "each#1/2"]


def test_a_run_that_waits_is_sent_when_it_has_ended(collector, notebook):
    notebook.script("draft")
    run = notebook.run('%%chain ask --no-cache\ndraft\n    Write.\napprove "Send it?"\n')
    assert run.status == "waiting"
    sent(run.record)
    assert collector.spans == []
    run.approve()
    sent(run.record, thread="t1")
    root = collector.find("invoke_workflow ask")
    assert told(root)["orchmagic.status"] == "done"
    assert told(root)["gen_ai.conversation.id"] == "t1"


def test_a_session_sends_each_run_when_it_ends(collector, notebook):
    switch(notebook, "on")
    notebook.script("one", "two")
    run = notebook.run('%%chain ask --thread t1 --no-cache\ndraft\n    Write.\napprove "Send it?"\n')
    run.approve()
    assert otel.flush(20)
    roots = [told(s) for s in collector.spans if s.name == "invoke_workflow ask"]
    assert [(r["orchmagic.run.id"], r["gen_ai.conversation.id"]) for r in roots] == [(run.id, "t1")]


def test_a_session_that_is_told_so_sends_nothing(collector, notebook):
    notebook.script("one")
    notebook.run("%%chain ask --no-cache\ndraft\n    Write.\n")
    assert otel.flush(20)
    assert collector.requests == []


def test_without_an_endpoint_nothing_is_sent(collector, record, monkeypatch):
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_ENDPOINT")
    sent(record)
    assert collector.requests == []
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", f"{collector.url}/own")
    sent(record)
    assert [path for path, _ in collector.headers] == ["/own"]


@pytest.mark.parametrize(("name", "value"), [("OTEL_SDK_DISABLED", "true"), ("OTEL_TRACES_EXPORTER", "none")])
def test_the_standard_switches_turn_it_off(collector, record, monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    sent(record)
    assert collector.requests == []


def test_the_standard_variables_name_the_service_and_the_headers(collector, record, monkeypatch):
    monkeypatch.setenv("OTEL_SERVICE_NAME", "support-desk")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20collector")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")
    sent(record)
    resource = {a.key: plain(a.value) for a in collector.requests[0].resource_spans[0].resource.attributes}
    assert resource["service.name"] == "support-desk"
    path, headers = collector.headers[0]
    assert (path, headers["authorization"], headers["Content-Encoding"]) == ("/v1/traces", "Bearer collector", "gzip")


def test_without_a_name_the_service_is_orchmagic(collector, record):
    sent(record)
    resource = {a.key: plain(a.value) for a in collector.requests[0].resource_spans[0].resource.attributes}
    assert resource["service.name"] == "orchmagic"


def test_no_key_goes_along(collector, notebook, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", CANARY)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", f"x-key={CANARY}")
    monkeypatch.setenv(otel.CONTENT, "true")
    notebook.script(Reply(fault="401"))
    sent(notebook.run(CHAIN, text="t").record)
    assert collector.spans
    assert CANARY.encode() not in b"".join(r.SerializeToString() for r in collector.requests)


def test_a_collector_that_fails_is_one_warning(collector, record, caplog):
    collector.status = 400
    with pytest.warns(TelemetryWarning, match="400") as said:
        [sent(record) for _ in range(2)]
    assert len(said) == 1
    assert caplog.text == ""


def test_a_collector_that_is_gone_is_one_warning(collector, record, monkeypatch, caplog):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "0.2")
    with pytest.warns(TelemetryWarning, match="not sent to OpenTelemetry"):
        sent(record)
    assert caplog.text == ""


def test_nobody_waits_for_a_slow_collector(collector, record):
    collector.gate.clear()
    began = time.monotonic()
    otel.export(record)
    assert time.monotonic() - began < 5  # it waits for ten
    assert not otel.flush(0.05)
    collector.gate.set()
    assert otel.flush(20)
    assert collector.spans


def test_a_large_run_arrives_whole_and_in_parts(collector, record):
    one = record.steps[0]
    sent(replace(record, spans=tuple(replace(one, id=f"s#{i}") for i in range(2_000))))
    assert len(collector.requests) == 4
    assert len(collector.spans) == 2_001


def test_missing_packages_are_one_line_that_says_what_to_write(collector, record, monkeypatch):
    monkeypatch.setattr(otel.importlib.util, "find_spec", lambda name: None)
    with pytest.warns(TelemetryWarning, match=r"pip install 'orchmagic\[otel\]'"):
        otel.export(record)


def test_names_of_spans_are_few(record):
    names = [s.name for s in otel_spans.to_otel_spans(record)]
    assert not any("#" in name for name in names)


QUITS = """
from dataclasses import replace
from orchmagic.trace import otel
from orchmagic.trace.run_trace import Trace
otel.export(replace(Trace("r1", "n", "chain").snapshot(), status="done"))
"""


def test_a_script_that_ends_at_once_has_sent_its_run(collector):
    run = subprocess.run([sys.executable, "-c", QUITS], capture_output=True, text=True, check=True, timeout=60)
    assert run.stderr == ""
    assert collector.find("invoke_workflow n")
