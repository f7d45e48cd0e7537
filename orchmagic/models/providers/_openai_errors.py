"""Turns the errors of openai's client, and of reading what an endpoint sent, into ModelErrors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from orchmagic.core.portable import asked_wait
from orchmagic.errors import ModelError
from orchmagic.models.types import Deployment
from orchmagic.models.wire import http_errors

# the errors of reading an answer that is not JSON, or JSON of another shape or nested too deeply
_NOT_OF_THE_PROTOCOL = (ValueError, TypeError, KeyError, AttributeError, RecursionError)


@contextmanager
def translated(deployment: Deployment) -> Iterator[None]:
    """Raise each error of the block as a ModelError."""
    from openai import APIConnectionError, APIStatusError  # noqa: PLC0415 - heavy

    try:
        yield
    except APIConnectionError as error:
        if isinstance(error.__cause__, ModelError):  # a redirect that was refused
            raise error.__cause__ from None
        raise _broken(error, deployment) from error
    except APIStatusError as error:
        wait = asked_wait(error.response.headers)
        detail = error.body if isinstance(error.body, Mapping) else str(error.body or error.message)
        raise http_errors.rejected(deployment, error.status_code, detail, wait) from error
    except (OverflowError, ExceptionGroup) as error:  # a proxy with an impossible port, tried side by side
        cause = error.exceptions[0] if isinstance(error, ExceptionGroup) else error
        raise http_errors.no_way(deployment, f"{type(cause).__name__}: {cause}") from error
    except _NOT_OF_THE_PROTOCOL as error:
        raise http_errors.garbled(deployment, 200, f"{type(error).__name__}: {error}") from error


def _broken(error: Exception, deployment: Deployment) -> ModelError:
    from httpx2 import ConnectError  # noqa: PLC0415 - comes with openai
    from openai import APITimeoutError  # noqa: PLC0415 - heavy

    cause = error.__cause__
    if isinstance(error, APITimeoutError):  # a time limit of the system, before ours
        return http_errors.late(deployment, None)
    if isinstance(cause, ConnectError):
        return http_errors.unreachable(deployment, str(cause))
    return http_errors.lost(deployment, str(cause or error) or type(cause or error).__name__)
