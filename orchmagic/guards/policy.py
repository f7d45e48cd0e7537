"""The rules of a run at work: texts are judged together, told as events, and blocked, covered or let pass.

A text that is found never appears in an event or an error: those name the rule, the kind and the place.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from orchmagic.errors import GuardBlocked
from orchmagic.guards import Finding, Place, Rule, find
from orchmagic.trace.events import Event, Guarded

_REMEMBERED = 512  # texts a run's rules are not asked about again: a transcript is sent anew at every turn
_LONG = 20_000  # characters: a text that takes longer than some 20 ms is judged in a thread
_PLACEHOLDER = re.compile(r"\[([^\[\]\n]{1,200} \d{1,9})\]")
_WRITTEN = re.compile(r"\\?\[([^\[\]\\\n]{1,200} \d{1,9})\\?\]")  # some models put backslashes before brackets
_ENDS = {
    "input": "nothing was sent",
    "output": "the answer was discarded",
    "tools": "the result was discarded",
}


@dataclass(frozen=True, slots=True)
class CheckedText:
    """A text to judge; `role` is the message's, None where there is none, and `place` is where it stands."""

    text: str
    role: str | None = None
    place: str = ""


@dataclass(frozen=True, slots=True)
class Judged:
    """The texts as they may pass, in order; `values` are what the placeholders to restore stand for."""

    texts: tuple[str, ...]
    values: Mapping[str, str] = field(default_factory=dict)


class Guardrails:
    """The rules of one run. `emit` is told what they found."""

    def __init__(self, rules: Sequence[Rule] = (), emit: Callable[[Event], None] = lambda _: None) -> None:
        self.rules = tuple(rules)
        self._emit = emit
        self._found: dict[tuple[int, str], list[Finding]] = {}
        self._told: set[Guarded] = set()

    def at(self, where: Place) -> bool:
        """Whether a rule holds there."""
        return any(where in rule.places for rule in self.rules)

    async def text(self, text: str, where: Place, call: str) -> str:
        """One text as it may pass.

        Raises:
            GuardBlocked: it may not.
        """
        return (await self.judge([CheckedText(text)], where, call)).texts[0]

    async def instead(self, text: str, where: Place, call: str) -> str:
        """The same, but what stopped it takes the place of a text that may not pass: for a model that reads on."""
        try:
            return await self.text(text, where, call)
        except GuardBlocked as blocked:
            return str(blocked)

    async def covered(self, text: str, where: Place) -> str:
        """A text that has to be told, such as an error: what may not pass is covered."""
        cover = _Cover([text])
        for number, rule in enumerate(self.rules):
            if where in rule.places and rule.action != "warn":
                cover.add(0, await self._find(number, rule, text), restore=False)
        return cover.judged().texts[0]

    async def judge(self, texts: Sequence[CheckedText], where: Place, call: str) -> Judged:
        """All texts of a question or an answer; the same value gets the same placeholder in each.

        Raises:
            GuardBlocked: one of them may not pass, or a guard that could say so failed.
        """
        cover = _Cover(t.text for t in texts)
        blocked: list[str] = []
        for number, rule in enumerate(self.rules):
            if where not in rule.places:
                continue
            seen: Counter[str] = Counter()
            places: list[str] = []
            for index, text in enumerate(texts):
                if text.role is not None and text.role not in rule.roles:
                    continue
                found = await self._find(number, rule, text.text)
                seen.update(f.what for f in found)
                places += [text.place] * bool(found and text.place)
                if rule.action in {"redact", "restore"}:
                    cover.add(index, found, restore=rule.action == "restore")
            if seen:
                what = ", ".join(w if n == 1 else f"{w} ×{n}" for w, n in seen.items())  # noqa: RUF001 - a count
                self._tell(Guarded(call=call, rule=rule.name, action=rule.action, where=where, what=what))
                if rule.action == "block":
                    blocked.append(f"{rule.name} found {what} in {_in(where, places)}")
        if blocked:
            advice = "take it out, or write another action than block"
            raise GuardBlocked(f"guard {'; '.join(blocked)}: {_ENDS[where]}; {advice}", where=where)
        return cover.judged()

    async def _find(self, number: int, rule: Rule, text: str) -> list[Finding]:
        """What a rule finds in a text; a guard that fails has found all of it."""
        if (known := self._found.get((number, text))) is not None:
            return known
        try:
            threaded = rule.guard.slow or len(text) > _LONG
            found = await asyncio.to_thread(find, rule.guard, text) if threaded else find(rule.guard, text)
        except Exception as error:  # noqa: BLE001 - a function of the notebook may raise anything
            return [Finding(0, len(text), f"no answer ({type(error).__name__} raised)")]
        while len(self._found) >= _REMEMBERED:
            del self._found[next(iter(self._found))]
        return self._found.setdefault((number, text), found)

    def _tell(self, event: Guarded) -> None:
        if event not in self._told:  # an answer is judged before it is stored and again when it is served
            self._told.add(event)
            self._emit(event)


def _in(where: Place, places: Sequence[str]) -> str:
    """`the input (message 2, user)`."""
    shown = f" ({'; '.join(dict.fromkeys(places))})" if places else ""
    return f"the {'result of a tool' if where == 'tools' else where}{shown}"


class _Cover:
    """Puts placeholders such as `[email 1]` over what was found, numbered in the order of the texts.

    The numbers depend on nothing but the texts: the same question is covered in the same way, and so is found in the
    cache. A placeholder that somebody wrote is not used.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        self._texts = tuple(texts)
        self._found: dict[int, list[tuple[Finding, bool]]] = {}

    def add(self, index: int, found: Iterable[Finding], *, restore: bool) -> None:
        self._found.setdefault(index, []).extend((f, restore) for f in found)

    def judged(self) -> Judged:
        if not any(self._found.values()):
            return Judged(self._texts)
        taken = {w.casefold() for text in self._texts for w in _PLACEHOLDER.findall(text)}
        named: dict[tuple[str, str], str] = {}
        numbers: Counter[str] = Counter()
        values: dict[str, str] = {}

        def name(what: str, value: str) -> str:
            if (what, value) not in named:
                numbers[what] += 1
                while f"{what} {numbers[what]}".casefold() in taken:
                    numbers[what] += 1
                named[what, value] = f"[{what} {numbers[what]}]"
            return named[what, value]

        texts = []
        for index, text in enumerate(self._texts):
            parts, end = [], 0
            for found, restore in _apart(self._found.get(index, ())):
                value = text[found.start : found.end]
                put = name(found.what, value)
                if restore:
                    values[put] = value
                parts += [text[end : found.start], put]
                end = found.end
            texts.append("".join([*parts, text[end:]]))
        return Judged(tuple(texts), values)


def _apart(found: Iterable[tuple[Finding, bool]]) -> list[tuple[Finding, bool]]:
    """Overlapping findings as one, named after the longest; restored only when all of them are."""
    merged: list[tuple[Finding, bool]] = []
    longest = 0
    for one, restore in sorted(found, key=lambda f: (f[0].start, -f[0].end)):
        size = one.end - one.start
        if merged and one.start < merged[-1][0].end:
            last, restored = merged[-1]
            what = one.what if size > longest else last.what
            merged[-1] = (Finding(last.start, max(last.end, one.end), what), restored and restore)
            longest = max(longest, size)
        else:
            merged.append((one, restore))
            longest = size
    return merged


def restored(text: str, values: Mapping[str, str], escape: Callable[[str], str] = str) -> str:
    """The text with what its placeholders stand for; models change their case and put backslashes before brackets."""
    if not values:
        return text
    known = {put[1:-1].casefold(): value for put, value in values.items()}
    return _WRITTEN.sub(lambda m: escape(known[m[1].casefold()]) if m[1].casefold() in known else m[0], text)
