"""Which deployment answers a name: aliases, pools, health."""
