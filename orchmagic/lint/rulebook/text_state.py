"""Code takes a text answer of a model apart.

**Why.** A model words its answer anew each time. `split`, `json.loads` or a regular expression work on one wording and
give wrong values in silence on the next. A step with fields is asked for these fields, is checked, and is asked again
if they do not fit.

**Example.**

    %%chain rate
    judge
        Score from 0 to 10, then a reason: {{ text }}
    score = int(judge.split()[0])

**Fix.** Declare the fields: `judge -> score: int, why: str`, and read `judge.score`. Counting words, as in
`len(draft.split())`, is no finding.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from orchmagic.graph.checks import sources
from orchmagic.graph.model import Branch, Call
from orchmagic.language import expression, template
from orchmagic.lint.rule import Found, LintRule
from orchmagic.lint.subject import LintSubject

_METHODS = frozenset({"split", "rsplit", "splitlines", "partition", "rpartition"})
_READERS = frozenset({"json.loads", "literal_eval", "ast.literal_eval"})
_PATTERNS = frozenset({"search", "match", "fullmatch", "findall", "finditer", "split"})


def check(subject: LintSubject) -> Iterator[Found]:
    texts = {n.name for n in subject.graph.nodes if isinstance(n, Call) and n.output.kind == "text" and not n.each}
    conditions = [(link.source, (), (link.on,)) for link in subject.graph.links if isinstance(link, Branch)]
    places = [(node.name, *sources(node)[:2]) for node in subject.graph.nodes]
    seen: set[tuple[str, str]] = set()
    for name, templates, written in (*places, *conditions):
        found = [*(pair for source in written for pair in _parsed(source))]
        found += [pair for text in templates for pair in _parsed_in_prompt(text)]
        for step, how in found:
            if step in texts and (step, how) not in seen:
                seen.add((step, how))
                text = f"{name!r} takes the text of {step!r} apart with {how}"
                yield Found(name, text, f"Write {step} -> and its fields, such as `{step} -> value: float, why: str`")


def _parsed(source: str) -> Iterator[tuple[str, str]]:
    """Yields (name, how) for each value that an expression takes apart."""
    tree = ast.parse(source.strip(), mode="eval")
    counted = {id(c.args[0]) for c in ast.walk(tree) if isinstance(c, ast.Call) and _name(c.func) == "len" and c.args}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and id(node) not in counted:
            how, value = _how(node)
            if value is not None:
                yield from ((name, how) for name in sorted(expression.names(ast.unparse(value))))


def _how(call: ast.Call) -> tuple[str, ast.expr | None]:
    name = _name(call.func)
    if name in _READERS and call.args:
        return name, call.args[0]
    root, _, method = name.rpartition(".")
    if root == "re" and method in _PATTERNS and len(call.args) > 1:
        return name, call.args[1]
    if isinstance(call.func, ast.Attribute) and call.func.attr in _METHODS and root != "re":
        return f".{call.func.attr}()", call.func.value
    return "", None


def _name(node: ast.expr) -> str:
    return ast.unparse(node) if isinstance(node, ast.Name | ast.Attribute) else ""


def _parsed_in_prompt(text: str) -> Iterator[tuple[str, str]]:
    from jinja2 import nodes  # noqa: PLC0415 - heavy

    for call in template.tree(text).find_all(nodes.Call):
        if isinstance(call.node, nodes.Getattr) and call.node.attr in _METHODS:
            root = call.node.node
            if isinstance(root, nodes.Name):
                yield root.name, f".{call.node.attr}()"


rule = LintRule("OM103", "text-state", check)
