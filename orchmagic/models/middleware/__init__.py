"""The middlewares of a model call, one concern per file; `pipeline.py` composes them."""
