"""What is wrong with settings, in one line each: checks data against a Pydantic model and words its errors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from orchmagic.errors import nearest

M = TypeVar("M", bound=BaseModel)

# what others call a key of ours
_SYNONYMS = {"api_key": "key_env", "url": "base_url", "api_base": "base_url", "api_url": "base_url"}


class UnshownError(ValueError):
    """A bad value that must not be repeated; the text says what it is and what to write."""


class ProblemsError(ValueError):
    """All that is wrong in one place, a line each: name, what was found, what to write. Who catches it adds where."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("; ".join(problems))


def checked(
    kind: type[M], values: Mapping[str, object], name: Callable[[str], str], spell: Callable[[str], str] = str
) -> M:
    """The values as a `kind`. `name` is how a given key is named in the message, `spell` how that place
    writes a known key.

    Raises:
        ProblemsError: unknown keys or bad values, all of them.
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
