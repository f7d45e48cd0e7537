"""A real ipykernel and what it says."""

from __future__ import annotations

import time
from collections.abc import Iterator
from queue import Empty
from typing import Any

from jupyter_client.manager import KernelManager


class Kernel:
    """A kernel and what it said: texts of streams and errors, and the data of displays."""

    def __init__(self) -> None:
        self.manager = KernelManager(kernel_name="python3")
        self.manager.start_kernel(extra_arguments=["--IPKernelApp.log_level=ERROR"])
        self.client = self.manager.blocking_client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=60)

    def start(self, code: str) -> str:
        return self.client.execute(code)

    def messages(self, asked: str, until: str = "idle", seconds: float = 60) -> Iterator[dict[str, Any]]:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            try:
                message = self.client.get_iopub_msg(timeout=1)
            except Empty:
                continue
            if message["parent_header"].get("msg_id") == asked:
                yield message
                if message["msg_type"] == "status" and message["content"]["execution_state"] == until:
                    return
        raise AssertionError(f"not {until} after {seconds} s")

    def run(self, code: str) -> list[dict[str, Any]]:
        return list(self.messages(self.start(code)))

    def close(self) -> None:
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)
        self.manager.cleanup_resources()
