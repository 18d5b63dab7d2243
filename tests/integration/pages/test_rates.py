"""Rate limits apply to pages as to the API, with shared counters."""

import re
from datetime import timedelta

import pytest
from attrs import evolve

from booking_payments.adapters.gateways.fake.gateway import FakeGateway
from booking_payments.application.payments import BookingPayments
from booking_payments.application.recent_reads import FRESH
from booking_payments.application.views import NewBooking
from booking_payments.domain.money import Currency, Money
from booking_payments.domain.reports import IntentReport
from booking_payments.testing.kit import PaymentsTestKit
from tests.integration.pages.site import Site, open_site
from tests.integration.pages.test_checkout import address


def pay(site: Site, booking_id: str) -> int:
    """Try to pay once more, and return the status."""
    action = f"/checkout/{booking_id}/pay"
    return site.send(f"/checkout/{booking_id}", action, payment_method="pm_card_chargeDeclined").status_code


def test_a_customer_who_tries_many_cards_is_rate_limited() -> None:
    with open_site(None, RATE_LIMIT_ENABLED="true", RATE_LIMIT_MONEY="2/minute") as site:
        statuses = []
        for number in range(3):
            booking_id = site.book(reference=f"R-{number}")
            site.get(address(booking_id))
            statuses.append(pay(site, booking_id))

    assert statuses[-1] == 429
    assert 429 not in statuses[:-1]


def test_the_page_of_a_429_says_when_to_try_again() -> None:
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
def test_guesses_of_a_token_are_rate_limited(where: str) -> None:
    with open_site(None, RATE_LIMIT_ENABLED="true", RATE_LIMIT_ADDRESS="40/minute") as site:
        booking_id = site.book()

        def guess() -> int:
            if where == "console":
                return site.post("/console/login", {"token": "guessed", "next": ""}).status_code
            return site.get(f"/checkout/{booking_id}?token=guessed").status_code

        statuses = [guess() for _ in range(16)]

    assert statuses[0] == 401
    assert statuses[-1] == 429


def test_a_valid_token_is_accepted_despite_the_guesses_of_others() -> None:
    with open_site(None, RATE_LIMIT_ENABLED="true", RATE_LIMIT_ADDRESS="40/minute") as site:
        for _ in range(16):
            site.post("/console/login", {"token": "guessed", "next": ""})

        assert site.log_in().status_code == 303


# --- calls to the gateway


class Counting(FakeGateway):
    """The fake gateway, counting how often an intent is read."""

    reads = 0

    async def retrieve_intent(self, intent_id: str) -> IntentReport:
        self.reads += 1
        return await super().retrieve_intent(intent_id)


def counting() -> tuple[PaymentsTestKit, Counting]:
    kit = PaymentsTestKit()
    gateway = Counting(kit.stripe, kit.clock)
    kit.payments = BookingPayments(evolve(kit.deps, gateway=gateway))
    return kit, gateway


def of_another(site: Site, customer_id: str) -> str:
    """Register a booking of another customer whose payment waits for authentication, and return its id."""
    new = NewBooking(
        reference="R-another",
        customer_id=customer_id,
        amount=Money.parse("50.00", Currency.USD),
        event_starts_at=site.kit.clock.now() + timedelta(days=30),
    )
    booking_id = str(site.run(site.kit.payments.register_booking, new).booking.id)
    site.run(site.kit.payments.process_booking_payment, booking_id, "pm_card_authenticationRequired")
    return booking_id


def look(site: Site, booking_id: str) -> int:
    """Ask for the payment's state from the last opened page, and return the status."""
    token_of_form = re.search(r'name="form_token" value="(\w+)"', site.seen)
    assert token_of_form
    seen, answer = site.seen, site.post(f"/checkout/{booking_id}/look", {"form_token": token_of_form[1]})
    site.seen = seen
    return answer.status_code


def test_repeated_reads_of_a_payment_are_rate_limited_per_customer() -> None:
    kit, gateway = counting()
    with open_site(kit, RATE_LIMIT_ENABLED="true", RATE_LIMIT_MONEY="5/minute") as site:
        of_ann, of_bob = site.paid("pm_card_authenticationRequired"), of_another(site, "bob")
        site.get(address(of_ann))
        before, statuses = gateway.reads, []
        for _ in range(8):
            kit.clock.advance(FRESH)
            statuses.append(look(site, of_ann))
        read = gateway.reads - before
        site.get(address(of_bob, sub="bob"))

        assert statuses == [200] * 5 + [429] * 3
        assert read == 5
        assert look(site, of_bob) == 200


def test_a_payment_that_was_just_read_is_shown_from_the_database() -> None:
    kit, gateway = counting()
    with open_site(kit) as site:
        booking_id = site.paid("pm_card_authenticationRequired")
        site.get(address(booking_id))
        before = gateway.reads
        for _ in range(20):
            assert look(site, booking_id) == 200
        assert gateway.reads - before == 1

        kit.clock.advance(FRESH)
        look(site, booking_id)
        assert gateway.reads - before == 2


@pytest.mark.parametrize("action", ["webhooks/evt_1/replay", "drift/run"])
def test_gateway_calls_of_an_operator_are_counted(action: str) -> None:
    with open_site(None, RATE_LIMIT_ENABLED="true", RATE_LIMIT_MONEY="2/minute") as site:
        site.log_in()
        page = site.get("/console/drift").text
        token_of_form = re.search(r'name="form_token" value="(\w+)"', page)
        assert token_of_form
        fields = {"form_token": token_of_form[1], "days": "1"}
        statuses = [site.post(f"/console/{action}", fields).status_code for _ in range(3)]

    assert 429 not in statuses[:2]
    assert statuses[2] == 429
