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

# (cell, notebook code)
ALL = {
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
    "sums": ("%%chain sums\ntwice = [n * 2 for n in numbers]\ntotal = sum(twice)\n", "numbers = [1]\n"),
}
