"""What differs between two visits of the same prompt: the values that are filled in, apart from all the rest.

The semantic cache compares the values only: a long shared instruction would make any two prompts look alike.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from orchmagic.core.portable import as_text
from orchmagic.language import template
from orchmagic.language.template import Message


@dataclass(frozen=True, slots=True)
class PromptVariables:
    """`parts` are the values by name, as text; `frame` is everything else. Together they make the messages."""

    frame: str
    parts: Mapping[str, str]


def varied(
    prompt: Sequence[Message], around: Sequence[Mapping[str, Any]], seen: Mapping[str, object]
) -> PromptVariables | None:
    """The values that the templates of `prompt` take from `seen`; `around` are messages that are no template.

    None when a value is no text that says all of it (a function, an image), or there is no value at all.
    """
    names = sorted({name for message in prompt for name in template.names(message.text)})
    try:
        parts = {name: as_text(seen[name]) for name in names}
    except (KeyError, TypeError, ValueError):  # rendering tells the user
        return None
    if not parts or any(not isinstance(m.get("content"), str) for m in around):
        return None
    frame = json.dumps([[[m.role, m.text] for m in prompt], [dict(m) for m in around]], sort_keys=True, default=str)
    return PromptVariables(frame, parts)
