"""Reasons that explain a span: `Reason` holds the data, `words` makes the sentence.

kind              its fields                                             in words
note              text                                                   the text; older records have only this kind
condition_false   expression                                             when x is false
not_reached                                                              the run had failed
decision          cause, choice, expression, detail, text, confidence,   → reply: x is false (x = 0)
                  basis; of votes used, among, tie, limit, source
person            choice (approve, edit, reject or ""), text             rejected by a person: too early
scores            scores (the last), place (best round), among (rounds)  scores by round: 4, 9; best: round 2
called_again      text                                                   the model is called again: severity is missing
attempt_failed    attempt, error_kind, text, wait                        attempt 1 failed (429); tried again after 0.5 s
fell_back         source, target, error_kind, text                       switched from small to large: 429
batch             cause, source (its id), among (requests),              waiting for a batch (120 requests, sent 14:02)
                  where (time)
repaired          text                                                   repaired locally: a trailing comma
guard             rule, action, finding, where                           guard pii (redact) found email in the input
hit_checked       score, agreed, text                                    called again to check the semantic cache: ...
journal           paid                                                   replayed: paid before the run was resumed
shared                                                                   shared with the same question under way
semantic_hit      score, hit, text                                       semantic cache, 0.970, hit 3: How do I pay?
deployment        cause, deployment, place, among, score, weight, used,  score 0.100, number 1 of 2 (uptime 99%, ...)
                  limit, figures, source, wait, explored, probe, parts
unavailable       cause, deployment, wait, used, limit, text             p@a skipped for 30 s (circuit open): 500 ...

`decision.cause`: gate, label, explained, unsure, no_label, no_arm, limit, votes, rejected (the run ends), sent_back.
`deployment.cause`: order, weight, score, untried, only, soonest, silent.
`batch.cause`: waiting, answered.
`unavailable.cause`: circuit, rate_limit, probe, requests, tokens, busy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, TypeAlias

from orchmagic.core.text_format import counted, shorten
from orchmagic.trace.decisions import DECIDED

AGREEMENT = "vote agreement"
"""The `basis` of a decision by majority vote, whose choice is a model's answer."""

_TEXT = 200  # characters of a quoted text
_ROUNDS = 12  # scores shown
_ASTRAY = frozenset({"unsure", "no_label", "no_arm"})  # causes of going where the router did not point to
_EXITS = {"capped": "stopped at its limit"}  # exits whose name is a word of the program
_CLOSED = {"circuit": "circuit open", "rate_limit": "rate limited"}


@dataclass(frozen=True, slots=True, repr=False)
class Reason:
    """One reason; fields that its kind does not use have their defaults.

    Only `text` may quote a prompt, an answer, an endpoint or a person. `wait` in seconds, `confidence` 0..1, `figures`:
    measurements of a deployment by name, `parts`: reasons for the skipped deployments.
    """

    kind: str
    text: str = ""
    cause: str = ""
    choice: str = ""
    expression: str = ""
    detail: str = ""
    confidence: float | None = None
    basis: str = ""
    attempt: int = 0
    error_kind: str = ""
    wait: float | None = None
    source: str = ""
    target: str = ""
    deployment: str = ""
    place: int = 0
    among: int = 0
    score: float | None = None
    weight: float | None = None
    used: int = 0
    limit: float = 0
    explored: float | None = None
    probe: bool = False
    tie: bool = False
    figures: Mapping[str, float | None] = field(default_factory=dict, hash=False)
    hit: int | None = None
    agreed: bool = False
    paid: bool = False
    rule: str = ""
    action: str = ""
    finding: str = ""
    where: str = ""
    scores: tuple[float, ...] = ()
    parts: tuple[Reason, ...] = ()

    def __str__(self) -> str:
        return words(self)

    def __repr__(self) -> str:
        given = {"kind": self.kind, **_given(self)}
        return f"Reason({', '.join(f'{name}={value!r}' for name, value in given.items())})"

    def map_texts(self, change: Callable[[str], str]) -> Reason:
        """Return a copy with `change` applied to every text field, also in `parts`; to shorten texts, for example."""
        given: dict[str, Any] = {
            n: change(value) if isinstance(value, str) else value for n, value in _given(self).items()
        }
        if self.parts:
            given["parts"] = tuple(part.map_texts(change) for part in self.parts)
        return Reason(self.kind, **given)


def _given(reason: Reason) -> dict[str, Any]:
    """Return the fields that differ from their defaults, without `kind`."""
    empty = Reason(reason.kind)
    names = (f.name for f in fields(reason))
    return {name: value for name in names if (value := getattr(reason, name)) != getattr(empty, name)}


def to_json(reason: Reason) -> dict[str, Any]:
    """Return the given fields, and `words` for readers without a formatter; the inverse of `from_json`."""
    given = _given(reason)
    if reason.parts:
        given["parts"] = [to_json(part) for part in reason.parts]
    if reason.scores:
        given["scores"] = list(reason.scores)
    return {"kind": reason.kind, **given, "words": words(reason)}


def from_json(data: Mapping[str, Any] | str, kind: str = "note") -> Reason:
    """Rebuild a reason. A string, as older versions stored it, becomes the text of a reason of this `kind`.

    Raises:
        TypeError: `data` has an unknown field.
    """
    if isinstance(data, str):
        return Reason(kind, text=data)
    known = {name: value for name, value in data.items() if name != "words"}
    known["parts"] = tuple(from_json(part) for part in known.get("parts", ()))
    known["scores"] = tuple(known.get("scores", ()))
    return Reason(**known)


def scores(values: list[float], best: int) -> Reason:
    """Return the reason that lists the scores of all rounds, given oldest first; `best` is the number of the result."""
    return Reason("scores", scores=tuple(values[-_ROUNDS:]), place=best, among=len(values))


def short(text: str, limit: int = _TEXT) -> str:
    """Return the beginning of a text on one line."""
    return shorten(" ".join(text[: 10 * limit].split()), limit)


def words(reason: Reason, *, quoted: bool = True) -> str:
    """Return the reason as a sentence. Without `quoted`: no text of a prompt, an answer, an endpoint or a person."""
    said = reason if quoted else _unquoted(reason)
    sentence = _SENTENCES.get(said.kind)
    return sentence(said) if sentence else said.text


def because(reason: Reason, *, quoted: bool = True) -> str:
    """Return the cause of a decision without its choice: `x is false (x = 0)`; empty if there is none."""
    said = reason if quoted else _unquoted(reason)
    cause = _CAUSES.get(said.cause)
    return cause(said) if cause else "; ".join(filter(None, (said.detail, said.text)))


def _unquoted(reason: Reason) -> Reason:
    choice = "" if reason.basis == AGREEMENT else reason.choice  # the choice of a vote is a model's answer
    return replace(reason, text="", choice=choice, parts=tuple(map(_unquoted, reason.parts)))


def _after(text: str, before: str = ": ", after: str = "") -> str:
    return f"{before}{text}{after}" if text else ""


def _decision(reason: Reason) -> str:
    """`→ billing: asks for money back (confidence 0.93, logprobs)`."""
    sure = "" if reason.confidence is None else f" (confidence {reason.confidence:.2f}, {reason.basis})"
    if reason.confidence is not None and reason.basis == AGREEMENT:
        sure = f" (agreement {reason.confidence:.0%})"
    why = because(reason)
    if reason.cause == "unsure" and reason.limit:
        sure = f"{sure[:-1]}; {reason.limit:g} needed)" if sure else ""
        why = why if sure else f"confidence unknown ({reason.limit:g} needed)"
    way = "Went to " if reason.cause in _ASTRAY and reason.choice else "→ "
    return f"{way}{': '.join(filter(None, (_EXITS.get(reason.choice) or short(reason.choice), why)))}{sure}"


def _votes(reason: Reason) -> str:
    tie = ", a tie: the first voted wins" if reason.tie else ""
    least = f", less than {reason.limit:g}" if reason.limit else ""
    judge = f": {reason.source} decides" if reason.source else ""
    return f"{reason.used} of {reason.among} votes{tie}{least}{judge}"


def _scores(reason: Reason) -> str:
    left_out = reason.among > len(reason.scores)
    listed = ", ".join(f"{n:g}" for n in reason.scores)
    best = f"; best: round {reason.place}" if reason.among > 1 else ""
    return f"scores by round: {'… ' if left_out else ''}{listed}{best}"


def _hit_checked(reason: Reason) -> str:
    same = "the same" if reason.agreed else "another"
    to = _after(short(reason.text), " as to ")
    return f"called again to check the semantic cache, {reason.score or 0:.3f}: {same} answer{to}"


def _deployment(reason: Reason) -> Iterator[str]:
    """Yield why this deployment was chosen, whether it was a probe, and which were skipped."""
    name = _after(reason.deployment, "", ": ")
    if reason.explored is not None:
        yield f"{name}explored, as {reason.explored:.0%} of the questions are"
        name = ""
    chosen = _CHOSEN.get(reason.cause)
    yield name + (chosen(reason) if chosen else reason.text)
    if reason.probe:
        yield "a probe: its circuit was half-open"
    if reason.cause != "soonest":
        yield from map(words, reason.parts)


def _untried(reason: Reason) -> str:
    others = f"{counted(reason.used, 'other question')} there" if reason.used else "tried now"
    return f"not measured yet, {others}, {_place(reason)} ({_figures(reason.figures)})"


def _place(reason: Reason) -> str:
    return f"number {reason.place} of {reason.among}"


def _figures(figures: Mapping[str, float | None]) -> str:
    price, first = figures.get("price"), figures.get("first_token")
    shown = (
        f"uptime {figures.get('uptime') or 0:.0%}",
        f"{figures.get('throughput') or 0:.0f} tokens/s",
        "" if first is None else f"first token {first:.2f} s",
        f"{figures.get('latency') or 0:.2f} s",
        "no price known" if price is None else f"${price:.2f}/M",
    )
    return ", ".join(filter(None, shown))


def _skipped(reason: Reason) -> str:
    return f"skipped for {reason.wait or 0:.0f} s ({_CLOSED.get(reason.cause, reason.cause)})"


_Sentences: TypeAlias = Mapping[str, Callable[[Reason], str]]

_SENTENCES: _Sentences = {
    "condition_false": lambda r: f"when {r.expression} is false",
    "not_reached": lambda _: "the run had failed",
    "decision": _decision,
    "person": lambda r: f"{DECIDED.get(r.choice, 'answered')} by a person{_after(short(r.text))}",
    "scores": _scores,
    "called_again": lambda r: f"the model is called again{_after(short(r.text))}",
    "attempt_failed": lambda r: (
        f"attempt {r.attempt} failed ({r.text or r.error_kind or 'error'}); tried again after {r.wait or 0:.1f} s"
    ),
    "fell_back": lambda r: f"switched from {r.source} to {r.target}{_after(r.text or r.error_kind)}",
    "batch": lambda r: (
        f"{'answered by' if r.cause == 'answered' else 'waiting for'} a batch "
        f"({counted(r.among, 'request')}, sent {r.where})"
    ),
    "repaired": lambda r: f"repaired locally{_after(r.text)}",
    "guard": lambda r: f"guard {r.rule} ({r.action}) found {r.finding} in the {r.where}",
    "hit_checked": _hit_checked,
    "journal": lambda r: (
        f"replayed: {'paid before the run was resumed' if r.paid else 'the answer of the earlier run'}"
    ),
    "shared": lambda _: "shared with the same question under way",
    "semantic_hit": lambda r: f"semantic cache, {r.score or 0:.3f}{f', hit {r.hit}' if r.hit else ''}{_after(r.text)}",
    "deployment": lambda r: "; ".join(_deployment(r)),
    "unavailable": lambda r: f"{_after(r.deployment, '', ' ')}{_UNAVAILABLE.get(r.cause, _skipped)(r)}{_after(r.text)}",
}
_CAUSES: _Sentences = {
    "sent_back": lambda r: f"a person rejected it{_after(short(r.text))}",
    "rejected": lambda r: f"a person rejected it{_after(short(r.text))}",
    "gate": lambda r: f"{r.expression} is false{_after(r.text, ' (', ')')}",
    "unsure": lambda r: f"not sure enough{f' of {r.text!r}' if r.text else ''}",
    "label": lambda _: "",  # the label is the choice
    "votes": _votes,
    "no_label": lambda _: "the router gave no valid label",
    "no_arm": lambda r: f"no arm{_after(r.text, ' for ')}",
}
_CHOSEN: _Sentences = {
    "order": lambda r: _place(r) if r.place > 1 else "first choice",
    "only": lambda _: "the only one left",
    "weight": lambda r: f"drawn by weight {r.weight or 0:g} of {r.limit:g}",
    "score": lambda r: f"score {r.score or 0:.3f}, {_place(r)} ({_figures(r.figures)})",
    "untried": _untried,
    "soonest": lambda r: f"all are skipped after failures; its circuit closes first ({', '.join(map(words, r.parts))})",
    "silent": lambda r: f"{r.source} was silent for {r.wait or 0:g} s",
}
_UNAVAILABLE: _Sentences = {
    "probe": lambda _: "being tried by another call",
    "busy": lambda r: f"{counted(r.used, 'call')} under way, its limit",
    "requests": lambda r: f"{counted(r.used, 'request')} in a minute, its limit",
    "tokens": lambda r: f"{r.used:,} tokens in a minute, its limit is {r.limit:,}",
}
