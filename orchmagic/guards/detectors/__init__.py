"""The built-in guards, one file each."""
