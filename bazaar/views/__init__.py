"""How a run looks: the terminal, sentences, pictures. They read what is written down, and change nothing."""
