"""Makes the property tests repeatable: the same examples in every run, and nothing kept between runs."""

from hypothesis import settings

settings.register_profile("repeatable", derandomize=True, database=None, deadline=None, max_examples=25)
settings.load_profile("repeatable")
