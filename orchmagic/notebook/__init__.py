"""The face in IPython and Jupyter: magics, commands, widgets, panel."""
