"""Reads the line of `%orch optimize`: a name, rows, a target, the models to choose from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from orchmagic.errors import InputError
from orchmagic.evaluation import evaluate_cell
from orchmagic.evaluation.evaluate import Setup, prepare
from orchmagic.evaluation.metrics import Metric
from orchmagic.evaluation.optimize import Search
from orchmagic.evaluation.result import Result
from orchmagic.evaluation.targets import parse_target, with_expressions
from orchmagic.language.magic_line import Option, parse_names
from orchmagic.language.notebook_variables import filled_line
from orchmagic.runtime.orchestration import Orchestration
from orchmagic.runtime.row_runs import Progress

_LINE = "orch optimize"
_SHARED = ("--on", "--models", "--by", "--stand-in", "--rename", "--budget", "--concurrency", "--engine",
           "--allow-writes", "--dry-run")  # fmt: skip
OPTIONS = (
    Option("--target", "text", "what must be shown: (output == team) >= 0.85, several with and", "EXPR"),
    Option("--like", "text", "a result of %%evaluate, whose rows, metrics and judges are used", "RESULT"),
    *(option for option in evaluate_cell.OPTIONS if option.flag in _SHARED),
)
HELP = """\
Looks for the cheapest models of the steps that are shown to meet a target, and writes the changed cell.

%orch optimize NAME --on ROWS --target "(router.label == team) >= 0.85" [OPTIONS]

Options of %orch optimize
"""


def read_search(
    name: str, line: str, namespace: Mapping[str, Any], find: Callable[[str], Orchestration],
    watch: Callable[[Progress], None] = lambda _: None,
) -> Search:  # fmt: skip
    """Reads and checks the line; nothing is run. `find` returns the orchestration of a name.

    Raises:
        CellError: an option is wrong.
        InputError: a name, the target or a row is wrong.
    """
    names, given = parse_names(_LINE, filled_line(_LINE, f"{name} {line}", namespace), OPTIONS)
    if given.get("help"):
        width = max(len(option.shown) for option in OPTIONS)
        raise InputError(HELP + "\n".join(f"  {option.shown:<{width}}  {option.help}" for option in OPTIONS))
    if len(names) != 1:
        raise InputError(f"%orch optimize takes one orchestration, not {', '.join(names) or 'none'}")
    made = find(names[0])
    setup = _like(made, given, namespace) if "like" in given else _own(made, given, namespace)
    engine = given.get("engine")
    setup = replace(
        setup,
        engine=namespace.get(engine, engine) if engine else None,
        concurrency=given.get("concurrency", setup.concurrency),
    )
    search = Search(made, setup, given.get("models", ()), given.get("budget"), watch)
    search.dry_run = given.get("dry_run", False)
    return search


def _own(made: Orchestration, given: Mapping[str, Any], namespace: Mapping[str, Any]) -> Setup:
    name = made.__name__
    if "on" not in given or "target" not in given:
        missing, write = (
            ("rows", "--on ROWS") if "on" not in given else ("target", '--target "(output == team) >= 0.85"')
        )
        raise InputError(f"%orch optimize {name} has no {missing}: write {write}")
    metrics, target = with_expressions(given["target"])
    if not metrics:
        raise InputError(
            f"%orch optimize {name} --target {given['target']} has no metric. Write what must be true of an answer in "
            'brackets, and of which share of the rows: --target "(output == team) >= 0.85"'
        )
    return prepare(
        {name: made}, evaluate_cell.rows_of(given["on"], namespace), [Metric(*pair) for pair in metrics.items()],
        target=target, rows_name=given["on"], by=given.get("by"),
        stand_in=evaluate_cell.stand_in_functions(given.get("stand_in", ()), namespace),
        rename=evaluate_cell.pairs("--rename", given.get("rename", ()), "COLUMN=INPUT"),
        allow_writes=given.get("allow_writes", False),
    )  # fmt: skip


def _like(made: Orchestration, given: Mapping[str, Any], namespace: Mapping[str, Any]) -> Setup:
    """The setup of an earlier evaluation of this orchestration."""
    extra = [f"--{key.replace('_', '-')}" for key in ("on", "by", "stand_in", "rename", "allow_writes") if key in given]
    if extra:
        raise InputError(
            f"{extra[0]} with --like: the rows and tools are those of {given['like']}; leave one of them out"
        )
    result = namespace.get(given["like"])
    if not isinstance(result, Result):
        raise InputError(
            f"--like {given['like']}: it is no result of %%evaluate; write %%evaluate … -o {given['like']}"
        )
    setup = result.setup
    if made.definition.name not in {v.subject.graph.name for v in setup.variants}:
        raise InputError(f"--like {given['like']}: it is an evaluation of {', '.join(result.variants)}")
    if "target" not in given:
        return setup
    metrics, target = with_expressions(given["target"], [m.name for m in setup.metrics])
    more = tuple(Metric(*pair) for pair in metrics.items())
    return replace(setup, metrics=(*setup.metrics, *more), target=parse_target(target))
