"""Adoption: link a charge that is missing in the database to the booking that was registered again.

After the restore of a backup the gateway has charges that the database lacks. A charge is adopted only when
``reason_against`` returns None; every other one is reported to an operator.
"""

import re
from collections.abc import Sequence
from typing import Final

from booking_payments.domain import events as ev
from booking_payments.domain import metadata_keys
from booking_payments.domain.booking import Booking, BookingStatus
from booking_payments.domain.decisions.commands import customer_key
from booking_payments.domain.decisions.drift import Events
from booking_payments.domain.instructions import CaptureMethod
from booking_payments.domain.lifecycle import PaymentStatus
from booking_payments.domain.money import Money
from booking_payments.domain.reports import IntentReport

CHARGED: Final = (PaymentStatus.PROCESSING, PaymentStatus.REQUIRES_CAPTURE, PaymentStatus.SUCCEEDED)
"""States in which the intent has a charge: the customer has paid and must not be asked to pay again."""

_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""Characters of a payment id. The adopted payment keeps the id from the charge's metadata."""


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
    """Return why a charge must not be adopted, as a sentence for an operator; None when it may be.

    Args:
        intent: the charge with its metadata, as just read from the gateway.
        installation_id: the id of this installation; None where it is not known.
        payment_known: the database has the payment named in the metadata.
        booking_known: the database has the booking named in the metadata.
        bookings: the stored bookings with the reference named in the metadata; two are enough, further ones may be left
            out.
        has_payment: the first of these bookings has a payment, in any state.
        asked: the amount that the customer of the first booking would be charged today, including the fee if the
            customer pays it.
    """
    said = intent.metadata.get
    if installation_id is None or said(metadata_keys.INSTALLATION_ID) != installation_id:
        return "its metadata do not name this installation"
    if not (
        _ID.fullmatch(said(metadata_keys.PAYMENT_ID, ""))
        and said(metadata_keys.BOOKING_ID)
        and said(metadata_keys.BOOKING_REFERENCE)
    ):
        return "its metadata do not name a payment, a booking and a reference"
    if payment_known:
        return f"the database has its payment {said(metadata_keys.PAYMENT_ID)}"
    if booking_known:
        return f"the database has its booking {said(metadata_keys.BOOKING_ID)}, without this payment"
    if len(bookings) != 1:
        how_many = "no booking has" if not bookings else "several bookings have"
        return f"{how_many} its reference {said(metadata_keys.BOOKING_REFERENCE)}"
    return _against_booking(intent, installation_id, bookings[0], has_payment, asked)


def _against_booking(
    intent: IntentReport, installation_id: str, booking: Booking, has_payment: bool, asked: Money | None
) -> str | None:
    named = f"booking {booking.id}, which has its reference,"
    if booking.status is not BookingStatus.PENDING:
        return f"{named} is {booking.status.value}"
    if has_payment:
        return f"{named} has a payment already"
    if intent.metadata.get(metadata_keys.CUSTOMER_KEY) != customer_key(installation_id, booking.customer_id):
        return f"{named} belongs to another customer"
    if asked is None or asked.currency is not intent.amount.currency or asked != intent.amount:
        return f"for {named} the customer would be charged {asked}"
    return None


def adopted(intent: IntentReport) -> Events:
    """Return the event that records the origin of an adopted payment; it follows ``PaymentStarted``."""
    return (ev.PaymentAdopted(intent_id=intent.id, made_for=intent.metadata[metadata_keys.BOOKING_ID]),)


def capture_method_of(intent: IntentReport) -> CaptureMethod:
    """Return the charge's capture method as far as its report shows it.

    ``manual`` if the charge is uncaptured or partly captured, otherwise ``automatic``.
    """
    part = 0 < intent.amount_received.minor < intent.amount.minor
    manual = part or intent.status is PaymentStatus.REQUIRES_CAPTURE
    return CaptureMethod.MANUAL if manual else CaptureMethod.AUTOMATIC
