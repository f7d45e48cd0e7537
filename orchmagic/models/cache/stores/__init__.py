"""Where answers are kept: one plug-in a file."""
