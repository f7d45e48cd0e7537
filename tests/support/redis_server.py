"""A real Redis or Valkey of its own, in a folder, on a free port of this machine and a socket; killed and started again at will."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import redis

PROGRAM = shutil.which("redis-server") or shutil.which("valkey-server")
needs_redis = pytest.mark.skipif(PROGRAM is None, reason="no Redis server is installed")


class Server:
    """Nothing is kept on disk but with `--appendonly yes` among the `options`."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder = folder
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.socket = folder / "redis.sock"
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.options = ("--dir", str(folder), "--save", "", "--unixsocket", str(self.socket), *options)
        self.process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        """Returns when it answers."""
        given = ("--bind", "127.0.0.1", "--port", str(self.port), *self.options)
        self.process = subprocess.Popen([str(PROGRAM), *given], stdout=subprocess.PIPE)
        assert self.process.stdout is not None
        said = b""
        for line in self.process.stdout:
            said += line
            if b"eady to accept connections unix" in line or b"accept connections at" in line:
                return
        raise RuntimeError(said.decode())

    def kill(self) -> None:
        """As a power failure would: `kill -9`."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(10)
        assert self.process.stdout is not None
        self.process.stdout.close()

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """It takes connections and answers nobody."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)

    @property
    def inside(self) -> redis.Redis:
        """A client of the test's own, beside the cache; the caller closes it (`with`)."""
        import redis  # noqa: PLC0415 - of an extra

        return redis.Redis(unix_socket_path=str(self.socket), protocol=2, decode_responses=True)


@contextmanager
def served(*options: str) -> Iterator[Server]:
    with tempfile.TemporaryDirectory() as folder:  # a short path: a socket's has at most 107 bytes
        server = Server(Path(folder), *options)
        try:
            yield server
        finally:
            server.kill()


@pytest.fixture(scope="module")
def running() -> Iterator[Server]:
    with served() as server:
        yield server


@pytest.fixture
def server(running: Server) -> Server:
    """The module's server, with nothing in it."""
    with running.inside as inside:
        inside.flushall()
    return running
