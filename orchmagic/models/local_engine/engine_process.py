"""The process of a local model: runs llama.cpp's own HTTP server on a free port of 127.0.0.1.

It is a separate process for two reasons. Stopping that server inside the kernel during a request hangs for ever (it
waits for the client and holds the GIL), and a crash of it must not end the notebook's kernel.
It runs as a script and imports nothing of orchmagic. It reads one JSON line from stdin (what to load) and writes one
to stdout ({"base_url"} or {"error", "missing"}). It ends when stdin closes, so it never outlives the kernel.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from typing import Any


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in a terminal is meant for the run, not for the model
    answer = os.fdopen(os.dup(1), "w", encoding="utf-8")
    silent = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silent, 1)  # llama.cpp writes to both
    os.dup2(silent, 2)
    server = None
    try:
        server = serve(json.loads(sys.stdin.readline()))
        reply = {"base_url": f"{server.listening_address}/v1"}
    except ModuleNotFoundError as error:
        reply = {"error": str(error), "missing": "xllamacpp"}
    except Exception as error:  # noqa: BLE001 - the kernel reports any error
        reply = {"error": str(error)}
        if "libgomp" in str(error):
            reply["missing"] = "libgomp"
    answer.write(json.dumps(reply) + "\n")
    answer.flush()
    if server is not None:
        sys.stdin.read()
    os._exit(0)  # no destructors: stopping the server may hang, see above


def serve(given: dict[str, Any]) -> Any:
    """Start the server. The parent process sets `OMP_WAIT_POLICY`, which must be set before the import."""
    import xllamacpp  # noqa: PLC0415 - `main` reports an ImportError

    p = xllamacpp.CommonParams()
    p.model.path = given["path"]
    p.model_alias = {given["name"]}  # else answers contain the file's path
    p.hostnames, p.port, p.api_keys = ["127.0.0.1"], 0, [given["api_key"]]
    p.n_parallel, p.n_ctx, p.kv_unified = given["slots"], given["context"], True  # the slots share one context
    p.cpuparams.n_threads = p.cpuparams_batch.n_threads = given["threads"]
    p.load_mode = xllamacpp.llama_load_mode.LLAMA_LOAD_MODE_NONE  # not memory-mapped, so that the file may be replaced
    p.cache_ram_mib = 256
    p.verbosity, p.ui, p.endpoint_slots = -1, False, False
    return xllamacpp.Server(p)


if __name__ == "__main__":
    main()
