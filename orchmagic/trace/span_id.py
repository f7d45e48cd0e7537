"""The grammar of span ids: an id is the path of the spans that contain it.

extract#2          second visit of step extract     map#1/3, map#1/v2   third item, second vote of a visit
digest#1/map#1     step map of the graph in digest  map#1/3.1           first question (or tool call) in item 3
"""

from __future__ import annotations


def parent(span: str) -> str | None:
    """Return the parent's id: `map#1` of `map#1/3` and of `map#1.2`; None for a top-level span."""
    before, slash, last = span.rpartition("/")
    step, dot, number = last.rpartition(".")
    if dot and number.isdigit():
        return f"{before}{slash}{step}"
    return before or None


def name(span: str) -> str:
    """Return the name of a step, item or vote: `map` of `digest#1/map#2`, `3`, `vote 2`."""
    last = span.rpartition("/")[2].partition("#")[0]
    return f"vote {last[1:]}" if _is_vote(span) else last


def kind(span: str) -> str:
    """Return `item` or `vote` if the id has that form, else an empty string."""
    if _is_vote(span):
        return "vote"
    return "item" if span.rpartition("/")[2].isdigit() and "/" in span else ""


def path(span: str) -> str:
    """Return the id without visit numbers: `digest/map/3` for `digest#1/map#1/3`."""
    return "/".join(part.partition("#")[0] for part in span.split("/"))


def is_inside(span: str, outer: str) -> bool:
    """Whether a span or call is `outer` or inside it: `map#1/2.1` is inside `map#1/2`."""
    return span == outer or span.startswith((f"{outer}.", f"{outer}/"))


def _is_vote(span: str) -> bool:
    last = span.rpartition("/")[2]
    return "/" in span and last[:1] == "v" and last[1:].isdigit()
