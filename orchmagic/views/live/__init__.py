"""A run under way, as HTML."""
