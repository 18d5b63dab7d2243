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
    from booking_payments.application.views import (
        BookingView,
        NewBooking,
        PaymentResult,
        PaymentView,
        RefundView,
        Registered,
    )
    from booking_payments.domain.booking import Booking, BookingDetails, BookingStatus
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
    from booking_payments.domain.fees import FeeOnRefund
    from booking_payments.domain.instructions import CaptureMethod, MethodChoice
    from booking_payments.domain.lifecycle import PaymentStatus
    from booking_payments.domain.money import Currency, Money
    from booking_payments.domain.payment import Payment
    from booking_payments.domain.refunds import (
        CustomerRefunds,
        RefundOnCancel,
        RefundPolicy,
        RefundQuote,
        RefundReason,
        RefundTier,
    )
    from booking_payments.embedding import SyncBookingPayments, open_payments, open_payments_sync
    from booking_payments.ports.gateway import OwnGateway
    from booking_payments.ports.publisher import Message
    from booking_payments.ports.webhooks import WebhookRefused, WebhooksNotTaken
    from booking_payments.runtime.settings_error import SettingsError

_HOMES: Final = {
    "Booking": "booking_payments.domain.booking",
    "BookingDetails": "booking_payments.domain.booking",
    "BookingPayments": "booking_payments.application.payments",
    "BookingStatus": "booking_payments.domain.booking",
    "BookingView": "booking_payments.application.views",
    "Caller": "booking_payments.application.callers",
    "CaptureMethod": "booking_payments.domain.instructions",
    "CardDeclined": "booking_payments.domain.errors",
    "ChannelNotRecorded": "booking_payments.application.channels",
    "Currency": "booking_payments.domain.money",
    "CustomerRefunds": "booking_payments.domain.refunds",
    "FeeOnRefund": "booking_payments.domain.fees",
    "InvalidInput": "booking_payments.domain.errors",
    "Message": "booking_payments.ports.publisher",
    "MethodChoice": "booking_payments.domain.instructions",
    "Money": "booking_payments.domain.money",
    "NewBooking": "booking_payments.application.views",
    "NotFound": "booking_payments.domain.errors",
    "NotPossibleNow": "booking_payments.domain.errors",
    "OurFault": "booking_payments.domain.errors",
    "OutcomeUnknown": "booking_payments.domain.errors",
    "OwnGateway": "booking_payments.ports.gateway",
    "Payment": "booking_payments.domain.payment",
    "PaymentError": "booking_payments.domain.errors",
    "PaymentResult": "booking_payments.application.views",
    "PaymentStatus": "booking_payments.domain.lifecycle",
    "PaymentView": "booking_payments.application.views",
    "RefundOnCancel": "booking_payments.domain.refunds",
    "RefundPolicy": "booking_payments.domain.refunds",
    "RefundQuote": "booking_payments.domain.refunds",
    "RefundReason": "booking_payments.domain.refunds",
    "RefundTier": "booking_payments.domain.refunds",
    "RefundView": "booking_payments.application.views",
    "RefusedByRule": "booking_payments.domain.errors",
    "Registered": "booking_payments.application.views",
    "SettingsError": "booking_payments.runtime.settings_error",
    "SyncBookingPayments": "booking_payments.embedding",
    "TryAgainLater": "booking_payments.domain.errors",
    "WebhookRefused": "booking_payments.ports.webhooks",
    "WebhooksNotTaken": "booking_payments.ports.webhooks",
    "message_schema": "booking_payments.application.message_schemas",
    "open_payments": "booking_payments.embedding",
    "open_payments_sync": "booking_payments.embedding",
}

__all__ = [
    "Booking",
    "BookingDetails",
    "BookingPayments",
    "BookingStatus",
    "BookingView",
    "Caller",
    "CaptureMethod",
    "CardDeclined",
    "ChannelNotRecorded",
    "Currency",
    "CustomerRefunds",
    "FeeOnRefund",
    "InvalidInput",
    "Message",
    "MethodChoice",
    "Money",
    "NewBooking",
    "NotFound",
    "NotPossibleNow",
    "OurFault",
    "OutcomeUnknown",
    "OwnGateway",
    "Payment",
    "PaymentError",
    "PaymentResult",
    "PaymentStatus",
    "PaymentView",
    "RefundOnCancel",
    "RefundPolicy",
    "RefundQuote",
    "RefundReason",
    "RefundTier",
    "RefundView",
    "RefusedByRule",
    "Registered",
    "SettingsError",
    "SyncBookingPayments",
    "TryAgainLater",
    "WebhookRefused",
    "WebhooksNotTaken",
    "message_schema",
    "open_payments",
    "open_payments_sync",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
