"""What customers read about declines and errors, by code: the texts of the source, which the catalogues translate."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

from booking_payments.domain.declines import GENERIC_CODE, Advice, Decline
from booking_payments.entrypoints.http.problems import ProblemDetails
from booking_payments.entrypoints.pages.language import N_, Language
from booking_payments.presentation.error_codes import ERROR_CODES

_DETAILS: Final = N_("The details of your card are incorrect.")
_ADDRESS: Final = N_("The billing address of your card is incorrect.")
_LIMIT: Final = N_("The limit of your card is exceeded.")
_UNSUPPORTED: Final = N_("Your card can't be used for this payment.")
_AUTHENTICATION: Final = N_("Your bank could not confirm that it is you.")
_PROCESSING: Final = N_("Your card could not be processed.")

DECLINED: Final = N_("Your card was declined.")
"""For a reason that is hidden, or has no text here."""

REFUSED: Final = N_("Your payment was declined.")
"""The same for a method that is no card."""

DECLINES: Final[Mapping[str, str]] = {
    "insufficient_funds": N_("Your card has insufficient funds."),
    "expired_card": N_("Your card has expired."),
    **dict.fromkeys(("incorrect_cvc", "invalid_cvc"), N_("The security code of your card is incorrect.")),
    **dict.fromkeys(("incorrect_number", "invalid_number"), N_("The number of your card is incorrect.")),
    **dict.fromkeys(("invalid_expiry_month", "invalid_expiry_year"), N_("The expiry date of your card is incorrect.")),
    **dict.fromkeys(("incorrect_pin", "invalid_pin", "invalid_account"), _DETAILS),
    **dict.fromkeys(("incorrect_zip", "incorrect_address", "incorrect_postal_code", "postal_code_invalid"), _ADDRESS),
    **dict.fromkeys(("card_velocity_exceeded", "withdrawal_count_limit_exceeded", "pin_try_exceeded"), _LIMIT),
    **dict.fromkeys(("card_not_supported", "currency_not_supported", "invalid_card_type"), _UNSUPPORTED),
    **dict.fromkeys(
        ("authentication_required", "authentication_failure", "payment_intent_authentication_failure"), _AUTHENTICATION
    ),
    **dict.fromkeys(
        ("processing_error", "reenter_transaction", "issuer_not_available", "try_again_later"), _PROCESSING
    ),
}
"""The text for each decline code that says more than that the bank declined."""

ADVICE: Final[Mapping[Advice, str]] = {
    Advice.TRY_AGAIN: N_("Please try again later, or use another card."),
    Advice.OTHER_METHOD: N_("Please use another card, or another way to pay."),
    Advice.ASK_BANK: N_("Please ask your bank, or use another card."),
    Advice.FIX_DETAILS: N_("Please check the details, and try again."),
}

_LATER: Final = N_("This is not possible right now. Please try again in a moment.")
_NOT_HERE: Final = N_("This booking can't be paid on this page. Please pay where you booked.")
_UNREACHABLE: Final = N_("The payment provider cannot be reached. Please try again in a moment.")
_PROVIDER: Final = N_("The payment provider refused the payment. Please choose another way to pay.")
_OURS: Final = N_("Something went wrong on our side. Please ask where you booked before you pay again.")
_AGAIN: Final = N_("Something in this form was missing. Load the page again.")
BACK_TO_BOOKING: Final = N_("Back to your booking")
"""The link of an error page to the checkout."""

PROBLEMS: Final[Mapping[str, str]] = {
    "already_paid": N_("This booking is paid already."),
    **dict.fromkeys(("booking_canceled", "event_canceled"), N_("This booking was canceled.")),
    "booking_expired": N_("The time to pay for this booking is over; book again."),
    "attempts_exhausted": N_("No payment attempt is left for this booking; book again."),
    "event_started": N_("The event has started; the booking can no longer be paid."),
    "nothing_to_pay": N_("This booking is free; no payment is needed."),
    "price_changed": N_("The price of this booking has changed. Check the new price before you pay."),
    "form_not_ours": N_("Go back, load the page again, and send the form once more."),
    "not_found": N_("This page does not exist, or you may not see it."),
    "outcome_unknown": N_("We are checking the outcome of your payment. You will not be charged twice."),
    "gateway_unavailable": _UNREACHABLE,
    "too_many_requests": N_("Too many requests. Please wait a minute, and try again."),
    "idempotency_key_reused": N_("This form was sent before with another choice. Go back to your booking."),
    "method_not_allowed": N_("This address can't be opened by itself. Go back to your booking."),
    "event_canceled": N_("This booking was canceled."),
    **dict.fromkeys(
        (
            *("busy", "not_ready", "operation_in_flight", "payment_in_flight", "storage_unavailable"),
            *("action_pending", "idempotency_key_in_use"),
        ),
        _LATER,
    ),
    **dict.fromkeys(("refused", "not_possible"), _PROVIDER),
    **dict.fromkeys(
        (
            *("amount_too_small", "amount_too_large", "amount_not_chargeable", "currency_not_supported"),
            *("no_payment_method_left", "gateway_unknown", "gateway_for_operators", "operators_only"),
        ),
        _NOT_HERE,
    ),
    **dict.fromkeys(
        ("contradiction", "gateway_refused", "illegal_transition", "internal_error", "our_fault", "payment_error"),
        _OURS,
    ),
    **dict.fromkeys(
        (
            *(
                "invalid_input",
                "invalid_amount",
                "not_a_form",
                "bad_request",
                "duplicate_field",
                "idempotency_key_invalid",
            ),
            *("card_number_refused", "secret_refused", "too_large", "payment_method_required"),
        ),
        _AGAIN,
    ),
}
"""The text for each code of an error that a customer may see on a page."""

REFUND_RULES: Final[Mapping[str, str]] = {
    "too_late": N_("The refund policy of this booking allows no refund so close to the event."),
    "refunded_by_organizer": N_("Only the organizer gives refunds of this booking; please ask them."),
    "event_started": N_("The event has started; the booking can no longer be refunded."),
    "disputed": N_("The payment is disputed with the bank; it can't be refunded until that is settled."),
    "nothing_left": N_("Everything refundable has been refunded."),
}
"""Why no refund can be requested, by ``QuoteReason.code``."""

TITLES: Final[Mapping[int, str]] = {
    401: N_("Please open your payment link again"),
    403: N_("This form is no longer valid"),
    404: N_("Not found"),
    409: N_("Not possible right now"),
    422: N_("Not possible"),
    429: N_("Too many requests"),
    500: N_("Something went wrong on our side"),
    503: N_("Not possible right now"),
}
"""Titles of error pages by status."""

LINK_TOO_OLD: Final = N_("The link is incomplete or too old. Ask where you booked for a new one.")
OTHER_BROWSER: Final = N_(
    "You come back from your bank. Open your payment link once more to see how your payment stands. "
    "You will not be charged twice."
)
NOT_STARTED: Final = N_("The payment can't be started right now. You have not been charged.")
CHOOSE_FIRST: Final = N_("Choose how you pay first.")

_FOR_CUSTOMERS: Final = (LINK_TOO_OLD, OTHER_BROWSER, CHOOSE_FIRST, NOT_STARTED)
_OURS_BY_CODE: Final = frozenset(each.code for each in ERROR_CODES)

GATEWAYS: Final = (N_("Card and more"), N_("Bank transfer"), N_("Send the money"))
"""What our gateways are called at the checkout. The plugins name them, and the page translates the names."""

_OTHER: Final = N_("This did not work. Please ask where you booked.")


def decline_text(decline: Decline, language: Language) -> str:
    """Return why an attempt failed. The gateway's text is in English, so only English customers see it."""
    known = DECLINES.get(decline.decline_code or "") or DECLINES.get(decline.code)
    if known is None and language.is_source:
        return decline.message
    return language.gettext(known or (DECLINED if decline.code == GENERIC_CODE else REFUSED))


def advice_text(decline: Decline, language: Language) -> str | None:
    """Return what the customer may do after a decline; None where nothing is to be advised."""
    return language.gettext(ADVICE[decline.advice]) if decline.advice else None


def problem_text(problem: ProblemDetails, language: Language) -> str:
    """Return the text of an error: its own if it is for customers, else that of its code.

    The texts of the API are for developers. That of a code which is not ours comes from a gateway, and is shown where
    it can be translated, or is English.
    """
    if problem.detail in _FOR_CUSTOMERS:
        return language.gettext(problem.detail)
    known = PROBLEMS.get(problem.code)
    if known is not None:
        return language.gettext(known)
    translated = language.gettext(problem.detail)
    is_ours = problem.code in _OURS_BY_CODE and problem.status != HTTPStatus.PAYMENT_REQUIRED
    if translated != problem.detail or (language.is_source and not is_ours):
        return translated
    return language.gettext(_OTHER)


def problem_title(status: int, language: Language) -> str:
    """Return the title of the page of an error."""
    return language.gettext(TITLES.get(status) or TITLES[500 if status >= 500 else 422])
