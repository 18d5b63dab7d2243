"""booking-payments: takes payments for bookings, gives them back, and never twice.

The names below are loaded when they are first asked for, so that ``booking_payments.domain`` stays light.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from booking_payments.application.callers import Caller
    from booking_payments.application.channels import ChannelNotRecorded
    from booking_payments.application.message_schemas import message_schema
    from booking_payments.application.payments import BookingPayments
    from booking_payments.application.views import NewBooking, PaymentResult
    from booking_payments.domain.booking import BookingDetails
    from booking_payments.domain.errors import (
        CardDeclined,
        InvalidInput,
        NotFound,
        NotPossibleNow,
        OurFault,
        OutcomeUnknown,
        PaymentError,
        RefusedByRule,
        TryAgainLater,
    )
    from booking_payments.domain.instructions import CaptureMethod
    from booking_payments.domain.money import Currency, Money
    from booking_payments.embedding import SyncBookingPayments, open_payments, open_payments_sync
    from booking_payments.ports.gateway import OwnGateway, WebhookRefused
    from booking_payments.ports.publisher import Message

_HOMES: Final = {
    "BookingDetails": "booking_payments.domain.booking",
    "BookingPayments": "booking_payments.application.payments",
    "Caller": "booking_payments.application.callers",
    "CaptureMethod": "booking_payments.domain.instructions",
    "CardDeclined": "booking_payments.domain.errors",
    "ChannelNotRecorded": "booking_payments.application.channels",
    "Currency": "booking_payments.domain.money",
    "InvalidInput": "booking_payments.domain.errors",
    "Message": "booking_payments.ports.publisher",
    "Money": "booking_payments.domain.money",
    "NewBooking": "booking_payments.application.views",
    "NotFound": "booking_payments.domain.errors",
    "NotPossibleNow": "booking_payments.domain.errors",
    "OurFault": "booking_payments.domain.errors",
    "OutcomeUnknown": "booking_payments.domain.errors",
    "OwnGateway": "booking_payments.ports.gateway",
    "PaymentError": "booking_payments.domain.errors",
    "PaymentResult": "booking_payments.application.views",
    "RefusedByRule": "booking_payments.domain.errors",
    "SyncBookingPayments": "booking_payments.embedding",
    "TryAgainLater": "booking_payments.domain.errors",
    "WebhookRefused": "booking_payments.ports.gateway",
    "message_schema": "booking_payments.application.message_schemas",
    "open_payments": "booking_payments.embedding",
    "open_payments_sync": "booking_payments.embedding",
}

__all__ = [
    "BookingDetails",
    "BookingPayments",
    "Caller",
    "CaptureMethod",
    "CardDeclined",
    "ChannelNotRecorded",
    "Currency",
    "InvalidInput",
    "Message",
    "Money",
    "NewBooking",
    "NotFound",
    "NotPossibleNow",
    "OurFault",
    "OutcomeUnknown",
    "OwnGateway",
    "PaymentError",
    "PaymentResult",
    "RefusedByRule",
    "SyncBookingPayments",
    "TryAgainLater",
    "WebhookRefused",
    "message_schema",
    "open_payments",
    "open_payments_sync",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
