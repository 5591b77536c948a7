"""The protocol cores, which make all decisions. They are pure: no input, no output, no clock but the `now` that is given."""
