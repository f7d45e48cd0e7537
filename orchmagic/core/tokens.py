"""How many tokens a text takes where no tokenizer and no endpoint counted them. Two rules, for two questions.

    estimated   what it probably takes: four UTF-8 bytes a token, at least one. For dry runs, missing usage, baselines,
                and whether a question fits a model's context.
    at_most     what it cannot exceed: a token of a byte-level tokenizer covers at least one byte. For budgets, which
                set the worst case aside before a call is made.

An image is no text: it takes IMAGE tokens by both rules. Chunks of %%mapreduce are weighed more finely, by code that
exported modules copy (graph/functions/chunking.py).
"""

from __future__ import annotations

IMAGE = 3_000  # what one image is billed at most, by the tables of the large providers
_BYTES = 4  # of English text to a token, about


def size(text: str) -> int:
    """Its bytes in UTF-8. Half a surrogate pair has no UTF-8 form: it counts as it would be escaped."""
    return len(text.encode("utf-8", "surrogatepass"))


def estimated(text: str) -> int:
    """What a text probably takes, at least one token."""
    return max(1, -(-size(text) // _BYTES))


def at_most(text: str, images: int = 0) -> int:
    """What a text with so many images beside it cannot exceed."""
    return size(text) + IMAGE * images
