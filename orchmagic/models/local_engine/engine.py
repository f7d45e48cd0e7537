"""Starts and stops local models: one process per model, started at first use and shared by the kernel's sessions."""

from __future__ import annotations

import atexit
import json
import os
import secrets
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orchmagic.errors import OrchError, SettingsError, WeightsError
from orchmagic.models.local_engine import weights

SLOTS = 4  # parallel answers; more are no faster on a small machine
CONTEXT = 8192  # tokens, shared by the slots

LIBGOMP = (
    "the local model's engine needs the system library libgomp:"
    " apt-get install libgomp1 (Debian, Ubuntu), dnf install libgomp (Fedora)"
)
NO_ENGINE = 'the local model\'s engine is not installed: pip install "orchmagic[local]"'


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The address and key of a running local model, which answers in the OpenAI protocol."""

    base_url: str
    api_key: str = field(repr=False)

    def env(self) -> dict[str, str]:
        """Environment variables that make an exported module, or any OpenAI client, call this model."""
        return {"OPENAI_BASE_URL": self.base_url, "OPENAI_API_KEY": self.api_key}


@dataclass(frozen=True, slots=True)
class Engine:
    """A process that has loaded a model. Only its `owner` (a process id) may wait for it or stop it."""

    endpoint: Endpoint
    process: subprocess.Popen[str]
    owner: int

    @property
    def alive(self) -> bool:
        """Whether the process runs. Always true in a forked child, which sees a dead engine as a lost connection."""
        return self.owner != os.getpid() or self.process.poll() is None

    def stop(self) -> None:
        if self.owner != os.getpid():
            return
        self.process.terminate()
        try:
            self.process.communicate(timeout=5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.communicate()


_engines: dict[str, Engine] = {}
_lock = threading.Lock()


def running(model: str) -> Endpoint | None:
    """The endpoint of `model`; None if it does not run."""
    engine = _engines.get(model)
    return engine.endpoint if engine is not None and engine.alive else None


def start(model: str, notify: Callable[[str], None]) -> Endpoint:
    """Return the endpoint of `model`; loads it first if needed, which blocks for seconds (`notify` gets one line).

    Raises:
        WeightsError: the file is missing, has the wrong sum, or cannot be loaded.
        SettingsError: the engine or a system library is not installed.
    """
    with _lock:
        endpoint = running(model)
        if endpoint is not None:
            return endpoint
        problem = weights.missing(model)
        if problem:
            raise WeightsError(problem)
        joined = "" if weights.is_joined(model) else ", at first use its parts are joined"
        notify(f"Loading the local model {model} (a few seconds{joined}) ...")
        if model in _engines:
            _engines.pop(model).stop()  # its process has died: close the pipes
        atexit.unregister(stop)
        atexit.register(stop)
        _engines[model] = _launch(model, weights.locate(model))
        return _engines[model].endpoint


def stop() -> None:
    """Stop all models of this process, even while they answer; the next request starts them again."""
    with _lock:
        atexit.unregister(stop)
        for engine in _engines.values():
            engine.stop()
        _engines.clear()


def _launch(model: str, path: Path) -> Engine:
    key = secrets.token_urlsafe(16)
    process = subprocess.Popen(  # noqa: S603 - our own interpreter and our own file
        # -P: this folder's modules must not shadow others
        [sys.executable, "-P", str(Path(__file__).with_name("engine_process.py"))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        encoding="utf-8",
        # else idle OpenMP threads spin, and on a busy machine answers take ten times longer
        env={**os.environ, "OMP_WAIT_POLICY": "PASSIVE"},
    )
    request = {
        "name": Path(model).stem if model.lower().endswith(".gguf") else model,
        "path": str(path),
        "api_key": key,
        "threads": _cores(),
        "slots": SLOTS,
        "context": CONTEXT,
    }
    engine = Engine(Endpoint("", key), process, os.getpid())
    try:
        reply = _ask(process, request)
    except BaseException:
        engine.stop()
        raise
    if "base_url" not in reply:
        engine.stop()
        raise _failure(model, path, reply)
    return Engine(Endpoint(reply["base_url"], key), process, os.getpid())


def _ask(process: subprocess.Popen[str], request: Mapping[str, Any]) -> dict[str, Any]:
    """Send the request and wait for the reply after loading; empty if the process died."""
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(json.dumps(request) + "\n")
        process.stdin.flush()
        reply = process.stdout.readline()
    except BrokenPipeError:
        reply = ""
    return dict(json.loads(reply)) if reply else {}


def _failure(model: str, path: Path, reply: Mapping[str, Any]) -> OrchError:
    match reply.get("missing"):
        case "libgomp":
            return SettingsError(LIBGOMP)
        case "xllamacpp":
            return SettingsError(NO_ENGINE)
    if reply:
        return WeightsError(
            f"the engine cannot load {model!r} ({path}): {reply['error']}. Is it a GGUF model that llama.cpp knows?"
        )
    return WeightsError(
        f"the process of the local model {model!r} died while loading it: it may need more memory than is free"
    )


def _cores() -> int:
    """The number of cores that this process may use; in a container fewer than the machine has."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 2
