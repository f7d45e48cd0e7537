"""Applies the guard rules of a run: checks texts, emits findings as events, and blocks, redacts or passes each text.

Events and errors never contain the text that was found: they name the rule, the kind and the place.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from orchmagic.core.function_threads import in_thread
from orchmagic.core.user_code import contained
from orchmagic.errors import CodeExit, GuardBlocked
from orchmagic.guards import Finding, Place
from orchmagic.guards.detection import find
from orchmagic.guards.rules import Rule
from orchmagic.trace.events import Event, GuardTriggered

_MEMOIZED = 512  # texts whose findings are cached: a transcript is sent again at every turn
_LONG = 20_000  # characters; a longer text takes more than 20 ms, so it is checked in a thread
_PLACEHOLDER = re.compile(r"\[([^\[\]\n]{1,200} \d{1,9})\]")
_ECHOED = re.compile(r"\\?\[([^\[\]\\\n]{1,200} \d{1,9})\\?\]")  # some models put backslashes before brackets
_CONSEQUENCES = {
    "input": "nothing was sent",
    "output": "the answer was discarded",
    "tools": "the result was discarded",
}


@dataclass(frozen=True, slots=True)
class CheckedText:
    """A text to check; `role`: of its message, None = not in a message; `place`: where it is, for error texts."""

    text: str
    role: str | None = None
    place: str = ""


@dataclass(frozen=True, slots=True)
class GuardResult:
    """The checked texts, in the order of the input; `values`: the original value of each placeholder to restore."""

    texts: tuple[str, ...]
    values: Mapping[str, str] = field(default_factory=dict)


class Guardrails:
    """The rules of one run. `emit` gets an event for each rule that has findings."""

    def __init__(self, rules: Sequence[Rule] = (), emit: Callable[[Event], None] = lambda _: None) -> None:
        self.rules = tuple(rules)
        self.emit = emit
        self._findings: dict[tuple[int, str], list[Finding]] = {}
        self._emitted: set[GuardTriggered] = set()

    def apply_to(self, where: Place) -> bool:
        """Whether any rule applies to `where`."""
        return any(where in rule.places for rule in self.rules)

    async def check(self, text: str, where: Place, call: str) -> str:
        """Check one text; returns it, redacted if a rule says so.

        Raises:
            GuardBlocked: a rule blocks it.
        """
        return (await self.check_all([CheckedText(text)], where, call)).texts[0]

    async def check_or_explain(self, text: str, where: Place, call: str) -> str:
        """Check one text like `check`; if it is blocked, return the reason, so that the model can go on."""
        try:
            return await self.check(text, where, call)
        except GuardBlocked as blocked:
            return str(blocked)

    async def redact(self, text: str, where: Place) -> str:
        """Replace the findings of all blocking and redacting rules, for a text that must be shown (an error)."""
        redaction = _Redaction([text])
        for number, rule in enumerate(self.rules):
            if where in rule.places and rule.action != "warn":
                redaction.add(0, await self._find(number, rule, text), restore=False)
        return redaction.result().texts[0]

    async def check_all(self, texts: Sequence[CheckedText], where: Place, call: str) -> GuardResult:
        """Check all texts of a request or an answer; equal values get the same placeholder.

        Raises:
            GuardBlocked: a blocking rule has a finding, or its guard failed.
        """
        redaction = _Redaction(t.text for t in texts)
        blocked: list[str] = []
        for number, rule in enumerate(self.rules):
            if where not in rule.places:
                continue
            kinds: Counter[str] = Counter()
            places: list[str] = []
            for index, text in enumerate(texts):
                if text.role is not None and text.role not in rule.roles:
                    continue
                findings = await self._find(number, rule, text.text)
                kinds.update(f.what for f in findings)
                places += [text.place] * bool(findings and text.place)
                if rule.action in {"redact", "restore"}:
                    redaction.add(index, findings, restore=rule.action == "restore")
            if kinds:
                what = ", ".join(kind if n == 1 else f"{kind} ×{n}" for kind, n in kinds.items())  # noqa: RUF001 - a count
                self._emit_once(GuardTriggered(call=call, rule=rule.name, action=rule.action, where=where, what=what))
                if rule.action == "block":
                    blocked.append(f"{rule.name} found {what} in {_described(where, places)}")
        if blocked:
            advice = "take it out, or write another action than block"
            raise GuardBlocked(f"guard {'; '.join(blocked)}: {_CONSEQUENCES[where]}; {advice}", where=where)
        return redaction.result()

    async def _find(self, number: int, rule: Rule, text: str) -> list[Finding]:
        """Return the findings of a rule in a text; if the guard raises, one finding covers the whole text."""
        if (memoized := self._findings.get((number, text))) is not None:
            return memoized
        try:
            threaded = rule.guard.slow or len(text) > _LONG
            look = partial(find, rule.guard, text)
            if threaded:
                findings = await in_thread(look, rule.name)
            else:
                with contained():
                    findings = look()
        except Exception as error:  # noqa: BLE001 - a function of the notebook may raise anything
            return [Finding(0, len(text), f"no answer ({_type(error)} raised)")]
        while len(self._findings) >= _MEMOIZED:
            del self._findings[next(iter(self._findings))]
        return self._findings.setdefault((number, text), findings)

    def _emit_once(self, event: GuardTriggered) -> None:
        if event not in self._emitted:  # an answer is checked before it is stored and again when it is served
            self._emitted.add(event)
            self.emit(event)


def _type(error: Exception) -> str:
    """The type of an error without its text, which may hold what was checked."""
    return type(error.__cause__ if isinstance(error, CodeExit) else error).__name__


def _described(where: Place, places: Sequence[str]) -> str:
    """Describe a place for an error: `the input (message 2, user)`."""
    details = f" ({'; '.join(dict.fromkeys(places))})" if places else ""
    return f"the {'result of a tool' if where == 'tools' else where}{details}"


class _Redaction:
    """Replaces findings by placeholders such as `[email 1]`, numbered in the order of the texts.

    The numbers depend on the texts alone, so equal requests stay equal after redaction and hit the cache. A
    placeholder that already occurs in a text is not used.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        self._texts = tuple(texts)
        self._findings: dict[int, list[tuple[Finding, bool]]] = {}

    def add(self, index: int, findings: Iterable[Finding], *, restore: bool) -> None:
        self._findings.setdefault(index, []).extend((f, restore) for f in findings)

    def result(self) -> GuardResult:
        if not any(self._findings.values()):
            return GuardResult(self._texts)
        taken = {w.casefold() for text in self._texts for w in _PLACEHOLDER.findall(text)}
        placeholders: dict[tuple[str, str], str] = {}
        numbers: Counter[str] = Counter()
        values: dict[str, str] = {}

        def placeholder_of(what: str, value: str) -> str:
            if (what, value) not in placeholders:
                numbers[what] += 1
                while f"{what} {numbers[what]}".casefold() in taken:
                    numbers[what] += 1
                placeholders[what, value] = f"[{what} {numbers[what]}]"
            return placeholders[what, value]

        texts = []
        for index, text in enumerate(self._texts):
            parts, end = [], 0
            for finding, restore in _merged(self._findings.get(index, ())):
                value = text[finding.start : finding.end]
                placeholder = placeholder_of(finding.what, value)
                if restore:
                    values[placeholder] = value
                parts += [text[end : finding.start], placeholder]
                end = finding.end
            texts.append("".join([*parts, text[end:]]))
        return GuardResult(tuple(texts), values)


def _merged(findings: Iterable[tuple[Finding, bool]]) -> list[tuple[Finding, bool]]:
    """Merge overlapping findings; the longest names the result, which is restored only if all of them are."""
    merged: list[tuple[Finding, bool]] = []
    longest = 0
    for finding, restore in sorted(findings, key=lambda f: (f[0].start, -f[0].end)):
        size = finding.end - finding.start
        if merged and finding.start < merged[-1][0].end:
            last, restored = merged[-1]
            what = finding.what if size > longest else last.what
            merged[-1] = (Finding(last.start, max(last.end, finding.end), what), restored and restore)
            longest = max(longest, size)
        else:
            merged.append((finding, restore))
            longest = size
    return merged


def restore_values(text: str, values: Mapping[str, str], escape: Callable[[str], str] = str) -> str:
    """Replace placeholders by their values; ignores case, and backslashes that models write before brackets."""
    if not values:
        return text
    known = {placeholder[1:-1].casefold(): value for placeholder, value in values.items()}
    return _ECHOED.sub(lambda m: escape(known[m[1].casefold()]) if m[1].casefold() in known else m[0], text)
