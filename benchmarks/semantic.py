"""`python benchmarks/semantic.py PAIRS.jsonl [STREAM.csv]`: what the semantic cache serves, misses and takes.

PAIRS has one labelled pair of questions a line: {"set", "cat", "a", "b", "y"}, y = 1 when one answer does for both
(Quora pairs of GPTCache's benchmark, MQP, PAWS-QQP, CheckList's QQP suite). STREAM has columns text and category, such
as Banking77: questions of one category have one answer. Neither is shipped; both are public. The peers' rows are
their rule (a fixed cosine) on the same vectors in the same run, not their programs.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import json
import random
import statistics
import tempfile
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np

from orchmagic.caches.disk import DiskCache
from orchmagic.embedders import TooLongError
from orchmagic.embedders.minilm import create
from orchmagic.models import Deployment, ModelRequest, ModelResponse
from orchmagic.models.middleware.caching import Caching
from orchmagic.models.middleware.semantic import SemanticCaching
from orchmagic.models.pipeline import stack
from orchmagic.semantic import AUDITS, FLOOR, THRESHOLD, Policy
from orchmagic.semantic.differences import difference
from orchmagic.semantic.index import Index
from orchmagic.semantic.memory import Memory, comparable
from orchmagic.semantic.store import SemanticStore
from orchmagic.semantic.threshold import learned

PEERS = {"GPTCache's default, cosine >= .60": 0.60, "LiteLLM's example, cosine >= .80": 0.80}
_OFTEN = 10  # labels from one learning to the next: the bench would take hours else
# traps whose label says what they test; the answer to every one of them is another
TRAPS = {
    "polarity": ("negation", "Negation | Is it", "Negation | What are", "Vocabulary | How can I become more X !="),
    "number, date": ("number_date", "NER | Change numbers"),
    "name": ("entity_swap", "NER | Change", "NER | same"),
    "time": ("Temporal",),
    "scope": ("scope", "Vocabulary | Modifier", "Vocabulary | Diff", "Vocabulary | diff", "Coref", "Logic | A or B"),
}


def vectors(texts: list[str]) -> dict[str, np.ndarray]:
    """Each text once; one that is too long has no vector and is never served."""
    model = create()
    found, spent = {}, []
    for text in dict.fromkeys(texts):
        began = time.perf_counter()
        try:
            found[text] = model.embed(text)
        except TooLongError:
            continue
        spent.append(time.perf_counter() - began)
    low, high = np.percentile(spent, [50, 95]) * 1e3
    print(f"embedded {len(spent)} texts, one after another: median {low:.1f} ms, p95 {high:.1f} ms\n")
    return found


def scored(rows: list[dict], known: dict[str, np.ndarray]) -> list[dict]:
    for row in rows:
        a, b = known.get(row["a"]), known.get(row["b"])
        row["cosine"] = 0.0 if a is None or b is None else float(a @ b)
        row["compared"] = comparable(row["a"]) and comparable(row["b"])
        row["difference"] = difference(row["a"], row["b"])
    return rows


def ours(threshold: float):
    return lambda r: r["cosine"] >= threshold and r["compared"] and not r["difference"]


def quality(name: str, rows: list[dict], serve) -> tuple[float, float]:
    hits = [r for r in rows if serve(r)]
    true, pos = sum(r["y"] for r in hits), sum(r["y"] for r in rows)
    precision, recall = true / max(1, len(hits)), true / max(1, pos)
    wrong = len(hits) - true
    print(f"  {name:36} precision {precision:6.1%}  recall {recall:6.1%}  hits {len(hits):5}  wrong {wrong:4}")
    return precision, recall


def at_precision(rows: list[dict], wanted: float, score) -> float:
    """The most recall of any threshold with at least this precision, from 10 hits on."""
    ranked = sorted((r for r in rows if score(r) > 0), key=lambda r: -score(r))
    pos, true, best = sum(r["y"] for r in rows), 0, 0.0
    for count, row in enumerate(ranked, 1):
        true += row["y"]
        last = count == len(ranked) or score(ranked[count]) < score(row)
        if count >= 10 and last and true / count >= wanted:
            best = true / pos
    return best


def pairs(rows: list[dict]) -> None:
    sets = {
        "Quora, tuned on (qqp-dev)": ("qqp-dev",),
        "Quora, reported (qqp-test)": ("qqp-test",),
        "MQP, by doctors": ("mqp",),
        "PAWS-QQP, hard negatives": ("paws",),
        "CheckList QQP, traps": ("checklist",),
        "fow, short traps": ("fow",),
        "all": tuple({r["set"] for r in rows}),
    }
    for title, names in sets.items():
        part = [r for r in rows if r["set"] in names]
        print(f"{title}: {len(part)} pairs, {sum(r['y'] for r in part)} true")
        for name, line in PEERS.items():
            quality(name, part, lambda r, line=line: r["cosine"] >= line)
        quality("cosine >= .92 alone", part, lambda r: r["cosine"] >= 0.92)
        for line in sorted({0.85, 0.92, THRESHOLD, 0.97}):
            quality(f"orchmagic >= {line:.2f}{' (default)' * (line == THRESHOLD)}", part, ours(line))
        for wanted in (0.9, 0.95, 0.97):
            alone = at_precision(part, wanted, lambda r: r["cosine"])
            guarded = at_precision(part, wanted, lambda r: r["cosine"] * (r["compared"] and not r["difference"]))
            print(f"  recall at precision >= {wanted:.0%}: cosine alone {alone:.1%}, orchmagic {guarded:.1%}")
        print()


def traps(rows: list[dict]) -> None:
    print("false hits on traps (pairs that ask something else)")
    for kind, begins in TRAPS.items():
        part = [r for r in rows if r["cat"].startswith(begins) and not r["y"] and r["set"] in {"fow", "checklist"}]
        ones = [f"{sum(r['cosine'] >= line for r in part):4}" for line in (*PEERS.values(), 0.92)]
        wrong = [r for r in part if ours(THRESHOLD)(r)]
        print(f"  {kind:14} {len(part):4} pairs: cosine .60 {ones[0]}, .80 {ones[1]}, .92 {ones[2]}, ours {len(wrong)}")
        for r in wrong:
            print(f"      {r['cosine']:.3f} {r['a']} | {r['b']}")
    refused = Counter(r["difference"].partition(":")[0] for r in rows if r["difference"] and r["cosine"] >= THRESHOLD)
    print(f"  what kept pairs above the line apart: {dict(refused.most_common())}\n")


def judged(rows: list[dict], right: float) -> None:
    """A judge that is right so often on each kind of pair, drawn; a real one is measured with its own model."""
    draw = random.Random(1)
    verdict = {id(r): (r["y"] == 1) == (draw.random() < right) for r in rows}
    print(f"with a simulated verifier that is right {right:.0%} of the time (drawn, no model)")
    quality("orchmagic + verifier", rows, lambda r: ours(THRESHOLD)(r) and verdict[id(r)])
    quality("cosine >= .80 + verifier, no guards", rows, lambda r: r["cosine"] >= 0.80 and verdict[id(r)])
    print()


def bounded(rows: list[dict], bound: float, guards: bool, streams: int = 20) -> None:
    """Prequential: each pair is a lookup; below the line it is asked (a free label), above it served, 3 % audited."""
    shares, served_, lines, over = [], [], [], 0
    for seed in range(streams):
        draw = random.Random(seed)
        labels, served, wrong, line = [], 0, 0, None
        for r in draw.sample(rows, len(rows)):
            if r["cosine"] < FLOOR or (guards and (r["difference"] or not r["compared"])):
                continue
            if line is not None and r["cosine"] >= line:
                served, wrong = served + 1, wrong + (not r["y"])
                if draw.random() >= AUDITS:
                    continue
            labels.append((r["cosine"], bool(r["y"])))
            if len(labels) % _OFTEN == 0:
                line = learned(labels, bound, FLOOR)
        served_.append(served)
        if served:
            shares.append(wrong / served)
            over += wrong > bound * served
        lines.append(line)
    found = [x for x in lines if x is not None]
    print(
        f"  bound {bound:.0%}, {'guards' if guards else 'cosine alone'}: "
        f"served a median of {statistics.median(served_):.0f} of {len(rows)}, "
        f"wrong {statistics.mean(shares) if shares else 0:.2%} on average, "
        f"{over} of {streams} streams above the bound, "
        f"line {statistics.median(found) if found else float('nan'):.3f}"
    )


def stream(path: Path, bound: float) -> None:
    """Every question once, in a random order, against those before it."""
    questions = [(r["text"], r["category"]) for r in csv.DictReader(path.open(encoding="utf-8"))]
    known = vectors([t for t, _ in questions])
    print(f"{path.name}: {len(questions)} questions, one answer a category")
    for guards in (False, True):
        for learn in (None, bound):
            runs = [run_stream(questions, known, guards, learn, seed) for seed in range(5)]
            hits, wrong = sum(r[0] for r in runs), sum(r[1] for r in runs)
            how = f"learned, bound {learn:.0%}" if learn else f">= {THRESHOLD}"
            name = f"{'guards' if guards else 'cosine alone'}, {how}"
            print(f"  {name:34} hits {hits / 5:6.0f}  wrong {wrong / max(1, hits):.2%}")
    print()


def run_stream(questions, known, guards: bool, bound: float | None, seed: int) -> tuple[int, int]:
    draw, index, labels = random.Random(seed), Index(384), []
    line, hits, wrong = (None if bound else THRESHOLD), 0, 0
    for number in draw.sample(range(len(questions)), len(questions)):
        text, answer = questions[number]
        if text not in known:
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
                if bound and len(labels) % _OFTEN == 0:
                    line = learned(labels, bound, FLOOR)
        if not hit:
            index.add(number, known[text])
    return hits, wrong


def crowd(known: dict[str, np.ndarray], entries: int) -> np.ndarray:
    """As many vectors as wanted: real ones, each moved a little (cosine about .8) the way real ones differ."""
    draw, real = np.random.default_rng(1), np.stack(list(known.values()))
    shape = np.linalg.cholesky(np.cov(real.T) + 1e-5 * np.eye(384)).T.astype(np.float32)
    moved = real[draw.integers(0, len(real), entries)]
    moved = moved + 0.8 * draw.standard_normal((entries, 384)).astype(np.float32) @ shape
    return moved / np.linalg.norm(moved, axis=1, keepdims=True)


def latency(known: dict[str, np.ndarray], entries: int) -> None:
    """Whole look-ups in the pipeline: exact hits, and semantic ones over so many entries."""
    here = Deployment("small", "openai", "m", base_url="http://127.0.0.1/v1")
    with tempfile.TemporaryDirectory() as folder:
        cache = DiskCache(Path(folder) / "answers")
        memory = Memory(SemanticStore(Path(folder) / "s.sqlite"), create, Policy(audits=0.0))

        async def model(_request):
            return ModelResponse("an answer", cost=0.1)

        handler = stack(
            model,
            Caching(cache, lambda _: here, lambda _: None),
            SemanticCaching(memory, cache, lambda _: here, lambda _: None),
        )

        async def ask(text: str, **change):
            asked = ({"role": "user", "content": f"Answer: {text}"},)
            request = ModelRequest(call="a#1.1", model="small", messages=asked, parts={"q": text}, frame="Answer: ")
            began = time.perf_counter()
            answer = await handler(replace(request, **change))
            return answer, time.perf_counter() - began

        async def measure():
            first, _ = await ask("How do I cancel the order that I placed?")
            assert first.age is None
            [entry] = memory.store.entries()
            with memory.store._alone() as do:  # noqa: SLF001 - a hundred thousand in one transaction
                for n, v in enumerate(crowd(known, entries)):
                    do(
                        "INSERT INTO entries(scope, texts, vector, key, stored) VALUES (?, ?, ?, 'k', 0)",
                        entry.question.scope, json.dumps({"q": str(n)}), v.astype(np.float16).tobytes(),
                    )  # fmt: skip
            began = time.perf_counter()
            await ask("How can I cancel the order that I placed?")
            opened = time.perf_counter() - began
            exact, near = [], []
            for n in range(200):
                exact.append((await ask("How do I cancel the order that I placed?"))[1])
                text = "How can I cancel the order that I placed?"
                answer, took = await ask(text[: n % 20].upper() + text[n % 20 :])
                assert answer.reason.startswith("semantic"), answer
                near.append(took)
            for name, spent in (("exact hit", exact), (f"semantic hit over {entries} entries", near)):
                low, high = np.percentile(spent, [50, 95]) * 1e3
                print(f"  {name:36} median {low:.2f} ms, p95 {high:.2f} ms")
            print(f"  first look-up, vectors read from disk: {opened:.2f} s")

        asyncio.run(measure())
        memory.close()
        cache.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pairs", type=Path)
    parser.add_argument("stream", type=Path, nargs="?")
    parser.add_argument("--entries", type=int, default=100_000)
    parser.add_argument("--judge", type=float, default=0.95)
    chosen = parser.parse_args()
    rows = [json.loads(line) for line in chosen.pairs.open(encoding="utf-8")]
    known = vectors([t for r in rows for t in (r["a"], r["b"])])
    print("latency")
    latency(known, chosen.entries)
    print()
    scored(rows, known)
    pairs(rows)
    traps(rows)
    judged(rows, chosen.judge)
    for title, part in (("all pairs", rows), ("all but Quora's", [r for r in rows if not r["set"].startswith("qqp")])):
        print(f"learned threshold, 20 shuffled streams of {title}")
        for bound in (0.02, 0.05):
            for guards in (True, False):
                bounded(part, bound, guards)
        print()
    if chosen.stream:
        stream(chosen.stream, 0.02)


if __name__ == "__main__":
    main()
