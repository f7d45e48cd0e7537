"""Why a span went as it did: data in a `Reason`, words made by `words` and nowhere else.

kind              its fields                                             in words
note              text                                                   the text; all that older records hold
condition_false   expression                                             when x is false
not_reached                                                              the run had failed
decision          cause, choice, expression, detail, text, confidence,   → reply: x is false (x = 0)
                  basis; of votes used, among, tie, limit, source
person            choice (approve, edit, reject or ""), text             rejected by a person: too early
scores            scores (the last), place (best round), among (rounds)  scores by round: 4, 9; best: round 2
called_again      text                                                   the model is called again: severity is missing
attempt_failed    attempt, error_kind, text, wait                        attempt 1 failed (429); tried again after 0.5 s
fell_back         source, target, error_kind, text                       fell back from small to large: 429
repaired          text                                                   repaired locally: a trailing comma
guard             rule, action, finding, where                           guard pii (redact) found email in the input
hit_checked       score, agreed, text                                    asked again to check the semantic cache: ...
journal           paid                                                   from the record: paid before the run went on
shared                                                                   shared with the same question under way
semantic_hit      score, hit, text                                       semantic cache, 0.970, hit 3: How do I pay?
deployment        cause, deployment, place, among, score, weight, used,  score 0.100, number 1 of 2 (uptime 99%, ...)
                  limit, figures, source, wait, explored, probe, parts
unavailable       cause, deployment, wait, used, limit, text             p@a skipped for 30 s (circuit open): 500 ...

`decision.cause`: gate, label, explained, unsure, no_label, no_arm, limit, votes. `deployment.cause`: order, weight,
score, untried, only, soonest, silent. `unavailable.cause`: circuit, rate_limit, probe, requests, tokens, busy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from orchmagic.core.numbers import counted
from orchmagic.core.text_format import shorten
from orchmagic.trace.decisions import DECIDED

AGREEMENT = "vote agreement"
"""The basis of a decision that is itself an answer: most votes gave it."""

_TEXT = 200  # characters of a text that is quoted
_ROUNDS = 12  # scores that are shown
_CLOSED = {"circuit": "circuit open", "rate_limit": "rate limited"}


@dataclass(frozen=True, slots=True, repr=False)
class Reason:
    """One reason; fields that its kind does not have stay at their defaults.

    `text` may quote a prompt, an answer, an endpoint or a person; the other fields never do. `wait` in seconds,
    `confidence` 0..1, `figures` of a deployment by name, `parts` the deployments that were skipped.
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
        """The same with each text changed, those of its parts too: to shorten it, say."""
        given: dict[str, Any] = {
            n: change(value) if isinstance(value, str) else value for n, value in _given(self).items()
        }
        if self.parts:
            given["parts"] = tuple(part.map_texts(change) for part in self.parts)
        return Reason(self.kind, **given)


def _given(reason: Reason) -> dict[str, Any]:
    """The fields that differ from the defaults, without the kind."""
    empty = Reason(reason.kind)
    names = (f.name for f in fields(reason))
    return {name: value for name in names if (value := getattr(reason, name)) != getattr(empty, name)}


def to_json(reason: Reason) -> dict[str, Any]:
    """What differs from the defaults, and `words` for readers without a formatter; `from_json` is its inverse."""
    given = _given(reason)
    if reason.parts:
        given["parts"] = [to_json(part) for part in reason.parts]
    if reason.scores:
        given["scores"] = list(reason.scores)
    return {"kind": reason.kind, **given, "words": words(reason)}


def from_json(data: Mapping[str, Any] | str, kind: str = "note") -> Reason:
    """Rebuild a reason; of an older version, which kept words only, one of this `kind`.

    Raises:
        TypeError: it has a field that this version does not know.
    """
    if isinstance(data, str):
        return Reason(kind, text=data)
    known = {name: value for name, value in data.items() if name != "words"}
    known["parts"] = tuple(from_json(part) for part in known.get("parts", ()))
    known["scores"] = tuple(known.get("scores", ()))
    return Reason(**known)


def scores(values: list[float]) -> Reason:
    """The scores of all rounds, oldest first."""
    return Reason("scores", scores=tuple(values[-_ROUNDS:]), place=values.index(max(values)) + 1, among=len(values))


def short(text: str, limit: int = _TEXT) -> str:
    """The beginning of a text, on one line."""
    return shorten(" ".join(text[: 10 * limit].split()), limit)


def words(reason: Reason, *, quoted: bool = True) -> str:  # noqa: C901, PLR0911, PLR0912 - a line for each kind
    """The reason in one sentence. Without `quoted` nothing that a prompt, an answer, an endpoint or a person said."""
    text = reason.text if quoted else ""
    match reason.kind:
        case "condition_false":
            return f"when {reason.expression} is false"
        case "not_reached":
            return "the run had failed"
        case "decision":
            return _decision(reason, quoted=quoted)
        case "person":
            return f"{DECIDED.get(reason.choice, 'answered')} by a person{_after(short(text))}"
        case "scores":
            return _scores(reason)
        case "called_again":
            return f"the model is called again{_after(short(text))}"
        case "attempt_failed":
            why = text or reason.error_kind or "error"
            return f"attempt {reason.attempt} failed ({why}); tried again after {reason.wait or 0:.1f} s"
        case "fell_back":
            return f"fell back from {reason.source} to {reason.target}{_after(text or reason.error_kind)}"
        case "repaired":
            return f"repaired locally{_after(text)}"
        case "guard":
            return f"guard {reason.rule} ({reason.action}) found {reason.finding} in the {reason.where}"
        case "hit_checked":
            same = "the same" if reason.agreed else "another"
            to = f" as to {short(text)}" if text else ""
            return f"asked again to check the semantic cache, {reason.score or 0:.3f}: {same} answer{to}"
        case "journal":
            earlier = "paid before the run went on"
            return f"from the record: {earlier}" if reason.paid else "from the record of the run that is replayed"
        case "shared":
            return "shared with the same question under way"
        case "semantic_hit":
            number = f", hit {reason.hit}" if reason.hit else ""
            return f"semantic cache, {reason.score or 0:.3f}{number}{_after(text)}"
        case "deployment":
            return "; ".join(_deployment(reason, text, quoted=quoted))
        case "unavailable":
            return " ".join(filter(None, (reason.deployment, _unavailable(reason) + _after(text))))
        case _:
            return text


def _after(text: str) -> str:
    return f": {text}" if text else ""


def _decision(reason: Reason, *, quoted: bool) -> str:
    """`→ billing: asks for money back (confidence 0.93, logprobs)`."""
    sure = "" if reason.confidence is None else f" (confidence {reason.confidence:.2f}, {reason.basis})"
    if reason.confidence is not None and reason.basis == AGREEMENT:
        sure = f" (agreement {reason.confidence:.0%})"
    choice = short(reason.choice) if quoted or reason.basis != AGREEMENT else ""  # what most voted for is an answer
    return f"→ {': '.join(filter(None, (choice, because(reason, quoted=quoted))))}{sure}"


def because(reason: Reason, *, quoted: bool = True) -> str:  # noqa: PLR0911 - a line for each cause
    """Why a decision fell as it did, without what it was: `x is false (x = 0)`; empty where there is no more to say."""
    text = reason.text if quoted else ""
    match reason.cause:
        case "gate":
            return f"{reason.expression} is false{f' ({text})' if text else ''}"
        case "unsure":
            return f"not sure enough{f' of {text!r}' if text else ''}"
        case "label":
            return ""  # the label is the choice
        case "votes":
            return _votes(reason)
        case "no_label":
            return "no known label"
        case "no_arm":
            return f"no arm{f' for {text}' if text else ''}"
        case _:
            return "; ".join(filter(None, (reason.detail, text)))


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


def _deployment(reason: Reason, text: str, *, quoted: bool) -> Iterator[str]:
    """Why this deployment, then that it was a probe, then which were skipped."""
    name = f"{reason.deployment}: " if reason.deployment else ""
    if reason.explored is not None:
        yield f"{name}explored, as {reason.explored:.0%} of the questions are"
        name = ""
    yield name + (_chosen(reason, quoted=quoted) or text)
    if reason.probe:
        yield "a probe: its circuit was half-open"
    if reason.cause != "soonest":
        yield from (words(part, quoted=quoted) for part in reason.parts)


def _chosen(reason: Reason, *, quoted: bool) -> str:  # noqa: PLR0911 - a line for each cause
    place = f"number {reason.place} of {reason.among}"
    match reason.cause:
        case "order":
            return place if reason.place > 1 else "first choice"
        case "only":
            return "the only one left"
        case "weight":
            return f"drawn by weight {reason.weight or 0:g} of {reason.limit:g}"
        case "score":
            return f"score {reason.score or 0:.3f}, {place} ({_figures(reason.figures)})"
        case "untried":
            others = f"{counted(reason.used, 'other question')} there" if reason.used else "tried now"
            return f"not measured yet, {others}, {place} ({_figures(reason.figures)})"
        case "soonest":
            closed = ", ".join(words(part, quoted=quoted) for part in reason.parts)
            return f"all are skipped after failures; its circuit closes first ({closed})"
        case "silent":
            return f"{reason.source} was silent for {reason.wait or 0:g} s"
        case _:
            return ""


def _figures(figures: Mapping[str, float | None]) -> str:
    price, first = figures.get("price"), figures.get("first_token")
    return ", ".join(
        filter(
            None,
            (
                f"uptime {figures.get('uptime') or 0:.0%}",
                f"{figures.get('throughput') or 0:.0f} tokens/s",
                "" if first is None else f"first token {first:.2f} s",
                f"{figures.get('latency') or 0:.2f} s",
                "price unknown" if price is None else f"${price:.2f}/M",
            ),
        )
    )


def _unavailable(reason: Reason) -> str:
    match reason.cause:
        case "probe":
            return "being tried by another call"
        case "busy":
            return f"{counted(reason.used, 'call')} under way, its limit"
        case "requests":
            return f"{counted(reason.used, 'request')} in a minute, its limit"
        case "tokens":
            return f"{reason.used:,} tokens in a minute, its limit is {reason.limit:,}"
        case _:
            return f"skipped for {reason.wait or 0:.0f} s ({_CLOSED.get(reason.cause, reason.cause)})"
