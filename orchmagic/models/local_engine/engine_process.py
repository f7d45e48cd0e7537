"""The process that holds the local model: llama.cpp's own HTTP server on a free port of 127.0.0.1.

A process of its own, because stopping that server inside the kernel while a question is under way hangs for ever (it
waits for the client, holding the interpreter's lock), and because a crash in it must not take the notebook along.
Run as a script; it imports nothing of orchmagic. One JSON line comes in on stdin (what to load), one goes out on
stdout ({"base_url"} or {"error", "missing"}); it ends when stdin does, so it never outlives the kernel.
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
    os.dup2(silent, 1)  # llama.cpp writes where it likes
    os.dup2(silent, 2)
    server = None
    try:
        server = serve(json.loads(sys.stdin.readline()))
        reply = {"base_url": f"{server.listening_address}/v1"}
    except ModuleNotFoundError as error:
        reply = {"error": str(error), "missing": "xllamacpp"}
    except Exception as error:  # noqa: BLE001 - whatever it is, the kernel reports it
        reply = {"error": str(error)}
        if "libgomp" in str(error):
            reply["missing"] = "libgomp"
    answer.write(json.dumps(reply) + "\n")
    answer.flush()
    if server is not None:
        sys.stdin.read()
    os._exit(0)  # no destructors: see above


def serve(given: dict[str, Any]) -> Any:
    """The running server. `OMP_WAIT_POLICY` is set by who starts this process: it must be there at the import."""
    import xllamacpp  # noqa: PLC0415 - its failure is an answer

    p = xllamacpp.CommonParams()
    p.model.path = given["path"]
    p.model_alias = {given["name"]}  # else answers carry the path of the file
    p.hostnames, p.port, p.api_keys = ["127.0.0.1"], 0, [given["api_key"]]
    p.n_parallel, p.n_ctx, p.kv_unified = given["slots"], given["context"], True  # the slots share one context
    p.cpuparams.n_threads = p.cpuparams_batch.n_threads = given["threads"]
    p.load_mode = xllamacpp.llama_load_mode.LLAMA_LOAD_MODE_NONE  # read, not mapped: a replaced file does no harm
    p.cache_ram_mib = 256
    p.verbosity, p.ui, p.endpoint_slots = -1, False, False
    return xllamacpp.Server(p)


if __name__ == "__main__":
    main()
