"""The error for each of Stripe's error codes with a distinct meaning (docs.stripe.com/error-codes)."""

import attrs
import pytest

from booking_payments.adapters.gateways.stripe.answers import RATE_LIMIT_REASON, error_from
from booking_payments.application.payments import BookingPayments
from booking_payments.domain.errors import PaymentError
from booking_payments.domain.payment import DeferredRefund
from booking_payments.entrypoints.http.problems import status_of
from booking_payments.testing.kit import ANN, PaymentsTestKit
from tests.payments import pay
from tests.unit.application.failing_gateway import FailingGateway

INVALID, CARD = "invalid_request_error", "card_error"

REFUNDING = [
    ("charge_already_refunded", 422, "nothing_left"),
    ("charge_not_refundable", 422, "not_refundable"),
    ("balance_insufficient", 502, "balance_insufficient"),
]

PAYING = [
    ("payment_intent_unexpected_state", 400, INVALID, 409, "payment_state_changed"),
    ("intent_invalid_state", 400, INVALID, 409, "payment_state_changed"),
    ("status_transition_invalid", 400, INVALID, 409, "payment_state_changed"),
    ("payment_intent_authentication_failure", 400, INVALID, 409, "payment_state_changed"),
    ("payment_intent_payment_attempt_failed", 400, INVALID, 409, "payment_state_changed"),
    ("payment_intent_payment_attempt_expired", 400, INVALID, 409, "payment_state_changed"),
    ("charge_already_captured", 400, INVALID, 409, "already_paid"),
    ("charge_expired_for_capture", 400, INVALID, 409, "authorization_expired"),
    ("capture_charge_authorization_expired", 400, INVALID, 409, "authorization_expired"),
    ("amount_too_small", 400, INVALID, 422, "amount_too_small"),
    ("amount_too_large", 400, INVALID, 422, "amount_too_large"),
    ("invalid_charge_amount", 400, INVALID, 422, "amount_not_chargeable"),
    ("payment_intent_incompatible_payment_method", 400, INVALID, 422, "payment_method_incompatible"),
    ("payment_method_currency_mismatch", 400, INVALID, 422, "payment_method_incompatible"),
    ("payment_method_unexpected_state", 400, INVALID, 422, "payment_method_incompatible"),
    ("payment_method_unsupported_type", 400, INVALID, 422, "payment_method_incompatible"),
    ("token_already_used", 400, INVALID, 422, "payment_method_used"),
    # Verdicts against the card.
    ("card_declined", 402, CARD, 402, "card_declined"),
    ("expired_card", 402, CARD, 402, "expired_card"),
    ("incorrect_cvc", 402, CARD, 402, "incorrect_cvc"),
    ("incorrect_number", 402, CARD, 402, "incorrect_number"),
    ("processing_error", 402, CARD, 402, "processing_error"),
    ("authentication_required", 402, CARD, 402, "authentication_required"),
    ("card_decline_rate_limit_exceeded", 402, CARD, 402, "card_decline_rate_limit_exceeded"),
    # The outcome is unknown, or the call had no effect.
    ("idempotency_key_in_use", 409, INVALID, 503, "outcome_unknown"),
    ("lock_timeout", 429, INVALID, 503, "outcome_unknown"),
    ("rate_limit", 429, INVALID, 503, "gateway_unavailable"),
    # Errors of this service: in the request, the API keys or the account.
    ("resource_missing", 404, INVALID, 502, "gateway_refused"),
    ("parameter_missing", 400, INVALID, 502, "gateway_refused"),
    ("parameter_invalid_integer", 400, INVALID, 502, "gateway_refused"),
    ("parameter_unknown", 400, INVALID, 502, "gateway_refused"),
    ("livemode_mismatch", 400, INVALID, 502, "gateway_refused"),
    ("testmode_charges_only", 400, INVALID, 502, "gateway_refused"),
    ("api_key_expired", 401, INVALID, 502, "gateway_refused"),
    ("secret_key_required", 403, INVALID, 502, "gateway_refused"),
]


def _answering(kit: PaymentsTestKit, verb: str, status: int, type_: str, code: str) -> BookingPayments:
    """The use cases with a gateway that gets this response from Stripe to every request."""
    headers = {RATE_LIMIT_REASON: "global-rate"} if code == "rate_limit" else {}
    body = {"error": {"type": type_, "code": code, "message": "No."}}
    answers = [error_from(status, body, headers) for _ in range(kit.deps.retry.max_tries)]
    return BookingPayments(attrs.evolve(kit.deps, gateway=FailingGateway(kit, **{verb: answers})))


@pytest.mark.parametrize(
    ("code", "status", "type_", "told", "own"), PAYING, ids=[f"{row[0]} is {row[3]}" for row in PAYING]
)
async def test_each_error_code_of_a_payment_raises_its_error(
    kit: PaymentsTestKit, code: str, status: int, type_: str, told: int, own: str
) -> None:
    booking = await kit.book()
    payments = _answering(kit, "create_intent", status, type_, code)

    with pytest.raises(PaymentError) as error:
        await payments.start_payment(booking.id, ANN, payment_method_id="pm_card_visa", confirm_immediately=True)

    assert (status_of(error.value), error.value.code) == (told, own)


@pytest.mark.parametrize(("code", "told", "own"), REFUNDING, ids=[f"{row[0]} is {row[1]}" for row in REFUNDING])
async def test_each_error_code_of_a_refund_raises_its_error(
    kit: PaymentsTestKit, code: str, told: int, own: str
) -> None:
    booking = await kit.book()
    await pay(kit, booking)
    payments = _answering(kit, "create_refund", 400, INVALID, code)

    with pytest.raises(PaymentError) as error:
        await payments.refund_payment(booking.id)

    assert (status_of(error.value), error.value.code) == (told, own)


@pytest.mark.parametrize("code", ["charge_disputed", "refund_disputed_payment"])
async def test_a_refund_blocked_by_a_dispute_is_deferred(kit: PaymentsTestKit, code: str) -> None:
    booking = await kit.book()
    await kit.payments.start_payment(booking.id, ANN, payment_method_id="pm_card_visa", confirm_immediately=True)
    payments = _answering(kit, "create_refund", 400, INVALID, code)

    view = await payments.refund_payment(booking.id, amount="40.00")

    assert (type(view.refund), view.payment.owed.amount.minor) == (DeferredRefund, 4000)
