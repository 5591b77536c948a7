"""The views of a run: the terminal, sentences, pictures. They read the records of a run, and change nothing."""
