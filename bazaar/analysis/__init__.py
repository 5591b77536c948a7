"""The verdict on a run, and its figures, both computed from what its processes wrote down."""
