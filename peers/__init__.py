"""Who takes part: one peer is one process, `python -m peers NAME RUN_FOLDER`."""
