"""What happens around a model call: one concern, one file, each a Middleware; pipeline.py stacks them."""
