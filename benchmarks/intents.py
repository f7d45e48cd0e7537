"""`python benchmarks/intents.py banking77_test.csv`: `%%route` on recorded questions, by meaning and by a small model.

Banking77 (PolyAI, CC-BY-4.0): https://github.com/PolyAI-LDN/task-specific-datasets, columns text and category. Eight
of its 77 intents are the handlers, drawn with a fixed seed; the name of an intent is its description. The first
five questions of each are examples, and `--each` others are asked. `%%evaluate` compares the routers on the same rows.
The local model is the one that answers without a key. `routing.py` measures the router by meaning alone, on all rows.
"""

from __future__ import annotations

import argparse
import os
import random
import tempfile
from pathlib import Path

from routing import KINDS, read

import orchmagic
from orchmagic import Script, Session

EXAMPLES = 5


def cell(router: str, intents: dict[str, list[str]], examples: int) -> str:
    """A route with one handler for each intent; what the handlers say is not measured."""
    lines = [router]
    for name, texts in intents.items():
        given = f"(examples={texts[:examples]!r})" if examples else ""
        lines += [f"{name.replace(' ', '_')}{given}: {name}", "    {{ question }}"]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("banking", type=Path)
    parser.add_argument("--each", type=int, default=15, help="questions of each intent")
    parser.add_argument("--model", default="tiny", help="the model that routes; tiny is the local one")
    given = parser.parse_args()
    whole = read(given.banking)
    # a name that holds a question mark is no name of a handler
    names = random.Random(77).sample(sorted(name for name in whole if name.replace(" ", "_").isidentifier()), KINDS)
    intents = {name: whole[name] for name in names}
    rows = [
        {"question": text, "intent": name.replace(" ", "_")}
        for name, texts in intents.items()
        for text in texts[EXAMPLES : EXAMPLES + given.each]
    ]
    orchmagic.install(Script(lambda _: "done"), "handlers")
    ask = f"router(model={given.model})\n    Which of these does the customer of a bank ask about? {{{{ question }}}}"
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        kept = {"ORCHMAGIC_CACHE_DIR": folder, "ORCHMAGIC_HISTORY_DIR": folder}
        session = Session({}, environ={**os.environ, **kept}, notify=print)
        session.add_models({"handlers": {"model": "scripted/handlers"}})
        variants = [
            session.define("route", f"{name} --model handlers", cell(router, intents, examples))
            for name, router, examples in (
                ("by_meaning", "router(by=meaning, on=question)", 0),
                ("by_meaning_with_examples", "router(by=meaning, on=question)", EXAMPLES),
                ("by_model", ask, 0),
            )
        ]
        print(
            orchmagic.evaluate(variants, on=rows, metrics={"right": "router.label == intent"}, target="right >= 0.85")
        )
        session.close()


if __name__ == "__main__":
    main()
