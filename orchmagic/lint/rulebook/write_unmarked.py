"""A function whose name says that it changes something is not marked as a tool that writes.

**Why.** Calls are repeated: after an error, when a run is resumed, when an agent asks twice. A marked function runs
once for its arguments; an unmarked one refunds twice. Evaluations refuse marked functions, and run unmarked ones on
every row.

**Example.**

    def refund(order_id: str) -> str:
        ...

    %%react orders --tools refund
    {{ question }}

**Fix.** Mark it: `@orchmagic.tool(writes=True)`, and let a person decide: `--approve refund`. The names looked for
begin with a verb such as send, refund, delete, pay, cancel, insert, publish.
"""

from __future__ import annotations

from collections.abc import Iterator

from orchmagic.graph.checks import sources
from orchmagic.graph.model import Node, Tools
from orchmagic.language import expression
from orchmagic.lint.rule import Found, LintRule
from orchmagic.lint.subject import LintSubject
from orchmagic.runtime.tools import writes

_VERBS = frozenset(
    {
        "send",
        "refund",
        "delete",
        "remove",
        "pay",
        "charge",
        "cancel",
        "transfer",
        "publish",
        "purchase",
        "buy",
        "book",
        "insert",
        "update",
        "save",
        "store",
        "post",
        "email",
        "notify",
        "drop",
        "deploy",
        "upload",
        "ship",
        "issue",
    }
)


def check(subject: LintSubject) -> Iterator[Found]:
    seen: set[str] = set()
    for step, node in subject.nodes:
        for name in _functions(node):
            found = subject.function(name)
            if found is not None and name not in seen and name.split("_")[0].lower() in _VERBS and not writes(found):
                seen.add(name)
                text = f"{name!r} seems to write and is not marked, so it may run twice"
                write = f"Write @orchmagic.tool(writes=True) above it{_approve(subject, name)}"
                yield Found(step, text, write)


def _functions(node: Node) -> Iterator[str]:
    if isinstance(node, Tools):
        yield from node.tools
    for source in sources(node)[1]:
        yield from sorted(expression.called(source))


def _approve(subject: LintSubject, name: str) -> str:
    is_tool = subject.graph.pattern == "react" and any(isinstance(n, Tools) for n in subject.graph.nodes)
    asked = any(isinstance(n, Tools) and name in n.approve for n in subject.graph.nodes)
    return f", and --approve {name}" if is_tool and not asked else ""


rule = LintRule("OM110", "write-unmarked", check)
