"""The graph: its data, its types, and all that can be said of it without running it."""
