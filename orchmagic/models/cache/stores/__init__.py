"""The built-in caches, one plug-in per file."""
