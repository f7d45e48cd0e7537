"""The lines of a batch: requests as JSONL, and the results of the output file and the error file.

Format: https://platform.openai.com/docs/guides/batch
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from orchmagic.core.portable import status_of

PATH: Final = "/v1/chat/completions"
MOST_REQUESTS = 50_000  # in a file, as OpenAI states
MOST_BYTES = 200_000_000  # likewise
_OK = 200


@dataclass(frozen=True, slots=True)
class BatchResult:
    """What a batch says of one request: the HTTP `status` and the JSON `body` of its answer.

    `lapsed`: the request was not processed in time, or the batch was cancelled before; `message` says it.
    """

    custom_id: str
    status: int = _OK
    body: Mapping[str, Any] = field(default_factory=dict)
    lapsed: bool = False
    message: str = ""


def line(custom_id: str, body: Mapping[str, Any]) -> bytes:
    """A request as a line of the input file."""
    whole = {"custom_id": custom_id, "method": "POST", "url": PATH, "body": body}
    return json.dumps(whole, separators=(",", ":")).encode("ascii") + b"\n"


def results(text: str) -> Iterator[BatchResult]:
    """Read an output or error file. A line that is not of the protocol is left out: its request has no result then."""
    for row in text.split("\n"):  # not splitlines: a text may hold U+2028
        try:
            data = json.loads(row)
        except (ValueError, RecursionError):
            continue
        if isinstance(data, Mapping) and isinstance(data.get("custom_id"), str):
            yield _result(data)


def _result(data: Mapping[str, Any]) -> BatchResult:
    custom_id, response, error = data["custom_id"], data.get("response"), data.get("error")
    if isinstance(response, Mapping):
        body, status = response.get("body"), response.get("status_code")
        body = body if isinstance(body, Mapping) else {"message": str(body)}
        return BatchResult(custom_id, status if isinstance(status, int) else _OK, body)
    detail = error if isinstance(error, Mapping) else {"message": str(error)}
    code, message = str(detail.get("code") or ""), str(detail.get("message") or "no reason given")
    if code in {"batch_expired", "batch_cancelled"}:
        return BatchResult(custom_id, lapsed=True, message=message)
    return BatchResult(custom_id, status_of(detail), {"error": dict(detail)})
