"""The registry of rules: each file here defines one, and its docstring is the rule's page."""

from __future__ import annotations

from orchmagic.core.plugins import Registry
from orchmagic.lint.rule import LintRule

RULES: Registry[LintRule] = Registry("orchmagic.lint.rulebook", "rule", LintRule, group="orchmagic.lint")
