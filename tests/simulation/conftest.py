from pathlib import Path

import pytest

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave the simulation out of the coverage: it runs the same lines some thousand times, and counting them would
    double its time. Nothing is lost, since what it reaches is no part of the bound."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.no_cover)
