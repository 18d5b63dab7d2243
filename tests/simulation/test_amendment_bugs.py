"""Each planted bug of amendments, items and event jobs is found by its scenario, which finds nothing without it."""

import pytest

from booking_payments.testing.kit import PaymentsTestKit
from tests.simulation.amendment_bugs import AMENDMENT_BUGS


@pytest.mark.parametrize("name", AMENDMENT_BUGS)
async def test_without_the_bug_nothing_is_found(name: str) -> None:
    assert await AMENDMENT_BUGS[name].scenario(PaymentsTestKit()) == []


@pytest.mark.parametrize("name", AMENDMENT_BUGS)
async def test_the_bug_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    AMENDMENT_BUGS[name].plant(monkeypatch)

    assert await AMENDMENT_BUGS[name].scenario(PaymentsTestKit()) != []
