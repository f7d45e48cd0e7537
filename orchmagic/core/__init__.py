"""What everything else stands on: settings, plug-ins, numbers in words; knows no model, graph or notebook."""
