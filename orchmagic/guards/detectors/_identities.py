"""National identity numbers: kind, pattern, python-stdnum checksum module, and words that must precede the number.

A random number passes a check of one digit one time in ten, so such numbers count only after their name.
"""

from __future__ import annotations

import re
from typing import NamedTuple


class Identity(NamedTuple):
    """`module`: of python-stdnum, checks the number, "" = no check; `named`: words required before it, None = none."""

    what: str
    module: str
    pattern: re.Pattern[str]
    named: re.Pattern[str] | None


def _identity(what: str, module: str, form: str, named: str = "") -> Identity:
    pattern = re.compile(rf"(?<![\w.-])(?:{form})(?![\w-]|\.\d)", re.IGNORECASE)
    return Identity(
        what, module, pattern, re.compile(rf"(?<![a-z])(?:{named})(?![a-z])", re.IGNORECASE) if named else None
    )


IDENTITIES: tuple[Identity, ...] = (
    _identity("us ssn", "us.ssn", r"\d{3}-\d{2}-\d{4}"),
    _identity("us ssn", "", r"\d{3}[ -]?\d{2}[ -]?\d{4}", r"ssn|social security"),
    _identity("us itin", "us.itin", r"9\d{2}-\d{2}-\d{4}"),
    _identity("canadian sin", "ca.sin", r"\d{3}[ -]?\d{3}[ -]?\d{3}", r"sin|social insurance"),
    _identity("mexican curp", "mx.curp", r"[A-Z]{4}\d{6}[HMX][A-Z]{5}[A-Z0-9]\d"),
    _identity("brazilian cpf", "br.cpf", r"\d{3}\.\d{3}\.\d{3}-\d{2}"),
    _identity("brazilian cpf", "br.cpf", r"\d{11}", r"cpf"),
    _identity("british nhs number", "gb.nhs", r"\d{3}[ -]?\d{3}[ -]?\d{4}", r"nhs"),
    _identity("german tax id", "de.idnr", r"\d{2} ?\d{3} ?\d{3} ?\d{3}", r"steuer\S{0,20}|idnr|tax id\S*|tin"),
    _identity("french nir", "fr.nir", r"[12] ?\d{2} ?[01]\d ?\d[\dAB] ?\d{3} ?\d{3} ?\d{2}"),
    _identity("spanish dni", "es.dni", r"\d{8}-?[A-Z]"),
    _identity("spanish nie", "es.nie", r"[XYZ]-?\d{7}-?[A-Z]"),
    _identity("italian codice fiscale", "it.codicefiscale", r"[A-Z]{6}\d{2}[A-EHLMPRST]\d{2}[A-Z]\d{3}[A-Z]"),
    _identity(
        "dutch bsn", "nl.bsn", r"\d{3}\.?\d{3}\.?\d{3}|\d{4}\.?\d{2}\.?\d{3}", r"bsn|burgerservicenummer|sofi\S*"
    ),
    _identity("belgian national number", "be.nn", r"\d{2}\.\d{2}\.\d{2}-\d{3}\.\d{2}"),
    _identity("swiss ahv number", "ch.ssn", r"756\.?\d{4}\.?\d{4}\.?\d{2}"),
    _identity("austrian insurance number", "at_.vnr", r"\d{4} ?\d{6}", r"svnr|sozialversicherung\S*"),
    _identity("polish pesel", "pl.pesel", r"\d{11}", r"pesel"),
    _identity("czech birth number", "cz.rc", r"\d{6}/\d{3,4}"),
    _identity("romanian cnp", "ro.cnp", r"[1-9]\d{12}", r"cnp"),
    _identity("bulgarian egn", "bg.egn", r"\d{10}", r"egn|егн"),
    _identity("croatian oib", "hr.oib", r"\d{11}", r"oib"),
    _identity("swedish personal number", "se.personnummer", r"(?:\d{2})?\d{6}[-+]\d{4}"),
    _identity("danish cpr", "dk.cpr", r"\d{6}-\d{4}", r"cpr\S*|personnummer"),
    _identity("norwegian birth number", "no.fodselsnummer", r"\d{6} ?\d{5}", r"f\S?dselsnummer|fnr|personnummer"),
    _identity("finnish hetu", "fi.hetu", r"\d{6}[-+A-FU-Y]\d{3}[0-9A-Y]"),
    _identity("irish pps", "ie.pps", r"\d{7}[A-W][A-IW]?", r"pps\S*"),
    _identity("turkish id", "tr.tckimlik", r"[1-9]\d{10}", r"tc|kimlik|t\.c\."),
    _identity("israeli id", "il.idnr", r"\d{8,9}", r"teudat zehut|israeli id"),
    _identity("south african id", "za.idnr", r"\d{13}", r"id|identity"),
    _identity("indian aadhaar", "in_.aadhaar", r"[2-9]\d{3} \d{4} \d{4}"),
    _identity("indian aadhaar", "in_.aadhaar", r"[2-9]\d{11}", r"aadhaar|aadhar|uidai"),
    _identity("indian pan", "in_.pan", r"[A-Z]{3}[ABCFGHLJPT][A-Z]\d{4}[A-Z]"),
    _identity("chinese id", "cn.ric", r"\d{17}[\dX]"),
    _identity("korean rrn", "kr.rrn", r"\d{6}-[1-8]\d{6}"),
    _identity("australian tfn", "au.tfn", r"\d{3} ?\d{3} ?\d{3}", r"tfn|tax file"),
)
