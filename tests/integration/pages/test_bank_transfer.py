"""The checkout page for bank transfers: it shows where to send the money, and that the money was received."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from booking_payments.asgi import Application
from booking_payments.entrypoints.cli import main
from booking_payments.runtime.settings import load_settings, setting_names
from booking_payments.testing.kit import PaymentsTestKit
from tests.e2e.blocks import json_of
from tests.in_thread import InThreadClient
from tests.integration.http.api import JWT_SECRET, token
from tests.integration.pages.site import Site

BOOKING = {
    "reference": "SEAT-1",
    "customer_id": "ann",
    "amount": "100.00",
    "currency": "usd",
    "event_starts_at": "2100-01-01T20:00:00Z",
}


@pytest.fixture
def site(tmp_path: Path, sqlite_template: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    env = {
        "DATABASE_URL": f"sqlite:///{tmp_path / 'payments.db'}",
        "PAYMENT_GATEWAY": "bank_transfer",
        "BANK_TRANSFER_PAY_TO": "Example Cinemas, DE02 1203 0000 0000 2020 51",
        "JWT_SECRET": JWT_SECRET,
    }
    monkeypatch.chdir(tmp_path)
    for name in setting_names():
        monkeypatch.delenv(name, raising=False)
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    shutil.copy(sqlite_template, tmp_path / "payments.db")
    with InThreadClient(Application(load_settings(env, None)), base_url="https://testserver.local") as client:
        kit = PaymentsTestKit()
        yield Site(client=client, kit=kit, portal=client.blocking_portal, served=kit.payments)


def booked(site: Site) -> str:
    answer = site.client.post(
        "/api/bookings/", json=BOOKING, headers={"Authorization": f"Bearer {token('app', 'bookings:write')}"}
    )
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def told(site: Site) -> str:
    """Return the payment reference on the page."""
    found = re.search(r"<code>(bt_\w+)</code>", site.seen)
    assert found, site.seen
    return found[1]


@pytest.mark.parametrize("name", ["bank_transfer", "stripe"])
def test_bank_transfers_have_no_webhook_endpoint(site: Site, name: str) -> None:
    assert site.client.post(f"/api/webhooks/{name}/", content=b"{}").status_code == 404


def test_the_page_shows_the_account_and_that_the_money_was_received(site: Site) -> None:
    booking_id = booked(site)
    page = f"/checkout/{booking_id}"
    assert "Pay by bank transfer" in site.get(f"{page}?token={token('ann')}").text
    assert "test card" not in site.seen
    assert "Test mode" not in site.seen

    sent = site.send(page, f"{page}/pay")
    assert (sent.status_code, sent.headers["location"]) == (303, page)
    site.get(page)
    assert "Send the money" in site.seen
    assert "Example Cinemas, DE02 1203 0000 0000 2020 51" in site.seen

    done = CliRunner().invoke(main, ["transfers", "received", told(site), "100.00", "usd"])
    assert done.exit_code == 0, done.output
    assert "Paid. Thank you!" in site.get(page).text


def test_the_api_returns_the_same_bank_details(site: Site) -> None:
    booking_id = booked(site)
    answer = site.client.post(
        f"/api/bookings/{booking_id}/payment/intent/",
        json={"payment_method_id": "bank_transfer", "confirm_immediately": True},
        headers={"Authorization": f"Bearer {token('ann')}"},
    ).json()

    assert answer["status"] == "requires_action"
    instructions = answer["next_action"]["display_bank_transfer_instructions"]
    assert instructions["reference"] == answer["payment_intent_id"]
    (asked, told) = json_of("docs/guides/bank-transfers.md")
    assert asked == {"payment_method_id": "bank_transfer", "confirm_immediately": True}
    assert told["next_action"].keys() == answer["next_action"].keys()
    assert told["next_action"]["display_bank_transfer_instructions"].keys() == instructions.keys()
    assert instructions["pay_to"] == "Example Cinemas, DE02 1203 0000 0000 2020 51"


def test_a_card_is_refused_with_a_helpful_message(site: Site) -> None:
    booking_id = booked(site)
    answer = site.client.post(
        f"/api/bookings/{booking_id}/payment/intent/",
        json={"payment_method_id": "pm_card_visa", "confirm_immediately": True},
        headers={"Authorization": f"Bearer {token('ann')}"},
    )

    assert (answer.status_code, answer.json()["code"]) == (422, "payment_method_unknown")
    assert "choose another" in answer.json()["detail"]


def test_a_webhook_cannot_report_a_received_transfer(site: Site) -> None:
    body = {"id": "evt_bt_x_succeeded", "type": "payment_intent.succeeded", "data": {"object": {"id": "bt_x"}}}

    answer = site.client.post("/api/webhooks/stripe/", json=body, headers={"Stripe-Signature": "t=1,v1=00"})

    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
