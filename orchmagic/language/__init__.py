"""Parser of the cell language: cell text in, frozen dataclasses out. Imports neither graph, models nor notebook."""
