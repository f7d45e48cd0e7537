"""`python benchmarks/semantic_bound.py PAIRS.jsonl [STREAM.csv]`: whether the learned threshold keeps its bound.

Three kinds of streams, none of which the threshold was tuned on: the labelled pairs once, in a random order; as
many pairs as wanted, drawn from them again and again (so that the true error above any line is known); and questions
with one answer a category (Banking77). PAIRS and STREAM are as in `semantic.py`.
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import statistics
from collections.abc import Sequence
from pathlib import Path

from semantic import scored, vectors

from orchmagic.core.semantic_policy import AUDITS, FLOOR, THRESHOLD
from orchmagic.models.semantic.differences import difference
from orchmagic.models.semantic.semantic_cache import comparable
from orchmagic.models.semantic.threshold import learned
from orchmagic.models.semantic.vector_index import Index

OFTEN = 10  # labels from one learning to the next: the bench would take hours else
STREAMS = 20
LONG = 20_000  # look-ups of a stream that is drawn


def passing(rows: Sequence[dict], guards: bool) -> list[dict]:
    return [r for r in rows if r["cosine"] >= FLOOR and (not guards or (r["compared"] and not r["difference"]))]


def run(looks: Sequence[dict], draw: random.Random, bound: float) -> tuple[int, int, float | None]:
    """Each pair is a look-up: below the line it is asked (a free label), above it served, 3 % audited."""
    labels: list[tuple[float, bool]] = []
    served, wrong, line, known = 0, 0, None, 0
    for r in looks:
        if line is not None and r["cosine"] >= line:
            served, wrong = served + 1, wrong + (not r["y"])
            if draw.random() >= AUDITS:
                continue
        labels.append((r["cosine"], bool(r["y"])))
        # as Memory.line does: an error counts at once, agreement when there is a little more of it
        if len(labels) > known * 1.01 + OFTEN or (line is not None and not r["y"]):
            line, known = learned(labels, bound, FLOOR), len(labels)
    return served, wrong, line


def report(name: str, runs: Sequence[tuple[int, int, float | None]], looks: int, bound: float) -> None:
    shares = [wrong / served for served, wrong, _ in runs if served]
    lines = [line for *_, line in runs if line is not None]
    print(
        f"  bound {bound:.0%}, {name:12} served a median of {statistics.median(r[0] for r in runs):6.0f} of {looks} "
        f"({sum(r[0] > 0 for r in runs)} of {len(runs)} streams served any), "
        f"wrong {statistics.mean(shares) if shares else 0:.2%} on average, "
        f"{sum(s > bound for s in shares)} streams above the bound, "
        f"line {statistics.median(lines) if lines else float('nan'):.3f}",
        flush=True,
    )


def possible(rows: Sequence[dict], guards: bool, bound: float) -> float:
    """The most that any line can serve with no more than `bound` wrong, all labels known: the share of the look-ups."""
    ranked = sorted(passing(rows, guards), key=lambda r: -r["cosine"])
    best = wrong = 0
    for count, r in enumerate(ranked, 1):
        wrong += not r["y"]
        last = count == len(ranked) or ranked[count]["cosine"] < r["cosine"]
        best = count if last and wrong <= bound * count else best
    return best / len(rows)


def once(rows: Sequence[dict], guards: bool, bound: float) -> None:
    runs = []
    for seed in range(STREAMS):
        draw = random.Random(seed)
        looks = passing(draw.sample(rows, len(rows)), guards)
        runs.append(run(looks, draw, bound))
    report("guards" if guards else "cosine alone", runs, len(rows), bound)


def drawn(rows: Sequence[dict], guards: bool, bound: float) -> None:
    known, runs = {id(r) for r in passing(rows, guards)}, []
    for seed in range(STREAMS):
        draw = random.Random(seed)
        looks = [r for r in draw.choices(rows, k=LONG) if id(r) in known]
        runs.append(run(looks, draw, bound))
    report("guards" if guards else "cosine alone", runs, LONG, bound)
    print(f"      the best line, all labels known, would serve {possible(rows, guards, bound) * LONG:.0f}")


def stream(path: Path, bounds: Sequence[float]) -> None:
    """Every question once, in a random order, against those before it."""
    questions = [(r["text"], r["category"]) for r in csv.DictReader(path.open(encoding="utf-8"))]
    known = vectors([t for t, _ in questions])
    print(f"{path.name}: {len(questions)} questions, one answer a category, 5 orders")
    for guards in (False, True):
        for bound in (None, *bounds):
            runs = [run_stream(questions, known, guards, bound, seed) for seed in range(5)]
            hits, wrong = sum(r[0] for r in runs), sum(r[1] for r in runs)
            how = f"learned, bound {bound:.0%}" if bound else f">= {THRESHOLD}"
            name = f"{'guards' if guards else 'cosine alone'}, {how}"
            print(f"  {name:34} hits {hits / 5:6.0f}  wrong {wrong / max(1, hits):.2%}", flush=True)
    print()


def run_stream(questions, known, guards: bool, bound: float | None, seed: int) -> tuple[int, int]:
    draw, index, labels = random.Random(seed), Index(384), []
    line, hits, wrong = (None if bound else THRESHOLD), 0, 0
    for number in draw.sample(range(len(questions)), len(questions)):
        text, answer = questions[number]
        if text not in known or not comparable(text):
            continue
        near = index.nearest(known[text], FLOOR, 8)
        near = [(n, s) for n, s in near if not guards or not difference(text, questions[n][0])]
        hit = False
        if near:
            right = questions[near[0][0]][1] == answer
            hit = line is not None and near[0][1] >= line
            if hit:
                hits, wrong = hits + 1, wrong + (not right)
            if not hit or draw.random() < AUDITS:
                labels.append((near[0][1], right))
                if bound and (len(labels) % OFTEN == 0 or (line is not None and not right)):
                    line = learned(labels, bound, FLOOR)
        if not hit:
            index.add(number, known[text])
    return hits, wrong


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pairs", type=Path)
    parser.add_argument("stream", type=Path, nargs="?")
    chosen = parser.parse_args()
    rows = [json.loads(line) for line in chosen.pairs.open(encoding="utf-8")]
    scored(rows, vectors([t for r in rows for t in (r["a"], r["b"])]))
    pools = {
        "all pairs": rows,
        "all but Quora's": [r for r in rows if not r["set"].startswith("qqp")],
        "Quora, second part": [r for r in rows if r["set"] == "qqp-test"],
        "MQP": [r for r in rows if r["set"] == "mqp"],
    }
    for title, part in pools.items():
        print(f"{title}: {STREAMS} streams of each pair once")
        for bound in (0.02, 0.05):
            for guards in (True, False):
                once(part, guards, bound)
        print(f"{title}: {STREAMS} streams of {LONG} look-ups, drawn")
        for bound in (0.02, 0.05):
            for guards in (True, False):
                drawn(part, guards, bound)
        print()
    if chosen.stream:
        stream(chosen.stream, (0.02, 0.05, 0.1))


if __name__ == "__main__":
    main()
