"""Export runs as OpenTelemetry traces by OTLP/HTTP to the endpoint in the standard environment variables.

A run is sent after it has ended, by a separate thread, so that a slow or missing collector does not delay runs.
Failures cause one warning per session. Names and attributes of the spans: otel_spans.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import logging
import os
import threading
import warnings
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from orchmagic.trace.otel_spans import SCHEMA, OTelSpan, to_otel_spans
from orchmagic.trace.record import Record

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
CONTENT = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
_NAME = "orchmagic-otel"
_BATCH = 512  # spans per request
_WAITING = 1_000  # runs in the queue; more are dropped
_LONGEST = 30.0  # seconds `close` waits at most
_NANO = 1_000_000_000
_LOGGER = "opentelemetry.exporter.otlp.proto.http.trace_exporter"


class TelemetryWarning(RuntimeWarning):
    """Traces cannot be sent; the runs themselves are not affected."""


def wanted(environ: Mapping[str, str] = os.environ) -> bool:
    """Whether an endpoint is set and the export is not disabled."""
    off = environ.get("OTEL_SDK_DISABLED", "").lower() == "true" or environ.get("OTEL_TRACES_EXPORTER") == "none"
    return not off and any(environ.get(name) for name in ENDPOINTS)


def export(record: Record, thread: str | None = None) -> None:
    """Queue an ended run for the collector. Raises nothing.

    Does nothing without an endpoint, or if the run is running or waiting. `thread` names its conversation.
    """
    if record.status in {"running", "waiting"} or not wanted():
        return
    if not _installed():
        _complain("the packages are missing: pip install 'orchmagic[otel]'")
        return
    _SENDER.put(record, thread)


def _installed() -> bool:
    """Whether the exporter is installed; many packages bring the API alone."""
    try:
        return importlib.util.find_spec("opentelemetry.exporter.otlp.proto.http") is not None
    except ModuleNotFoundError:  # a parent package is missing
        return False


def flush(seconds: float) -> bool:
    """Wait until the queue is empty; return False after `seconds`."""
    return _SENDER.flush(seconds)


def close() -> None:
    """Send the queue and drop the exporter, so that the next run reads the environment again. For tests."""
    _SENDER.close()
    _COMPLAINTS.clear()


class _Sender:
    """A queue of runs and a non-daemon thread that ends when it is empty: Python waits for it on exit."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Begin again in a forked process: thread and queue are the parent's."""
        self._waiting: deque[tuple[Record, str | None]] = deque()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._line: _Line | None = None

    def put(self, record: Record, thread: str | None) -> None:
        import concurrent.futures.thread  # noqa: F401, PLC0415 - cannot be imported while Python shuts down

        with self._changed:
            if len(self._waiting) >= _WAITING:
                _complain(f"{_WAITING:,} runs wait to be sent, later ones are dropped")
                return
            self._waiting.append((record, thread))
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name=_NAME, daemon=False)
                self._thread.start()

    def flush(self, seconds: float) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: self._thread is None, seconds)

    def close(self) -> None:
        if self.flush(_LONGEST) and self._line is not None:
            self._line.close()
            self._line = None

    def _work(self) -> None:
        while (job := self._next()) is not None:
            try:
                self._line = self._line or _Line()
                sent = self._line.send(*job)
            except Exception as error:  # noqa: BLE001 - telemetry must not break a session
                sent = False
                _complain(f"{type(error).__name__}: {error}")
            if not sent and not threading.main_thread().is_alive():
                self._waiting.clear()  # do not delay the exit for a missing collector

    def _next(self) -> tuple[Record, str | None] | None:
        with self._changed:
            if self._waiting:
                return self._waiting.popleft()
            self._thread = None
            self._changed.notify_all()
            return None


class _Line:
    """The connection to the collector. OpenTelemetry's own tracer creates the spans: its samplers and limits apply."""

    def __init__(self) -> None:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415 - an extra, and heavy
            OTLPSpanExporter,
        )
        from opentelemetry.sdk.trace.export.in_memory_span_exporter import (  # noqa: PLC0415 - as above
            InMemorySpanExporter,
        )

        self._exporter: SpanExporter = OTLPSpanExporter()
        self._ended = InMemorySpanExporter()  # the sampled spans of the run that is sent
        self._provider = _provider(self._ended)
        self._logged = ""
        logging.getLogger(_LOGGER).addFilter(self._quiet)

    def send(self, record: Record, thread: str | None) -> bool:
        from opentelemetry.sdk.trace.export import SpanExportResult  # noqa: PLC0415 - as above

        _trace(self._provider, record, thread)
        spans = self._ended.get_finished_spans()
        self._ended.clear()
        for first in range(0, len(spans), _BATCH):
            if self._exporter.export(spans[first : first + _BATCH]) is not SpanExportResult.SUCCESS:
                _complain(self._logged or "the collector took nothing")
                return False
        return True

    def close(self) -> None:
        self._exporter.shutdown()
        self._provider.shutdown()
        logging.getLogger(_LOGGER).removeFilter(self._quiet)

    def _quiet(self, line: logging.LogRecord) -> bool:
        """Keep the exporter's log lines for our warning; pass those of the user's own exporter."""
        if threading.current_thread().name != _NAME:
            return True
        self._logged = line.getMessage()
        return False


def _provider(ended: SpanExporter) -> TracerProvider:
    from opentelemetry.sdk.resources import OTELResourceDetector, Resource  # noqa: PLC0415 - as above
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415 - as above
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor  # noqa: PLC0415 - as above
    from opentelemetry.sdk.version import __version__ as version  # noqa: PLC0415 - as above

    sdk = {"telemetry.sdk.language": "python", "telemetry.sdk.name": "opentelemetry", "telemetry.sdk.version": version}
    # not Resource.create: its threads cannot start while Python shuts down
    resource = Resource({"service.name": "orchmagic", **sdk}).merge(OTELResourceDetector().detect())
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(ended))
    return provider


def _trace(provider: TracerProvider, record: Record, thread: str | None) -> None:
    """Create the trace of a run: the run is the root span, times are wall-clock."""
    from opentelemetry.context import Context  # noqa: PLC0415 - as above
    from opentelemetry.trace import set_span_in_context  # noqa: PLC0415 - as above

    tracer = provider.get_tracer("orchmagic", importlib.metadata.version("orchmagic"), schema_url=SCHEMA)
    content = os.environ.get(CONTENT, "").lower() == "true"
    zero = _zero(record)
    made: dict[str, Any] = {}
    for span in to_otel_spans(record, content=content, thread=thread):
        parent = None if span.parent is None else made.get(span.parent, made[""])
        context = Context() if parent is None else set_span_in_context(parent, Context())
        made[span.id] = _made(tracer, span, context, zero)


def _made(tracer: Any, span: OTelSpan, context: Any, zero: int) -> Any:
    from opentelemetry.trace import SpanKind, Status, StatusCode  # noqa: PLC0415 - as above

    kind = SpanKind.CLIENT if span.client else SpanKind.INTERNAL
    made = tracer.start_span(span.name, context, kind, span.attributes, start_time=zero + round(span.start * _NANO))
    if span.error is not None:
        made.set_status(Status(StatusCode.ERROR, span.error))
    made.end(end_time=zero + round(max(span.start, span.end) * _NANO))
    return made


def _zero(record: Record) -> int:
    """Start of the run, in nanoseconds since 1970."""
    try:
        return round(datetime.fromisoformat(record.started).timestamp() * _NANO)
    except ValueError:  # records built by hand have no date
        return round((datetime.now(UTC).timestamp() - record.seconds) * _NANO)


_SENDER = _Sender()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_SENDER.forget)
_COMPLAINTS: set[str] = set()


def _complain(why: str) -> None:
    """Warn once per session: a missing collector must not flood a notebook."""
    if not _COMPLAINTS:
        _COMPLAINTS.add(why)
        with suppress(TelemetryWarning):  # raises nothing even if warnings are errors
            warnings.warn(f"traces are not sent to OpenTelemetry ({why})", TelemetryWarning, stacklevel=2)
