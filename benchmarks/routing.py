"""How often `router(by=meaning)` of %%route is right, and how sure it may be: on Banking77 and Quora's questions.

    python benchmarks/routing.py banking77_test.csv QUESTIONS.jsonl

Banking77 (PolyAI, CC-BY-4.0): https://github.com/PolyAI-LDN/task-specific-datasets, columns text and category. The
other file has a JSON object with a text "a" on each line: questions about anything, which belong to no kind.
Descriptions are the names of the intents; examples are the first questions of an intent, taken out of the test.
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import statistics
import time
from pathlib import Path

from orchmagic.graph.functions.semantic_routing import by_meaning

KINDS, DRAWS, FAR = 8, 20, 60  # intents of a draw, draws, questions of no kind in each
LEAST = 0.5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("banking", type=Path)
    parser.add_argument("questions", type=Path)
    given = parser.parse_args()
    intents = read(given.banking)
    lines = given.questions.read_text(encoding="utf-8").splitlines()
    far = sorted({json.loads(line)["a"] for line in lines})
    print("| examples | right | sure (0.5 or more) | right of these | sure of another topic | sure of a neighbour |")
    print("|---|---|---|---|---|---|")
    for examples in (0, 3, 5):
        print(f"| {examples} | " + " | ".join(f"{100 * share:.0f} %" for share in drawn(intents, far, examples)) + " |")
    for examples in (0, 5):
        kinds = {name: (name, texts[:examples]) for name, texts in intents.items()}
        asked = [(name, text) for name, texts in intents.items() for text in texts[5:]]
        right = [by_meaning(text, kinds)["label"] == name for name, text in asked]
        print(f"all {len(kinds)} intents, {examples} examples: {100 * sum(right) / len(right):.0f} % right")
    text = next(iter(intents.values()))[0]
    kinds = {name: (name, texts[:3]) for name, texts in list(intents.items())[:KINDS]}
    by_meaning(text, kinds)
    took = [timed(question, kinds) for question in far[:200]]
    print(f"one question: {1000 * statistics.median(took):.1f} ms (median of {len(took)})")


def read(path: Path) -> dict[str, list[str]]:
    """The questions of each intent."""
    found: dict[str, list[str]] = {}
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            found.setdefault(row["category"].replace("_", " "), []).append(row["text"])
    return found


def drawn(intents: dict[str, list[str]], far: list[str], examples: int) -> list[float]:
    """Right, sure, right of the sure, sure of what is of no kind, sure of neighbours: each a share, over all draws."""
    chance = random.Random(77)
    right, sure, both, no_kind, beside = [], [], [], [], []
    for _ in range(DRAWS):
        names = chance.sample(sorted(intents), KINDS)
        others, strangers = chance.sample(sorted(set(intents) - set(names)), KINDS), chance.sample(far, FAR)
        kinds = {name: (name, intents[name][:examples]) for name in names}
        for name in names:
            for question in intents[name][5:]:
                found = by_meaning(question, kinds)
                right.append(found["label"] == name)
                sure.append(found["confidence"] >= LEAST)
                both.extend([right[-1]] * sure[-1])
        no_kind += [by_meaning(q, kinds)["confidence"] >= LEAST for q in strangers]
        beside += [by_meaning(q, kinds)["confidence"] >= LEAST for name in others for q in intents[name][5:]]
    return [sum(part) / len(part) for part in (right, sure, both, no_kind, beside)]


def timed(question: str, kinds: dict[str, tuple[str, list[str]]]) -> float:
    began = time.perf_counter()
    by_meaning(f"{question} ", kinds)  # it was not asked before
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
