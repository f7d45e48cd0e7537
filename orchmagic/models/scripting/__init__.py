"""Answers written beforehand, for tests and examples."""
