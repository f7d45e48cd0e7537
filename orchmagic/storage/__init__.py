"""Data that outlives a kernel: run history, journals, writes and checkpoints, in SQLite."""
