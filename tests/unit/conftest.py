"""Properties are searched for a second or so each, and without a deadline: the machine may be busy."""

from hypothesis import settings

settings.register_profile("unit", deadline=None, max_examples=60, database=None)
settings.load_profile("unit")
