"""The decisions of an approval (of a step's value or a tool call), and their names in texts."""

APPROVE, EDIT, REJECT = DECISIONS = ("approve", "edit", "reject")
DECIDED = {APPROVE: "approved", EDIT: "edited", REJECT: "rejected"}
"""The decisions in the past tense, for texts."""
