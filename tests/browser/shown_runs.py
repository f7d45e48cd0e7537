"""Runs worth looking at, made by the real engine with a scripted model: what the tests of the views draw."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from orchmagic import Reply, Script, Session, install
from orchmagic.trace.record import Record

PRICES = {
    "small": {"provider": "scripted", "model": "small-1", "input_price": 0.4, "output_price": 1.6, "cached_price": 0.1},
    "large": {"provider": "scripted", "model": "large-1", "input_price": 2.0, "output_price": 8.0, "cached_price": 0.5},
}
TICKET = "The export button does nothing since the update. I need the report for my board meeting today! " * 3
SORRY = "Sorry about the export button. We fix it today and write to you as soon as it works. " * 3


class Shown:
    """A session whose models have prices; `run(cell, small=[...], large=[...])` runs a cell on those replies."""

    def __init__(self, folder: Path, **environ: str) -> None:
        self.space: dict[str, object] = {}
        kept = {"ORCHMAGIC_CACHE_DIR": str(folder), "ORCHMAGIC_HISTORY_DIR": str(folder), "ORCHMAGIC_MODEL": "small"}
        self.session = Session(self.space, environ={**kept, **environ}, config=lambda: {"models": PRICES})

    def run(self, cell: str, *, small: Any = (), large: Any = (), **values: object) -> Any:
        for name, replies in (("small-1", small), ("large-1", large)):
            install(Script(replies if callable(replies) else list(replies)), name)
        self.space.update(values)
        return self.define(cell)()

    def define(self, cell: str) -> Any:
        head, _, body = cell.partition("\n")
        magic, _, line = head.removeprefix("%%").partition(" ")
        return self.session.define(magic, line, body)


TRIAGE = """%%chain triage --fallback large
extract -> feature: str, severity: "low" | "high"
    Read the support ticket: {{ ticket }}
docs = search(extract.feature)
draft
    Draft an answer about {{ extract.feature }} from {{ docs }}: {{ ticket }}
polish
    Make it kind: {{ draft }}
"""
REFUNDS = """%%chain refunds
check -> ok: bool, why: str
    May we pay back {{ order }}? {{ policy }}
write
    Tell the customer: {{ check.why }}
"""
DESK = """%%route desk
router
    Which team? {{ question }}
billing(run=refunds): money back
shipping: parcels
    You know parcels. {{ question }}
"""
DIGEST = """%%mapreduce digest --over document --chunk 60
map -> list[str]
    The key claims of this passage: {{ chunk }}
reduce
    Merge these claims into one page: {{ parts }}
"""
TAGLINE = """%%refine tagline
generate(temperature=0.9)
    A tagline for {{ product }}. {% if evaluate %}Improve on: {{ evaluate.feedback }}{% endif %}
evaluate(model=large) -> score: float, feedback: str
    Score from 0 to 10: {{ generate }}
until evaluate.score >= 8 max 4
"""
TEAM = """%%parallel moderate --concurrency 8
toxicity(votes=5, by=label, min=0.5, temperature=0.9) -> label: "ok" | "toxic", reason: str
    Is this post toxic? {{ post }}
personal -> bool
    Does the post contain personal data? {{ post }}
tone
    Which tone has it? {{ post }}
merge(model=large) -> publish: bool, why: str
    Votes: {{ toxicity }}. Personal data: {{ personal }}. {{ tone }} Decide.
"""
APPROVAL = """%%chain answer --no-cache
draft
    Draft an answer: {{ ticket }}
approve "May this answer go out?"
send = ticket[:5]
"""


def told(shown: Shown) -> Record:
    """One fallback, one answer from the cache, one slow step."""
    label = {"feature": "export", "severity": "high"}
    values = {"ticket": TICKET, "search": lambda feature: [f"How {feature} works"]}
    shown.run(TRIAGE.partition("docs =")[0], small=[Reply(label, latency=0.2)], **values)
    replies = [Reply(fault="quota", latency=0.4), Reply(SORRY, latency=0.35)]
    return shown.run(TRIAGE, small=replies, large=[Reply(SORRY, latency=1.6)], **values).record


def nested(shown: Shown) -> Record:
    """A route whose handler is another chain, with a re-ask and a retry inside."""
    shown.space.update(order="B42", policy="30 days", question="I was charged twice for order B42")
    shown.space["refunds"] = shown.define(REFUNDS)
    replies = [
        Reply({"label": "billing"}, latency=0.3), Reply("no json", latency=0.2),
        Reply({"ok": True, "why": "charged twice"}, latency=0.4), Reply(fault="500", latency=0.1),
        Reply("We pay back the second charge within three days.", latency=0.6),
    ]  # fmt: skip
    return shown.run(DESK, small=replies).record


def thousand(shown: Shown) -> Record:
    """A thousand items side by side, some of which fail, and one that is slow."""
    cell = "%%parallel rate --no-cache --concurrency 64 --max-steps 5000 --max-tokens 10000000\nrate(over=posts, item=post) -> stars: int\n    Rate: {{ post }}\n"

    def reply(body: Mapping[str, Any]) -> Reply:
        number = int(body["messages"][0]["content"].rpartition(" ")[2])
        return (
            Reply(fault="400")
            if number % 300 == 7
            else Reply({"stars": number % 5}, latency=0.9 if number == 77 else 0)
        )

    return shown.run(cell, small=reply, posts=[f"post {n}" for n in range(1_000)]).record


def refined(shown: Shown) -> Record:
    """Three rounds with a score each."""
    scores = ((4, "too long"), (9, "good"), (7, "dull"), (8.5, "fine"))
    return shown.run(
        TAGLINE.replace(">= 8", ">= 9.5"),
        small=[Reply(f"Tagline {n}", latency=0.2) for n in range(4)],
        large=[Reply({"score": s, "feedback": f}, latency=0.3) for s, f in scores],
        product="a lamp that follows the sun",
    ).record


def failed(shown: Shown) -> Record:
    """The second of three steps fails for good."""
    replies = [Reply({"feature": "export", "severity": "high"}, latency=0.3), Reply(fault="401", latency=0.2)]
    values = {"ticket": TICKET, "search": lambda feature: [f"How {feature} works"]}
    return shown.run(TRIAGE.replace(" --fallback large", " --no-cache"), small=replies, **values).record


def waiting(shown: Shown) -> Record:
    """It waits for a person."""
    return shown.run(APPROVAL, small=[Reply(SORRY, latency=0.4)], ticket=TICKET).record


def parallel(shown: Shown) -> Record:
    """Steps side by side, one of them with five votes; only one of them is what the run waits for."""
    votes = [
        Reply({"label": v, "reason": "r"}, latency=t)
        for v, t in (("ok", 0.2), ("ok", 0.3), ("toxic", 0.5), ("ok", 0.2), ("ok", 0.4))
    ]

    def small(body: Mapping[str, Any]) -> Reply:
        text = body["messages"][0]["content"]
        if "toxic" in text:
            return votes.pop(0)
        return Reply(True, latency=0.15) if "personal" in text else Reply("calm", latency=0.9)

    return shown.run(
        TEAM, small=small, large=[Reply({"publish": True, "why": "fine"}, latency=0.4)], post="hello all"
    ).record


RUNS = {f.__name__: f for f in (told, nested, thousand, refined, failed, waiting, parallel)}

HOSTILE = (
    "<script>window.hacked=1</script><img src=x onerror='window.hacked=1'><a href='javascript:window.hacked=1'>x</a>"
    "</script></pre></bdi><b>bold</b><br>$x$ \x1b[31mred\u202eevil \u0645\u0631\u062d\u0628\u0627 {{ 1 }} "
)


def hostile(shown: Shown) -> Record:
    """A model, and a document, that write markup, scripts and a megabyte of it."""
    big = HOSTILE + "A" * 1_000_000
    cell = "%%chain --no-cache --max-tokens 1000000000\nfirst(max_tokens=1000000)\n    Read {{ text }}\nsecond(max_tokens=1000000)\n    And {{ first }}\n"
    return shown.run(cell, small=[Reply(big), Reply(big)], text=big).record


def hostile_failure(shown: Shown) -> Record:
    """The same in the text of an error, and in the input of the step that failed."""

    def boom(text: str) -> str:
        raise ValueError(text)

    return shown.run("%%chain --no-cache\nfirst = boom(text)\n", text=HOSTILE, boom=boom).record
