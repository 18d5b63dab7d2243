"""Bookings and changes as callers write them, for HTTP and the command line: as arguments of the use cases."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final
from zoneinfo import available_timezones

from msgspec import UNSET, UnsetType

from booking_payments.application.views import NewBooking
from booking_payments.domain.amendments import KEEP, BookingChange, Keep
from booking_payments.domain.booking import BookingDetails, Item, ItemCount
from booking_payments.domain.errors import InvalidInput, RefusedByRule
from booking_payments.domain.fees import FeeOnRefund
from booking_payments.domain.instructions import ANY_METHOD, CaptureMethod, MethodChoice
from booking_payments.domain.money import Currency, Money
from booking_payments.domain.refunds import CustomerRefunds, RefundPolicy, RefundTier
from booking_payments.domain.texts import require_identifier, require_line
from booking_payments.presentation.models import (
    AmendBooking,
    ItemAsked,
    ItemNamed,
    MethodsChosen,
    Policy,
    RegisterBooking,
)
from booking_payments.presentation.origins import require_allowed_origin

FIRST_YEAR: Final = 2000
LAST_YEAR: Final = 2199


def utc(moment: datetime, name: str) -> datetime:
    """Return ``moment`` in UTC. Raises ``InvalidInput`` for a year that makes no sense."""
    try:
        in_utc = moment.astimezone(UTC)
    except OverflowError:
        in_utc = None
    if in_utc is None or not FIRST_YEAR <= in_utc.year <= LAST_YEAR:
        raise InvalidInput(f"{name}: the year, in UTC, must be between {FIRST_YEAR} and {LAST_YEAR}")
    return in_utc


def require_allowed_pages(given: RegisterBooking | AmendBooking, origins: Iterable[str]) -> None:
    """Raise ``InvalidInput`` when the checkout would lead to a page whose origin is not among ``origins``."""
    for name, url in (("success_url", given.success_url), ("cancel_url", given.cancel_url)):
        if url is not UNSET:
            require_allowed_origin(url, origins, name)


def new_booking(given: RegisterBooking) -> NewBooking:
    """Return the booking to register.

    Raises:
        InvalidInput: a value is not allowed.
        RefusedByRule: it would expire after its event starts (``expires_after_event``).
        PaymentError: an amount or the currency cannot be read.
    """
    currency = Currency.of(given.currency)
    starts_at = utc(given.event_starts_at, "event_starts_at")
    expires_at = utc(given.expires_at, "expires_at") if given.expires_at else None
    if expires_at is not None and expires_at > starts_at:
        raise RefusedByRule("expires_at must not be after event_starts_at", code="expires_after_event")
    return NewBooking(
        reference=require_identifier(given.reference, "reference"),
        customer_id=require_identifier(given.customer_id, "customer_id"),
        amount=Money.parse(given.amount, currency) if given.amount is not None else None,
        items=_items(given.items, currency) if given.items else (),
        event_id=given.event_id,
        metadata=given.metadata or {},
        event_starts_at=starts_at,
        expires_at=expires_at,
        refund_policy=_policy(given.refund_policy) if given.refund_policy else None,
        details=_details(given),
    )


def _details(given: RegisterBooking) -> BookingDetails:
    if given.time_zone is not None and given.time_zone not in available_timezones():
        raise InvalidInput("time_zone: must be the name of a time zone such as Europe/Vienna")
    return BookingDetails(
        title=given.title,
        description=given.description,
        customer_email=given.customer_email,
        customer_name=given.customer_name,
        locale=given.locale,
        time_zone=given.time_zone,
        success_url=given.success_url,
        cancel_url=given.cancel_url,
        statement_descriptor_suffix=given.statement_descriptor_suffix,
        methods=_methods(given.payment_methods),
        capture_method=CaptureMethod(given.capture_method) if given.capture_method else None,
        customer_refunds=CustomerRefunds(given.customer_refunds) if given.customer_refunds else None,
    )


def _items(given: Sequence[ItemAsked], currency: Currency) -> tuple[Item, ...]:
    return tuple(
        Item(
            id=each.id,
            label=require_line(each.label, "label") if each.label else each.id,
            quantity=each.quantity,
            unit_amount=Money.parse(each.unit_amount, currency),
        )
        for each in given
    )


def named_items(given: Sequence[ItemNamed] | None) -> tuple[ItemCount, ...]:
    """Return the units that a request names."""
    return tuple(ItemCount(id=each.id, quantity=each.quantity) for each in given or ())


def change_asked(given: AmendBooking, currency: Currency) -> BookingChange:
    """Return the change of a booking in ``currency``. Raises ``InvalidInput`` for a value that is not allowed."""
    starts_at, expires_at, grace = given.event_starts_at, given.expires_at, given.refund_grace_until
    return BookingChange(
        amount=KEEP if given.amount is UNSET else Money.parse(given.amount, currency),
        items=KEEP if given.items is UNSET else _items(given.items, currency),
        event_starts_at=KEEP if starts_at is UNSET else utc(starts_at, "event_starts_at"),
        expires_at=KEEP if expires_at is UNSET else utc(expires_at, "expires_at"),
        refund_grace_until=KEEP if grace is UNSET else grace and utc(grace, "refund_grace_until"),
        metadata=KEEP if given.metadata is UNSET else given.metadata,
        title=_or_keep(given.title),
        description=_or_keep(given.description),
        customer_email=_or_keep(given.customer_email),
        customer_name=_or_keep(given.customer_name),
        locale=_or_keep(given.locale),
        success_url=_or_keep(given.success_url),
        cancel_url=_or_keep(given.cancel_url),
    )


def _or_keep(value: str | UnsetType | None) -> str | Keep | None:
    return KEEP if value is UNSET else value


def _methods(given: MethodsChosen | None) -> MethodChoice:
    if given is None:
        return ANY_METHOD
    if (given.allowed is None) == (given.excluded is None):
        raise InvalidInput("payment_methods: say either which are allowed or which are excluded")
    return MethodChoice(allowed=tuple(given.allowed or ()), excluded=tuple(given.excluded or ()))


def _policy(given: Policy) -> RefundPolicy:
    tiers = [RefundTier(hours_before=tier.hours_before, percent=Decimal(tier.percent)) for tier in given.tiers]
    return RefundPolicy(tiers=tuple(tiers), fee=FeeOnRefund(given.fee))
