"""The built-in views, one MIME type per file."""
