"""Buttons below a waiting run: Approve, Edit, Reject, or a text field for a free answer.

A click resumes the run on the session's loop and returns, so it does not block the kernel. The result is shown below,
in displays that were created with the cell (a thread can only update existing ones). The first answer disables the
buttons and stays in the notebook as a line of text.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from html import escape
from typing import TYPE_CHECKING, Any

from orchmagic.errors import OrchError
from orchmagic.notebook.live_display import DisplayHandle, LiveDisplay, Screen
from orchmagic.trace import humanize
from orchmagic.trace.decisions import APPROVE, EDIT, REJECT
from orchmagic.views import card
from orchmagic.views.palette import toned

if TYPE_CHECKING:
    from orchmagic.runtime.run import Run
    from orchmagic.trace.questions import PendingQuestion

_FAILED = toned("failed")
_DONE = {APPROVE: "✓ Approved", EDIT: "✎ Edited", REJECT: "✗ Rejected"}
_FONT = "font:13px system-ui,sans-serif;margin:4px 0"
_LINES = 12  # maximum height of a text area


def show(run: Run, *, as_card: bool = False) -> None:
    """Shows the buttons for the open question of `run`; without widgets, its result says how to answer."""
    if run.waiting is None or not widgets():
        return
    buttons = DisplayHandle()  # displays appear in the order of their creation
    Panel(run, buttons, ResultArea(DisplayHandle(), DisplayHandle(), as_card=as_card)).offer()


def widgets() -> bool:
    """Whether this is a kernel that can show widgets."""
    from IPython.core.getipython import get_ipython  # noqa: PLC0415 - interactive use only

    try:
        import ipywidgets  # type: ignore[import-untyped]  # noqa: F401, PLC0415 - without types, and slow to import
    except ImportError:
        return False
    return getattr(get_ipython(), "kernel", None) is not None


class ResultArea:
    """The displays below the buttons: progress and then the result, and the buttons of the next question."""

    def __init__(self, result: Screen, buttons: Screen, *, as_card: bool = False) -> None:
        self.result, self.buttons, self.as_card = result, buttons, as_card


class Panel:
    """The buttons of one question; after the answer, a line of text with it."""

    def __init__(self, run: Run, place: Screen, below: ResultArea) -> None:
        assert run.waiting is not None
        self._run = run
        self._question = run.waiting
        self._place = place
        self._below = below
        self._lock = threading.Lock()
        self._answered = False
        self.controls = _Controls(self._question, self.send, headed=not below.as_card)

    def offer(self) -> None:
        """Show the buttons."""
        bundle: dict[str, Any] = dict(self.controls.box._repr_mimebundle_())
        self._place.update({**bundle, "text/plain": ""})  # without widgets the result says how to answer

    def send(self, reply: object) -> None:
        """Sends the answer; only the first call has an effect. Returns while the run continues."""
        with self._lock:
            if self._answered:
                return
            self._answered = True
        self.controls.off()
        try:
            self._go(reply)
        except OrchError as error:
            self._answered = self._question not in self._run.questions
            self.controls.say(str(error), again=not self._answered)

    def _go(self, reply: object) -> None:
        live = LiveDisplay(self._run, self._below.result, hold=True, as_card=self._below.as_card)
        self._run.watch(live.on_event)
        try:
            self._run.respond(reply, self._question.span)
        except OrchError:
            self._run.trace.listeners.remove(live.on_event)
            raise
        self._place.update(_line(reply))
        threading.Thread(target=self._finish, args=(live,), name="orchmagic-answer", daemon=True).start()

    def _finish(self, live: LiveDisplay) -> None:
        """Waits for the end and shows the result, with new buttons if there is another question."""
        self._run.wait()
        self._run.trace.listeners.remove(live.on_event)
        live.finish(card.output(self._run.record, card=live.as_card))
        self.controls.close()
        if self._run.waiting is not None:
            Panel(self._run, self._below.buttons, self._below).offer()


class _Controls:
    """The widgets of one question. `send` gets the reply; all content is shown as text, never as markup.

    `headed`: the question stands above the buttons; a card has it there already.
    """

    def __init__(self, question: PendingQuestion, send: Callable[[object], None], *, headed: bool = True) -> None:
        import ipywidgets as w  # noqa: PLC0415 - slow to import

        self._send = send
        _, self._value = _subject(question)
        self.action = "" if question.choices else "answer"
        self.text: Any = w.Textarea(layout=w.Layout(width="min(640px, 95%)"))
        self.submit = _button("Send", "primary", self._submitted)
        self.cancel = _button("Cancel", "", self._close)
        self.note: Any = w.HTML()
        self.editor: Any = w.VBox([self.text, w.HBox([self.submit, self.cancel])])
        clicked = {APPROVE: self._approve, EDIT: self._edit, REJECT: self._reject}
        self.buttons = {c: _button(c.capitalize(), _STYLES[c], clicked[c]) for c in question.choices}
        self.row: Any = w.HBox(list(self.buttons.values()))
        head = [w.HTML(_headline(question))] if headed else []
        self.box: Any = w.VBox([*head, self.row, self.editor, self.note])
        if question.choices:
            self._close()
        else:
            self._open(rows=2, placeholder="Your answer")
            self.cancel.layout.display = "none"

    def _approve(self, _: object) -> None:
        self._send({"action": APPROVE})

    def _edit(self, _: object) -> None:
        self.action = EDIT
        text = self._value
        if not isinstance(text, str):
            text = json.dumps(text, ensure_ascii=False, indent=2)
        self._open(rows=min(_LINES, text.count("\n") + 2), value=text, label="Send the edit")

    def _reject(self, _: object) -> None:
        self.action = REJECT
        self._open(rows=2, placeholder="Reason (optional)", label="Reject")

    def _open(self, *, rows: int, value: str = "", placeholder: str = "", label: str = "Send") -> None:
        self.text.rows, self.text.value, self.text.placeholder = rows, value, placeholder
        self.submit.description = label
        self.editor.layout.display, self.row.layout.display = None, "none"
        self.note.value = ""

    def _close(self, _: object = None) -> None:
        self.editor.layout.display, self.row.layout.display = "none", None
        self.note.value = ""

    def _submitted(self, _: object) -> None:
        text = self.text.value
        if self.action == EDIT:
            self._send_edit(text)
        elif self.action == REJECT:
            self._send({"action": REJECT, "why": text.strip()})
        elif text.strip():
            self._send(text)
        else:
            self.say("Type an answer first", again=True)

    def _send_edit(self, text: str) -> None:
        """Sends the edited value: text if the value was text, else parsed as JSON."""
        try:
            value = text if isinstance(self._value, str) else json.loads(text)
        except ValueError as error:
            self.say(f"Not valid JSON: {error}", again=True)
        else:
            self._send({"action": EDIT, "value": value})

    def off(self, *, off: bool = True) -> None:
        """Disables all widgets, so that there is no second answer."""
        for control in (*self.buttons.values(), self.submit, self.cancel, self.text):
            control.disabled = off

    def say(self, line: str, *, again: bool) -> None:
        """Shows one line of error text; `again` enables the buttons."""
        self.note.value = f'<span style="{toned("failed")}">✗ {escape(humanize.one_line(line, 300))}</span>'
        self.off(off=not again)

    def close(self) -> None:
        """Removes the widgets from the kernel's memory."""
        for part in (*self.buttons.values(), self.submit, self.cancel, self.text, *self.box.children, self.box):
            part.close()


_STYLES = {APPROVE: "success", EDIT: "", REJECT: "danger"}


def _button(label: str, style: str, clicked: Callable[[Any], None]) -> Any:
    import ipywidgets as w  # noqa: PLC0415 - slow to import

    button = w.Button(description=label, button_style=style)
    button.on_click(clicked)
    return button


def _subject(question: PendingQuestion) -> tuple[str, Any]:
    """The subject of a question: (tool, its arguments), or ("", the value)."""
    value = question.value
    is_call = isinstance(value, dict) and value.keys() == {"tool", "arguments"}
    return (value["tool"], value["arguments"]) if is_call else ("", value)


def _headline(question: PendingQuestion) -> str:
    """The question and its subject on one line; the full text is above the figure."""
    tool, value = _subject(question)
    about = "" if value is None else humanize.safe(f"{tool} {humanize.one_line(value, 120)}".lstrip())
    return f"<strong>{humanize.safe(humanize.one_line(question.question, 120))}</strong> {about}"


def _line(reply: object) -> dict[str, Any]:
    """The text of an answer that stays in the notebook."""
    fields: dict[str, Any] = reply if isinstance(reply, dict) else {"action": "answer", "value": reply}
    text = fields.get("why") or (fields.get("value") if fields["action"] != APPROVE else "")
    head = _DONE.get(fields["action"], "✓ Answered")
    more = f": {humanize.one_line(text, 200)}" if text else ""
    return {
        "text/plain": head + more,
        "text/html": f'<div style="{_FONT}">{escape(head)}{humanize.safe(more) if more else ""}</div>',
    }
