"""Finds the deployment for a model name: aliases, pools, ranking, health."""
