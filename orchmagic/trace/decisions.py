"""What a person can decide about a step's value or a tool's call, and the words for it."""

APPROVE, EDIT, REJECT = DECISIONS = ("approve", "edit", "reject")
DECIDED = {APPROVE: "approved", EDIT: "edited", REJECT: "rejected"}
"""The decisions in the past tense, as a trace says them."""
