"""Code that modules carry where steps run side by side or may fail, as it stands here; see `call_runtime`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from langgraph.errors import GraphBubbleUp
from pydantic_core import to_jsonable_python

from orchmagic.core.portable import count_votes
from orchmagic.export.vendored.ending import EndedEarlyError, StoppedError

CONCURRENCY = 16
logger = logging.getLogger(__name__)


async def for_each(
    one: Callable[[Any], Awaitable[Any]],
    items: Any,
    *,
    at_once: int = CONCURRENCY,
    may_stop: bool = True,
) -> tuple[list[Any], dict[str, str]]:
    """Do one thing for all items, side by side; return values and what went wrong.

    The order is kept, and an item that fails gives None; when all fail, so does this.
    An item that a check stopped gives None too, unless all were, or not `may_stop`.
    """
    items = to_jsonable_python(items)
    if isinstance(items, dict):
        items = [{"key": key, "value": value} for key, value in items.items()]
    slots = asyncio.Semaphore(at_once)

    async def limited(item: Any) -> Any:
        async with slots:
            return await one(item)

    found = await asyncio.gather(*map(limited, items), return_exceptions=True)
    failures = [error for error in found if isinstance(error, BaseException)]
    stopped = [error for error in failures if isinstance(error, StoppedError)]
    goes_on = may_stop and len(stopped) < len(found)
    ends = [e for e in failures if isinstance(e, GraphBubbleUp | EndedEarlyError) and not (goes_on and e in stopped)]
    if ends:  # a person rejected, or is asked
        raise min(ends, key=lambda error: isinstance(error, GraphBubbleUp))
    for error in failures:
        logger.warning("an item failed: %s", error)
    if failures and len(failures) == len(found):
        raise RuntimeError(f"all {len(found)} items failed") from failures[0]
    values, failed = [], {}
    for number, value in enumerate(found, start=1):
        values.append(None if isinstance(value, BaseException) else value)
        if isinstance(value, BaseException):
            failed[str(number)] = str(value)
    return values, failed


async def voted(
    vote: Callable[[], Awaitable[Any]],
    count: int,
    *,
    by: str = "",
    least: float = 0,
    judge: Callable[[], Awaitable[Any]] | None = None,
) -> tuple[Any, dict[str, Any]]:
    """Ask several times; what most votes say wins, and of equals what came first.

    A vote that fails agrees with nobody. When less than the share `least` agrees, the
    judge decides, if there is one.
    """
    ballots = (vote() for _ in range(count))
    found = await asyncio.gather(*ballots, return_exceptions=True)
    given = [vote for vote in found if not isinstance(vote, BaseException)]
    if not given:
        raise RuntimeError("not one vote was given") from found[0]
    winner, told = count_votes(given, count, by)
    told["decided"] = told["agreement"] >= least
    if not told["decided"] and judge:
        winner, told["decided"] = await judge(), True
    return winner, told


async def isolated(
    state: Any,
    *,
    step: str,
    node: Callable[[Any], Awaitable[Any]],
    visits: str = "",
    errors: str = "errors",
) -> Any:
    """Run a node; a failure makes its value None and leaves the other nodes alone."""
    try:
        return await node(state)
    except (GraphBubbleUp, EndedEarlyError):  # a person is asked, or the run ends
        raise
    except Exception as error:
        logger.exception("%s failed", step)
        counted = {visits: state.get(visits, 0) + 1} if visits else {}
        return {step: None, errors: {step: str(error)}, **counted}
