"""Adopting: whether a charge of ours that our books have lost is the payment of a booking that was registered anew.

After a backup was restored the gateway has charges that our books know nothing of. One of them is adopted only when
nothing speaks against it; all others are for a person to look at. The rule is ``reason_against``.
"""

import re
from collections.abc import Sequence
from typing import Final

from booking_payments.domain import events as ev
from booking_payments.domain.booking import Booking, BookingStatus
from booking_payments.domain.decisions.facts import Facts
from booking_payments.domain.decisions.intending import customer_key
from booking_payments.domain.instructions import CaptureMethod
from booking_payments.domain.lifecycle import PaymentStatus
from booking_payments.domain.money import Money
from booking_payments.domain.reports import IntentReport

CHARGED: Final = (PaymentStatus.PROCESSING, PaymentStatus.REQUIRES_CAPTURE, PaymentStatus.SUCCEEDED)
"""An intent in one of these has a charge: the customer has done their part, and must not be asked to pay again."""

_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""What an id of a payment is made of. The adopted payment keeps the one that the metadata name."""


def reason_against(
    intent: IntentReport,
    *,
    installation_id: str | None,
    payment_known: bool,
    booking_known: bool,
    bookings: Sequence[Booking],
    has_payment: bool,
    asked: Money | None,
) -> str | None:
    """Why a charge must not be adopted, in words for a person; None when nothing speaks against it.

    Args:
        intent: the charge, with its metadata, as the gateway has it now.
        installation_id: our own; None where it is not known.
        payment_known: whether our books have the payment that the metadata name.
        booking_known: whether our books have the booking that the metadata name.
        bookings: those of ours that bear the reference which the metadata name; more than two need not be given.
        has_payment: whether the first of them has a payment, whatever became of it.
        asked: what the customer of the first of them would be charged today, the fee included where they pay it.
    """
    said = intent.metadata.get
    if installation_id is None or said("installation_id") != installation_id:
        return "it does not name this installation as its maker"
    if not (_ID.fullmatch(said("payment_id", "")) and said("booking_id") and said("booking_reference")):
        return "it does not say for which payment, booking and reference"
    if payment_known:
        return f"our books have its payment {said('payment_id')}"
    if booking_known:
        return f"our books have its booking {said('booking_id')}, without this payment"
    if len(bookings) != 1:
        how_many = "no booking bears" if not bookings else "several bookings bear"
        return f"{how_many} its reference {said('booking_reference')}"
    return _against_booking(intent, installation_id, bookings[0], has_payment, asked)


def _against_booking(
    intent: IntentReport, installation_id: str, booking: Booking, has_payment: bool, asked: Money | None
) -> str | None:
    named = f"booking {booking.id}, which bears its reference,"
    if booking.status is not BookingStatus.PENDING:
        return f"{named} is {booking.status.value}"
    if has_payment:
        return f"{named} has a payment already"
    if intent.metadata.get("customer_key") != customer_key(installation_id, booking.customer_id):
        return f"{named} belongs to another customer"
    if asked is None or asked.currency is not intent.amount.currency or asked != intent.amount:
        return f"for {named} the customer would be charged {asked}"
    return None


def adopted(intent: IntentReport) -> Facts:
    """The fact that says where an adopted payment comes from; it follows ``PaymentStarted``."""
    return (ev.PaymentAdopted(intent_id=intent.id, made_for=intent.metadata["booking_id"]),)


def capture_method_of(intent: IntentReport) -> CaptureMethod:
    """How the charge is, or was, captured, as far as that can be seen of it."""
    part = 0 < intent.amount_received.minor < intent.amount.minor
    manual = part or intent.status is PaymentStatus.REQUIRES_CAPTURE
    return CaptureMethod.MANUAL if manual else CaptureMethod.AUTOMATIC
