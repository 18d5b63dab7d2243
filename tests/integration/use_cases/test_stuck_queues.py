"""See ``tests/unit/application/test_stuck_queues.py``; over real books as many as one round takes are enough."""

import pytest
from tests.unit.application.test_stuck_queues import *  # noqa: F403 - the same tests, over other books


@pytest.fixture  # type: ignore[no-redef] # in place of all the numbers
def stuck() -> int:
    """As many as one round takes."""
    return 100
