from pathlib import Path

import pytest

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Exclude the simulation from the coverage: it runs the same lines thousands of times, and measuring them would
    double its duration. The required coverage does not include the lines that only the simulation reaches."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.no_cover)
