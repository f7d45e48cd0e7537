"""Guard `secrets`: finds values of environment variables, keys of known patterns, and assigned passwords and tokens.

Placeholders in examples (`sk-…`, `YOUR_API_KEY`, `<token>`) are no findings.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping

from orchmagic.guards import Finding, GuardPlug
from orchmagic.guards.detection import find, without_overlaps
from orchmagic.guards.detectors._tokens import FORMS
from orchmagic.guards.normalize import plain

_SHORTEST = 8  # characters; shorter values of the environment are ignored, since they match words
_NAMES = re.compile(r"(?i)(key|token|secret|passw(or)?d|pwd|credentials?|dsn)$")

_NAMED = re.compile(
    r"""(?ix)
    (?P<name>api[_\s-]?key|apikey|access[_\s-]?key|secret[_\s-]?key|account[_\s-]?key|auth[_\s-]?key|encryption[_\s-]?key
      |private[_\s-]?key|client[_\s-]?secret|secret|auth[_\s-]?token|access[_\s-]?token|refresh[_\s-]?token|token
      |credentials?|password|passwd|passphrase|pwd)
    [\w]{0,20}["'`\]]{0,2}\s{0,3}
    (?::=|=>|:|=|\bis\b|\bwas\b)\s{0,3}(?:new\s|string\s)?
    (?P<quote>["'`]?)(?P<value>[^\s"'`<>]{6,200})"""
)
_URL = re.compile(r"(?i)\b[a-z][a-z0-9+.-]{1,20}://[^\s:/@\"'<>]{0,100}:(?P<value>[^\s/@\"'<>]{3,200})@[\w.-]")
_HEADER = re.compile(r"(?i)\b(?:bearer|basic|token)\s+(?P<value>[A-Za-z0-9+/_.~=-]{16,2000})(?![\w(])")
_QUOTED = re.compile(
    r"""(?i)(?<![a-z])(?:aws|amazon|azure|twitter|facebook|fb|linkedin|heroku|twilio|github|google|slack)
    [^\n"'A-Za-z0-9]{0,3}[^\n"']{0,20}["'](?P<value>[A-Za-z0-9/+_-]{16,80}={0,2})["']""",
    re.VERBOSE,
)
_PLACEHOLDER = re.compile(
    r"(?i)example|sample|dummy|your|placeholder|changeme|change_me|redacted|insert|xxxx|\*\*\*|\.\.\.|…|1234567890abcdef"
    r"|^(?:none|null|true|false|undefined|todo|test|foo|bar|string|str|secret|password|token|key)$"
    r"|^(?:os\.|process\.|self\.|this\.|env[.\[(]|config[.\[]|settings\.|getenv|get_|\$|\{|%[({]|@|/|\\|\[|[\w.]+[(\[])|[({]$"
)
_WORDS = re.compile(r"^[A-Za-z]+(?:[_./:-][A-Za-z]+)*[.,;:!?)\]}]*$")
_EVEN = 3.0  # bits per character: the least entropy of a generated token


class Secrets:
    """`known`: names of environment variables by value; the values are found whatever their form."""

    slow = False

    def __init__(self, known: Mapping[str, str]) -> None:
        self._known = known

    def find(self, text: str) -> list[Finding]:
        normalized = plain(text)
        text = normalized.text
        findings = [*self._environment(text), *_forms(text), *_assigned(text)]  # the most specific kinds come first
        return normalized.to_original(without_overlaps(findings))

    def _environment(self, text: str) -> Iterator[Finding]:
        for value, name in self._known.items():
            start = text.find(value)
            while start >= 0:
                yield Finding(start, start + len(value), f"value of {name}")
                start = text.find(value, start + len(value))


def published(text: str) -> list[Finding]:
    """Find only keys and tokens of the patterns in `_tokens`, which hardly ever match anything else."""
    kinds = {form.what for form in FORMS}
    return [f for f in find(Secrets({}), text) if f.what in kinds]


def _forms(text: str) -> Iterator[Finding]:
    for form in FORMS:
        if form.hint in text:
            yield from (Finding(*m.span(1), form.what) for m in form.pattern.finditer(text) if not _made_up(m[1]))


def _assigned(text: str) -> Iterator[Finding]:
    for match in _URL.finditer(text):
        if not _PLACEHOLDER.search(match["value"]):
            yield Finding(*match.span("value"), "password in a URL")
    for pattern, what in ((_HEADER, "authorization header"), (_QUOTED, "quoted secret")):
        for match in pattern.finditer(text):
            if _random(match["value"]):
                yield Finding(*match.span("value"), what)
    for match in _NAMED.finditer(text):
        value = match["value"].rstrip(".,;:!?)]}")
        if _secret(match["name"].lower(), value, quoted=bool(match["quote"])):
            start = match.start("value")
            yield Finding(start, start + len(value), _kind(match["name"]))


def _kind(name: str) -> str:
    return "password" if name.lower().startswith("pass") or name.lower() == "pwd" else "assigned secret"


def _secret(name: str, value: str, *, quoted: bool) -> bool:
    """Whether the value assigned to `name` is a secret: not a placeholder, not code, not a plain word."""
    if len(value) < 6 or _PLACEHOLDER.search(value):  # noqa: PLR2004 - as in _NAMED
        return False
    if _kind(name) == "password":  # it may be a word: a digit, a sign or quotes tell it from prose
        return not _WORDS.match(value) or quoted
    return _random(value)


def _random(value: str) -> bool:
    """Whether `value` looks generated: at least 12 characters, letters and digits, high entropy."""
    mixed = any(c.isdigit() for c in value) and any(c.isalpha() for c in value)
    return len(value) >= 12 and mixed and _bits(value) >= _EVEN and not _PLACEHOLDER.search(value)  # noqa: PLR2004 - shorter ones are names


def _bits(value: str) -> float:
    """Shannon entropy, in bits per character."""
    return -sum(n / len(value) * math.log2(n / len(value)) for n in Counter(value).values())


def _made_up(value: str) -> bool:
    """Whether a matched token is a placeholder, such as `sk-xxxxxxxx…`."""
    return bool(re.search(r"(?i)x{8}|your|placeholder|\.\.\.", value))


def _create(argument: str | None, environ: Mapping[str, str]) -> Secrets:
    if argument is not None:
        raise ValueError("secrets takes no argument: write secrets=block")
    named = {v: n for n, v in environ.items() if _NAMES.search(n) and len(v) >= _SHORTEST and not _WORDS.match(v)}
    return Secrets(named)


plug = GuardPlug("secrets", _create)
