"""Default limits of a run and of a model call, and which of them may be "none".

"none" leaves a bound open. That is allowed where the bound only guards time or money, which a person may decide to
spend: `deadline`, `timeout`, `budget`, `max_tokens`. The others must be numbers, since they are what makes every run
end and fit into memory: `max_steps` and `max_iterations` end loops (LangGraph needs a number, and so does a dry run),
`concurrency` bounds the requests under way, `reply_tokens` the worst case that a budget sets aside before a call,
`retry` and `reask` how often one question is paid.
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

Open: TypeAlias = Literal["none"]
OPEN: Final = "none"

MAX_ITERATIONS = 8  # rounds of a loop
MAX_STEPS = 50  # of a run
MAX_TOKENS = 200_000  # of a run, in and out
DEADLINE = 600.0  # seconds of a run
CONCURRENCY = 16  # items of one step that run at once
TIMEOUT = 60.0  # seconds of an attempt
REPLY_TOKENS = 1024  # of one reply
THREAD_TOKENS = 16_000  # of the earlier turns of a conversation, in each call
RETRY = 2  # attempts after a transient failure
REASK = 1  # repeats of a call whose reply is invalid
