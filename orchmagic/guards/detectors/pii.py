"""Guard `pii`: finds emails, telephone numbers, cards, IBANs and national identity numbers, and tests their checksums.

It does not find names, postal addresses or birthdays: they have no pattern. `pii:email|card=redact` selects kinds.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import import_module

from orchmagic.errors import SettingsError, nearest
from orchmagic.guards import Finding, GuardPlug
from orchmagic.guards.detection import without_overlaps
from orchmagic.guards.detectors._identities import IDENTITIES
from orchmagic.guards.normalize import plain

_NEAR = 40  # characters before a number that are searched for its name
_EMAIL = re.compile(r"(?<![\w.+%-])[\w.+%'-]{1,64}@(?:[\w-]{1,63}\.){1,8}[^\W\d_]{2,24}(?![\w-])")
_CARD = re.compile(r"(?<![\w.-])\d(?:[ -]?\d){12,18}(?![\w-]|\.\d)")
_ISSUER = re.compile(r"4|5[0-9]|2[2-7]|3[4-9]|30|6[0-9]")
_IBAN = re.compile(r"(?<!\w)[A-Z]{2}\d{2}(?:[ -]?[A-Z0-9]){11,30}", re.IGNORECASE)
_PHONE = re.compile(
    r"(?<![\w.@/=#$€£%:+-])(?:\+|\(|\d)[\d\s()./-]{5,22}\d(?:\s?(?:x|ext\.?)\s?\d{1,5})?(?!\w|[%@]|[.,-]\d)"
)
_CALLED = re.compile(
    r"(?<![a-z])(?:tel\w*|phone\w*|call\w*|mobile|mobil|cell\w*|fax|dial|ring|sms|text(?:ed)?|whatsapp|reach\w*"
    r"|contact\w*|messag\w*|answer\w*|registered|number|office|handy|rufnummer|rappel\w*|celular|tél\w*)(?![a-z])",
    re.IGNORECASE,
)
# a trunk prefix and groups, as in 0699 456 17 84; a date has fewer digits
_ELSEWHERE = re.compile(r"(?=(?:\D*\d){9,12}\D*$)\(?0\d{1,4}\)?(?:[\s./-]{1,2}\d{2,8}){1,4}")
_DATE = re.compile(r"\d{1,2}[./-]\d{1,2}[./-]\d{4}(?!\d)|\d{4}-\d\d-\d\d|\d{1,2}/\d{1,2}/\d\d$|\+?\d+\.\d$")
_IP = re.compile(
    r"(?<![\w.:-])(?:\d{1,3}(?:\.\d{1,3}){3}|(?:[0-9a-f]{0,4}:){2,7}[0-9a-f]{1,4})(?![\w:]|\.\d)", re.IGNORECASE
)
# countries tried for a number without a country code, the most frequent first
_REGIONS = re.findall(
    r"\w\w",
    "US GB IN DE FR IT ES BR AU NL MX PL SE CH AT BE DK NO FI PT IE ZA NZ JP KR CN TR CZ HU GR RO IL IS SI UY EE",
)


class Pii:
    """Runs `detectors` in order; of overlapping findings the first is kept."""

    slow = False

    def __init__(self, detectors: Sequence[Callable[[str], Iterator[Finding]]]) -> None:
        self._detectors = detectors

    def find(self, text: str) -> list[Finding]:
        if not any(c.isdigit() or c == "@" for c in text):
            return []
        form = plain(text)
        return form.to_original(without_overlaps(f for detect in self._detectors for f in detect(form.text)))


def _emails(text: str) -> Iterator[Finding]:
    if "@" in text:
        yield from (Finding(*m.span(), "email") for m in _EMAIL.finditer(text))


def _cards(text: str) -> Iterator[Finding]:
    from stdnum import luhn  # noqa: PLC0415 - an extra

    for match in _CARD.finditer(text):
        digits = re.sub(r"\D", "", match[0])
        if _ISSUER.match(digits) and len(set(digits)) > 1 and luhn.is_valid(digits):
            yield Finding(*match.span(), "card")


def _ibans(text: str) -> Iterator[Finding]:
    from stdnum import iban  # noqa: PLC0415 - an extra

    for match in _IBAN.finditer(text):
        number = match[0]
        while len(number) > 14:  # noqa: PLR2004 - the shortest is of 15; words after it may be part of the match
            if iban.is_valid(number):
                yield Finding(match.start(), match.start() + len(number), "iban")
                break
            number = number[:-1].rstrip(" -")


def _identities(text: str) -> Iterator[Finding]:
    for identity in IDENTITIES:
        for match in identity.pattern.finditer(text):
            before = text[max(0, match.start() - _NEAR) : match.start()]
            if (identity.named is None or identity.named.search(before)) and _is_valid(identity.module, match[0]):
                yield Finding(*match.span(), identity.what)


def _is_valid(module: str, number: str) -> bool:
    try:
        return not module or bool(import_module(f"stdnum.{module}").is_valid(number))
    except (ValueError, ImportError):  # the check fails on malformed digits, or this release lacks it
        return False


def _phones(text: str) -> Iterator[Finding]:
    import phonenumbers  # noqa: PLC0415 - an extra

    for match in _PHONE.finditer(text):
        written = match[0]
        digits = sum(c.isdigit() for c in written)
        if not 7 <= digits <= 17 or _DATE.match(written):  # noqa: PLR2004 - with country code and extension
            continue
        called = bool(_CALLED.search(text[max(0, match.start() - _NEAR) : match.start()]))
        regions = _REGIONS if called or _ELSEWHERE.fullmatch(written) else ("US",) if _grouped(written) else ()
        for region in (None,) if written.startswith("+") else regions:
            try:
                number = phonenumbers.parse(written, region)
            except phonenumbers.NumberParseException:
                continue
            if phonenumbers.is_valid_number(number):
                yield Finding(*match.span(), "phone")
                break


def _grouped(written: str) -> bool:
    """Whether it is a ten-digit number in groups: (415) 555-2671, 415-555-2671, 1 415 555 2671."""
    return bool(
        re.fullmatch(r"(?:1[\s.-]?)?\(?\d{3}\)?[\s.-]{1,2}\d{3}[\s.-]\d{4}(?:\s?(?:x|ext\.?)\s?\d{1,5})?", written)
    )


def _addresses(text: str) -> Iterator[Finding]:
    import ipaddress  # noqa: PLC0415 - one kind needs it

    for match in _IP.finditer(text):
        try:
            if ipaddress.ip_address(match[0]).is_global:
                yield Finding(*match.span(), "ip address")
        except ValueError:
            continue


# The order matters: part of an IBAN looks like a card number, and part of a card number like a telephone number.
_KINDS: Mapping[str, Callable[[str], Iterator[Finding]]] = {
    "email": _emails, "iban": _ibans, "card": _cards, "id": _identities, "phone": _phones, "ip": _addresses,
}  # fmt: skip
_DEFAULT = ("email", "iban", "card", "id", "phone")


def _create(argument: str | None, _: Mapping[str, str]) -> Pii:
    _installed()
    kinds = [k.strip() for k in argument.split("|")] if argument else _DEFAULT
    if wrong := [k for k in kinds if k not in _KINDS]:
        raise ValueError(f"{wrong[0]!r} is no kind: write some of {'|'.join(_KINDS)}{nearest(wrong[0], _KINDS)}")
    return Pii([detect for kind, detect in _KINDS.items() if kind in kinds])


def _installed() -> None:
    try:
        import phonenumbers  # noqa: PLC0415 - as below
        import stdnum  # noqa: PLC0415 - only whether they are there
    except ImportError as error:
        raise SettingsError(f"pii needs {error.name}: pip install 'orchmagic[guards]'") from None
    del phonenumbers, stdnum


plug = GuardPlug("pii", _create)
