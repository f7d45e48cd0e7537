"""The detectors: one guard, one file."""
