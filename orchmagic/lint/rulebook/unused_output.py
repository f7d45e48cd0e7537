"""A step answers with a field that nothing reads.

**Why.** Every field is written by the model and paid for. One after the last field that is read can change nothing.

**Example.** Nothing reads `summary`:

    %%chain triage
    extract -> product: str, summary: str
        {{ ticket }}
    answer
        Answer a question on {{ extract.product }}: {{ ticket }}

**Fix.** Delete the field. Fields before one that is read are no finding: a model that writes its reasons first decides
better. Neither are fields that the notebook's code reads, as in `run.extract.summary`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from orchmagic.graph.model import Call
from orchmagic.graph.used_inputs import read_parts
from orchmagic.language.usage import NOTHING
from orchmagic.lint.rule import Found, LintRule
from orchmagic.lint.subject import LintSubject
from orchmagic.trace.record import Record


def check(subject: LintSubject) -> Iterator[Found]:
    graph, uses = subject.graph, read_parts(subject.graph)
    for node in graph.nodes:
        if not isinstance(node, Call) or node.name in subject.outputs or node.output.kind != "fields":
            continue
        whole = uses.get(node.name, NOTHING)
        use = whole.each or NOTHING if node.each else whole
        if whole.whole or use.whole or (node.each and (whole.items or whole.parts)):
            continue
        own = [node.votes.by if node.votes else "", node.confidence or ""]
        read = {*map(str, use.parts), *own}
        fields = [f.name for f in node.output.fields]
        known = [name in read or _in_code(name, subject.code) for name in fields]
        unused = fields[len(fields) - known[::-1].index(True) :] if any(known) else fields
        if unused:
            names = ", ".join(f"{node.name}.{field}" for field in unused)
            text = f"nothing reads {names}{_cost(node.name, unused, subject.records)}"
            yield Found(node.name, text, f"Delete {'it' if len(unused) == 1 else 'them'} from the outputs, or read it")


def _in_code(field: str, code: str) -> bool:
    return re.search(rf"\.{re.escape(field)}\b|['\"]{re.escape(field)}['\"]", code) is not None


def _cost(step: str, fields: Sequence[str], records: Sequence[Record]) -> str:
    """Returns the tokens that the fields took in earlier runs, at four characters each."""
    outputs = [s.output for r in records for s in r.steps if s.name == step and isinstance(s.output, dict)]
    if not outputs:
        return ""
    size = sum(len(str(output.get(field, ""))) for output in outputs for field in fields) / 4
    return f" (about {size / len(outputs):.0f} tokens a run, over {len(outputs)} runs)"


rule = LintRule("OM106", "unused-output", check)
