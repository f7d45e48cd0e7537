"""Long texts in chunks that fit a prompt, and parts in groups that fit one: what `%%mapreduce` does without a model.

Tokens are estimated without a tokenizer (core/tokens.py). A text is cut only between two weighed pieces: so weights
add up.

Exported modules copy these functions; so their lines are shorter than elsewhere, and their docstrings say what to do.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_left, bisect_right
from itertools import accumulate

from orchmagic.core.tokens import weighed

_PARAGRAPH = re.compile(r"\n(?:[^\S\n]*\n)+")
_LINE = re.compile(r"\n+")
# Stops of the West need a space behind them, those of the East do not.
_SENTENCE = re.compile(
    r"[.!?\u2026][\"'\u201d\u2019\u00bb)\]]*(?:[^\S\n]*\n+|[^\S\n]+)"
    r"|[\u3002\uff01\uff1f][\u201d\u2019\u300d\u300f\uff09]*\s*"
    r"|\n+"
)


def split(text: object, size: int, overlap: int = 0) -> list[object]:
    """Cut a text into chunks of at most `size` tokens; the items of a list are chunks.

    Chunks are exact parts of the text, in order, and nothing is left out. They end
    behind a paragraph, else behind a line, a sentence, a word. The next one begins up
    to `overlap` tokens earlier, at a sentence, else at a word: a sentence shorter than
    `overlap` is whole in one of them. Of a path the file is read, as UTF-8. What is
    neither text nor a list is a TypeError, an overlap of half the size a ValueError.
    """
    if isinstance(text, list | tuple):
        return [file_text(item) for item in text]
    text = file_text(text)
    if not isinstance(text, str):
        raise TypeError(f"split takes text or a list, not {type(text).__name__}")
    if not 0 <= 2 * overlap < size:
        raise ValueError(f"{overlap} tokens of overlap are half of {size} or more")
    ends, weights = _weighed(text)
    room, shared = 100 * size, 100 * overlap
    kinds = (_PARAGRAPH, _LINE, _SENTENCE)
    borders = [[found.end() for found in kind.finditer(text)] for kind in kinds]
    chunks: list[object] = []
    start, last = 0, len(ends) - 1
    while start < last:
        reach = max(bisect_right(weights, weights[start] + room) - 1, start + 1)
        if reach == last:
            chunks.append(text[ends[start] :])
            break
        half = bisect_left(weights, weights[start] + (room + shared) // 2)
        cut = _cut(text, borders, ends[min(half, reach)], ends[reach])
        chunks.append(text[ends[start] : cut])
        back = bisect_left(weights, weights[bisect_left(ends, cut)] - shared)
        again = _again(text, borders[-1], ends[back], cut) if overlap else cut
        start = max(bisect_left(ends, again), start + 1)
    return chunks


def file_text(value: object) -> object:
    """Return the text of a file for its path; any other value as it is."""
    read = getattr(value, "read_text", None)
    return read("utf-8") if callable(read) else value


def _cut(text: str, borders: list[list[int]], low: int, high: int) -> int:
    """Find the last of the best borders; `low` is where the chunk is half full."""
    for kind in borders:
        before = bisect_right(kind, high)
        if before and kind[before - 1] >= low:
            return kind[before - 1]
    return text.rfind(" ", low - 1, high) + 1 or high


def _again(text: str, sentences: list[int], low: int, cut: int) -> int:
    """Find the first sentence from `low` on that begins before `cut`, else a word."""
    after = bisect_left(sentences, low)
    if after < len(sentences) and sentences[after] < cut:
        return sentences[after]
    return text.find(" ", max(low - 1, 0), cut - 1) + 1 or low


def pack(parts: list[object], size: int, *beside: object) -> list[list[object]]:
    """Put parts into groups of at most `size` tokens, in order; None is left out.

    `beside` are other values that stand in the prompt with them. There are at most two
    thirds as many groups as parts, so that packing again and again comes to an end:
    where the parts are too large for that, two make a group whatever they weigh.
    """
    there = [part for part in parts if part is not None]
    room = size - sum(map(_written, beside))
    groups = _grouped(there, room, 1)
    few = len(groups) <= max(1, 2 * len(there) // 3)
    return groups if few else _grouped(there, room, 2)


def _grouped(parts: list[object], room: int, least: int) -> list[list[object]]:
    """Fill one group after the other; `least` parts are in each but the last."""
    groups: list[list[object]] = []
    taken = 0
    for part in parts:
        own = _written(part) + 4  # with a comma, or a bullet and a line end
        if groups and (taken + own <= room or len(groups[-1]) < least):
            groups[-1].append(part)
            taken += own
        else:
            groups.append([part])
            taken = own
    return groups


def _written(value: object) -> int:
    """Count the tokens of a value inside a list in a prompt."""
    return estimated_tokens(json.dumps(value, ensure_ascii=False, default=str))


def estimated_tokens(text: str) -> int:
    """Count tokens without a tokenizer; a part of one counts as one."""
    return -(-_weighed(text)[1][-1] // 100)


def _weighed(text: str) -> tuple[list[int], list[int]]:
    """Return where the pieces end, and the weight of the text up to there, from 0 on."""
    pieces = list(weighed(text))
    ends = accumulate((length for length, _ in pieces), initial=0)
    return list(ends), list(accumulate((weight for _, weight in pieces), initial=0))
