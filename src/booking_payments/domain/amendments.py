"""Amendments: a booking gets another price, other items, another date or other texts.

A ``BookingChange`` is what a caller asks for; ``amendment_of`` checks it and returns the ``Amendment``, which contains
the booking's new content completely, so that it can be stored before a call to the gateway and applied after it.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from enum import Enum
from typing import Any, Final, TypeVar

from attrs import evolve, field, fields, frozen

from booking_payments.domain.arguments import require_moment, require_money, require_string, require_strings
from booking_payments.domain.booking import (
    REMEMBERED_AMENDMENTS,
    REMEMBERED_REQUESTS,
    Booking,
    BookingDetails,
    BookingStatus,
    Item,
    ItemCount,
    ItemsRequest,
    Payability,
    digest_of_cause,
    money_left,
    plain_metadata,
    require_details,
    require_items,
    require_items_given,
    require_metadata,
    with_refunded,
    without_units,
)
from booking_payments.domain.errors import InvalidInput, NotPossibleNow, RefusedByRule
from booking_payments.domain.money import Money

T = TypeVar("T")


class Keep(Enum):
    """Marks a value of a change that stays as it is; None removes the value."""

    KEEP = 0


KEEP: Final = Keep.KEEP


@frozen(kw_only=True)
class BookingChange:
    """The values of a booking that are to change. ``KEEP`` leaves a value unchanged, None removes it.

    Raises ``InvalidInput`` for a value of another type, a time without a time zone, and None for a value that every
    booking has.

    Attributes:
        amount: the new price. A booking with items is changed by its ``items``.
        items: the new items, all of them; their sum is the new price.
        event_starts_at: the new start of the event.
        expires_at: the new deadline. By default one that was never given moves with the event, and one that was given
            stays, but never lies after the start: an earlier date cuts it, and a later one does not bring it back.
        refund_grace_until: until then the customer may have everything back.
        metadata: replaces the present metadata.
        the other fields: as in ``BookingDetails``.
    """

    amount: Money | Keep = KEEP
    items: Sequence[Item] | Keep = KEEP
    event_starts_at: datetime | Keep = KEEP
    expires_at: datetime | Keep = KEEP
    refund_grace_until: datetime | Keep | None = KEEP
    metadata: Mapping[str, str] | Keep = KEEP
    title: str | Keep | None = KEEP
    description: str | Keep | None = KEEP
    customer_email: str | Keep | None = field(default=KEEP, repr=False)
    customer_name: str | Keep | None = field(default=KEEP, repr=False)
    locale: str | Keep | None = KEEP
    success_url: str | Keep | None = KEEP
    cancel_url: str | Keep | None = KEEP

    def __attrs_post_init__(self) -> None:
        given = {each.name: getattr(self, each.name) for each in fields(BookingChange)}
        for name, value in given.items():
            if isinstance(value, Keep):
                continue
            if value is not None:
                _CHECKS.get(name, require_string)(value, name)
            elif name in _ALWAYS:
                raise InvalidInput(f"{name}: every booking has it, so it can't be removed; leave it out to keep it")

    @property
    def is_empty(self) -> bool:
        """True when nothing is to change."""
        return all(getattr(self, each.name) is KEEP for each in fields(BookingChange))


_CHECKS: Final[Mapping[str, Callable[[object, str], None]]] = {
    "amount": require_money,
    "items": require_items_given,
    "event_starts_at": require_moment,
    "expires_at": require_moment,
    "refund_grace_until": require_moment,
    "metadata": require_strings,
}
"""The check of a value's type by its name; all others are texts."""

_ALWAYS: Final = ("amount", "items", "event_starts_at", "expires_at", "metadata")
"""The values that can't be removed."""

_TEXTS: Final = ("title", "description", "customer_email", "customer_name", "locale", "success_url", "cancel_url")


@frozen(kw_only=True)
class Amendment:
    """The new content of a booking. Fields as in ``Booking``, and:

    Attributes:
        refund: what a paid booking that becomes cheaper gives back, as a value of ``RefundOnCancel``.
        by: the cause, which recognizes a repetition of the request.
        asked: the request for it, whose caller has not received the outcome yet; None for a change that is absolute, so
            that it may be made twice.
    """

    amount: Money
    items: tuple[Item, ...]
    event_starts_at: datetime
    expires_at: datetime
    expiry_follows_event: bool
    refund_grace_until: datetime | None
    metadata: Mapping[str, str] = field(converter=plain_metadata)
    details: BookingDetails
    refund: str
    by: str
    asked: ItemsRequest | None = None

    def apply_to(self, booking: Booking) -> Booking:
        """Return ``booking`` with this content and the next version."""
        return evolve(
            booking,
            amount=self.amount,
            items=self.items,
            event_starts_at=self.event_starts_at,
            expires_at=self.expires_at,
            expiry_follows_event=self.expiry_follows_event,
            refund_grace_until=self.refund_grace_until,
            metadata=self.metadata,
            details=self.details,
            version=booking.version + 1,
            registered_as=booking.registered_as or booking.content_digest,
            amended_by=(*booking.amended_by, digest_of_cause(self.by))[-REMEMBERED_AMENDMENTS:],
            unanswered=(*booking.unanswered, *((self.asked,) if self.asked else ()))[-REMEMBERED_REQUESTS:],
        )

    def is_content_of(self, booking: Booking) -> bool:
        """True when ``booking`` has this content."""
        return not self.changed(booking)

    @property
    def is_free(self) -> bool:
        """True when the booking costs nothing from now on."""
        return not self.amount

    @property
    def money_left(self) -> Money:
        """The part of the new price whose money has not gone back by refunds of single items."""
        return money_left(self.amount, self.items)

    def changed(self, booking: Booking) -> tuple[str, ...]:
        """Return the names of the booking's fields that this amendment changes, sorted."""
        after = self.apply_to(booking)
        own = ("amount", "items", "event_starts_at", "expires_at", "refund_grace_until", "metadata")
        found = [name for name in own if getattr(after, name) != getattr(booking, name)]
        found += [name for name in _TEXTS if getattr(after.details, name) != getattr(booking.details, name)]
        return tuple(sorted(found))


def require_version(booking: Booking, expected: int | None) -> None:
    """Raise ``NotPossibleNow`` (``version_conflict``) when the caller has seen another version of the booking."""
    if expected is not None and expected != booking.version:
        message = f"this booking has version {booking.version}, not {expected}: read it again, and decide again"
        raise NotPossibleNow(message, code="version_conflict")


def require_amendable(booking: Booking) -> None:
    """Raise ``NotPossibleNow`` when the booking is canceled or expired."""
    closed = {BookingStatus.CANCELED: Payability.CANCELED, BookingStatus.EXPIRED: Payability.EXPIRED}
    if booking.status in closed:
        found = closed[booking.status]
        raise NotPossibleNow(found.message, code=found.code)


def amendment_of(booking: Booking, change: BookingChange, *, refund: str, by: str, now: datetime) -> Amendment:
    """Check a change and return the booking's new content.

    Args:
        refund: what a paid booking that becomes cheaper gives back, as a value of ``RefundOnCancel``.
        by: the cause of the change.
        now: a new date or deadline has to lie in the future.

    Raises:
        RefusedByRule: ``items_do_not_add_up``, ``negative_amount``, ``event_in_past``, ``expiry_in_past``,
            ``expires_after_event``, ``grace_in_past``, ``metadata_key_reserved``.
        CurrencyMismatch: the new price is in another currency.
        InvalidInput: nothing is to change, or a value is not allowed.
    """
    if change.is_empty:
        raise InvalidInput("name at least one field to change")
    amount, items = _price(booking, change)
    starts_at = _kept(change.event_starts_at, booking.event_starts_at)
    if starts_at != booking.event_starts_at and starts_at <= now:
        raise RefusedByRule("event_starts_at is in the past", code="event_in_past")
    grace_until = _kept(change.refund_grace_until, booking.refund_grace_until)
    if grace_until is not None and grace_until != booking.refund_grace_until:
        require_grace_ahead(grace_until, now)
    expires_at, follows = _deadline(booking, change, starts_at, now)
    metadata = _kept(change.metadata, booking.metadata)
    require_metadata(metadata)
    texts: dict[str, Any] = {name: _kept(getattr(change, name), getattr(booking.details, name)) for name in _TEXTS}
    details = evolve(booking.details, **texts)
    require_details(details)
    return Amendment(
        amount=amount,
        items=items,
        event_starts_at=starts_at,
        expires_at=expires_at,
        expiry_follows_event=follows,
        refund_grace_until=grace_until,
        metadata=metadata,
        details=details,
        refund=refund,
        by=by,
    )


def require_grace_ahead(until: datetime, now: datetime) -> None:
    """Raise ``RefusedByRule`` (``grace_in_past``) for the end of a grace that does not lie in the future."""
    if until <= now:
        raise RefusedByRule("refund_grace_until is in the past", code="grace_in_past")


def without_items(booking: Booking, given_up: Sequence[ItemCount]) -> BookingChange | None:
    """Return the change that gives up units of the booking's items; None when nothing would be left.

    Raises as ``without_units``; ``RefusedByRule`` (``no_items``) for a booking without items.
    """
    require_has_items(booking)
    left = without_units(booking.items, given_up)
    return BookingChange(items=left) if left else None


def refunding_items(booking: Booking, named: Sequence[ItemCount], *, refund: str, by: str) -> Amendment:
    """Return the amendment that records units as refunded; the booking keeps them. Raises as ``with_refunded``."""
    require_has_items(booking)
    return Amendment(
        amount=booking.amount,
        items=with_refunded(booking.items, named),
        event_starts_at=booking.event_starts_at,
        expires_at=booking.expires_at,
        expiry_follows_event=booking.expiry_follows_event,
        refund_grace_until=booking.refund_grace_until,
        metadata=booking.metadata,
        details=booking.details,
        refund=refund,
        by=by,
    )


def require_has_items(booking: Booking) -> None:
    """Raise ``RefusedByRule`` (``no_items``) for a booking that was registered without items."""
    if not booking.items:
        raise RefusedByRule("this booking has no items; leave items out", code="no_items")


def _kept(value: T | Keep, present: T) -> T:
    return present if isinstance(value, Keep) else value


def _price(booking: Booking, change: BookingChange) -> tuple[Money, tuple[Item, ...]]:
    """Return the new price and the new items. Items keep the record of their refunded units."""
    amount = None if isinstance(change.amount, Keep) else change.amount
    if amount is not None and amount.minor < 0:
        raise RefusedByRule("the amount must not be negative", code="negative_amount")
    if amount is not None:
        _ = amount - booking.amount  # raises CurrencyMismatch
    if isinstance(change.items, Keep):
        if amount is not None and booking.items:
            return require_items(booking.items, amount), booking.items
        return booking.amount if amount is None else amount, booking.items
    refunded = {item.id: item.refunded for item in booking.items}
    items = tuple(evolve(item, refunded=min(item.quantity, refunded.get(item.id, 0))) for item in change.items)
    price = require_items(items, amount)
    _ = price - booking.amount  # raises CurrencyMismatch
    return price, items


def _deadline(booking: Booking, change: BookingChange, starts_at: datetime, now: datetime) -> tuple[datetime, bool]:
    """Return the new deadline and whether it follows the event's start.

    A deadline that was given stays, and never lies after the start.
    """
    if isinstance(change.expires_at, Keep):
        if booking.expiry_follows_event:
            return starts_at, True
        return min(booking.expires_at, starts_at), False
    if change.expires_at > starts_at:
        raise RefusedByRule("expires_at must not be after event_starts_at", code="expires_after_event")
    if change.expires_at <= now:
        raise RefusedByRule("expires_at is in the past", code="expiry_in_past")
    return change.expires_at, False
