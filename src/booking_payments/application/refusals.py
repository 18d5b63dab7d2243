"""The errors raised when the gateway refuses a call: one table from the port's codes to our errors."""

from collections.abc import Mapping
from typing import Final

from booking_payments.domain.declines import Advice
from booking_payments.domain.errors import (
    CardDeclined,
    GatewayRefusedUs,
    NotPossibleNow,
    PaymentError,
    RefusedByRule,
    TryAgainLater,
)
from booking_payments.ports.gateway import Declined, GatewayRefused, Misconfigured, NotSent

Telling = tuple[type[RefusedByRule] | type[NotPossibleNow] | type[GatewayRefusedUs], str, str]

REFUSALS: Final[Mapping[str, Telling]] = {
    "amount_too_small": (
        RefusedByRule,
        "amount_too_small",
        "the amount is below what the card networks take",
    ),
    "amount_too_large": (
        RefusedByRule,
        "amount_too_large",
        "the amount is above what can be charged at once",
    ),
    "invalid_charge_amount": (RefusedByRule, "amount_not_chargeable", "this amount can't be charged"),
    "payment_method_unknown": (
        RefusedByRule,
        "payment_method_unknown",
        "no such payment method; enter the card again, or choose another",
    ),
    "payment_method_missing": (
        RefusedByRule,
        "payment_method_required",
        "choose a payment method first: send payment_method_id",
    ),
    "payment_method_used": (
        RefusedByRule,
        "payment_method_used",
        "this payment method was used before; enter the card again, or choose another",
    ),
    "payment_method_of_another_customer": (
        RefusedByRule,
        "payment_method_of_another_customer",
        "this payment method belongs to another customer; enter the card again, or choose another",
    ),
    "payment_method_unavailable": (
        RefusedByRule,
        "payment_method_unavailable",
        "this payment method can't be used here; choose another",
    ),
    "payment_details_missing": (
        RefusedByRule,
        "payment_details_missing",
        "details that this payment method needs are missing, such as name, address or mandate; fill them in",
    ),
    "payment_method_incompatible": (
        RefusedByRule,
        "payment_method_incompatible",
        "this payment can't be made with that payment method; choose another",
    ),
    # Our settings allow nothing that fits the amount and its currency.
    "no_method_left": (
        GatewayRefusedUs,
        "no_payment_method_left",
        "no payment method that is offered here accepts this payment; this is our mistake",
    ),
    # At a capture or a refund: the customer can't choose another method then.
    "method_refuses": (
        RefusedByRule,
        "payment_method_unavailable",
        "the bank refuses this for the payment method that the payment was made with",
    ),
    "payment_intent_unexpected_state": (
        NotPossibleNow,
        "payment_state_changed",
        "the payment has moved on in the meantime; look at its status",
    ),
    "payment_intent_authentication_failure": (
        NotPossibleNow,
        "payment_state_changed",
        "the authentication failed; choose a payment method and try again",
    ),
    "payment_intent_payment_attempt_failed": (
        NotPossibleNow,
        "payment_state_changed",
        "the last attempt failed; choose a payment method and try again",
    ),
    "payment_intent_payment_attempt_expired": (
        NotPossibleNow,
        "payment_state_changed",
        "the last attempt took too long; choose a payment method and try again",
    ),
    "charge_not_refundable": (RefusedByRule, "not_refundable", "this payment can't be refunded"),
    # The caller can't change this: the operator has to add money to the gateway account.
    "balance_insufficient": (
        GatewayRefusedUs,
        "balance_insufficient",
        "our balance at the payment provider is too low for this at present; ask again later",
    ),
    "charge_already_refunded": (RefusedByRule, "nothing_left", "everything has been refunded already"),
    "charge_disputed": (
        NotPossibleNow,
        "disputed",
        "the payment is disputed with the bank; it can't be refunded until that is settled",
    ),
    "refund_disputed_payment": (
        NotPossibleNow,
        "disputed",
        "the payment is disputed with the bank; it can't be refunded until that is settled",
    ),
    "refund_exceeds_charge": (
        RefusedByRule,
        "exceeds_refundable",
        "the amount is larger than what can still be refunded",
    ),
    "capture_method_unsupported": (
        RefusedByRule,
        "capture_method_unsupported",
        "money that is paid in this way can't be held; leave capture_method out",
    ),
    "charge_already_captured": (NotPossibleNow, "already_paid", "this booking is paid already"),
    "charge_expired_for_capture": (
        NotPossibleNow,
        "authorization_expired",
        "the bank no longer holds the money; the customer has to pay again",
    ),
    "capture_charge_authorization_expired": (
        NotPossibleNow,
        "authorization_expired",
        "the bank no longer holds the money; the customer has to pay again",
    ),
}
"""The refusals that the customer, the caller or the operator can resolve, by the port's code (``GatewayRefused.code``).

Adapters translate their gateway's codes into these; the Stripe adapter has a table of all codes. Any other refusal is a
mistake of this service in the request or the account, and becomes ``GatewayRefusedUs``.
"""

ADVICE: Final[Mapping[str, Advice]] = {
    **dict.fromkeys(
        [
            "payment_method_incompatible",
            "payment_method_of_another_customer",
            "payment_method_unavailable",
            "payment_method_unknown",
            "payment_method_used",
        ],
        Advice.OTHER_METHOD,
    ),
    **dict.fromkeys(
        [
            "payment_intent_authentication_failure",
            "payment_intent_payment_attempt_expired",
            "payment_intent_payment_attempt_failed",
        ],
        Advice.TRY_AGAIN,
    ),
    "payment_details_missing": Advice.FIX_DETAILS,
}
"""The advice to the customer after a refusal, by the same codes."""


def to_payment_error(error: Declined | GatewayRefused | NotSent | Misconfigured) -> PaymentError:
    """Return the error to raise for an error of the gateway."""
    if isinstance(error, Declined):
        return CardDeclined(error.failure.decline)
    if isinstance(error, NotSent):
        return TryAgainLater()
    telling = REFUSALS.get(error.code)
    if telling is None:
        return GatewayRefusedUs()
    kind, code, message = telling
    return kind(message, code=code, advice=ADVICE.get(error.code))
