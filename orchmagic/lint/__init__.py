"""Reads orchestrations and says what is likely to cost, fail or mislead; each rule is a file in `rulebook/`.

Nothing runs and no model is called. A rule that needs figures takes them from the history of runs.
"""
