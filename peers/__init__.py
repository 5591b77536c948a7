"""The peers. Each peer is one process, `python -m peers NAME RUN_FOLDER NAME_SERVER_PORT`."""
