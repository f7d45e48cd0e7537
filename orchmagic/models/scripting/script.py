"""Script: prepared answers for tests, examples and a first try without a key. Nothing is random.

    Script(["first", {"label": "low"}, Reply(fault="429", retry_after=2)])     in order
    Script({r"refund": "billing", r"tool: .*": Reply("done")})                 by rule: the first that matches
    Script(lambda body: Reply(...) or None)                                    by your own function
    Script()                                                                   the smallest answer that fits

After the end of the list, or if no rule matches, a request with a schema gets the smallest instance of it, any other
gets "scripted". A script answers inside the process (provider "scripted") and over HTTP (`serve`).
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from orchmagic.core.portable import message_text
from orchmagic.core.user_code import contained
from orchmagic.models.scripting.reply import Body, Reply

Answer: TypeAlias = Any  # a Reply, or a value for its `text`
Source: TypeAlias = Iterable[Answer] | Mapping[str, Answer] | Callable[[Body], Answer] | str | Reply


class Script:
    """Answers by order, rule or function. `requests` has the bodies of all requests, oldest first.

    A rule is a regular expression, searched in the "model: ..." and "role: text" lines of the conversation (so
    `^tool: ` matches a tool's result, `^model: large$` a model). Its answer may be a list, used in order; the last one
    is repeated. Safe to use from several threads.
    """

    def __init__(self, replies: Source = ()) -> None:
        self.requests: list[dict[str, Any]] = []
        self._lock = threading.Lock()
        self._find = self._finder(replies)

    def take(self, body: Body) -> tuple[Reply, int]:
        """The next answer to `body`, and the number of the request, from 1."""
        with self._lock:
            self.requests.append(json.loads(json.dumps(body)))
            number = len(self.requests)
            with contained():
                answer = self._find(body)
        return (answer if isinstance(answer, Reply) else Reply(answer)), number

    def _finder(self, replies: Source) -> Callable[[Body], Answer]:
        if callable(replies):
            return replies
        if isinstance(replies, Mapping):
            rules = [(re.compile(rule, re.MULTILINE), _queue(answer)) for rule, answer in replies.items()]
            return lambda body: _by_rule(rules, conversation(body))
        waiting = iter([replies] if isinstance(replies, (str, Reply)) else list(replies))
        return lambda _: next(waiting, None)


def _queue(answer: Answer) -> list[Answer]:
    return list(answer) or [None] if isinstance(answer, list) else [answer]


def _by_rule(rules: Sequence[tuple[re.Pattern[str], list[Answer]]], text: str) -> Answer:
    for rule, answers in rules:
        if rule.search(text):
            return answers.pop(0) if len(answers) > 1 else answers[0]
    return None


def conversation(body: Body) -> str:
    """The text in which rules are searched: `model: name`, then `role: text` for each message."""
    lines = [f"{message.get('role')}: {message_text(message)}" for message in body.get("messages", ())]
    return "\n".join([f"model: {body.get('model')}", *lines])
