"""Estimate the tokens of a text without a tokenizer, by one of two rules.

    estimated   the probable number: four UTF-8 bytes per token, at least one token. For dry runs, missing usage,
                baselines, and the check whether a prompt fits a model's context.
    at_most     an upper bound: a token of a byte-level tokenizer covers at least one byte. For budgets, which
                reserve the worst case before a call.

An image counts as IMAGE tokens. Chunks of %%mapreduce are measured more precisely, by code that exported modules copy
(graph/functions/chunking.py).
"""

from __future__ import annotations

IMAGE = 3_000  # the most that the large providers bill for one image
_BYTES = 4  # per token of English text, about


def size(text: str) -> int:
    """Return the number of UTF-8 bytes; a lone surrogate, which has no UTF-8 form, counts three."""
    return len(text.encode("utf-8", "surrogatepass"))


def estimated(text: str) -> int:
    """Return the probable number of tokens, at least one."""
    return max(1, -(-size(text) // _BYTES))


def at_most(text: str, images: int = 0) -> int:
    """Return an upper bound of the tokens of a text with `images` images."""
    return size(text) + IMAGE * images
