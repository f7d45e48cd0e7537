"""`python benchmarks/cascade.py GSM8K.csv`: what a cascade with a plain check saves, on answers that were recorded.

GSM8K.csv has the recorded answers of two models to each question, and whether they are right, as published with
RouteLLM (https://github.com/lm-sys/RouteLLM, Apache-2.0, routellm/evals/gsm8k/gsm8k_responses.csv). A scripted model
gives them, so nothing is paid; the cells, the cascade, the prices and the ranges are those of a notebook.

`trust` scores an answer without any model, and `LIMIT` is the score from which the cheap answer is kept. Both were
chosen on the half of the questions whose SHA-1 is even (`--half dev`). They stay as they are: the other half
(`--half report`) tells what they are worth. Random routing, which sends as many questions to the strong model without
looking at the answer, stands beside each row.
"""

from __future__ import annotations

import argparse
import ast
import csv
import hashlib
import math
import operator
import os
import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import fmean, stdev

import orchmagic
from orchmagic import Script, Session
from orchmagic.runtime.orchestration import Orchestration

WEAK, STRONG = "mistralai/Mixtral-8x7B-Instruct-v0.1", "gpt-4-1106-preview"
PRICES = {"weak": (0.6, 0.6), "strong": (10.0, 30.0)}  # US dollars a million tokens, as listed when they were recorded
LIMIT = 7.0  # frozen: on `dev`, the least of LIMITS that is a standard error above 95 % of the strong model
LIMITS = (3.0, 4.0, 5.0, 6.0, 6.5, 7.0, 7.5)
PART = 0.95  # of what the strong model gets right
ONE_SIDED = 1.645  # 95 %
ASK = "answer\n    {{ question }}\n"
CELLS = (
    ("chain", "weak_alone --model weak", ASK),
    ("chain", "strong_alone --model strong", ASK),
    ("cascade", "cascade --models weak,strong", ASK + "verify trust(question, answer) >= limit\n"),
)
SIGNS: Mapping[type, Callable[[float, float], float]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
}  # fmt: skip


def trust(question: str, answer: str) -> float:
    """Returns a score of an answer by its arithmetic: the higher, the more likely it is right.

    It recomputes each `<<3*60=180>>`, looks whether the answer is a whole number, the last one that was computed, and
    whether each number of the question was used. Long questions and long answers count as harder.
    """
    steps = [(compute(left), number(right)) for left, right in re.findall(r"<<([^<>=]+)=([^<>]*)>>", answer)]
    holds = all(a is not None and b is not None and abs(a - b) < 0.011 for a, b in steps)
    ended = re.search(r"####\s*\$?(-?[\d,.]+)", answer)
    final = number(ended[1]) if ended else None
    whole = final is not None and final >= 0 and final == int(final)
    last = bool(steps) and final is not None and final == steps[-1][1]
    found = numbers(answer)
    used = all(n in found or n / 100 in found for n in numbers(question))
    return 4 * (holds and whole) + 2 * last + 2 * used + bool(steps) - len(question) / 300 - len(answer) / 600


def number(text: str) -> float | None:
    """Reads `1,200.` as 1200; None if it is no number."""
    try:
        return float(text.replace(",", "").rstrip("."))
    except ValueError:
        return None


def numbers(text: str) -> set[float]:
    """Returns the numbers that a text has in figures."""
    return {n for n in map(number, re.findall(r"\d[\d,]*\.?\d*|\.\d+", text)) if n is not None}


def compute(text: str) -> float | None:
    """Returns the value of plain arithmetic; None if it is anything else."""
    plain = text.replace(",", "").replace("$", "").replace("%", "/100").replace("x", "*")
    try:
        return _value(ast.parse(plain.strip(), mode="eval").body)
    except (SyntaxError, ValueError, ArithmeticError):
        return None


def _value(node: ast.expr) -> float:
    match node:
        case ast.Constant(value=int() | float() as value):
            return float(value)
        case ast.UnaryOp(op=ast.USub(), operand=inner):
            return -_value(inner)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in SIGNS:
            return SIGNS[type(op)](_value(left), _value(right))
    raise ValueError(ast.dump(node))


def read(path: Path, half: str) -> list[dict[str, str]]:
    """The rows of one half, or all of them."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    even = [int(hashlib.sha1(row["prompt"].encode()).hexdigest(), 16) % 2 == 0 for row in rows]
    return [row for row, dev in zip(rows, even, strict=True) if half == "all" or dev == (half == "dev")]


def cells(rows: Sequence[Mapping[str, str]], folder: str) -> list[Orchestration]:
    """The two models alone and the cascade, answered with what was recorded."""
    for name, column in (("weak", WEAK), ("strong", STRONG)):
        said = {row["prompt"]: row[f"{column}_response"] for row in rows}
        orchmagic.install(Script(lambda body, said=said: said[body["messages"][-1]["content"]]), name)
    kept = {"ORCHMAGIC_CACHE_DIR": folder, "ORCHMAGIC_HISTORY_DIR": folder}
    session = Session({"trust": trust}, environ={**os.environ, **kept}, notify=print)
    session.add_models(
        {n: {"model": f"scripted/{n}", "input_price": i, "output_price": o} for n, (i, o) in PRICES.items()}
    )
    return [session.define(*cell) for cell in CELLS]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("answers", type=Path)
    parser.add_argument("--half", choices=("dev", "report", "all"), default="all")
    given = parser.parse_args()
    rows = read(given.answers, given.half)
    on = [{"question": row["prompt"], "right": right(row)} for row in rows]
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        weak, strong, cascade = cells(rows, folder)
        low, high = measured(weak, on), measured(strong, on)
        weak_right, strong_right = fmean(low["is_right"]), fmean(high["is_right"])
        print(f"{len(rows)} questions. weak: {weak_right:.1%} right, strong: {strong_right:.1%} right")
        print("| score at least | to strong | right | gap recovered | saved | right - 95 % of strong | random: right |")
        print("|---|---|---|---|---|---|---|")
        for limit in LIMITS:
            found = measured(cascade, [{**row, "limit": limit} for row in on])
            least, mean = against(found["is_right"], high["is_right"])
            share = fmean(cost > other for cost, other in zip(found["_cost"], low["_cost"], strict=True))
            whole = fmean(found["is_right"])
            random = weak_right + share * (strong_right - weak_right)
            gap, saved = (
                (whole - weak_right) / (strong_right - weak_right),
                1 - sum(found["_cost"]) / sum(high["_cost"]),
            )
            name = f"{limit} (frozen)" if limit == LIMIT else f"{limit}"
            points = f"{100 * mean:+.1f} points (at least {100 * least:+.1f})"
            print(f"| {name} | {share:.1%} | {whole:.1%} | {gap:.0%} | {saved:.1%} | {points} | {random:.1%} |")


def right(row: Mapping[str, str]) -> list[str]:
    """The recorded answers to a question that are right."""
    return [row[f"{model}_response"].strip() for model in (WEAK, STRONG) if row[model] == "True"]


def measured(variant: Orchestration, on: list[dict[str, object]]) -> Mapping[str, list[float]]:
    """Whether each answer is right, 0 or 1, and its cost in US dollars."""
    table = orchmagic.evaluate(variant, on=on, metrics={"is_right": "(output or '').strip() in row.right"}).table
    return {name: [float(line[name]) for line in table] for name in ("is_right", "_cost")}


def against(found: Sequence[float], strong: Sequence[float]) -> tuple[float, float]:
    """How much more is right than PART of the strong model's share: the one-sided lower end at 95 %, and the mean."""
    more = [one - PART * other for one, other in zip(found, strong, strict=True)]
    return fmean(more) - ONE_SIDED * stdev(more) / math.sqrt(len(more)), fmean(more)


if __name__ == "__main__":
    main()
