"""Baselines: the scores of rows in a JSON file for git, and what is worse than in one."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from orchmagic.core.text_format import counted
from orchmagic.errors import InputError
from orchmagic.evaluation import ranges
from orchmagic.evaluation.metrics import Scores
from orchmagic.runtime.fingerprint import digest

_VERSION = 1
_DIGITS = 4


def ids(rows: Sequence[Mapping[str, Any]], inputs: Sequence[str]) -> list[tuple[str, int]]:
    """An id of each row by its inputs, and how many rows before it have the same."""
    seen: Counter[str] = Counter()
    found = []
    for row in rows:
        id_ = digest([row.get(name) for name in inputs])[:12]
        found.append((f"{id_}-{seen[id_]}" if seen[id_] else id_, seen[id_]))
        seen[id_] += 1
    return found


def write(path: Path, ids_: Sequence[str], scores: Mapping[str, Mapping[str, Scores]], metrics: Sequence[str]) -> Path:
    """Writes the scores to a file: by variant, metric and row."""
    data = {
        "version": _VERSION,
        "scores": {
            variant: {
                name: {
                    id_: round(v, _DIGITS)
                    for id_, v in sorted(zip(ids_, found[name].values, strict=True))
                    if v is not None
                }
                for name in metrics
                if name in found
            }
            for variant, found in scores.items()
        },
    }
    path.write_text(json.dumps(data, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    return path


def read(path: Path) -> Mapping[str, Mapping[str, Mapping[str, float]]]:
    """The scores of a baseline: by variant, metric and row.

    Raises:
        InputError: it is none.
    """
    try:
        data = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise InputError(
            f"the baseline {str(path)!r} cannot be read: {error.strerror}: write result.save({str(path)!r}) first"
        ) from None
    except ValueError:
        data = None
    if not isinstance(data, dict) or data.get("version") != _VERSION or not isinstance(data.get("scores"), dict):
        raise InputError(f"{str(path)!r} is no baseline: result.save(path) writes one")
    return data["scores"]  # type: ignore[no-any-return]  # as written above


def worse(
    path: Path, ids_: Sequence[str], scores: Mapping[str, Mapping[str, Scores]], metrics: Sequence[str], by: float
) -> list[str]:
    """One line for each metric that is worse than in the baseline: by more than `by`, or shown to be."""
    problems, before, compared = [], read(path), 0
    for variant, found in scores.items():
        for name in metrics:
            both = _both(found, name, ids_, before.get(variant, {}).get(name, {}))
            compared += len(both)
            if both and (line := _line(f"{variant}: {name}", [now for now, _ in both], [old for _, old in both], by)):
                problems.append(line)
    if not compared:
        raise InputError(f"the baseline {str(path)!r} has none of these rows, variants and metrics: save a new one")
    return problems


def changed(
    path: Path, ids_: Sequence[str], scores: Mapping[str, Mapping[str, Scores]], metrics: Sequence[str]
) -> list[str]:
    """One line for each variant and metric: how many rows are newly wrong or right."""
    before = read(path)
    return [
        f"{variant}: {name} since the baseline: {changes([now for now, _ in both], [old for _, old in both])}"
        for variant, found in scores.items()
        for name in metrics
        if (both := _both(found, name, ids_, before.get(variant, {}).get(name, {})))
    ]


def _both(
    found: Mapping[str, Scores], name: str, ids_: Sequence[str], old: Mapping[str, float]
) -> list[tuple[float, float]]:
    """The scores now and before, rounded, of the rows that both have."""
    values = found[name].values if name in found else ()
    return [(round(v, _DIGITS), old[i]) for i, v in zip(ids_, values, strict=False) if v is not None and i in old]


def changes(now: Sequence[float], before: Sequence[float]) -> str:
    """`3 rows newly wrong, 1 newly right`."""
    lower, higher = (sum(sign * (a - b) > 0 for a, b in zip(now, before, strict=True)) for sign in (-1, 1))
    return f"{counted(lower, 'row')} newly wrong, {higher:,} newly right"


def _line(what: str, now: Sequence[float], before: Sequence[float], by: float) -> str | None:
    scale = [*now, *before]
    width = max(1.0, max(scale) - min(0.0, *scale))
    found = ranges.difference(now, before, width, None, ranges.quantile())
    if found.value >= -by and found.high >= 0:
        return None
    return f"{what}: {changes(now, before)} ({found.value:+.0%}; {found.low:+.0%} to {found.high:+.0%})"
