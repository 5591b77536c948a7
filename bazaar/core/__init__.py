"""What is decided: the protocol cores. Pure: no input or output, no clock but the `now` that they are given."""
