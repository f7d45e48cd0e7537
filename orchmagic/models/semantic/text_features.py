"""Extracts the features of a question by word lists: question word, content words, numbers, negations, scope.

`differences.py` compares two questions by these features.
"""

from __future__ import annotations

import re
import tomllib
import unicodedata
from collections import Counter
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.resources import files

_NUMBER = r"\d+(?:[.,:/]\d+)*"
_TOKEN = re.compile(rf"{_NUMBER}(?:st|nd|rd|th)?|[^\W\d_]+|[^\w\s]|_")
_APOSTROPHES = str.maketrans("\u2019\u2018`\xb4", "''''")
# punctuation of sentences; other marks (currency, operators, emoji, the ++ of C++) are part of the meaning
_SHAPING = frozenset(".,;:!?'\"()[]{}-\u2013\u2014…“”«»/_¿¡")
_ONE = "1"  # "one" is a pronoun more often than a number


@dataclass(frozen=True, slots=True)
class Words:
    """The lists of words.toml."""

    empty: frozenset[str]
    named: frozenset[str]
    scope: frozenset[str]
    negation: frozenset[str]
    past: frozenset[str]
    future: frozenset[str]
    able: frozenset[str]
    ought: frozenset[str]
    wh: frozenset[str]
    english: frozenset[str]
    foreign: frozenset[str]
    numbers: dict[str, str]
    irregular: dict[str, str]
    same: dict[str, str]
    opposites: frozenset[frozenset[str]]
    phrases: re.Pattern[str]
    shorter: dict[str, str]


# what is between quotes is taken as it is written: code in backquotes, a label or a search text in the other ones
_QUOTED = re.compile(r"`[^`]+`|\"[^\"]+\"|“[^”]+”|(?<!\w)'[^']+'(?!\w)")
_SPOKEN = re.compile(r"['\u2019](?:s|re|ve|ll|d|m|t)\b|(?<=\w)['\u2019](?=\s|$)")
_SIGNS = re.compile(r"[_/\\.:;=<>()\[\]{}|&~^@+*$#%`-]")  # a word with one of these inside is code, a path, a flag
_ALONE = re.compile(r"[./~*|<>=]+|--")  # a sign between spaces: an operator, the current folder, the end of the flags
# words with signs that are prose: U.S., p.m., has/have, well-known, parent(s), C++ (its marks are compared)
_PROSE = re.compile(
    r"(?:[A-Z]\.)+[A-Z]?|[AIPEaipe]\.[meg]|[A-Za-z]+(?:[-/+][A-Za-z]+)+|[A-Za-z]+\(e?s\)|[A-Za-z](?:\+\+|#)|[$#&%]\w+|\w+[%+$]"
)
_CAPITAL = re.compile(r"(?<=[\w,;] )([A-Z][a-z]+)\b")
_QUOTES = frozenset("\"'“”«»`")
_EDGES = ".,;:!?\"'“”\u2018\u2019…`"  # punctuation around a word belongs to the sentence


@dataclass(frozen=True, slots=True)
class TextFeatures:
    """The features of a text. `asks`: question word, "can", "should", "yes or no", or "". `content`: content words in
    order, singular and without -ing; `order` also has numbers, negations and scope words. `persons`: 1 = I, 2 = you.
    `literals`: quoted and code-like words as written, in order; `capitals`: words written with a capital in a sentence.
    """

    asks: str
    content: tuple[str, ...]
    order: tuple[str, ...]
    names: frozenset[str]
    numbers: Counter[str]
    marks: Counter[str]
    scope: Counter[str]
    negations: int
    tense: str
    persons: frozenset[int]
    literals: tuple[str, ...]
    capitals: frozenset[str]
    modals: frozenset[str]
    prepositions: frozenset[tuple[str, str]]
    brackets: Counter[str]
    grades: Counter[str]


@cache
def words() -> Words:
    """Read the word lists, once per process."""
    text = files("orchmagic.models.semantic").joinpath("words.toml").read_text(encoding="utf-8")
    table = tomllib.loads(text)
    groups = _groups(table["same"]["groups"])
    same = {_singular(word): _singular(group[0]) for group in groups for word in group}
    phrases = sorted(table["phrases"], key=len, reverse=True)  # the longest first
    lists = ("empty", "named", "scope", "negation", "past", "future", "able", "ought", "wh", "english", "foreign")
    return Words(
        **{name: frozenset(table[name].split()) for name in lists},
        irregular=table["irregular"],
        numbers={word: str(number) for word, number in table["numbers"].items()},
        same=same,
        opposites=frozenset(
            frozenset(same.get(w, w) for w in map(_singular, pair)) for pair in _groups(table["opposites"]["pairs"])
        ),
        phrases=re.compile(rf"\b(?:{'|'.join(map(re.escape, phrases))})\b"),
        shorter=table["phrases"],
    )


def _groups(text: str) -> list[list[str]]:
    """Split a text into groups of words, separated by bars or line ends."""
    return [group.split() for line in text.splitlines() for group in line.split("|") if group.split()]


@lru_cache(maxsize=4096)
def read(text: str) -> TextFeatures:
    """Extract the features of one text."""
    known = words()
    plain = _plain(text)
    tokens = [t for t in _TOKEN.findall(plain) if t not in _QUOTES]
    spoken = [t for t in tokens if t[0].isalpha()]
    ordered = _paired(_joined(tokens, known), known)
    return TextFeatures(
        asks=_asks(spoken, known),
        content=tuple(_base_form(t, known) for t in ordered if _is_content(t, known)),
        order=tuple(w for t in ordered if (w := _order_word(t, known))),
        names=frozenset(_base_form(n, known) for n in _names(text)),
        numbers=Counter(n for t in tokens if (n := _number(t, known)) not in {"", _ONE}),
        marks=Counter(t for t in tokens if not t[0].isalnum() and t not in _SHAPING),
        scope=Counter(t for t in spoken if t in known.scope and t not in known.numbers),
        negations=sum(t in known.negation for t in spoken),
        tense=_tense(spoken, known),
        persons=frozenset(p for p, pronouns in ((1, _FIRST), (2, _SECOND)) if pronouns & set(spoken)),
        literals=_literals(text),
        capitals=frozenset(w for w in _CAPITAL.findall(text) if w.lower() in known.named),
        modals=frozenset(m for t in spoken if (m := _MODALS.get(t))),
        prepositions=_objects(spoken, known),
        brackets=Counter(m.casefold() for m in re.findall(r"\([^()]*\)", text)),
        grades=Counter(g for t in spoken if (g := _grade(t))),
    )


def _literals(text: str) -> tuple[str, ...]:
    """The parts of a text that count letter by letter: quoted text, and words with signs or capitals inside."""
    found: list[str] = []
    for at, part in enumerate(re.split(f"({_QUOTED.pattern})", text.replace('""', '"'))):
        found += [part[1:-1]] if at % 2 else [c for word in part.split() if (c := _code(word))]
    return tuple(found)


def _code(word: str) -> str:
    """The word without the punctuation of its sentence if it is code-like, else ""."""
    if _ALONE.fullmatch(word) or re.fullmatch(r"[B-HJ-Zb-hj-z][;:]", word):  # also a sign after a name of one letter
        return word
    bare = _SPOKEN.sub("", word.rstrip(_EDGES).lstrip(_EDGES.replace(".", "")))
    inside = bare.strip("()") if bare.count("(") != bare.count(")") or bare.startswith("(") else bare
    if not any(c.isalpha() for c in inside) or _PROSE.fullmatch(inside):
        return ""
    return bare if _SIGNS.search(inside) or re.search(r"[a-z][A-Z]|[A-Z]{2}[a-z]{2}", inside) else ""


def _objects(tokens: list[str], known: Words) -> frozenset[tuple[str, str]]:
    """Prepositions with the content word that each belongs to; in, on and at are one, as people mix them."""
    found = set()
    for at, token in enumerate(tokens):
        if token in _PREPOSITIONS:
            after = next((t for t in tokens[at + 1 :] if _is_content(t, known) or t in _PREPOSITIONS), "")
            if after not in _PREPOSITIONS:
                found.add((_base_form(after, known) if after else "", _PREPOSITIONS[token]))
    return frozenset(found)


def english(text: str) -> bool:
    """Whether the text is English, since the word lists cover no other language."""
    known = words()
    spoken = re.findall(r"[^\W\d_]+", text.casefold())
    accented = sum(not w.isascii() for w in spoken)
    english_words, foreign = sum(w in known.english for w in spoken), sum(w in known.foreign for w in spoken)
    return bool(spoken) and accented * 10 <= len(spoken) and english_words > foreign


_ARTICLES = frozenset({"the", "my", "your", "our", "a", "an"})
_FIRST = frozenset({"i", "me", "my", "mine", "myself", "we", "us", "our"})
_SECOND = frozenset({"you", "your", "yours", "yourself"})


def _plain(text: str) -> str:
    """Lower case, contractions written out, fixed phrases in their shorter form."""
    known = words()
    plain = unicodedata.normalize("NFKC", text).translate(_APOSTROPHES)
    plain = re.sub(r"\bUS\b", "USA", plain).lower()  # the country, not the pronoun
    plain = re.sub(r"\b(what|who|how|where|when|why|it|that|there|he|she)'?s\b", r"\1 is", plain)
    plain = re.sub(r"\bcan't\b", "can not", plain)
    plain = re.sub(r"\bwon't\b", "will not", plain)
    plain = re.sub(r"\bcannot\b", "can not", plain)
    plain = re.sub(r"\b(\w+)n't\b", r"\1 not", plain)
    plain = re.sub(r"\b(do|does|did|is|are|was|were|should|would|could|have|has|had)nt\b", r"\1 not", plain)
    plain = re.sub(r"\b(would|should|could|might)'ve\b", r"\1 have", plain)
    plain = re.sub(r"\bmost (?=\w{3,}est\b)", "", plain)  # "the most coolest"
    plain = re.sub(r"\b([a-z])\.(?=[a-z]\b)", r"\1 ", plain)  # U.S. is two letters
    plain = " ".join(plain.split())
    return " ".join(known.phrases.sub(lambda m: known.shorter[m[0]], plain).split())


def _joined(tokens: list[str], known: Words) -> list[str]:
    """Reorder `capital of France` like `France's capital`, which means the same."""
    tokens = list(tokens)
    at = 1
    while at < len(tokens) - 1:
        after = at + 1
        while after < len(tokens) - 1 and tokens[after] in _ARTICLES:
            after += 1
        if tokens[at] == "of" and _is_content(tokens[at - 1], known) and _is_content(tokens[after], known):
            tokens[at - 1 : after + 1] = [tokens[after], "the", tokens[at - 1]]
        at += 1
    return tokens


def _paired(tokens: list[str], known: Words) -> list[str]:
    """Sort single words around `and` and `or`, so that `nurse or doctor` equals `doctor or nurse`."""
    tokens = list(tokens)
    for at in range(1, len(tokens) - 1):
        after = at + 1 + (tokens[at + 1] in _ARTICLES)
        if tokens[at] not in {"and", "or"} or after >= len(tokens):
            continue
        begins = at == 1 or not _is_content(tokens[at - 2], known)  # a word before it would belong to it
        ends = after + 1 == len(tokens) or not _is_content(tokens[after + 1], known)
        both = _is_content(tokens[at - 1], known) and _is_content(tokens[after], known)
        if begins and ends and both and tokens[after] < tokens[at - 1]:
            tokens[at - 1], tokens[after] = tokens[after], tokens[at - 1]
    return tokens


def _is_content(token: str, known: Words) -> bool:
    return token[0].isalpha() and not any(
        token in apart for apart in (known.empty, known.scope, known.negation, known.past, known.future, known.numbers)
    )


def _base_form(token: str, known: Words) -> str:
    word = known.irregular.get(token) or _singular(token)
    return known.same.get(word, word)


def _order_word(token: str, known: Words) -> str:
    """The word if its position in the text matters, else ""."""
    if _is_content(token, known):
        return _base_form(token, known)
    if token == "one":  # noqa: S105 - a pronoun, as _ONE says
        return ""
    return _number(token, known) or (token if token in known.scope or token in known.negation else "")


def _singular(word: str) -> str:
    """Remove plural -s and -ing; -ed stays, because it tells active from passive."""
    if len(word) > 4 and word.endswith("ies"):  # noqa: PLR2004 - shorter ones are words of their own: ties, lies
        return f"{word[:-3]}y"
    if len(word) > 5 and word.endswith("ing"):  # noqa: PLR2004 - as above: king, ring
        return _undoubled(word[:-3])
    if len(word) > 3 and word.endswith(("ches", "shes", "xes", "sses")):  # noqa: PLR2004 - as above
        return word[:-2]
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):  # noqa: PLR2004 - as above
        word = word[:-1]
    return word.removesuffix("e") if len(word) > 4 else word  # noqa: PLR2004 - dance and dancing become equal


def _undoubled(word: str) -> str:
    return word[:-1] if word[-1] == word[-2] and word[-1] not in "lsz" else word


def _number(token: str, known: Words) -> str:
    if token[0].isdigit():
        return re.sub(r"(?:st|nd|rd|th)$", "", token).replace(",", "")
    return known.numbers.get(token, "")


def _names(text: str) -> frozenset[str]:
    """Capitalised words that do not begin a sentence, in lower case."""
    return frozenset(m[1].lower() for m in re.finditer(r"(?<=[\w,;] )([A-Z]\w+)", text))


def _asks(spoken: list[str], known: Words) -> str:
    """The kind of question, by its first question word, or else by its first word if that is a verb."""
    for word in spoken:
        if word in known.wh:
            return "what" if word == "which" else "who" if word == "whom" else word
    if not spoken:
        return ""
    if spoken[0] in known.able:
        return "can"
    if spoken[0] in known.ought:
        return "should"
    return "yes or no" if spoken[0] in _VERBS else ""


_MODALS = {
    "must": "must", "should": "should", "ought": "should", "may": "may", "might": "might", "can": "can", "could": "can",
}  # fmt: skip
_PREPOSITIONS = {
    "for": "for", "with": "with", "by": "by", "to": "to", "at": "at", "on": "at", "in": "at", "about": "at",
}  # fmt: skip
_GRADES = frozenset({"good", "great", "best", "top", "better"})


def _grade(word: str) -> str:
    if word in _GRADES:
        return {"top": "best", "great": "good"}.get(word, word)
    return ""


_VERBS = frozenset({"is", "are", "am", "was", "were", "do", "does", "did", "has", "have", "had", "will", "would"})


def _tense(spoken: list[str], known: Words) -> str:
    if known.future & set(spoken):
        return "future"
    return "past" if known.past & set(spoken) else "present"
