"""One run: its processes are started, watched, broken on request, and ended."""
