"""The protocol cores: pure, no input or output, no clock but the `now` they are given."""
