"""The console's form for money received by hand, and the checkout's choice between gateways."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from booking_payments.adapters.gateways.bank_transfer import (
    BANK_TABLES,
    MANUAL_TABLES,
    BankTransferEvents,
    BankTransferGateway,
    TransferStore,
)
from booking_payments.adapters.gateways.manual.gateway import ManualGateway
from booking_payments.adapters.memory.clock import ManualClock
from booking_payments.application.gateways import ConnectedGateway
from booking_payments.domain.lifecycle import PaymentStatus
from booking_payments.testing.kit import NOW, PaymentsTestKit
from tests.integration.http.api import token
from tests.integration.pages.site import Site, open_site

SETTINGS = {
    "PAYMENT_GATEWAYS": "fake,bank_transfer,manual",
    "BANK_TRANSFER_PAY_TO": "DE02",
    "STRIPE_WEBHOOK_SECRET": "whsec_record",
}


@pytest.fixture
def console(tmp_path: Path, sqlite_template: Path) -> Iterator[Site]:
    """An installation with the gateways fake, bank_transfer and manual, with an operator logged in."""
    url, clock = f"sqlite:///{tmp_path}/books.db", ManualClock(NOW)
    shutil.copy(sqlite_template, tmp_path / "books.db")
    asynchronous = url.replace("sqlite:", "sqlite+aiosqlite:")
    manual = ManualGateway(TransferStore.open(asynchronous, MANUAL_TABLES), clock)
    transfers = BankTransferGateway(TransferStore.open(asynchronous, BANK_TABLES), clock, "DE02")
    others = {
        "bank_transfer": ConnectedGateway(gateway=transfers, webhooks=BankTransferEvents()),
        "manual": ConnectedGateway(
            gateway=manual, webhooks=BankTransferEvents(), recorded=True, settle_refund=manual.settle_refund
        ),
    }
    with open_site(PaymentsTestKit(others=others), **SETTINGS) as site:
        site.log_in()
        yield site
        for gateway in (manual, transfers):
            site.run(gateway.store.close)


def receipt(**changes: str) -> dict[str, str]:
    return {"booking": "R-1", "amount": "100.00", "kind": "cash", "reference": "17-204", **changes}


def test_money_is_recorded_once(console: Site) -> None:
    reference = "Zürich a&b=c#d 東京"
    booking_id = console.book(reference=reference)
    console.get("/console/record")
    fields = {**console.hidden("/console/record"), **receipt(booking=reference)}

    first, again = console.post("/console/record", fields), console.post("/console/record", fields)

    payment = console.payment_of(booking_id)
    assert (payment.gateway, payment.status) == ("manual", PaymentStatus.SUCCEEDED)
    assert first.headers["location"] == f"/console/payments/{payment.id}?done=recorded"
    assert again.status_code == 303
    assert again.headers["location"] == first.headers["location"]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"amount": "90.00"}, "record all of it at once"),
        ({"booking": "nobody"}, "No booking goes by this id or reference"),
        ({"kind": "barter"}, "Choose how the money came"),
    ],
)
def test_errors_are_shown_on_the_form(console: Site, changes: dict[str, str], told: str) -> None:
    console.book()

    response = console.send("/console/record", "/console/record", **receipt(**changes))

    assert response.status_code >= 400
    assert told in response.text
    assert "17-204" in response.text


def test_the_list_has_a_link_to_the_form(console: Site) -> None:
    assert "/console/record" in console.get("/console/payments").text


def test_without_the_gateway_the_form_is_404() -> None:
    with open_site() as site:
        site.log_in()

        assert site.get("/console/record").status_code == 404
        assert "/console/record" not in site.get("/console/payments").text


def test_the_checkout_shows_the_other_gateways_that_customers_may_choose(console: Site) -> None:
    path = f"/checkout/{console.book()}"

    page = console.get(f"{path}?token={token('ann')}").text

    assert f'href="{path}?gateway=bank_transfer"' in page
    assert "gateway=manual" not in page


def test_a_customer_who_chooses_another_gateway_pays_by_it(console: Site) -> None:
    booking_id = console.book()
    path = f"/checkout/{booking_id}"
    console.get(f"{path}?token={token('ann')}")
    console.get(f"{path}?gateway=bank_transfer")

    console.post(f"{path}/pay", {**console.hidden(f"{path}/pay"), "payment_method": "bank_transfer"})

    payment = console.payment_of(booking_id)
    assert (payment.gateway, payment.status) == ("bank_transfer", PaymentStatus.REQUIRES_ACTION)
    assert 'gateway=fake"' in console.get(path).text
