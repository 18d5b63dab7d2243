"""booking-payments: takes payments for bookings, gives them back, and never twice.

The names below are loaded when they are first asked for, so that ``booking_payments.domain`` stays light.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from booking_payments.application.bookkeeping import LedgerCheck
    from booking_payments.application.callers import Caller
    from booking_payments.application.channels import ChannelNotRecorded, ChannelStates
    from booking_payments.application.checking_out import Checkout, CheckoutStage
    from booking_payments.application.drift import KeptReport
    from booking_payments.application.event_jobs import (
        BalanceUnknown,
        EventBalance,
        EventLine,
        EventPreview,
        EventReport,
    )
    from booking_payments.application.event_overview import EventOverview, EventPage
    from booking_payments.application.exporting import ExportKind
    from booking_payments.application.figures import Cut, Figures, OpenDispute
    from booking_payments.application.message_schemas import message_schema
    from booking_payments.application.payments import BookingPayments
    from booking_payments.application.previews import ChangePreview, Effect
    from booking_payments.application.quoted import Quoted
    from booking_payments.application.reconcile import Reconciliation
    from booking_payments.application.replaying import Replayed
    from booking_payments.application.views import (
        BookingView,
        NewBooking,
        PaymentResult,
        PaymentView,
        RefundView,
        Registered,
        WebhookResult,
    )
    from booking_payments.domain.amendments import KEEP, BookingChange
    from booking_payments.domain.booking import (
        Booking,
        BookingDetails,
        BookingStatus,
        EndReason,
        Item,
        ItemCount,
        Payability,
    )
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
    from booking_payments.domain.events import Recorded, Settlement
    from booking_payments.domain.fees import FeeOnRefund
    from booking_payments.domain.instructions import CaptureMethod, Client, MethodChoice
    from booking_payments.domain.ledger import Account
    from booking_payments.domain.lifecycle import PaymentStatus
    from booking_payments.domain.money import Currency, Money
    from booking_payments.domain.payment import Payment
    from booking_payments.domain.receipts import ReceiptKind
    from booking_payments.domain.refunds import (
        CustomerRefunds,
        Deferral,
        GivenBack,
        QuoteReason,
        RefundOnCancel,
        RefundPolicy,
        RefundQuote,
        RefundReason,
        RefundTier,
    )
    from booking_payments.embedding import SyncBookingPayments, open_payments, open_payments_sync
    from booking_payments.ports.audit import AuditOutcome, AuditRecord
    from booking_payments.ports.bookings import BookingFilter, BookingPage
    from booking_payments.ports.event_jobs import (
        BookingOutcome,
        EventJob,
        EventJobKind,
        EventJobState,
        EventTotals,
        UpcomingEvent,
    )
    from booking_payments.ports.gateway import OwnGateway
    from booking_payments.ports.inbox import InboxEntry, InboxFilter, InboxStatus
    from booking_payments.ports.payments import PaymentFilter, PaymentPage, Refunded
    from booking_payments.ports.publisher import Message, MessageDelivery
    from booking_payments.ports.webhooks import HeaderItems, WebhookRefused, WebhooksNotTaken
    from booking_payments.runtime.settings_error import SettingsError

_HOMES: Final = {
    "Account": "booking_payments.domain.ledger",
    "AuditOutcome": "booking_payments.ports.audit",
    "AuditRecord": "booking_payments.ports.audit",
    "BalanceUnknown": "booking_payments.application.event_jobs",
    "Booking": "booking_payments.domain.booking",
    "BookingChange": "booking_payments.domain.amendments",
    "BookingDetails": "booking_payments.domain.booking",
    "BookingFilter": "booking_payments.ports.bookings",
    "BookingOutcome": "booking_payments.ports.event_jobs",
    "BookingPage": "booking_payments.ports.bookings",
    "BookingPayments": "booking_payments.application.payments",
    "BookingStatus": "booking_payments.domain.booking",
    "BookingView": "booking_payments.application.views",
    "Caller": "booking_payments.application.callers",
    "CaptureMethod": "booking_payments.domain.instructions",
    "CardDeclined": "booking_payments.domain.errors",
    "ChangePreview": "booking_payments.application.previews",
    "ChannelNotRecorded": "booking_payments.application.channels",
    "ChannelStates": "booking_payments.application.channels",
    "Checkout": "booking_payments.application.checking_out",
    "CheckoutStage": "booking_payments.application.checking_out",
    "Client": "booking_payments.domain.instructions",
    "Currency": "booking_payments.domain.money",
    "CustomerRefunds": "booking_payments.domain.refunds",
    "Cut": "booking_payments.application.figures",
    "Deferral": "booking_payments.domain.refunds",
    "Effect": "booking_payments.application.previews",
    "EndReason": "booking_payments.domain.booking",
    "EventBalance": "booking_payments.application.event_jobs",
    "EventJob": "booking_payments.ports.event_jobs",
    "EventJobKind": "booking_payments.ports.event_jobs",
    "EventJobState": "booking_payments.ports.event_jobs",
    "EventLine": "booking_payments.application.event_jobs",
    "EventOverview": "booking_payments.application.event_overview",
    "EventPage": "booking_payments.application.event_overview",
    "EventPreview": "booking_payments.application.event_jobs",
    "EventReport": "booking_payments.application.event_jobs",
    "EventTotals": "booking_payments.ports.event_jobs",
    "ExportKind": "booking_payments.application.exporting",
    "FeeOnRefund": "booking_payments.domain.fees",
    "Figures": "booking_payments.application.figures",
    "GivenBack": "booking_payments.domain.refunds",
    "HeaderItems": "booking_payments.ports.webhooks",
    "InboxEntry": "booking_payments.ports.inbox",
    "InboxFilter": "booking_payments.ports.inbox",
    "InboxStatus": "booking_payments.ports.inbox",
    "InvalidInput": "booking_payments.domain.errors",
    "Item": "booking_payments.domain.booking",
    "ItemCount": "booking_payments.domain.booking",
    "KEEP": "booking_payments.domain.amendments",
    "KeptReport": "booking_payments.application.drift",
    "LedgerCheck": "booking_payments.application.bookkeeping",
    "Message": "booking_payments.ports.publisher",
    "MessageDelivery": "booking_payments.ports.publisher",
    "MethodChoice": "booking_payments.domain.instructions",
    "Money": "booking_payments.domain.money",
    "NewBooking": "booking_payments.application.views",
    "NotFound": "booking_payments.domain.errors",
    "NotPossibleNow": "booking_payments.domain.errors",
    "OpenDispute": "booking_payments.application.figures",
    "OurFault": "booking_payments.domain.errors",
    "OutcomeUnknown": "booking_payments.domain.errors",
    "OwnGateway": "booking_payments.ports.gateway",
    "Payability": "booking_payments.domain.booking",
    "Payment": "booking_payments.domain.payment",
    "PaymentError": "booking_payments.domain.errors",
    "PaymentFilter": "booking_payments.ports.payments",
    "PaymentPage": "booking_payments.ports.payments",
    "PaymentResult": "booking_payments.application.views",
    "PaymentStatus": "booking_payments.domain.lifecycle",
    "PaymentView": "booking_payments.application.views",
    "QuoteReason": "booking_payments.domain.refunds",
    "Quoted": "booking_payments.application.quoted",
    "ReceiptKind": "booking_payments.domain.receipts",
    "Reconciliation": "booking_payments.application.reconcile",
    "Recorded": "booking_payments.domain.events",
    "RefundOnCancel": "booking_payments.domain.refunds",
    "RefundPolicy": "booking_payments.domain.refunds",
    "RefundQuote": "booking_payments.domain.refunds",
    "RefundReason": "booking_payments.domain.refunds",
    "RefundTier": "booking_payments.domain.refunds",
    "RefundView": "booking_payments.application.views",
    "Refunded": "booking_payments.ports.payments",
    "RefusedByRule": "booking_payments.domain.errors",
    "Registered": "booking_payments.application.views",
    "Replayed": "booking_payments.application.replaying",
    "SettingsError": "booking_payments.runtime.settings_error",
    "Settlement": "booking_payments.domain.events",
    "SyncBookingPayments": "booking_payments.embedding",
    "TryAgainLater": "booking_payments.domain.errors",
    "UpcomingEvent": "booking_payments.ports.event_jobs",
    "WebhookRefused": "booking_payments.ports.webhooks",
    "WebhookResult": "booking_payments.application.views",
    "WebhooksNotTaken": "booking_payments.ports.webhooks",
    "message_schema": "booking_payments.application.message_schemas",
    "open_payments": "booking_payments.embedding",
    "open_payments_sync": "booking_payments.embedding",
}

__all__ = [
    "KEEP",
    "Account",
    "AuditOutcome",
    "AuditRecord",
    "BalanceUnknown",
    "Booking",
    "BookingChange",
    "BookingDetails",
    "BookingFilter",
    "BookingOutcome",
    "BookingPage",
    "BookingPayments",
    "BookingStatus",
    "BookingView",
    "Caller",
    "CaptureMethod",
    "CardDeclined",
    "ChangePreview",
    "ChannelNotRecorded",
    "ChannelStates",
    "Checkout",
    "CheckoutStage",
    "Client",
    "Currency",
    "CustomerRefunds",
    "Cut",
    "Deferral",
    "Effect",
    "EndReason",
    "EventBalance",
    "EventJob",
    "EventJobKind",
    "EventJobState",
    "EventLine",
    "EventOverview",
    "EventPage",
    "EventPreview",
    "EventReport",
    "EventTotals",
    "ExportKind",
    "FeeOnRefund",
    "Figures",
    "GivenBack",
    "HeaderItems",
    "InboxEntry",
    "InboxFilter",
    "InboxStatus",
    "InvalidInput",
    "Item",
    "ItemCount",
    "KeptReport",
    "LedgerCheck",
    "Message",
    "MessageDelivery",
    "MethodChoice",
    "Money",
    "NewBooking",
    "NotFound",
    "NotPossibleNow",
    "OpenDispute",
    "OurFault",
    "OutcomeUnknown",
    "OwnGateway",
    "Payability",
    "Payment",
    "PaymentError",
    "PaymentFilter",
    "PaymentPage",
    "PaymentResult",
    "PaymentStatus",
    "PaymentView",
    "QuoteReason",
    "Quoted",
    "ReceiptKind",
    "Reconciliation",
    "Recorded",
    "RefundOnCancel",
    "RefundPolicy",
    "RefundQuote",
    "RefundReason",
    "RefundTier",
    "RefundView",
    "Refunded",
    "RefusedByRule",
    "Registered",
    "Replayed",
    "SettingsError",
    "Settlement",
    "SyncBookingPayments",
    "TryAgainLater",
    "UpcomingEvent",
    "WebhookRefused",
    "WebhookResult",
    "WebhooksNotTaken",
    "message_schema",
    "open_payments",
    "open_payments_sync",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
