"""What a guard looks for: one plug-in a file."""
