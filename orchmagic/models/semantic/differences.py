"""Finds a difference in meaning between two similar texts, by their words.

A word that the other text lacks is a difference, wherever it stands, unless words.toml says that it changes nothing.
So a swapped name, animal, unit or adjective needs no rule of its own. Texts that were written independently have many
such words without a difference in meaning; there only names and opposites count.
"""

from __future__ import annotations

import re
from collections import Counter

from orchmagic.models.semantic.text_features import TextFeatures, read, words

_TYPO = 5  # letters; in a shorter word one other letter makes another word
_REPHRASED = 4  # content words; one or two words can reverse the meaning of a shorter text
_UNSHARED = 3  # words that the other text lacks; with fewer it is the same text with a few words replaced
_SHARED = 0.7  # share of the shorter text's words; with more shared words as above
_WORD = re.compile(r"[^\W\d_]+")
_NEGATING_PREFIXES = ("un", "in", "im", "il", "ir", "dis", "non", "mis", "de")


def difference(one: str, other: str) -> str:
    """The first difference of two texts, for display ("number: 15 or 50"); "" if there is none."""
    a, b = read(one), read(other)
    return (
        _literal(a, one, b, other)
        or _capitals(one, a, other, b)
        or _prepositions(a, b)
        or _replaced("brackets", a.brackets, b.brackets)
        or _replaced("grade", a.grades, b.grades)
        or _counts("negation", Counter({"not": a.negations}), Counter({"not": b.negations}))
        or _replaced("modal", Counter(a.modals), Counter(b.modals))
        or _counts("number", a.numbers, b.numbers)
        or _counts("mark", a.marks, b.marks)
        or _counts("scope", a.scope, b.scope)
        or _values("question", a.asks, b.asks)
        or _values("tense", a.tense, b.tense)
        or _persons(a, b)
        or _content(a, b)
    )


def _values(what: str, one: str, other: str) -> str:
    return "" if one == other else f"{what}: {one or 'none'} or {other or 'none'}"


def _counts(what: str, one: Counter[str], other: Counter[str]) -> str:
    left, right = one - other, other - one
    if not left and not right:
        return ""
    return f"{what}: {', '.join(sorted(left)) or 'none'} or {', '.join(sorted(right)) or 'none'}"


def _replaced(what: str, one: Counter[str], other: Counter[str]) -> str:
    """A difference if each text has a word that the other lacks; a word that only one of them has is none."""
    return _counts(what, one, other) if one - other and other - one else ""


def _persons(a: TextFeatures, b: TextFeatures) -> str:
    """A difference of person; "how do I" and "how do you" ask the same, other questions do not."""
    if a.asks == "how" or len(a.persons) != 1 or len(b.persons) != 1 or a.persons == b.persons:
        return ""
    return "person: I or you"


def _content(a: TextFeatures, b: TextFeatures) -> str:
    left, right = Counter(a.content), Counter(b.content)
    only_a, only_b = list((left - right).elements()), list((right - left).elements())
    renamed = _typos(only_a, only_b, a.names | b.names)
    only_a = [w for w in only_a if w not in renamed]
    only_b = [w for w in only_b if w not in renamed.values()]
    if max(len(only_a), len(only_b)) >= _UNSHARED and _rephrased(a, b, (left & right).total() + len(renamed)):
        return _names(a, b, only_a, only_b) or _opposed(only_a, only_b)
    if only_a or only_b:
        return f"word: {', '.join(only_a) or 'none'} or {', '.join(only_b) or 'none'}"
    if [renamed.get(w, w) for w in a.order] != list(b.order):
        return "order of words"
    return ""


def _rephrased(a: TextFeatures, b: TextFeatures, shared: int) -> bool:
    """Whether the two seem to be written independently: both are long, and `shared` content words are few."""
    shorter = min(len(a.content), len(b.content))
    return shorter >= _REPHRASED and shared <= _SHARED * shorter


def _literal(a: TextFeatures, one: str, b: TextFeatures, other: str) -> str:
    """A difference of what is compared letter by letter. A quoted word may stand in the other text without quotes."""
    left = [w for w in a.literals if w in b.literals or not _unquoted(w, other)]
    right = [w for w in b.literals if w in a.literals or not _unquoted(w, one)]
    return _values("code", " ".join(left), " ".join(right))


def _unquoted(literal: str, text: str) -> bool:
    return (
        literal.replace(" ", "").isalpha()
        and re.search(rf"(?<![\w/-]){re.escape(literal)}(?![\w/-])", text) is not None
    )


def _prepositions(a: TextFeatures, b: TextFeatures) -> str:
    """A difference if the same word has one preposition here and another there."""
    left, right = a.prepositions - b.prepositions, b.prepositions - a.prepositions
    for word, preposition in sorted(left):
        for same, other in sorted(right):
            if word == same and {preposition, other} != {"to", "at"}:  # "refer to" and "look in"
                return f"preposition: {preposition} or {other}"
    return ""


def _capitals(one: str, a: TextFeatures, other: str, b: TextFeatures) -> str:
    """A difference if a name stands without its capital in the other text, as another word: Polish and polish."""
    lower = {w for w in a.capitals if w.lower() in _WORD.findall(other)}
    lower |= {w for w in b.capitals if w.lower() in _WORD.findall(one)}
    return f"capital: {', '.join(sorted(lower))}" if lower else ""


def _names(a: TextFeatures, b: TextFeatures, only_a: list[str], only_b: list[str]) -> str:
    return _counts("name", Counter(a.names.intersection(only_a)), Counter(b.names.intersection(only_b)))


def _opposed(left: list[str], right: list[str]) -> str:
    opposites = words().opposites
    for word in left:
        for other in right:
            if frozenset({word, other}) in opposites or _negates(word, other) or _negates(other, word):
                return f"opposite: {word} or {other}"
    return ""


def _negates(word: str, other: str) -> bool:
    return any(word == prefix + other for prefix in _NEGATING_PREFIXES)


def _typos(left: list[str], right: list[str], names: frozenset[str]) -> dict[str, str]:
    """Pairs of words that differ by a typo: one of the two is not in the vocabulary."""
    typos: dict[str, str] = {}
    for word in left:
        for other in right:
            if other not in typos.values() and word not in names and other not in names and _misspelt(word, other):
                typos[word] = other
                break
    return typos


def _misspelt(one: str, other: str) -> bool:
    from orchmagic.models.embedders._wordpiece import vocabulary  # noqa: PLC0415 - 30,000 words, read at first use

    if min(len(one), len(other)) < _TYPO or one[0] != other[0]:
        return False
    known = vocabulary()
    is_word = [any(form in known for form in (w, f"{w}e", f"{w}s", f"{w}ing")) for w in (one, other)]
    return is_word.count(True) == 1 and _one_slip(one, other)


def _one_slip(one: str, other: str) -> bool:
    """Whether they differ by one letter added, missing or replaced, or by two neighbouring letters swapped."""
    if len(one) > len(other):
        one, other = other, one
    at = next((i for i, c in enumerate(one) if c != other[i]), len(one))
    if len(other) - len(one) == 1:
        return one[at:] == other[at + 1 :]
    if len(other) != len(one):
        return False
    swapped = one[at : at + 2] == other[at : at + 2][::-1] and one[at + 2 :] == other[at + 2 :]
    return swapped or one[at + 1 :] == other[at + 1 :]
