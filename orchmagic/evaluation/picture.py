"""The picture of an evaluation: quality against cost (or time), with ranges and the target, as a Plotly figure in JSON.

A hollow mark is a variant that is not shown to meet the target. One variant alone is drawn as a dot for each metric.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orchmagic.evaluation import report
from orchmagic.trace import humanize
from orchmagic.trace.humanize import safe
from orchmagic.views.bar_figure import CONFIG
from orchmagic.views.comparison.render import boxed
from orchmagic.views.html_table import html_table
from orchmagic.views.palette import BLUE, GREEN, GREY, RED, RUNS

if TYPE_CHECKING:
    from orchmagic.evaluation.result import Result
    from orchmagic.evaluation.verdicts import Summary

_MANY = 12  # variants or metrics that are drawn
_LINE = 26  # pixels of a metric


def figure(result: Result) -> dict[str, Any]:
    """The Plotly figure: `{"data": [...], "layout": {...}, "config": {...}}`."""
    data, layout = _of_metrics(result) if len(result.details) == 1 else _against_cost(result)
    return {"data": data, "layout": layout, "config": CONFIG}


def _against_cost(result: Result) -> tuple[list[Any], dict[str, Any]]:
    name = result.main_metric
    found = [s for s in result.details if name in s.metrics and s.metrics[name].value is not None][:_MANY]
    priced = all(s.cost is not None for s in found) and any(s.cost for s in found)
    data = [_mark(s, name, RUNS[i % len(RUNS)], priced=priced) for i, s in enumerate(found)]
    title = "US dollars a run" if priced else "seconds a run (median)"
    limits = [] if result.target is None else [c for c in result.target.conditions if c.metric == name]
    shapes = [_dashed(c.limit) for c in limits]
    percent = all(s.metrics[name].range.high <= 1 for s in found)
    layout = _layout(300) | {
        "xaxis": _axis(title) | {"rangemode": "tozero", "exponentformat": "none", "nticks": 6},
        "yaxis": _axis(name) | ({"tickformat": ".0%"} if percent else {}),
        "shapes": shapes,
        "margin": {"l": 56, "r": 90, "t": 12, "b": 44},
    }
    return data, layout


def _mark(found: Summary, metric: str, color: str, *, priced: bool) -> dict[str, Any]:
    figure_ = found.metrics[metric]
    value = figure_.value or 0.0
    x = (found.cost if priced else found.p50) or 0.0
    verdict = found.verdict or ""
    return {
        "type": "scatter",
        "mode": "markers+text",
        "x": [x],
        "y": [value],
        "text": [safe_name(found.variant)],
        "textposition": "middle right",
        "textfont": {"color": GREY},
        "cliponaxis": False,
        "error_y": {
            "type": "data", "symmetric": False, "array": [figure_.range.high - value], "color": color,
            "arrayminus": [value - figure_.range.low], "thickness": 1.5, "width": 5,
        },
        "marker": {
            "color": color, "size": 11, "line": {"color": color, "width": 2},
            "symbol": {"meets": "circle", "misses": "x-thin-open", "not shown": "circle-open"}.get(verdict, "circle"),
        },
        "hovertext": [f"{found.variant}: {report.number(figure_)} {report.said(found.held) if found.held else ''}"],
        "hoverinfo": "text",
        "showlegend": False,
    }  # fmt: skip


def _of_metrics(result: Result) -> tuple[list[Any], dict[str, Any]]:
    found = result.details[0]
    shown = [(n, f) for n, f in found.metrics.items() if f.value is not None][:_MANY]
    verdicts = {h.condition.metric: h.verdict for h in found.held}
    colors = {"meets": GREEN, "misses": RED}
    data = [
        {
            "type": "scatter",
            "mode": "markers",
            "orientation": "h",
            "x": [f.value],
            "y": [n],
            "error_x": {
                "type": "data", "symmetric": False, "array": [f.range.high - (f.value or 0)], "thickness": 1.5,
                "arrayminus": [(f.value or 0) - f.range.low], "width": 5,
                "color": colors.get(verdicts.get(n, ""), BLUE),
            },
            "marker": {
                "size": 11, "color": colors.get(verdicts.get(n, ""), BLUE), "line": {"width": 2},
                "symbol": "circle-open" if verdicts.get(n) == "not shown" else "circle",
            },
            "hovertext": [f"{n}: {report.number(f)}"], "hoverinfo": "text", "showlegend": False,
        }
        for n, f in reversed(shown)
    ]  # fmt: skip
    percent = all(f.range.high <= 1 for _, f in shown)
    limits = () if result.target is None else result.target.conditions
    names = [n for n, _ in reversed(shown)]
    shapes = [
        _dashed(c.limit) | {"type": "line", "xref": "x", "yref": "y", "x0": c.limit, "x1": c.limit}
        | {"y0": names.index(c.metric) - 0.45, "y1": names.index(c.metric) + 0.45}
        for c in limits
        if c.metric in names
    ]  # fmt: skip
    layout = _layout(60 + _LINE * max(len(shown), 2)) | {
        "xaxis": _axis("") | ({"tickformat": ".0%", "range": [0, 1.02]} if percent else {}),
        "yaxis": {"type": "category", "automargin": True, "showgrid": False, "zeroline": False, "fixedrange": True},
        "shapes": shapes,
    }
    return data, layout


def _dashed(limit: float) -> dict[str, Any]:
    return {
        "type": "line", "xref": "paper", "x0": 0, "x1": 1, "yref": "y", "y0": limit, "y1": limit,
        "line": {"color": GREY, "width": 1.5, "dash": "dash"},
    }  # fmt: skip


def _axis(title: str) -> dict[str, Any]:
    return {
        "title": {"text": title, "font": {"size": 12}}, "gridcolor": "rgba(121,121,121,0.2)", "zeroline": False,
        "fixedrange": True, "automargin": True,
    }  # fmt: skip


def _layout(height: int) -> dict[str, Any]:
    return {
        "height": height, "autosize": True, "font": {"color": GREY, "size": 12}, "template": "none",
        "paper_bgcolor": "rgba(0,0,0,0)", "plot_bgcolor": "rgba(0,0,0,0)", "hovermode": "closest",
        "margin": {"l": 56, "r": 16, "t": 12, "b": 36}, "showlegend": False,
    }  # fmt: skip


def safe_name(name: str) -> str:
    """A name as Plotly shows it: it reads some HTML in texts."""
    return humanize.one_line(name, 30).replace("&", "&amp;").replace("<", "&lt;")


def html(result: Result) -> str:
    """The result as HTML: the table of the variants, and the sentences below it."""
    head, *rest = report.text(result).split("\n\n")
    counts, *_ = head.split("\n")
    sentences = [*report.sentences(result)]
    below = "".join(f"<p style='margin:2px 0'>{safe(line)}</p>" for line in sentences)
    more = "".join(
        f"<pre style='font:12px ui-monospace,monospace;overflow-x:auto;margin:6px 0'>{safe(part)}</pre>"
        for part in rest
    )
    return boxed(
        f"<p style='margin:2px 0'>{safe(counts)}</p>{html_table(report.rows(result), marks=RUNS)}{below}{more}"
    )
