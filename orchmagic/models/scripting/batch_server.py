"""The Batch API of the scripted server: `/files` and `/batches`, in memory.

    with serve(Script([...])) as server:
        server.batches.looks = 3             # how often a batch is looked at before it has ended
        server.batches.ends = ["expired"]    # how the next batches end; then all are completed

A batch asks the script when it ends. Its results are in reverse order, so that no client relies on their order. What
the script answers with a fault of an HTTP status is in the error file.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from orchmagic.models.scripting.reply import completion, http_error
from orchmagic.models.scripting.script import Script

End: TypeAlias = Literal["completed", "failed", "expired", "cancelled"]
Answer: TypeAlias = tuple[int, bytes]
_OK, _BAD, _GONE = 200, 400, 404


@dataclass(slots=True)
class _Batch:
    id: str
    input_file: str
    metadata: Mapping[str, str]
    end: End
    looks: int
    created: int = field(default_factory=lambda: int(time.time()))
    status: str = "in_progress"
    output_file: str | None = None
    error_file: str | None = None
    errors: Any = None
    counts: dict[str, int] = field(default_factory=dict)


class ScriptedBatches:
    """The batches of a server.

    Attributes:
        enabled: False = an endpoint without a Batch API (404).
        looks: how many looks at a batch find it under way; `end_all` ends those.
        ends: how the next batches end, in order. Of an expired or cancelled one, the first half is processed.
        extra: further results, as lines of the output file: of unknown requests, twice.
        lost: custom_ids (as regular expression) that no file has.
        received: the requests of each batch: custom_id -> body.
    """

    def __init__(self, script: Script) -> None:
        self.enabled = True
        self.looks = 0
        self.ends: list[End] = []
        self.extra: list[Mapping[str, Any]] = []
        self.lost = ""
        self.received: list[dict[str, dict[str, Any]]] = []
        self._script = script
        self._files: dict[str, bytes] = {}
        self._batches: dict[str, _Batch] = {}
        self._lock = threading.Lock()

    def answer(self, method: str, path: str, body: bytes, kind: str) -> Answer | None:
        """(status, body) for a request; None if the path is none of these. `kind`: its Content-Type."""
        parts = path.removeprefix("/v1/").split("/")
        if not self.enabled or parts[0] not in {"files", "batches"}:
            return None
        with self._lock:
            found = self._file(method, parts, body, kind) if parts[0] == "files" else self._batch(method, parts, body)
        return found or _error(_GONE, f"no {path!r} here")

    def _file(self, method: str, parts: Sequence[str], body: bytes, kind: str) -> Answer | None:
        match [method, *parts]:
            case ["POST", "files"]:
                return self._upload(body, kind)
            case ["GET", "files", name, "content"] if name in self._files:
                return _OK, self._files[name]
        return None

    def _batch(self, method: str, parts: Sequence[str], body: bytes) -> Answer | None:
        match [method, *parts]:
            case ["POST", "batches"]:
                return self._begin(body)
            case ["GET", "batches"]:
                rows = [self._shown(b) for b in reversed(self._batches.values())]
                return _json(_OK, {"object": "list", "data": rows, "has_more": False})
            case ["GET", "batches", name] if name in self._batches:
                return _json(_OK, self._shown(self._looked_at(self._batches[name])))
            case ["POST", "batches", name, "cancel"] if name in self._batches:
                self._cancel(self._batches[name])
                return _json(_OK, self._shown(self._batches[name]))
        return None

    @property
    def statuses(self) -> list[str]:
        """The status of each batch, the oldest first."""
        return [batch.status for batch in self._batches.values()]

    def end_all(self) -> None:
        """Let every batch end at the next look, as it was to."""
        self.looks = 0
        for batch in self._batches.values():
            batch.looks = 0

    def forget(self) -> None:
        """Lose all batches and files, as an endpoint does after some weeks."""
        self._files.clear()
        self._batches.clear()

    def _upload(self, body: bytes, kind: str) -> Answer:
        boundary = re.search(r'boundary="?([^";]+)', kind)
        parts = body.split(b"--" + boundary[1].encode("latin-1")) if boundary else []
        content = next((p.partition(b"\r\n\r\n")[2] for p in parts if b"filename=" in p), None)
        if content is None:
            return _error(_BAD, "no file in the upload")
        return _json(_OK, {**_FILE, "id": self._keep(content.removesuffix(b"\r\n")), "purpose": "batch"})

    def _keep(self, content: bytes) -> str:
        name = f"file-{len(self._files) + 1}"
        self._files[name] = content
        return name

    def _begin(self, body: bytes) -> Answer:
        data = json.loads(body)
        if data.get("endpoint") != "/v1/chat/completions" or data.get("completion_window") != "24h":
            return _error(_BAD, "no such endpoint or completion_window")
        if data.get("input_file_id") not in self._files:
            return _error(_BAD, f"no file {data.get('input_file_id')!r}")
        rows = [json.loads(row) for row in self._files[data["input_file_id"]].splitlines()]
        self.received.append({row["custom_id"]: row["body"] for row in rows})
        end = self.ends.pop(0) if self.ends else "completed"
        made = _Batch(
            f"batch_{len(self._batches) + 1}", data["input_file_id"], data.get("metadata") or {}, end, self.looks
        )
        made.counts = {"total": len(rows), "completed": 0, "failed": 0}
        self._batches[made.id] = made
        return _json(_OK, self._shown(made))

    def _looked_at(self, batch: _Batch) -> _Batch:
        if batch.status == "in_progress":
            batch.looks -= 1
            if batch.looks < 0:
                self._finish(batch, batch.end)
        return batch

    def _cancel(self, batch: _Batch) -> None:
        if batch.status == "in_progress":
            self._finish(batch, "cancelled")

    def _finish(self, batch: _Batch, end: End) -> None:
        batch.status = end
        if end == "failed":
            problem = {"code": "invalid_json_line", "message": "a line is no JSON", "line": 1, "param": None}
            batch.errors = {"object": "list", "data": [problem]}
            return
        rows = [json.loads(row) for row in self._files[batch.input_file].splitlines()]
        whole = len(rows) if end == "completed" else len(rows) // 2
        results = [*map(self._result, rows[:whole]), *(_lapsed(row, end) for row in rows[whole:])]
        kept = [r for r in reversed(results) if not (self.lost and re.search(self.lost, r["custom_id"]))]
        good = [r for r in kept if r["error"] is None and r["response"]["status_code"] == _OK]
        bad = [r for r in kept if r not in good]
        batch.counts |= {"completed": len(good), "failed": len(bad)}
        good = [*good, *map(dict, self.extra)]
        batch.output_file = self._keep(_lines(good)) if good else None
        batch.error_file = self._keep(_lines(bad)) if bad else None

    def _result(self, row: Mapping[str, Any]) -> dict[str, Any]:
        reply, number = self._script.take(row["body"])
        failed = http_error(reply)
        status, body = (failed[0], {"error": failed[1]}) if failed else (_OK, completion(reply, row["body"], number))
        response = {"status_code": status, "request_id": f"r{number}", "body": body}
        return {"id": f"batch_req_{number}", "custom_id": row["custom_id"], "response": response, "error": None}

    def _shown(self, batch: _Batch) -> dict[str, Any]:
        return {
            "id": batch.id,
            "object": "batch",
            "endpoint": "/v1/chat/completions",
            "input_file_id": batch.input_file,
            "completion_window": "24h",
            "created_at": batch.created,
            "status": batch.status,
            "output_file_id": batch.output_file,
            "error_file_id": batch.error_file,
            "errors": batch.errors,
            "metadata": dict(batch.metadata),
            "request_counts": batch.counts,
        }


_FILE = {"object": "file", "bytes": 0, "created_at": 0, "filename": "batch.jsonl", "status": "processed"}


def _lapsed(row: Mapping[str, Any], end: str) -> dict[str, Any]:
    message = {
        "expired": "This request could not be executed before the completion window expired.",
        "cancelled": "This request was cancelled with its batch.",
    }[end]
    error = {"code": f"batch_{end}", "message": message}
    return {"id": "batch_req", "custom_id": row["custom_id"], "response": None, "error": error}


def _lines(results: Sequence[Mapping[str, Any]]) -> bytes:
    return b"".join(json.dumps(r, ensure_ascii=False).encode("utf-8", "replace") + b"\n" for r in results)


def _json(status: int, data: Any) -> Answer:
    return status, json.dumps(data).encode()


def _error(status: int, message: str) -> Answer:
    return _json(status, {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": None}})
