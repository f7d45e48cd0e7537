"""`python -m orchmagic`: run a notebook and show what its runs did, or check the set-up."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from orchmagic.errors import OrchError


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its exit code: 0 for success."""
    parser = argparse.ArgumentParser(prog="python -m orchmagic", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    demo = commands.add_parser("demo", help="execute a notebook twice and sum up every run")
    demo.add_argument("notebook", nargs="?", type=Path, default=Path("notebooks/quickstart.ipynb"))
    demo.add_argument("--out", type=Path, default=Path("build/demo"), help="folder for what is written")
    commands.add_parser("doctor", help="check the set-up")
    lint = commands.add_parser("lint", help="check the orchestrations of notebooks, without running them")
    lint.add_argument("notebooks", nargs="+", type=Path, metavar="NOTEBOOK")
    lint.add_argument("--format", choices=["text", "json", "github"], default="text")
    trust = commands.add_parser("trust", help="show what the project's files would redirect, and allow it or not")
    trust.add_argument("answer", nargs="?", choices=["yes", "no"], help="answer without being asked")
    chosen = parser.parse_args(arguments)
    if chosen.command == "demo":
        from orchmagic.notebook.demo import show  # noqa: PLC0415 - needs nbclient

        return show(chosen.notebook, chosen.out)
    if chosen.command == "lint":
        from orchmagic.lint.command_line import main as lint_notebooks  # noqa: PLC0415 - only this command needs it

        return lint_notebooks(chosen.notebooks, chosen.format)
    from orchmagic.notebook import commands as orch  # noqa: PLC0415 - only these commands need it
    from orchmagic.runtime.session import Session  # noqa: PLC0415 - as above

    if chosen.command == "trust":
        try:
            print(orch.run(Session(), f"trust {chosen.answer or ''}"))  # noqa: T201 - a command line
        except OrchError as error:
            print(error, file=sys.stderr)  # noqa: T201 - as above
            return 1
        return 0
    print(report := orch.run(Session(), "doctor"))  # noqa: T201 - a command line
    return 1 if "!! " in report else 0


if __name__ == "__main__":
    sys.exit(main())
