"""Runs graphs: compiles them to LangGraph, executes their nodes, records, pauses, resumes and replays runs."""
