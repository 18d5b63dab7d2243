"""The checkout page after the payment: it shows refunds, disputes and the end of the booking."""

from html import unescape
from typing import Any

import pytest

from booking_payments.application.dependencies import PaymentConfig
from booking_payments.domain.errors import OutcomeUnknown
from booking_payments.domain.refunds import RefundOnCancel
from booking_payments.testing.kit import ANN, PaymentsTestKit
from tests.integration.http.api import token
from tests.integration.pages.site import Site, open_site

PAID = "Paid. Thank you!"


def page_of(site: Site, booking_id: str) -> str:
    return " ".join(unescape(site.get(f"/checkout/{booking_id}?token={token('ann')}").text).split())


def refund(site: Site, booking_id: str, amount: str | None = None) -> None:
    """A refund at the customer's own request."""
    site.run(site.kit.payments.refund_payment, booking_id, ANN, amount=amount)


def dispute(site: Site, booking_id: str, **opening: Any) -> None:
    assert site.kit.stripe.open_dispute(site.payment_of(booking_id).intent_id, **opening).ok
    site.run(site.kit.deliver_webhooks)


def test_a_full_refund_that_cancels_the_booking_shows_both(site: Site) -> None:
    booking_id = site.paid()
    refund(site, booking_id)
    page = page_of(site, booking_id)

    assert "<h1>This booking was canceled</h1>" in page
    assert "The whole payment of $100.00 has been refunded." in page
    assert "confirmed" not in page
    assert PAID not in page


def test_a_pending_refund_is_shown_as_on_its_way(site: Site) -> None:
    booking_id = site.paid("pm_card_pendingRefund")
    refund(site, booking_id)
    page = page_of(site, booking_id)

    assert "A refund of $100.00 is on its way" in page
    assert "has been refunded" not in page


def test_a_canceled_booking_whose_refund_failed_shows_the_owed_amount(site: Site) -> None:
    booking_id = site.paid("pm_card_refundFail")
    site.run(site.kit.payments.cancel_booking, booking_id, refund=RefundOnCancel.FULL)
    site.run(site.kit.settle)
    page = page_of(site, booking_id)

    assert "<h1>This booking was canceled</h1>" in page
    assert "$100.00 is owed to you and has not been sent yet." in page


def test_a_canceled_booking_without_a_refund_says_that_nothing_is_refunded(site: Site) -> None:
    booking_id = site.paid()
    site.run(site.kit.payments.cancel_booking, booking_id, refund=RefundOnCancel.NONE)
    page = page_of(site, booking_id)

    assert "<h1>This booking was canceled</h1>" in page
    assert "The payment of $100.00 is not refunded." in page


def test_after_a_full_refund_without_cancellation_the_booking_is_shown_as_confirmed() -> None:
    with open_site(PaymentsTestKit(config=PaymentConfig(full_refund_cancels=False))) as site:
        booking_id = site.paid()
        refund(site, booking_id)
        page = page_of(site, booking_id)

    assert "<h1>Your booking is confirmed</h1>" in page
    assert "The whole payment of $100.00 has been refunded." in page
    assert "<dt>Refund</dt>" not in page


def test_a_partial_refund_is_shown(site: Site) -> None:
    booking_id = site.paid()
    refund(site, booking_id, "30.00")
    page = page_of(site, booking_id)

    assert "<h1>Your booking is confirmed</h1>" in page
    assert "$30.00 has been refunded." in page
    assert "Your booking is confirmed." not in page  # which the title says


@pytest.mark.parametrize(
    ("status", "said"),
    [
        ("warning_needs_response", "Your bank has asked for information about this payment."),
        ("needs_response", "disputed $100.00 of this payment; your bank has not decided yet."),
        ("lost", "Your bank has taken back $100.00 of this payment."),
        ("won", "A dispute about this payment is closed."),
    ],
)
def test_a_dispute_is_shown_with_its_state(site: Site, status: str, said: str) -> None:
    booking_id = site.paid()
    dispute(site, booking_id, status=status)
    page = page_of(site, booking_id)

    assert said in page
    assert PAID not in page


def test_a_canceled_booking_with_a_processing_debit_is_shown_as_canceled(site: Site) -> None:
    booking_id = site.paid("pm_usBankAccount_processing")
    site.run(site.kit.payments.cancel_booking, booking_id)
    page = page_of(site, booking_id)

    assert "<h1>This booking was canceled</h1>" in page
    assert "If it goes through, the money is returned to you." in page
    assert "stays yours" not in page


def test_an_authorization_being_released_is_not_shown_as_a_payment_in_progress(site: Site) -> None:
    booking_id = site.held()
    site.kit.stripe.faults.script("POST /v1/payment_intents/*/cancel", "503", times=100)
    with pytest.raises(OutcomeUnknown):
        site.run(site.kit.payments.cancel_booking, booking_id)
    page = page_of(site, booking_id)

    assert "<h1>Your payment is being canceled</h1>" in page
    assert "Please don't pay again" not in page


def test_a_refund_whose_outcome_is_unknown_is_not_shown_as_a_payment(site: Site) -> None:
    booking_id = site.paid()
    site.kit.stripe.faults.script("POST /v1/refunds", "timeout_after", times=100)
    with pytest.raises(OutcomeUnknown):
        refund(site, booking_id, "30.00")
    page = page_of(site, booking_id)

    assert "<h1>Your booking is confirmed</h1>" in page
    assert "A refund of $30.00 is on its way" in page
    assert "charged twice" not in page
