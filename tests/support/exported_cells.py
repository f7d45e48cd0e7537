"""Cells that between them use all that a module can hold, and the notebook code that they call."""

from __future__ import annotations

from orchmagic.patterns import PATTERNS

TRIAGE = PATTERNS.get("chain").example

CODE = '''
import re
from dataclasses import dataclass
from enum import Enum

from pydantic import BaseModel, Field

LIMIT = 2
WORDS = {"disk": ["full", "broken"], "printer": ["paper"]}


class Severity(Enum):
    """How bad it is."""

    LOW = "low"
    HIGH = "high"


class Ticket(BaseModel):
    """What a customer wrote."""

    product: str = Field(description="what it is about")
    severity: Severity
    tags: list[str] = []


@dataclass
class Note:
    """What to remember."""

    title: str
    pages: int


def search(text: str, k: int = 1) -> list[dict[str, str]]:
    """Look words up."""
    found = [w for product, words in WORDS.items() if product in text for w in words]
    return [{"title": clean(word)} for word in found[: min(k, LIMIT)]]


def clean(word: str) -> str:
    """Leave letters only."""
    return re.sub("[^a-z]", "", word)


async def slow(text: str) -> str:
    """Shout."""
    return text.upper()


def enough(docs: list[dict[str, str]]) -> bool:
    """Say whether there is something to read."""
    return len(docs) >= LIMIT
'''

RICH = """%%chain rich
docs = search(question, k=3)
loud = slow(question)
gate enough(docs) else stop "too few"
read(temperature=0.2, max_tokens=300) -> Ticket
    system: Words: {{ docs }}, first {{ docs[0].title }}
    user: {{ question }} {{ loud }}
rank -> Severity
    How bad? {{ read }} {{ read.severity }} {{ read.tags }}
note -> Note
    {% if rank %}Severity {{ rank.value }}{% endif %} {{ docs | length }} {{ len(docs) }}
tags -> list[str]
    Tags of {{ note.title }} with {{ note.pages }} pages
number -> int
    Count {{ tags }} {{ tags[0] }}
close(when=number > 2 and read.severity == Severity.HIGH)
    Close {{ number }} {{ rank }}
"""

GOTO = """%%chain loop --max-iterations 3
draft
    Draft about {{ topic }}{% if judge %}, better than {{ draft }}: {{ judge.why }}{% endif %}
judge -> ok: bool, why: str
    Good? {{ draft }}
gate judge.ok else goto draft
final
    Polish {{ draft }}
"""

ASK = """%%chain clarify
guess -> sure: bool, topic: str
    What is meant by {{ question }}?
gate guess.sure else ask "What do you mean by {{ guess.topic }}?"
reply
    Answer {{ question }} {{ answer }}
"""

FALLBACK = """%%chain careful --fallback large
first
    One {{ topic }}
second(model=tiny, fallback=[small, large], timeout=30)
    Two {{ first }}
"""

HELPDESK = PATTERNS.get("route").example
UNSURE = HELPDESK.replace("--otherwise", "--min-confidence 0.7 --otherwise")

RULES = """%%route rules --otherwise other
router(on=question)
billing(match="refund|bill"): money
    Billing {{ question }}
technical(match="error|crash"): machines
    Technical {{ question }}
other: all else
    Other {{ question }}
"""

PICK = 'def pick(text: str) -> str:\n    """Read."""\n    return "b" if "b" in text else "a"\n'
PICKED = """%%route code
router = pick(question)
a: one
    A {{ question }}
b: two
    B {{ question }}
"""

TOOLS = '''
from typing import Annotated, Literal

LARGEST = 100

ORDERS = {"A1": {"state": "shipped", "items": ["disk"]}}


def find_order(order_id: str, part: Literal["state", "items"] = "state") -> object:
    """Look an order up.

    Knows all of this year's.
    """
    return ORDERS[order_id][part]


async def refund(
    order_id: str, cents: Annotated[int, "a whole number"], *, why: str | None = None
) -> str:
    """Give money back."""
    if cents > LARGEST:
        raise RuntimeError("too much")
    return f"refunded {cents} of {order_id}: {why}"


def no_words(x: int) -> None:  # noqa: D103 - a tool without a docstring
    raise ValueError("never", x)
'''
ORDERS = PATTERNS.get("react").example
MORE = ORDERS.replace("--tools find_order", "--tools find_order,refund,no_words")
WORDS = "%%react words --tools find_order\nsystem: Be short.\nuser: {{ question }}\n"

NAMES = 'PRODUCTS = ["disk"]\nBig = [1, 2.5, True, None]\n'
ODD = """%%chain odd
id = 'in' + str(len(PRODUCTS))
filter(retry=0) -> items: list[str], state: str | None
    {{ id }} {{ input }} {{ Big }} {"a": {{ PRODUCTS }}} 'x' "y" \\\\n {x} ${HOME} {{ '{{' }} é 😀
gate filter.items and filter.state is None and PRODUCTS else stop "no"
main(when=all(p in PRODUCTS for p in filter.items if len(p) > 1))
    Now {{ filter.items[0] }} {{ filter.state }}
"""

MODERATE = PATTERNS.get("parallel").example
DIGEST = PATTERNS.get("mapreduce").example
TAGLINE = PATTERNS.get("refine").example
SOLVE = PATTERNS.get("cascade").example
LAUNCH = PATTERNS.get("team").example
REPORT = PATTERNS.get("plan").example

ARITHMETIC = '''def arithmetic_ok(work: str) -> bool:
    """Say whether the work shows a calculation."""
    return "=" in work
'''
SEARCH = '''def search(query: str) -> str:
    """Look something up."""
    return f"all about {query}"
'''

APPROVED = """%%chain letter
draft -> subject: str, body: str
    Write to {{ customer }}
approve "Send this to {{ customer }}?"
send
    Send {{ draft.subject }}: {{ draft.body }}
"""
CAREFUL = """%%react shop --tools find_order,refund --approve refund
{{ question }}
"""
OVER = """%%chain each --concurrency 2
tags(over=tickets, item=ticket) -> label: str, urgent: bool
    Label {{ ticket.text }} of {{ ticket["id"] }} for {{ team }}
urgent = [t.label for t in tags if t and t.urgent]
close(when=len(urgent) > 1)
    {{ urgent }} {{ tags }}
"""
VOTED = """%%chain jury --fallback large
verdict(votes=4, min=0.75) -> "guilty" | "free"
    Is {{ name }} guilty?
report
    {{ verdict.value }} {{ verdict.agreement }} {{ verdict.decided }}
"""

# Orchestrations in others: (cells that are run before, cell, notebook code)
LEGAL = """%%chain legal
check -> grave: bool, topic: str
    Is this grave? {{ question }}
gate not check.grave else ask "Grave, about {{ check.topic }}: what shall I say?"
reply
    Reply about {{ check.topic }}. {{ answer }} {{ question }}
"""
DESK = """%%route desk
router
    Which team? {{ question }}
billing: refunds
    Billing: {{ question }}
contracts(run=legal): anything about a contract
"""
ANSWERED = """%%chain answered
mail = desk(question=ticket + "!")
polish -> text: str, tone: str
    Polish {{ mail }} for {{ ticket }}
again = desk(question=polish.text)
"""
SLOGANS = """%%parallel slogans
line(run=tagline)
price -> int
    Price of {{ product }}?
merge
    {{ line }} for {{ price }}
"""
EACH_DESK = """%%chain mails
replies(run=desk, over=questions, item=question)
sum_up
    {{ replies }}
"""

HEADLINE = """%%refine headline
generate -> title: str, words: list[str]
    Title for {{ product }}
evaluate -> score: float
    Score {{ generate.title }}
until evaluate.score >= 8 max 2
"""
PAGES = """%%chain pages
heads(run=headline, over=products, item=product)
first = headline(product=products[0])
titles = [h.title for h in heads if h and h.title != first.title]
say(when=first.words)
    {{ first.title }} {{ heads }}
"""
CREW = """%%team crew
supervisor
    Goal: {{ brief }}
finder(tools=search): finds
    You find.
counter(tools=[search, count]): counts
    You count.
"""
CREW_TOOLS = '''def search(query: str) -> str:
    """Search."""
    return "found " + query


def count(text: str) -> int:
    """Count."""
    return len(text)
'''

# Orchestrations inside others: name -> (cells to run before, cell, notebook code)
NESTED = {
    "desk": ((LEGAL,), DESK, ""),
    "answered": ((LEGAL, DESK), ANSWERED, ""),
    "slogans": ((TAGLINE,), SLOGANS, ""),
    "mails": ((LEGAL, DESK), EACH_DESK, ""),
    "pages": ((HEADLINE,), PAGES, ""),
}

# (cell, notebook code)
BILL = """%%chain bill
extract(temperature=0.5, top_p=0.9, seed=7, stop=["END", "."], reasoning_effort=low) -> due: date, at: datetime, total: Decimal, more: list[date | None]
    Read {{ mail }}
gate extract.due >= date(2026, 1, 1) and extract.total > Decimal("1.5")
vote(votes=2, top_p=0.5) -> Decimal
    How much?
each(over=[1, 1], item=n) -> date
    {{ n }}
last(when=extract.at.year > date.min.year, stop="END")
    {{ extract.due }} {{ extract.at }} {{ extract.total }} {{ extract.more }} {{ extract }} {{ vote }} {{ each }}
"""

ALL = {
    "bill": (BILL, ""),
    "triage": (TRIAGE, ""),
    "rich": (RICH, CODE),
    "loop": (GOTO, ""),
    "clarify": (ASK, ""),
    "careful": (FALLBACK, ""),
    "helpdesk": (HELPDESK, ""),
    "unsure": (UNSURE, ""),
    "rules": (RULES, ""),
    "picked": (PICKED, PICK),
    "orders": (ORDERS, TOOLS),
    "more": (MORE, TOOLS),
    "words": (WORDS, TOOLS),
    "odd": (ODD, NAMES),
    "moderate": (MODERATE, ""),
    "digest": (DIGEST, ""),
    "tagline": (TAGLINE, ""),
    "solve": (SOLVE, ARITHMETIC),
    "launch": (LAUNCH, SEARCH),
    "report": (REPORT, SEARCH),
    "crew": (CREW, CREW_TOOLS),
    "letter": (APPROVED, ""),
    "shop": (CAREFUL, TOOLS),
    "each": (OVER, ""),
    "jury": (VOTED, ""),
    "sums": ("%%chain sums\ntwice = [n * 2 for n in numbers]\ntotal = sum(twice)\n", "numbers = [1]\n"),
}
