"""Prompt texts of orchmagic itself. Exported modules contain the same texts, so both send the same requests."""

from __future__ import annotations

REASK = "That reply does not fit: {error}. Answer again with only the JSON that fits the schema."
AGAIN = "That answer did not pass this check: {check}. Answer again so that it does."
LABELS = "Choose the one label that fits best. Labels:\n{labels}"
TOOL_ERROR = "Error: {error}"
REJECTED_VALUE = "a person rejected it"
SUMMARY_ASKED = "What did we say so far, in short?"
SUMMARISE = (
    "Summarise this conversation for the assistant that goes on with it. Keep names, numbers, ids, dates, decisions, "
    "and what is still open. Write plain text, at most 200 words."
)
REJECTED = "a person rejected this call of {tool}: {why}"
