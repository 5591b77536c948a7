"""How a machine gets ready: the Python environment, and what is missing. Runs before any package is installed."""
