"""The user interface in IPython and Jupyter: cell magics, `%orch` commands, widgets, Runs panel."""
