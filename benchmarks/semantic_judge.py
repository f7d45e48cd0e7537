"""`python benchmarks/semantic_judge.py PAIRS.jsonl VERDICTS.jsonl [--model PATH.gguf]`: hits with a real verifier.

The hits at the default, and traps, are shown to a local model with the verifier's own prompt, through the provider that
cells use; what it said is kept in VERDICTS, so that a second run asks nothing. PAIRS is as in `semantic.py`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from semantic import ours, scored, vectors

from orchmagic.core.semantic_policy import THRESHOLD
from orchmagic.models.local_engine import weights
from orchmagic.models.providers.local import LocalProvider
from orchmagic.models.semantic import verifier
from orchmagic.models.types import Deployment, ModelRequest

AT_ONCE = 2
PATIENCE = 600.0  # seconds for a verdict: the machine may be busy


class Verdicts:
    """What a model said of pairs, in a file that is only added to; another model or prompt is another answer."""

    def __init__(self, path: Path, model: str) -> None:
        self._path = path
        self._model = f"{model} {verifier.request(_blank(), 'm', '', '').messages[0]['content']}"
        self._said: dict[tuple[str, str], bool] = {}
        for line in path.open(encoding="utf-8") if path.exists() else ():
            known = json.loads(line)
            if known["model"] == self._model:
                self._said[known["a"], known["b"]] = known["same"]

    def __contains__(self, pair: tuple[str, str]) -> bool:
        return pair in self._said

    def __getitem__(self, pair: tuple[str, str]) -> bool:
        return self._said[pair]

    def add(self, pair: tuple[str, str], same: bool) -> None:
        self._said[pair] = same
        with self._path.open("a", encoding="utf-8") as out:
            out.write(json.dumps({"model": self._model, "a": pair[0], "b": pair[1], "same": same}) + "\n")


def _blank() -> ModelRequest:
    return ModelRequest(call="judge#1.1", model="judge", messages=())


async def judge(pairs: Iterable[tuple[str, str]], said: Verdicts, model: str) -> None:
    """Ask about each pair once, in the order that the cache asks: stored question first."""
    provider, here, spent = LocalProvider(), Deployment("judge", "local", model), []
    waiting = [p for p in dict.fromkeys(pairs) if p not in said]

    async def work() -> None:
        while waiting:
            pair = waiting.pop(0)
            began = time.perf_counter()
            request = replace(verifier.request(_blank(), "judge", *pair), timeout=PATIENCE)
            answer = await provider.complete(request, here, lambda _: None)
            spent.append(time.perf_counter() - began)
            said.add(pair, verifier.says_same(answer.text))

    try:
        await asyncio.gather(*(work() for _ in range(AT_ONCE)))
    finally:
        await provider.close()
    if spent:
        spent.sort()
        print(f"asked {len(spent)} pairs, {AT_ONCE} at a time: median {spent[len(spent) // 2]:.1f} s a pair")


def told(rows: list[dict], said: Verdicts) -> None:
    """What the verifier takes from the hits at the default; the estimate counts each kind as its judged ones."""
    parts = {
        "all hits": rows,
        "Quora, second part": [r for r in rows if r["set"] == "qqp-test"],
        "all but Quora's": [r for r in rows if not r["set"].startswith("qqp")],
    }
    for title, part in parts.items():
        hits, left = [r for r in part if ours(THRESHOLD)(r)], {}
        for y, kind in ((1, "right"), (0, "wrong")):
            these = [r for r in hits if r["y"] == y]
            known = [r for r in these if (r["a"], r["b"]) in said]
            kept = sum(said[r["a"], r["b"]] for r in known)
            left[y] = len(these) * kept / max(1, len(known))
            print(f"  {title}: of {len(these)} {kind} ones {len(known)} were judged, {kept} kept")
        precision = left[1] / max(1, left[0] + left[1])
        print(f"  {title}: precision {precision:.1%}, recall {left[1] / sum(r['y'] for r in part):.1%}, est.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pairs", type=Path)
    parser.add_argument("verdicts", type=Path)
    parser.add_argument("--model", default=weights.DEFAULT)
    parser.add_argument("--most", type=int, default=None, help="ask about no more pairs than these")
    chosen = parser.parse_args()
    rows = [json.loads(line) for line in chosen.pairs.open(encoding="utf-8")]
    scored(rows, vectors([t for r in rows for t in (r["a"], r["b"])]))
    said = Verdicts(chosen.verdicts, Path(chosen.model).name)
    random.Random(1).shuffle(rows)
    hits = [r for r in rows if ours(THRESHOLD)(r)]
    traps = [r for r in rows if not r["y"] and r["set"] == "fow"]
    # the few wrong ones first, so that a run that is cut short says something
    order = [*(r for r in hits if not r["y"]), *hits[:60], *traps[:30], *hits[60:], *traps[30:]]
    pairs = [(r["a"], r["b"]) for r in order]
    asyncio.run(judge(pairs[: chosen.most], said, chosen.model))
    told(rows, said)
    known = [r for r in traps if (r["a"], r["b"]) in said]
    print(f"  traps that it lets pass, without guards: {sum(said[r['a'], r['b']] for r in known)} of {len(known)}")


if __name__ == "__main__":
    main()
