"""See ``tests/unit/application/test_figures.py``."""

from tests.unit.application.test_figures import *  # noqa: F403 - the same tests, over other books
