"""The rows, positions and marks of the timeline figure."""
