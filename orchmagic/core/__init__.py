"""The lowest layer: settings, plug-ins, text formats. It imports nothing of models, graphs or notebooks."""
