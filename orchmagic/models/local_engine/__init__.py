"""The embedded local model: weights and server process."""
