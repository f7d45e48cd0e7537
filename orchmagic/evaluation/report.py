"""The result of an evaluation as text and as a MIME bundle. No clock: the same answers give the same text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from orchmagic.core.text_format import counted, table
from orchmagic.evaluation import ranges
from orchmagic.evaluation.verdicts import Figure, Held, Summary
from orchmagic.trace import humanize

if TYPE_CHECKING:
    from orchmagic.evaluation.result import Result

_LABELS = 12  # of a confusion table
_WORST = 5


def text(result: Result) -> str:
    """The result as text: counts, a table of the variants, the choice, differences, confusion, remarks."""
    return "\n".join(_lines(result))


def _lines(result: Result) -> Iterator[str]:
    paid, unpriced, cached = result.paid
    notes = f" ({cached:,} from cache)" * bool(cached)
    yield f"{result.counts()}, {humanize.money(paid, unpriced)}{notes}"
    yield table(rows(result))
    yield from sentences(result)
    yield from confusions(result)
    yield from worst_lines(result)


def sentences(result: Result) -> Iterator[str]:
    """What the figures say, one sentence or two a line."""
    yield result.choice
    if result.left_out:
        yield f"Not run: {', '.join(result.left_out)}."
    yield from differences(result)
    yield from _repeats(result)
    yield from _judged(result)
    yield from (f"Note: {remark}." for remark in result.remarks)


def rows(result: Result) -> list[tuple[str, ...]]:
    """The table of the variants, headings first."""
    shown = [*result.metrics]
    heads = ["variant"]
    for name in shown:
        heads += [name, "95% range"]
    heads += ["$/task", "p50 / p95"] + ["target"] * (result.target is not None)
    lines = [_row(s, shown, with_target=result.target is not None) for s in result.details]
    return [tuple(heads), *map(tuple, lines)]


def _row(found: Summary, metrics: Sequence[str], *, with_target: bool) -> list[str]:
    cells = [found.variant]
    for name in metrics:
        figure = found.metrics.get(name)
        cells += ["-", "-"] if figure is None or figure.value is None else [number(figure), range_text(figure)]
    cells += ["unknown" if found.cost is None else cost(found.cost), times(found)]
    return [*cells, said(found.held)] if with_target else cells


def number(figure: Figure) -> str:
    """The value of a metric: `89%`, or `3.42`."""
    return _scaled(figure.value or 0.0, percent=figure.yes_no or figure.range.high <= 1)


def range_text(figure: Figure) -> str:
    """The range of a metric: `82-94` of a share, else its ends."""
    if figure.yes_no or figure.range.high <= 1:
        return f"{figure.range.low * 100:.0f}-{figure.range.high * 100:.0f}"
    return f"{figure.range.low:.3g}-{figure.range.high:.3g}"


def _scaled(value: float, *, percent: bool) -> str:
    return f"{value:.0%}" if percent else f"{value:.3g}"


def cost(value: float) -> str:
    """US dollars of one run."""
    return "0" if value == 0 else humanize.money(value).removeprefix("$")


def times(found: Summary) -> str:
    """`0.6/1.1 s`; a dash if all answers came from the cache."""
    if found.p50 is None or found.p95 is None:
        return "-"
    return f"{found.p50:.2g}/{found.p95:.2g} s"


def said(held: Sequence[Held]) -> str:
    """The verdict with the bound that decides it: `meets (at least 87%)`."""
    return f"{_worst(held).verdict} ({bound(held)})"


def bound(held: Sequence[Held]) -> str:
    """The bound that decides a verdict: `at least 87%`, `could be 83%`."""
    worst = _worst(held)
    if worst.verdict == "not shown":
        return f"could be {_bound(worst)}"
    least = (worst.verdict == "meets") == worst.condition.floor
    return f"at {'least' if least else 'most'} {_bound(worst)}"


def _worst(held: Sequence[Held]) -> Held:
    return min(held, key=lambda h: ("misses", "not shown", "meets").index(h.verdict))


def _bound(held: Held) -> str:
    if held.condition.metric == "cost":
        return humanize.money(held.bound)
    if held.condition.metric == "seconds":
        return humanize.seconds(held.bound)
    share = held.yes_no or held.condition.limit <= 1
    digits = 1 if share and held.condition.limit > 0.9 else 0  # noqa: PLR2004 - where a point matters
    return f"{held.bound:.{digits}%}" if share else f"{held.bound:.3g}"


def differences(result: Result) -> Iterator[str]:
    """The chosen (or best) variant against each other one, on the same rows."""
    if len(result.details) < 2:  # noqa: PLR2004 - a pair
        return
    name = result.main_metric
    reference = result.chosen or max(result.details, key=lambda s: _value(s, name)).variant
    for other in result.variants:
        if other != reference and name in result.scores[other] and _share_rows(result, reference, other, name):
            yield difference(result, reference, other, name)


def _share_rows(result: Result, one: str, other: str, metric: str) -> bool:
    """Whether a row has the metric in both; none has it where the endpoint of a variant answered nothing."""
    places = [{*result.scores[variant][metric].known()[0]} for variant in (one, other)]
    return not places[0].isdisjoint(places[1])


def difference(result: Result, one: str, other: str, metric: str) -> str:
    """`large - small: +4 points (-3 to +12; 9 rows better, 4 worse). No difference shown; …`."""
    found = result.compare(one, other, metric)
    a, b = (result.scores[v][metric] for v in (one, other))
    shares = a.yes_no and b.yes_no
    unit = " points" if shares else ""
    value, low, high = (f"{v * 100:+.0f}" if shares else f"{v:+.3g}" for v in (found.value, found.low, found.high))
    rows_ = f"{counted(found.better, 'row')} better, {found.worse:,} worse"
    line = f"{one} - {other}: {value}{unit} ({low} to {high}; {rows_})."
    if found.shown:
        return line
    if not shares:
        return f"{line} No difference shown."
    count = max(len(a.known()[0]), 1)
    disagree = 2 * min(found.better, found.worse) / count
    points = ranges.detectable(count, disagree, ranges.quantile(share=max(len(result.variants) - 1, 1)))
    return f"{line} No difference shown; {counted(count, 'row')} show {points * 100:.0f} points or more."


def _value(found: Summary, metric: str) -> float:
    figure = found.metrics.get(metric)
    return -1.0 if figure is None or figure.value is None else figure.value


def _repeats(result: Result) -> Iterator[str]:
    for found in result.details:
        for name, figure in found.metrics.items():
            if figure.changed:
                yield f"{found.variant}: {name} changed between repeats in {counted(figure.changed, 'row')}."
            if figure.rows and figure.rows < len(result.rows) - 0.5 and figure.yes_no and result.groups is not None:
                yield f"{found.variant}: {name} counts as {figure.rows:.0f} rows (rows of one group belong together)."
    if result.target is not None:
        yield from _all_right(result)


def _all_right(result: Result) -> Iterator[str]:
    """How many rows, all right, show a share: where a variant is right everywhere and the target is high."""
    assert result.target is not None
    z = ranges.quantile(sides=1, share=len(result.variants) + len(result.left_out))
    for condition in result.target.conditions:
        perfect = [s for s in result.details if _value(s, condition.metric) == 1]
        if perfect and condition.floor and 0.9 <= condition.limit < 1:  # noqa: PLR2004 - where it decides
            few, many = (ranges.fewest_all_right(limit, z) for limit in (condition.limit, 0.99))
            more = f", {many:,} for 99%" if condition.limit < 0.99 else ""  # noqa: PLR2004 - the next step
            yield f"{few:,} rows all right is the fewest that shows {condition.limit:.0%}{more}."


def _judged(result: Result) -> Iterator[str]:
    """What persons say of the judges' verdicts."""
    for found in result.calibration:
        yield found.text()


def confusions(result: Result) -> Iterator[str]:
    """For a metric `a == b` of labels: what was said, by what is right."""
    for name, found in result.confusion.items():
        variant, counts = found
        truths = [
            label
            for label, _ in Counter(
                {t: sum(n for (x, _), n in counts.items() if x == t) for t, _ in counts}
            ).most_common()
        ]
        said_ = [*truths, *dict.fromkeys(s for _, s in counts if s not in truths)]
        if not 2 <= len(truths) <= _LABELS or len(said_) > 2 * _LABELS:  # noqa: PLR2004 - a table that can be read
            continue
        z = ranges.quantile()
        lines = [[t] for t in truths]
        for row, truth in zip(lines, truths, strict=True):
            total = sum(counts[truth, s] for s in said_)
            right = counts[truth, truth]
            low, high = ranges.wilson(right, total, z)
            row += [str(counts[truth, s]) for s in said_]
            row.append(f"{right / total:.0%} ({low * 100:.0f}-{high * 100:.0f}) of {total}")
        yield ""
        yield table([[f"{name}, {variant}: said >", *said_, "found"], *lines], right=range(1, len(said_) + 1))


def worst_lines(result: Result) -> Iterator[str]:
    """The worst rows, one line each: what failed or is wrong, and the id of its trace."""
    name = result.main_metric
    bad = [r for r in result.worst(_WORST) if r["_status"] != "done" or r.get(name) in (False, 0, 0.0)]
    if bad:
        yield ""
        yield f"Worst rows of {bad[0]['variant']} (result.worst(n); result.record(ID) is the trace):"
    for row in bad:
        what = row["_error"] or humanize.one_line(row["output"], 60)
        yield f"  row {row['_row']}  {row['_run']}  {row['_status']}  {humanize.one_line(what, 80)}"


def bundles(result: Result) -> Iterator[dict[str, Any]]:
    """The MIME bundles of a display: the table, and below it the picture."""
    from orchmagic.evaluation.picture import figure, html  # noqa: PLC0415 - when it is shown

    yield {"text/html": html(result), "text/plain": text(result)}
    yield {"application/vnd.plotly.v1+json": figure(result), "text/plain": "(picture: quality against cost)"}
