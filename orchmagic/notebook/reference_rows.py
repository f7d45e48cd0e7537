"""`orchmagic.rows`: rows from the history of the running notebook."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orchmagic.errors import InputError

if TYPE_CHECKING:
    from orchmagic.runtime.orchestration import Orchestration


def rows(of: str | Orchestration, last: int = 50) -> list[dict[str, Any]]:
    """The latest runs of an orchestration as rows, oldest first: inputs, `output`, `_status`, `_run`.

    Where `run.feedback` judged a run: also `_feedback`, and `expect`, its corrections by step.

    Raises:
        InputError: there is no run of this name, or no notebook.
    """
    from orchmagic.runtime.past_rows import past_rows  # noqa: PLC0415 - on demand

    name = of if isinstance(of, str) else of.__name__
    history = running_session("rows").services.history if isinstance(of, str) else of.factory.services.history
    return past_rows(history.store, name, last)


def running_session(asking: str) -> Any:
    """The session of the notebook that runs, for the function `asking` of orchmagic.

    Raises:
        InputError: no notebook has orchmagic loaded.
    """
    if (session := session_here()) is None:
        instead = ": pass the orchestration, as in orchmagic.rows(triage)" if asking == "rows" else ""
        raise InputError(f"no notebook has orchmagic loaded here{instead or f', so orchmagic.{asking} knows no runs'}")
    return session


def session_here() -> Any:
    """The session of the notebook that runs; None without one."""
    from IPython.core.getipython import get_ipython  # noqa: PLC0415 - only a notebook has a session

    face = getattr(get_ipython(), "_orchmagic_face", None)
    return None if face is None else face.session
