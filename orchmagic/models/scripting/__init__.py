"""Scripted models: prepared answers for tests and examples."""
