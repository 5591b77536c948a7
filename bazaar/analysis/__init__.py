"""Whether a run was right, and its figures: read from what its processes wrote down."""
