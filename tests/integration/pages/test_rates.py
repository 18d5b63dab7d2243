"""Pages are bounded as the API is, and together with it."""

import pytest

from tests.integration.pages.site import Site, open_site
from tests.integration.pages.test_checkout import address


def pay(site: Site, booking_id: str) -> int:
    """The status of one more attempt to pay."""
    action = f"/checkout/{booking_id}/pay"
    return site.send(f"/checkout/{booking_id}", action, payment_method="pm_card_chargeDeclined").status_code


def test_a_customer_who_tries_card_after_card_has_to_wait() -> None:
    with open_site(None, RATE_LIMIT_ENABLED="true", RATE_LIMIT_MONEY="2/minute") as site:
        statuses = []
        for number in range(3):
            booking_id = site.book(reference=f"R-{number}")
            site.get(address(booking_id))
            statuses.append(pay(site, booking_id))

    assert statuses[-1] == 429
    assert 429 not in statuses[:-1]


def test_the_page_of_a_429_says_when_to_come_again() -> None:
    with open_site(None, RATE_LIMIT_ENABLED="true", RATE_LIMIT_MONEY="1/minute") as site:
        booking_id = site.book()
        site.get(address(booking_id))
        pay(site, booking_id)
        answer = site.send(
            f"/checkout/{booking_id}", f"/checkout/{booking_id}/pay", payment_method="pm_card_chargeDeclined"
        )

    assert "Too many requests" in answer.text
    assert 1 <= int(answer.headers["retry-after"]) <= 60


@pytest.mark.parametrize("where", ["checkout", "console"])
def test_guesses_at_a_token_are_bounded(where: str) -> None:
    with open_site(None, RATE_LIMIT_ENABLED="true", RATE_LIMIT_ADDRESS="40/minute") as site:
        booking_id = site.book()

        def guess() -> int:
            if where == "console":
                return site.post("/console/login", {"token": "guessed", "next": ""}).status_code
            return site.get(f"/checkout/{booking_id}?token=guessed").status_code

        statuses = [guess() for _ in range(16)]

    assert statuses[0] == 401
    assert statuses[-1] == 429


def test_who_has_a_token_gets_in_whatever_others_guess() -> None:
    with open_site(None, RATE_LIMIT_ENABLED="true", RATE_LIMIT_ADDRESS="40/minute") as site:
        for _ in range(16):
            site.post("/console/login", {"token": "guessed", "next": ""})

        assert site.log_in().status_code == 303
