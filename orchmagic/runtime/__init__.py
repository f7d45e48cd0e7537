"""Runs a graph: compiled to LangGraph, node by node, recorded, paused and resumed."""
