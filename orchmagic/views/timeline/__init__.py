"""The rows, places and marks of the timeline figure."""
