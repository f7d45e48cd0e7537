"""Guard `injection`: finds prompt injection (overridden instructions, jailbreak roles, forged turns, hidden text).

It matches the phrasings in `attacks.toml`, so an attack in new words passes. It reads user and tool messages, not the
cell's own system messages.
"""

from __future__ import annotations

import base64
import binascii
import re
import tomllib
from collections.abc import Iterator, Mapping
from importlib.resources import files

from orchmagic.guards import Finding, GuardPlug
from orchmagic.guards.normalize import NormalizedText, plain

_CODED = re.compile(r"[A-Za-z0-9+/_-]{32,20000}={0,2}")
_TAGGED = re.compile("[\U000e0020-\U000e007e]{4,}")
_SPACED = re.compile(r"(?<!\w)(?:\w[ .\-_*]){4,40}\w(?!\w)")
_BETWEEN = re.compile(r"[ .\-_*]")
_BITS = re.compile(r"(?:[01]{8}\s?){8,4000}")
_FLAG = "\U0001f3f4"  # flags of regions (Scotland, Wales) use tag characters
_LEET = str.maketrans("013457@$!", "oieastasi")
_ATTACKS = tomllib.loads(files("orchmagic.guards.detectors").joinpath("attacks.toml").read_text(encoding="utf-8"))


def _forms(kinds: Mapping[str, list[str]]) -> tuple[tuple[str, re.Pattern[str]], ...]:
    return tuple((kind, re.compile(_expanded(form))) for kind, forms in kinds.items() for form in forms)


def _expanded(form: str) -> str:
    for name, words in _ATTACKS["parts"].items():
        form = form.replace(f"<{name}>", words)
    return form.replace(" ", r"\s+")


_STRONG, _WEAK = _forms(_ATTACKS["strong"]), _forms(_ATTACKS["weak"])


class Injection:
    """Reports every strong sign. Weak signs count beside a strong one, or if there are two kinds of them."""

    slow = False

    def find(self, text: str) -> list[Finding]:
        form = plain(text)
        return sorted([*form.to_original(_signs(form.text)), *_spaced(form), *_hidden(text), *_coded(text)])


def _signs(text: str) -> list[Finding]:
    small = text.lower()
    text = small if len(small) == len(text) else text  # lower case of a few letters has another length
    leet = text.translate(_LEET) if re.search(r"[a-z][013457@$][a-z]", text) else None
    spellings = (text,) if leet is None else (text, leet)  # of the same length
    strong = [
        Finding(*m.span(), what)
        for what, pattern in _STRONG
        for spelling in spellings
        for m in pattern.finditer(spelling)
    ]
    weak = [Finding(*m.span(), what) for what, pattern in _WEAK for m in pattern.finditer(text)]
    return strong + (weak if len({w.what for w in weak}) > 1 or (strong and weak) else [])


def _hidden(text: str) -> Iterator[Finding]:
    """Find text in invisible tag characters."""
    for match in _TAGGED.finditer(text):
        if text[match.start() - 1 : match.start()] != _FLAG:
            yield Finding(*match.span(), "hidden text")


def _spaced(form: NormalizedText) -> Iterator[Finding]:
    """Find attacks in spaced letters: `i g n o r e all previous instructions`."""
    if _SPACED.search(form.text):
        joined = form.substitute(_SPACED, lambda letters: _BETWEEN.sub("", letters))
        for sign in _signs(joined.text):
            [original] = joined.to_original([sign])
            if original.end - original.start > sign.end - sign.start:  # there are spaced letters in it
                yield Finding(original.start, original.end, "attack in spaced letters")


def _coded(text: str) -> Iterator[Finding]:
    for match in _CODED.finditer(text):
        encoded = match[0].rstrip("=").replace("-", "+").replace("_", "/")
        try:
            decoded = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True).decode("utf-8")
        except (binascii.Error, ValueError):
            continue
        if decoded.isprintable() and _signs(decoded):
            yield Finding(*match.span(), "attack in base64")
    for match in _BITS.finditer(text):
        bits = "".join(match[0].split())
        decoded = bytes(int(bits[i : i + 8], 2) for i in range(0, len(bits), 8)).decode("utf-8", "replace")
        if _signs(decoded):
            yield Finding(*match.span(), "attack in bits")


def _create(argument: str | None, _: Mapping[str, str]) -> Injection:
    if argument is not None:
        raise ValueError("injection takes no argument: write injection=block")
    return Injection()


plug = GuardPlug("injection", _create, places=("input", "tools"), roles=("user", "tool"))
