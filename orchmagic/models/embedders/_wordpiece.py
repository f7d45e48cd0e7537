"""BERT's uncased WordPiece tokenizer: turns text into token ids, the same ids as the original tokenizer.

Implemented here because the `tokenizers` package has fifteen dependencies, and only one table is needed.
"""

from __future__ import annotations

import string
import unicodedata
from collections.abc import Iterator
from functools import cache
from importlib.resources import files

_UNKNOWN, _BEGIN, _END = "[UNK]", "[CLS]", "[SEP]"
_WORD = 100  # characters; a longer word becomes [UNK]
# Chinese characters are words of their own; the ranges are those of BERT's original code
_IDEOGRAPHS = (
    (0x4E00, 0x9FFF), (0x3400, 0x4DBF), (0x20000, 0x2A6DF), (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F), (0x2B820, 0x2CEAF), (0xF900, 0xFAFF), (0x2F800, 0x2FA1F),
)  # fmt: skip  # a table of pairs


def ids(text: str) -> list[int]:
    """The token ids of a text, from [CLS] to [SEP]."""
    known = vocabulary()
    return [known[_BEGIN], *(i for word in _words(text) for i in _pieces(word, known)), known[_END]]


@cache
def vocabulary() -> dict[str, int]:
    """The ids of the 30,522 pieces of bert-base-uncased (Apache-2.0); the file has them in the order of their ids."""
    text = files("orchmagic.models.embedders").joinpath("bert_uncased.txt").read_text(encoding="utf-8")
    return {piece: number for number, piece in enumerate(text.split("\n")[:-1])}


def _words(text: str) -> Iterator[str]:
    """Split a text into words: lower case, no accents; each punctuation mark and ideograph is a word."""
    spaced = "".join(_spaced(c) for c in text)
    plain = unicodedata.normalize("NFD", spaced).lower()
    plain = "".join(c for c in plain if unicodedata.category(c) != "Mn")
    for word in plain.split():
        begin = 0
        for at, character in enumerate(word):
            if _is_mark(character):
                yield from filter(None, (word[begin:at], character))
                begin = at + 1
        if begin < len(word):
            yield word[begin:]


def _spaced(character: str) -> str:
    if character in "\t\n\r" or unicodedata.category(character) == "Zs":
        return " "
    if character == "\ufffd" or unicodedata.category(character)[0] == "C":
        return ""
    if any(low <= ord(character) <= high for low, high in _IDEOGRAPHS):
        return f" {character} "
    return character


def _is_mark(character: str) -> bool:
    return character in string.punctuation or unicodedata.category(character)[0] == "P"


def _pieces(word: str, known: dict[str, int]) -> list[int]:
    """The ids of a word's pieces, each the longest known one; only [UNK] if some part has no piece."""
    if len(word) > _WORD:
        return [known[_UNKNOWN]]
    found: list[int] = []
    begin = 0
    while begin < len(word):
        lead = "##" if begin else ""
        for end in range(len(word), begin, -1):
            number = known.get(lead + word[begin:end])
            if number is not None:
                found.append(number)
                begin = end
                break
        else:
            return [known[_UNKNOWN]]
    return found
