"""Cells of twelve kinds of run, with scripted models that take their time: what the tests of the card look at."""

from __future__ import annotations

SETUP = '''%load_ext orchmagic
from orchmagic import Reply, Script, install
PRICES = {"input_price": 0.4, "output_price": 1.6}
%config OrchMagic.models = {"small": {"provider": "scripted", "model": "small-1", **PRICES}, "large": {"provider": "scripted", "model": "large-1", "input_price": 2.0, "output_price": 8.0}}
%config OrchMagic.model = "small"
PACE = 1.0
ANSWER = """### Why the export failed
The **export button** was wired to the old address. We fixed it *today*:

1. the route `/v2/export` is back,
2. a test now presses the button.

| file | rows | status |
|---|---:|---|
| monday.csv | 1,204 | ready |

Cost of the repair: $12 to $15 a month. See [the notes](https://example.org/notes). <img src="http://127.0.0.1:9/stolen?ticket">
"""
def said(body):
    text = body["messages"][-1]["content"]
    if isinstance(text, str) and "Make it kind" in text:
        return Reply(ANSWER, latency=0.4 * PACE)
    if "BREAKS" in text:
        return Reply(fault="401", latency=0.2 * PACE)
    if text.startswith("Read the"):
        return Reply({"feature": "export", "severity": "high"}, latency=0.4 * PACE)
    if text.startswith("Rate"):
        number = int(text.rpartition(" ")[2])
        return Reply(fault="400", latency=0.03) if number % 50 == 7 else Reply({"stars": number % 5, "why": f"It was {number % 5} of 5"}, latency=0.05 * PACE)
    if text.startswith("Which team"):
        unsure = [('{"label": "', 0), ("billing", -0.9), ('"}', 0)]  # a confidence of 0.41
        return Reply({"label": "billing"}, logprobs=unsure, latency=0.3 * PACE)
    if text.startswith("Positive"):
        said.votes += 1
        return Reply({"label": "positive" if said.votes % 3 else "negative"}, latency=0.04 * PACE)
    if text.startswith("Solve"):
        return Reply({"value": 3}, latency=0.3 * PACE)
    if text.startswith("Score"):
        said.score += 3
        return Reply({"score": said.score % 11, "feedback": "shorter"}, latency=0.2 * PACE)
    return Reply("The parcel we order near the old bridge arrives late today. " * 3, latency=0.4 * PACE)
said.votes = said.score = 0
install(Script(said), "small-1")
install(Script(lambda body: said(body)), "large-1")
ticket = "The export button does nothing since the update. I need the report for my board meeting today! " * 4
posts = [f"post {n}" for n in range(200)]
reviews = [f"review {n}" for n in range(50)]
question, product, number = "2 + 2", "a lamp that follows the sun", 1
document = "The bridge was built in 1902 and rebuilt in 1954. " * 60
def search(feature):
    return [f"How {feature} works"]
'''

KINDS = {
    "chain": """%%chain triage --no-cache
extract -> feature: str, severity: "low" | "high"
    Read the support ticket: {{ ticket }}
docs = search(extract.feature)
draft
    Draft an answer about {{ extract.feature }} from {{ docs }}: {{ ticket }}
polish(model=large)
    Make it kind: {{ draft }}""",
    "failed": """%%chain broken --no-cache
first
    Draft about {{ ticket }}
second
    BREAKS {{ first }}
third
    Make it kind: {{ second }}""",
    "route": """%%route desk --no-cache --min-confidence 0.6 --otherwise shipping
router
    Which team? {{ question }}
billing: money back
    You know bills. {{ question }}
shipping: parcels
    You know parcels. {{ question }}""",
    "cascade": """%%cascade solve --no-cache --models small,large
answer -> value: int
    Solve. {{ question }}
verify answer.value == 4""",
    "gate": """%%chain checked --no-cache
draft
    Draft about {{ question }}
gate "nothing" in draft""",
    "items": """%%parallel rate --no-cache --concurrency 8
rate(over=posts, item=post) -> stars: int, why: str
    Rate: {{ post }}""",
    "votes": """%%parallel moods --no-cache --concurrency 8
mood(over=reviews, item=review, votes=3, by=label) -> label: "positive" | "negative"
    Positive? {{ review }}""",
    "refine": """%%refine tagline --no-cache
generate
    A tagline for {{ product }}. {% if evaluate %}Improve on: {{ evaluate.feedback }}{% endif %}
evaluate(model=large) -> score: float, feedback: str
    Score from 0 to 10: {{ generate }}
until evaluate.score >= 9.5 max 3""",
    "digest": """%%mapreduce digest --over document --chunk 200 --no-cache
map
    The key claims of this passage: {{ chunk }}
reduce
    Merge these claims: {{ parts }}""",
    "capped": """%%chain long --no-cache --max-tokens 300
first
    Draft about {{ ticket }}
second
    Draft about {{ first }} {{ ticket }}
third
    Draft about {{ second }} {{ ticket }}""",
    "waiting": """%%chain payout --no-cache
draft
    Draft an answer: {{ ticket }}
approve "May this answer go out?"
send = ticket[:5]""",
    "cached": """%%chain again
first
    Draft about {{ question }}
second
    Draft about {{ first }}""",
}
