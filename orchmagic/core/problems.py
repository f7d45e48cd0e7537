"""Check settings against a Pydantic model and turn its errors into one-line texts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from orchmagic.errors import nearest

M = TypeVar("M", bound=BaseModel)

# names that other tools use for our keys
_SYNONYMS = {"api_key": "key_env", "url": "base_url", "api_base": "base_url", "api_url": "base_url"}


class UnshownError(ValueError):
    """A bad value that must not be shown; the text says what is wrong and what to write."""


class ProblemsError(ValueError):
    """All problems of one source, a line each: key, value found, what to write. The caller adds the source."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("; ".join(problems))


def checked(
    kind: type[M], values: Mapping[str, object], name: Callable[[str], str], spell: Callable[[str], str] = str
) -> M:
    """Return the values as a `kind`. For messages, `name` maps a given key, and `spell` a known key, to its spelling
    in the source.

    Raises:
        ProblemsError: all unknown keys and bad values.
    """
    try:
        return kind.model_validate(dict(values))
    except ValidationError as error:
        errors = error.errors(include_url=False)
    known = [spell(key) for key in kind.model_fields]
    problems: list[str] = []
    for problem in errors:
        key = str(next(iter(problem["loc"]), ""))
        cause = problem.get("ctx", {}).get("error")
        if problem["type"] == "extra_forbidden":
            close = nearest(spell(_SYNONYMS.get(key, key)), known)
            problems.append(f"{name(key)} is unknown: write one of {', '.join(known)}{close}")
        elif isinstance(cause, ProblemsError):
            problems += cause.problems
        elif isinstance(cause, UnshownError):
            problems.append(f"{name(key)} {cause}")
        else:
            problems.append(f"{name(key)} is {problem['input']!r}: write {cause or problem['msg']}")
    raise ProblemsError(problems)
