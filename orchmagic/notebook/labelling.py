"""`orchmagic.label`: a person says of rows what is right and what is wrong, below a cell or by code.

The cell returns at once. Each click is on disk before the next row is shown.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from functools import partial
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchmagic.errors import InputError, OrchError, nearest
from orchmagic.evaluation.judges import HUMAN
from orchmagic.evaluation.labels import RIGHT, SKIP, WRONG, LabelFile, LabelRow, Labels, RowLabel, of_result, of_rows
from orchmagic.evaluation.result import Result
from orchmagic.notebook.async_cells import current_request
from orchmagic.notebook.commands.registry import typed_value
from orchmagic.notebook.reference_rows import session_here
from orchmagic.runtime.context import result as result_of
from orchmagic.trace import humanize
from orchmagic.views.palette import toned

if TYPE_CHECKING:
    from orchmagic.runtime.session import Session

_RUN = re.compile(r"r\d+")
_BOX = "max-height:320px;overflow:auto;white-space:pre-wrap;margin:4px 0"
_LONG = 50_000  # characters of a value: who judges it must see all of it
_KEYS = {"y": RIGHT, "n": WRONG, "s": SKIP}


def label(
    of: object, metric: str | None = None, *, variant: str | None = None, file: str | Path | None = None, seed: int = 0
) -> Labels:
    """Shows rows one by one, to be called right or wrong; labels by code are `.set(id, "right")`.

    Rows are drawn at random, not the worst first. `%%evaluate … --on labels` takes what is returned: the rows with
    their labels in a column for `human=` of a judge, and what would be right in `expect`. Labels of rows from
    `orchmagic.rows` are feedback on their runs, too.

    Args:
        of: the result of an evaluation, or rows: a data frame, a list of dicts, the path of a file.
        metric: of a result, the judge or metric that is labelled; of rows, the name of the column for the labels.
        variant: of a result, whose answers are labelled; None: those of the chosen one, else of the first.
        file: the JSONL file that keeps the labels; None: `labels_METRIC.jsonl` in the current folder.
        seed: another one draws in another order.

    Raises:
        InputError: something of it is wrong, or the file is no file of labels.
    """
    make: Callable[..., Labels] = partial(ShownLabels, seed=seed)
    if isinstance(of, Result):
        return _of_result(of, metric, variant, file, make)
    if variant is not None:
        raise InputError(f"variant={variant!r}: rows have no variants; leave it out")
    column = HUMAN if metric is None else metric
    rows, items = of_rows(of, column)
    if odd := next((v for row in rows if not isinstance(v := row.get(column), bool | None)), None):
        raise InputError(f"{column!r} is a column of the rows ({odd!r}): give the labels another name, label(rows, …)")
    session = session_here()
    return make(rows, items, _file(file, metric), column=column, also=partial(_keep, session))


def _of_result(
    result: Result, metric: str | None, variant: str | None, file: str | Path | None, make: Callable[..., Labels]
) -> Labels:
    judges = {judge.name: judge for judge in result.setup.judges}
    name = metric or next(iter(judges), result.main_metric)
    if name not in judges and name not in result.metrics:
        known = [*dict.fromkeys((*judges, *result.metrics))]
        raise InputError(f"no metric {name!r} (known: {', '.join(known)}){nearest(name, known)}")
    judge = judges.get(name)
    column = HUMAN if judge is None or judge.human is None else judge.human
    words = tuple(judge.labels) if judge is not None and len(judge.labels) == 2 else (RIGHT, WRONG)  # noqa: PLR2004 - good and bad
    rows, items = of_result(result, column, variant)
    session = session_here()
    return make(
        rows, items, _file(file, name), column=column, words=words, per_output=True, also=partial(_keep, session)
    )


def _file(file: str | Path | None, metric: str | None) -> LabelFile:
    if file is None:
        file = f"labels_{re.sub(r'[^0-9A-Za-z_]', '_', metric)}.jsonl" if metric else "labels.jsonl"
    path = Path(file).absolute()  # a later change of the folder must not split the labels
    if path.suffix.lower() != ".jsonl":
        raise InputError(f"{str(file)!r} is no file for labels: its name must end in .jsonl")
    return LabelFile(path)


def _keep(session: Session | None, item: LabelRow, said: RowLabel) -> None:
    """Checks a label, and gives that of a run of the history to the run; raises before anything is kept."""
    if session is None:
        return
    session.services.learn_keys()
    if session.services.keys.holds(said.correction):
        raise InputError("the correction holds an API key, which is not written to a file")
    if item.run is None or said.verdict == SKIP or not _RUN.fullmatch(item.run):
        return
    try:
        run = session.lookup.run(item.run)
    except OrchError:  # it left the history; the label itself is kept
        return
    if any(item.shown.get(name) != value for name, value in run.inputs.items()):
        return  # a run of another history with the same number
    step, _ = result_of(run.graph, run.state)
    corrections = {} if said.correction is None else {step: said.correction}
    run.feedback(said.verdict, **corrections)


class ShownLabels(Labels):
    """Labels that a notebook shows with buttons, where it can."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._panel: LabelPanel | None = None

    def _repr_mimebundle_(self, *_: object, **__: object) -> dict[str, Any]:
        if not _has_buttons():
            return {"text/plain": repr(self)}
        self._panel = self._panel or LabelPanel(self)
        self._panel.draw()
        return {**self._panel.box._repr_mimebundle_(), "text/plain": repr(self)}


def _has_buttons() -> bool:
    from IPython.core.getipython import get_ipython  # noqa: PLC0415 - interactive use only

    from orchmagic.notebook.approval import widgets  # noqa: PLC0415 - as above

    face = getattr(get_ipython(), "_orchmagic_face", None)
    return widgets() if face is None else bool(face.has_buttons)


class LabelPanel:
    """The widgets: a row, buttons, a field for what would be right, and a field that takes the keys y, n and s."""

    def __init__(self, labels: Labels) -> None:
        import ipywidgets as w  # type: ignore[import-untyped]  # noqa: PLC0415 - without types, and slow to import

        self._labels = labels
        self._item: LabelRow | None = labels.next
        self._before: list[str] = []  # the rows that were labelled, and when each verdict was sent
        self._sent: dict[str, Any] = {}
        self._turn = threading.RLock()  # JupyterLab's messages come on two threads
        self.head: Any = w.HTML()
        self.row: Any = w.HTML()
        self.note: Any = w.HTML()
        self.correction: Any = w.Text(placeholder="what would be right", layout=w.Layout(width="min(420px, 60%)"))
        self.keys: Any = w.Text(placeholder="keys: y n s", layout=w.Layout(width="100px"))
        styles = {RIGHT: "success", WRONG: "danger", SKIP: ""}
        words = {RIGHT: labels.words[0], WRONG: labels.words[1], SKIP: "skip"}
        self.buttons = {
            verdict: w.Button(description=f"{words[verdict]} ({key})", button_style=styles[verdict])
            for key, verdict in _KEYS.items()
        }
        self.back: Any = w.Button(description="back")
        for verdict, button in self.buttons.items():
            button.on_click(lambda _, verdict=verdict: self.say(verdict))
        self.back.on_click(lambda _: self._go_back())
        self.keys.observe(self._typed, names="value")
        self.correction.observe(self._corrected, names="value")
        actions = w.HBox([*self.buttons.values(), self.keys, self.back], layout=w.Layout(flex_flow="row wrap"))
        self.box: Any = w.VBox([self.head, self.row, self.correction, actions, self.note])
        self.draw()

    def say(self, verdict: str) -> None:
        """Labels the row that is shown, and shows the next one."""
        with self._turn:
            self._say(verdict)

    def _say(self, verdict: str) -> None:
        item = self._item
        if item is None:
            return
        text = self.correction.value.strip()
        if text and verdict == RIGHT:
            self._complain("There is a correction: call it wrong, or empty the field")
            return
        correction = _read(item, text) if text and verdict == WRONG else None
        try:
            self._labels.set(item.id, verdict, correction)
        except OrchError as error:
            self._complain(str(error))
            return
        self._before.append(item.id)
        self._sent[item.id] = _when_sent()
        self._show(self._labels.next)

    def draw(self) -> None:
        """Shows the current row, and how far the labels are."""
        item = self._item
        self.head.value = f"<div {humanize.BLOCK}>{humanize.safe(self._labels.counts())}</div>"
        shown = [] if item is None else Labels.fields(item)
        lines = "".join(
            f"<div><b>{humanize.safe(n)}</b> <bdi>{escape(humanize.shown(v, _LONG))}</bdi></div>" for n, v in shown
        )
        where = humanize.safe(f"All rows were shown. The labels are in {self._labels.path}")
        self.row.value = f'<div style="{_BOX}">{lines or where}</div>'
        self.buttons[RIGHT].disabled = item is None or not item.answered
        for control in (self.buttons[WRONG], self.buttons[SKIP], self.correction, self.keys):
            control.disabled = item is None
        self.back.disabled = not self._before

    def _show(self, item: LabelRow | None) -> None:
        self._item, self.correction.value, self.note.value = item, "", ""
        self.draw()

    def _go_back(self) -> None:
        if self._before:
            self._show(self._labels.items[self._before.pop()])

    def _typed(self, change: Any) -> None:
        verdict = _KEYS.get(change["new"].strip().lower()[-1:])
        if change["new"]:
            self.keys.value = ""
        if verdict is not None:
            self.say(verdict)

    def _corrected(self, change: Any) -> None:
        """Gives a correction that arrives after a later verdict to the row it was typed for.

        JupyterLab sends the first message of a field to the kernel's main thread, where it may wait for a cell, and
        keys and clicks to another one.
        """
        text, sent = change["new"].strip(), _when_sent()
        if not text or sent is None:
            return
        with self._turn:
            late = next((id_ for id_ in self._before if (then := self._sent[id_]) is not None and sent < then), None)
            if late is None:
                return
            item = self._labels.items[late]
            self.correction.value = ""
            label = self._labels.said(late)
            if label is None or label.verdict != WRONG:
                said = humanize.one_line(text, 60)
                self._complain(f"The correction {said!r} came late, for a row before: go back, and call it wrong")
                return
            self._labels.set(late, WRONG, _read(item, text))

    def _complain(self, text: str) -> None:
        self.note.value = f'<span style="{toned("failed")}">✗ {escape(humanize.one_line(text, 300))}</span>'


def _when_sent() -> Any:
    """When the front end sent the message that is handled (its clock); None outside of a kernel."""
    from IPython.core.getipython import get_ipython  # noqa: PLC0415 - interactive use only

    shell = get_ipython()
    return None if shell is None else current_request(shell).get("header", {}).get("date")


def _read(item: LabelRow, text: str) -> Any:
    """A correction as it was meant: text where the output is text, else JSON or text."""
    return text if isinstance(item.output, str) else typed_value(text)
