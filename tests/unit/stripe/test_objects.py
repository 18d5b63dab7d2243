"""Stripe's objects are decoded leniently: new and unknown values raise no unexpected error."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from booking_payments.adapters.gateways.stripe.objects import (
    UnreadableObject,
    dispute_report,
    id_of,
    intent_report,
    refund_report,
)
from booking_payments.domain.disputes import withdrawn_by
from booking_payments.domain.lifecycle import DisputeStatus, PaymentStatus, RefundStatus
from booking_payments.domain.money import Currency, Money
from booking_payments.domain.reports import MethodDetails

INTENT: dict[str, Any] = {
    "id": "pi_1",
    "amount": 1099,
    "amount_received": 0,
    "currency": "usd",
    "status": "processing",
    "created": 1_700_000_000,
}
REFUND: dict[str, Any] = {"id": "re_1", "amount": 500, "currency": "usd", "status": "pending", "payment_intent": "pi_1"}
DISPUTE: dict[str, Any] = {
    "id": "du_1",
    "amount": 1099,
    "currency": "usd",
    "status": "needs_response",
    "charge": "ch_1",
}


def test_an_intent_is_read() -> None:
    report = intent_report(INTENT)

    assert (report.status, report.amount.minor, report.created_at) == (
        PaymentStatus.PROCESSING,
        1099,
        datetime.fromtimestamp(1_700_000_000, UTC),
    )


@pytest.mark.parametrize("status", ["failed", "requires_source", "quantum", None, 7, ["succeeded"]])
def test_an_unknown_status_is_no_status(status: object) -> None:
    assert intent_report({**INTENT, "status": status}).status is None


def test_unknown_fields_are_ignored() -> None:
    assert intent_report({**INTENT, "brand_new": {"deep": [1]}}).id == "pi_1"


@pytest.mark.parametrize(
    "changes",
    [
        {"id": None},
        {"id": ""},
        {"id": "x" * 256},
        {"amount": None},
        {"amount": "1099"},
        {"amount": True},
        {"amount": 10**12},
        {"currency": None},
        {"currency": "xxx"},
        {"amount_received": None},
    ],
)
def test_a_missing_required_field_makes_an_intent_unreadable(changes: dict[str, object]) -> None:
    with pytest.raises(UnreadableObject):
        intent_report({**INTENT, **changes})


@pytest.mark.parametrize(
    ("currency", "amount", "ours"),
    [("jpy", 500, 500), ("isk", 500, 5), ("ugx", 500, 5), ("mga", 5, 500), ("kwd", 5120, 5120), ("USD", 7, 7)],
)
def test_amounts_go_through_stripes_own_exponents(currency: str, amount: int, ours: int) -> None:
    report = intent_report({**INTENT, "currency": currency, "amount": amount})

    assert report.amount == Money(ours, Currency.of(currency.lower()))


def test_an_amount_that_our_currency_can_not_express_is_unreadable() -> None:
    with pytest.raises(UnreadableObject):
        intent_report({**INTENT, "currency": "isk", "amount": 501})


@pytest.mark.parametrize(("value", "found"), [("ch_1", "ch_1"), ({"id": "ch_1"}, "ch_1"), (None, None), ({}, None)])
def test_a_field_may_be_expanded(value: object, found: str | None) -> None:
    assert id_of(value) == found


def test_a_failure_is_read_from_the_last_payment_error() -> None:
    error = {"code": "card_declined", "decline_code": "generic_decline", "charge": "ch_1", "message": "No."}

    failure = intent_report({**INTENT, "last_payment_error": error}).failure

    assert failure is not None
    assert (failure.decline.message, failure.charge_id) == ("No.", "ch_1")


def test_a_refund_is_read() -> None:
    report = refund_report({**REFUND, "metadata": {"refund_id": "rf_1", "odd": 1}})

    assert (report.status, report.intent_id, report.metadata) == (RefundStatus.PENDING, "pi_1", {"refund_id": "rf_1"})


def withdrawn(*moved: dict[str, Any]) -> int:
    """Return the withdrawn amount of a dispute with these balance transactions, in its smallest unit."""
    report = dispute_report({**DISPUTE, "balance_transactions": list(moved)})
    return withdrawn_by(report.movements, report.amount, won=False).minor


def test_a_dispute_without_balance_transactions_holds_nothing() -> None:
    report = dispute_report(DISPUTE)

    assert (report.status, report.movements, withdrawn()) == (DisputeStatus.NEEDS_RESPONSE, (), 0)


def test_the_held_amount_of_a_dispute_is_the_sum_of_its_balance_transactions() -> None:
    assert withdrawn({"amount": -1099, "currency": "usd"}, {"amount": 99, "currency": "usd"}) == 1000


def test_a_withdrawal_in_another_settlement_currency_counts_as_the_whole() -> None:
    assert withdrawn({"amount": -950, "currency": "eur"}) == 1099


def test_a_returned_amount_is_not_held() -> None:
    assert withdrawn({"amount": -1099, "currency": "usd"}, {"amount": 1099, "currency": "usd"}) == 0


def test_balance_transactions_are_sorted_by_time() -> None:
    debit = {"amount": -1099, "currency": "usd", "created": 1_700_000_000}
    credit = {"amount": 1099, "currency": "usd", "created": 1_700_000_001}

    assert (withdrawn(credit, debit), withdrawn(debit, credit)) == (0, 0)


@pytest.mark.parametrize("odd", [None, "text", 7, [], {"amount": "1"}, {"amount": True}, {"currency": "usd"}])
def test_an_invalid_balance_transaction_is_ignored(odd: Any) -> None:
    assert withdrawn({"amount": -1099, "currency": "usd"}, odd) == 1099


@pytest.mark.parametrize(
    ("given", "rate"),
    [(0.92, "0.92"), ("1.5", "1.5"), (2, "2"), (None, None), (True, None), (0, None), (-1, None), ("x", None)],
)
def test_an_invalid_exchange_rate_is_ignored(given: Any, rate: str | None) -> None:
    moved = {"amount": -950, "currency": "eur", "exchange_rate": given}
    [movement] = dispute_report({**DISPUTE, "balance_transactions": [moved]}).movements

    assert movement.exchange_rate == (Decimal(rate) if rate else None)


def test_the_day_by_which_evidence_is_due_is_read() -> None:
    report = dispute_report({**DISPUTE, "evidence_details": {"due_by": 1_700_000_000}})

    assert report.evidence_due_by == datetime.fromtimestamp(1_700_000_000, UTC)


def test_a_time_out_of_range_is_none() -> None:
    assert intent_report({**INTENT, "created": 2**60}).created_at is None


def _charged(**details: object) -> dict[str, object]:
    return {"id": "ch_1", "payment_method_details": {"type": "card", "card": details}}


@pytest.mark.parametrize(
    ("charge", "method", "until"),
    [
        ("ch_1", None, None),
        ({"id": "ch_1"}, None, None),
        ({"id": "ch_1", "payment_method_details": {"type": "ideal"}}, MethodDetails(type="ideal"), None),
        (
            _charged(brand="visa", last4="4242", wallet={"type": "apple_pay"}, capture_before=1767225600),
            MethodDetails(type="card", brand="visa", last4="4242", wallet="apple_pay"),
            datetime(2026, 1, 1, tzinfo=UTC),
        ),
        (_charged(brand=5, last4=[], wallet="x", capture_before="soon"), MethodDetails(type="card"), None),
    ],
)
def test_an_expanded_charge_has_the_payment_method(
    charge: object, method: MethodDetails | None, until: datetime | None
) -> None:
    body = {"id": "pi_1", "amount": 1, "amount_received": 1, "currency": "usd", "latest_charge": charge}

    report = intent_report(body)

    assert (report.method, report.capture_before, report.charge_id) == (method, until, "ch_1")


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("https://pay.stripe.com/receipts/payment/ch_1", "https://pay.stripe.com/receipts/payment/ch_1"),
        ("http://pay.stripe.com/receipts/payment/ch_1", None),
        ("javascript:alert(1)", None),
        (5, None),
        (None, None),
    ],
)
def test_a_receipt_is_an_https_address(url: object, kept: str | None) -> None:
    report = intent_report(INTENT | {"latest_charge": {"id": "ch_1", "receipt_url": url}})

    assert report.receipt_url == kept
