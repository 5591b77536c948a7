"""Gets a machine ready: makes the Python environment, finds what is missing. Runs before any package is installed."""
