"""One MIME type a file."""
