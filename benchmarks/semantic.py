"""`python benchmarks/semantic.py PAIRS.jsonl`: what the semantic cache serves, misses and takes.

PAIRS has one labelled pair of questions a line: {"set", "cat", "a", "b", "y"}, y = 1 when one answer does for both
(Quora pairs of GPTCache's benchmark, MQP, PAWS-QQP, CheckList's QQP suite); it is not shipped, and public. The peers'
rows are their rule (a fixed cosine) on the same vectors in the same run, not their programs. `semantic_bound.py` has
the learned threshold, `semantic_judge.py` the verifier.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import tempfile
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np

from orchmagic.core.semantic_policy import THRESHOLD, SemanticCacheConfig
from orchmagic.models.cache.stores.disk import DiskCache
from orchmagic.models.embedders import TooLongError
from orchmagic.models.embedders.minilm import create
from orchmagic.models.middleware.caching import Caching
from orchmagic.models.middleware.semantic_caching import SemanticCaching
from orchmagic.models.pipeline import stack
from orchmagic.models.semantic.differences import difference
from orchmagic.models.semantic.semantic_cache import SemanticCache, comparable
from orchmagic.models.semantic.store import SemanticStore
from orchmagic.models.types import Deployment, ModelRequest, ModelResponse

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


def reached(rows: list[dict], serve) -> tuple[float, float]:
    """Precision and recall."""
    hits = [r for r in rows if serve(r)]
    true, pos = sum(r["y"] for r in hits), sum(r["y"] for r in rows)
    return true / max(1, len(hits)), true / max(1, pos)


def quality(name: str, rows: list[dict], serve) -> None:
    hits = [r for r in rows if serve(r)]
    precision, recall = reached(rows, serve)
    wrong = len(hits) - sum(r["y"] for r in hits)
    print(f"  {name:36} precision {precision:6.1%}  recall {recall:6.1%}  hits {len(hits):5}  wrong {wrong:4}")


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


def guarded(row: dict) -> float:
    return row["cosine"] * (row["compared"] and not row["difference"])


def equal(rows: list[dict]) -> None:
    """Recall where the other has as much precision: a peer's at its threshold, its best one's at our precision."""
    print("recall at equal precision: the best threshold with at least the precision of the other's fixed one")
    for title, names in SETS.items():
        part = [r for r in rows if r["set"] in names] if names else rows
        print(f"  {title}")
        for name, line in PEERS.items():
            precision, recall = reached(part, lambda r, line=line: r["cosine"] >= line)
            mine = at_precision(part, precision, guarded)
            print(f"    {name:36} precision {precision:6.1%}  recall {recall:6.1%}  orchmagic at it {mine:6.1%}")
        precision, recall = reached(part, ours(THRESHOLD))
        theirs = at_precision(part, precision, lambda r: r["cosine"])
        print(f"    {'orchmagic':36} precision {precision:6.1%}  recall {recall:6.1%}  a cosine at it {theirs:6.1%}")
    print()


SETS = {
    "Quora, tuned on (qqp-dev)": ("qqp-dev",),
    "Quora, reported (qqp-test)": ("qqp-test",),
    "MQP, by doctors": ("mqp",),
    "PAWS-QQP, hard negatives": ("paws",),
    "CheckList QQP, traps": ("checklist",),
    "fow, short traps": ("fow",),
    "all but GPTCache's mock data, which has no false pair": ("qqp-dev", "qqp-test", "mqp", "paws", "checklist", "fow"),
    "all": (),
}


def pairs(rows: list[dict]) -> None:
    for title, names in SETS.items():
        part = [r for r in rows if r["set"] in names] if names else rows
        print(f"{title}: {len(part)} pairs, {sum(r['y'] for r in part)} true")
        for name, line in PEERS.items():
            quality(name, part, lambda r, line=line: r["cosine"] >= line)
        quality("cosine >= .92 alone", part, lambda r: r["cosine"] >= 0.92)
        for line in sorted({0.85, 0.92, THRESHOLD, 0.97}):
            quality(f"orchmagic >= {line:.2f}{' (default)' * (line == THRESHOLD)}", part, ours(line))
        for wanted in (0.9, 0.95, 0.97):
            alone = at_precision(part, wanted, lambda r: r["cosine"])
            mine = at_precision(part, wanted, guarded)
            print(f"  recall at precision >= {wanted:.0%}: cosine alone {alone:.1%}, orchmagic {mine:.1%}")
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
        memory = SemanticCache(SemanticStore(Path(folder) / "s.sqlite"), create, SemanticCacheConfig(audits=0.0))

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
            with memory.store.database.exclusive() as do:
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
                shouted = (w.upper() if n % 20 >> at & 1 else w for at, w in enumerate(text.split()))
                answer, took = await ask(" ".join(shouted))
                assert answer.age is not None, answer
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
    equal(rows)
    traps(rows)
    judged(rows, chosen.judge)


if __name__ == "__main__":
    main()
