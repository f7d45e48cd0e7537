"""`python -m orchmagic`: run a notebook and show what its runs did, or check the set-up."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its exit code: 0 for success."""
    parser = argparse.ArgumentParser(prog="python -m orchmagic", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    demo = commands.add_parser("demo", help="execute a notebook twice and sum up every run")
    demo.add_argument("notebook", nargs="?", type=Path, default=Path("notebooks/quickstart.ipynb"))
    demo.add_argument("--out", type=Path, default=Path("build/demo"), help="folder for what is written")
    commands.add_parser("doctor", help="check the set-up")
    chosen = parser.parse_args(arguments)
    if chosen.command == "demo":
        from orchmagic.notebook.demo import show  # noqa: PLC0415 - needs nbclient

        return show(chosen.notebook, chosen.out)
    from orchmagic.notebook.commands.setup import doctor  # noqa: PLC0415 - only this command needs it
    from orchmagic.runtime.session import Session  # noqa: PLC0415 - only this command needs it

    print(report := doctor(Session()))  # noqa: T201 - a command line
    return 1 if "!! " in report else 0


if __name__ == "__main__":
    sys.exit(main())
