"""`%orch optimize`: the cheapest models of an orchestration's steps that are shown to meet a target."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from orchmagic.errors import CellError, InputError
from orchmagic.notebook.commands.linting import offer
from orchmagic.notebook.commands.registry import answering_command

if TYPE_CHECKING:
    from orchmagic.runtime.session import Session


@answering_command
def optimize(session: Session, name: str, options: str = "") -> Any:
    """Optimize NAME --on ROWS --target "(EXPR) >= 0.85" [--models a,b]: the cheapest models that meet it"""
    from IPython.core.getipython import get_ipython  # noqa: PLC0415 - only this command needs it

    from orchmagic.evaluation.optimize_line import read_search  # noqa: PLC0415 - as above
    from orchmagic.notebook.evaluate_magic import ProgressLine  # noqa: PLC0415 - as above

    shell = get_ipython()
    bar = ProgressLine(show=getattr(shell, "kernel", None) is not None)
    try:
        search = read_search(name, options, session.services.namespace, session.find, bar.update)
    except CellError as error:  # the reader of magic lines writes them with two signs
        raise InputError(str(CellError([replace(p, source="") for p in error.problems]))) from None
    if search.dry_run:
        return search.estimate()
    with bar.shown(search):
        found = search.run()
    if found.offered:
        offer(found.cell)
    return found
