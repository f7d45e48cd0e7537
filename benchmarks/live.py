"""(f) what the live view costs a run of 2 s, in a real kernel: the same cell with it and without.

Five steps, each answered after 0.4 s and streamed; from the request to the kernel's idle, so with all that is sent.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping

from measure import in_turn, ratio, spread

STEPS, LATENCY = 5, 0.4  # seconds

SETUP = f"""%load_ext orchmagic
%config OrchMagic.model = "scripted"
from orchmagic import Reply, Script, install
install(Script(lambda body: Reply("a reply of a few words " * 40, latency={LATENCY})))
None"""
CELL = "%%chain bench --no-cache\n" + "".join(f"step{i}\n    Say {i}\n" for i in range(1, STEPS + 1))
SPENT = "import time; print(time.process_time())"


class Kernel:
    """A kernel of its own, in which `setup` and `code` have run; `cell` returns the seconds that a cell takes."""

    def __init__(self, setup: str = SETUP, code: str = CELL, environ: Mapping[str, str] | None = None) -> None:
        from jupyter_client.manager import start_new_kernel

        self.code = code
        self.manager, self.client = start_new_kernel(kernel_name="python3", env={**os.environ, **(environ or {})})
        self.cell(setup)
        self.again()

    def again(self) -> float:
        """Seconds that its cell takes."""
        return self.cell(self.code)

    def cell(self, code: str, **how: object) -> float:
        start = time.perf_counter()
        reply = self.client.execute_interactive(code, timeout=300, **{"output_hook": lambda _: None, **how})
        assert reply["content"]["status"] == "ok", reply
        return time.perf_counter() - start

    def timed(self, *, live: bool) -> Callable[[], float]:
        """A cell with the live view on or off."""

        def once() -> float:
            self.cell(f"%config OrchMagic.live = {live}")
            return self.again()

        return once

    def spent(self, *, live: bool, runs: int) -> float:
        """Seconds of the processor that a run takes."""
        told: list[str] = []
        hook = lambda m: told.append(m["content"]["text"]) if m["msg_type"] == "stream" else None  # noqa: E731 - short
        self.cell(f"%config OrchMagic.live = {live}")
        self.cell(SPENT, output_hook=hook)
        for _ in range(runs):
            self.again()
        self.cell(SPENT, output_hook=hook)
        return (float(told[-1]) - float(told[0])) / runs

    def close(self) -> None:
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)


def main(runs: int) -> None:
    """Print the figures."""
    kernel = Kernel()
    try:
        on, off = in_turn(kernel.timed(live=True), kernel.timed(live=False), runs)
        print(f"f) {STEPS * LATENCY:g} s run, live view on      ", spread(on, "s"))
        print("   live view off             ", spread(off, "s"))
        print(f"   ratio {ratio(on, off):.3f}   (goal <= 1.02)")
        busy = [kernel.spent(live=live, runs=3) for live in (True, False)]
        print(f"   processor time of a run   {busy[0] * 1e3:.0f} ms, without {busy[1] * 1e3:.0f} ms")
    finally:
        kernel.close()


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        os.environ["ORCHMAGIC_CACHE_DIR"] = os.environ["ORCHMAGIC_HISTORY_DIR"] = folder
        main(7)
