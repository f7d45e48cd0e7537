"""The cell language: text in, frozen data out. Knows no graph, no model and no notebook."""
