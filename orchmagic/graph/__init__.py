"""The graph: its data model, its types, and static checks, drawings and estimates. Nothing here runs a graph."""
