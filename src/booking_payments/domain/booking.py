"""Booking: an order that is paid once, and the rule for when it may be paid."""

import hashlib  # standard library: a digest recognizes the repetition of a registration
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from enum import Enum
from typing import Any, Final

from attrs import evolve, field, fields, frozen, has

from booking_payments.domain import metadata_keys
from booking_payments.domain.arguments import require_money, require_string, require_strings, require_whole
from booking_payments.domain.errors import InvalidInput, NotPossibleNow, PaymentError, RefusedByRule
from booking_payments.domain.instructions import ANY_METHOD, CaptureMethod, MethodChoice
from booking_payments.domain.money import Money, total
from booking_payments.domain.refunds import CustomerRefunds, RefundPolicy
from booking_payments.domain.texts import (
    is_line,
    require_email,
    require_identifier,
    require_line,
    require_locale,
    require_text,
    require_time_zone,
    require_web_address,
    rfc3339,
    rfc3339_or_none,
)


class BookingStatus(Enum):
    """``pending`` waits for its payment, ``confirmed`` is paid; ``canceled`` and ``expired`` are closed."""

    PENDING = "pending"
    CONFIRMED = "confirmed"
    CANCELED = "canceled"
    EXPIRED = "expired"

    @property
    def is_live(self) -> bool:
        """True until the booking is canceled or expires. A live booking reserves its reference."""
        return self in (BookingStatus.PENDING, BookingStatus.CONFIRMED)


class EndReason(Enum):
    """Why a booking ended, in addition to its status.

    ``attempts_exhausted``: it expired early because no payment attempt was left. ``refunded``: it was canceled because
    its whole payment is refunded.
    """

    ATTEMPTS_EXHAUSTED = "attempts_exhausted"
    REFUNDED = "refunded"


class Payability(Enum):
    """Whether a booking may be paid, or why not: a stable ``code`` and a ``message`` for the customer."""

    PAYABLE = "payable", "the booking may be paid"
    ALREADY_PAID = "already_paid", "this booking is paid already"
    CANCELED = "booking_canceled", "this booking was canceled"
    EXPIRED = "booking_expired", "the time to pay for this booking is over; book again"
    ATTEMPTS_EXHAUSTED = "attempts_exhausted", "no payment attempt is left for this booking; book again"
    EVENT_STARTED = "event_started", "the event has started; the booking can no longer be paid"
    NOTHING_TO_PAY = "nothing_to_pay", "this booking is free; no payment is needed"

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        self.message = message

    def error(self) -> PaymentError:
        """Return the error to raise: ``RefusedByRule`` or ``NotPossibleNow``, with this code and message."""
        by_rule = self in (Payability.EVENT_STARTED, Payability.ATTEMPTS_EXHAUSTED)
        return (RefusedByRule if by_rule else NotPossibleNow)(self.message, code=self.code)


_BY_STATUS = {
    BookingStatus.CONFIRMED: Payability.ALREADY_PAID,
    BookingStatus.CANCELED: Payability.CANCELED,
    BookingStatus.EXPIRED: Payability.EXPIRED,
}


@frozen(kw_only=True)
class BookingDetails:
    """Optional details of a booking, for pages, statements and receipts, and how it may be paid.

    Attributes:
        title: name of the booked event.
        description: longer text for the payment page.
        customer_email: where receipts are sent; left out of ``repr``.
        statement_descriptor_suffix: text on a card's statement; shortened to the characters that card networks print.
        methods: narrows the installation's payment methods for this booking.
        capture_method: whether the charge is captured at once or only authorized; a booking registered without one gets
            the installation's default.
        customer_refunds: which refunds its customer may request; None: the installation's setting at the time of the
            request.
        customer_name: shown to operators; left out of ``repr``.
        locale: the customer's language as a BCP 47 tag, such as ``de-AT``.
        time_zone: the IANA name of the event's time zone, such as ``Europe/Vienna``.
        success_url, cancel_url: the booking app's own pages, to which the payment page leads.
    """

    title: str | None = None
    description: str | None = None
    customer_email: str | None = field(default=None, repr=False)
    statement_descriptor_suffix: str | None = None
    methods: MethodChoice = ANY_METHOD
    capture_method: CaptureMethod | None = None
    customer_refunds: CustomerRefunds | None = None
    customer_name: str | None = field(default=None, repr=False)
    locale: str | None = None
    time_zone: str | None = None
    success_url: str | None = None
    cancel_url: str | None = None


NO_DETAILS: Final = BookingDetails()


def require_details(details: BookingDetails) -> None:
    """Check the texts of a booking. Raises ``InvalidInput`` for the first one that is not allowed."""
    for name in ("title", "description", "customer_name", "customer_email", "statement_descriptor_suffix"):
        _if_given(require_string, details, name)
    for name in ("success_url", "cancel_url", "locale", "time_zone"):
        _if_given(require_string, details, name)
    for name in ("title", "customer_name", "statement_descriptor_suffix"):
        _if_given(require_line, details, name)
    for name in ("success_url", "cancel_url"):
        _if_given(require_web_address, details, name)
    _if_given(require_email, details, "customer_email")
    _if_given(require_locale, details, "locale")
    _if_given(require_time_zone, details, "time_zone")
    require_text(details.description, "description")


def _if_given(check: Callable[[str, str], object], details: BookingDetails, name: str) -> None:
    value = getattr(details, name)
    if value is not None:
        check(value, name)


MAX_ITEMS: Final = 100
MAX_QUANTITY: Final = 10_000
MAX_ITEM_ID: Final = 64
MAX_ITEM_LABEL: Final = 200


@frozen(kw_only=True)
class Item:
    """A part of a booking with its own price: seats of one category, for example.

    Attributes:
        id: names the item within its booking; ``MAX_ITEM_ID`` visible characters at most.
        label: text for pages, on one line; ``MAX_ITEM_LABEL`` characters at most.
        quantity: number of units, at least 1.
        unit_amount: the price of one unit; zero or more.
        refunded: number of units whose money has gone back while the booking keeps them.
    """

    id: str
    label: str
    quantity: int = field()
    unit_amount: Money = field()
    refunded: int = 0

    @quantity.validator
    def _positive(self, _: object, quantity: int) -> None:
        require_whole(quantity, "items: quantity")
        if not 1 <= quantity <= MAX_QUANTITY:
            raise InvalidInput(f"items: a quantity is between 1 and {MAX_QUANTITY}")

    @unit_amount.validator
    def _not_negative(self, _: object, unit_amount: Money) -> None:
        require_money(unit_amount, "items: unit_amount")
        if unit_amount.minor < 0:
            raise RefusedByRule("items: unit_amount must not be negative", code="negative_amount")

    def __attrs_post_init__(self) -> None:
        if not 0 <= self.refunded <= self.quantity:
            raise InvalidInput("items: more units than the booking has")

    @property
    def amount(self) -> Money:
        """The price of all units."""
        return Money.sum_of(self.unit_amount.minor * self.quantity, self.unit_amount.currency)

    @property
    def money_left(self) -> Money:
        """The price of the units whose money has not gone back."""
        left = self.quantity - self.refunded
        return Money.sum_of(self.unit_amount.minor * left, self.unit_amount.currency)

    def to_dict(self) -> dict[str, Any]:
        """The item as the HTTP API represents it."""
        return {
            "id": self.id,
            "label": self.label,
            "quantity": self.quantity,
            "unit_amount": self.unit_amount.major(),
            "refunded_quantity": self.refunded,
        }


@frozen(kw_only=True)
class ItemCount:
    """A number of units of the item with this id; ``quantity`` None stands for all units that are left."""

    id: str
    quantity: int | None = None


def require_items_given(items: object, name: str) -> None:
    """Raise ``InvalidInput`` unless ``items`` is a list or tuple of ``Item``."""
    if not isinstance(items, list | tuple) or not all(isinstance(each, Item) for each in items):
        raise InvalidInput(f"{name}: give a list of Item")


def require_items(items: Sequence[Item], amount: Money | None) -> Money:
    """Return the price of ``items``: the sum of their amounts.

    Args:
        items: at least one, in one currency, each with its own id.
        amount: the price given beside them; None if none was given.

    Raises:
        RefusedByRule: with code ``items_do_not_add_up``, the sum is not ``amount``.
        InvalidInput: no item, too many items, an id that occurs twice, or an id or a label that is not allowed.
    """
    if not 1 <= len(items) <= MAX_ITEMS:
        raise InvalidInput(f"items: give between 1 and {MAX_ITEMS}")
    if len({item.id for item in items}) != len(items):
        raise RefusedByRule("items: each needs a different id", code="item_repeated")
    for item in items:
        _require_named(item)
    price = total((item.amount for item in items), items[0].unit_amount.currency).single()
    if amount is not None and amount != price:
        message = f"the items add up to {price}, and the amount is {amount}; leave one of the two out, or correct it"
        raise RefusedByRule(message, code="items_do_not_add_up")
    return price


def _require_named(item: Item) -> None:
    """Raise ``InvalidInput`` for an id or a label that is too long, or has characters that nobody sees."""
    require_string(item.id, "items: id")
    require_string(item.label, "items: label")
    require_identifier(item.id, "items: id")
    require_line(item.label, "items: label")
    if len(item.id) > MAX_ITEM_ID or len(item.label) > MAX_ITEM_LABEL:
        raise InvalidInput(f"items: an id has at most {MAX_ITEM_ID} characters, and a label {MAX_ITEM_LABEL}")


def without_units(items: Sequence[Item], given_up: Sequence[ItemCount]) -> tuple[Item, ...]:
    """Return ``items`` without the units ``given_up``; empty when no unit remains.

    Units that were refunded already are removed last.

    Raises:
        RefusedByRule: an item is unknown (``item_unknown``) or has fewer units left (``item_given_back``).
        InvalidInput: an item is named twice, or a quantity is not positive.
    """
    left: list[Item] = []
    wanted = _by_id(items, given_up)
    for item in items:
        quantity = item.quantity - wanted.get(item.id, 0)
        if quantity < 0:
            raise _given_back(item, item.quantity)
        if quantity:
            left.append(evolve(item, quantity=quantity, refunded=min(item.refunded, quantity)))
    return tuple(left)


def with_refunded(items: Sequence[Item], refunded: Sequence[ItemCount]) -> tuple[Item, ...]:
    """Return ``items`` with the money of the units ``refunded`` gone back; the booking keeps the units.

    Raises as ``without_units``; units whose money has gone back do not count as left.
    """
    wanted = _by_id(items, refunded, of_money=True)
    found = []
    for item in items:
        count = item.refunded + wanted.get(item.id, 0)
        if count > item.quantity:
            raise _given_back(item, item.quantity - item.refunded)
        found.append(evolve(item, refunded=count))
    return tuple(found)


def _by_id(items: Sequence[Item], named: Sequence[ItemCount], *, of_money: bool = False) -> Mapping[str, int]:
    known = {item.id: item for item in items}
    if not named or len({each.id for each in named}) != len(named):
        raise InvalidInput("items: name at least one item, and each only once")
    wanted: dict[str, int] = {}
    for each in named:
        item = known.get(each.id)
        if item is None:
            message = f"this booking has no item {each.id} any more, or never had one"
            raise RefusedByRule(message, code="item_unknown")
        left = item.quantity - item.refunded if of_money else item.quantity
        if each.quantity is not None and each.quantity < 1:
            raise InvalidInput("items: a quantity is at least 1")
        if not left:
            raise _given_back(item, 0)
        wanted[each.id] = left if each.quantity is None else each.quantity
    return wanted


def _given_back(item: Item, left: int) -> RefusedByRule:
    return RefusedByRule(
        f"of the item {item.id} only {left} can be given back; it goes back once", code="item_given_back"
    )


def money_left(amount: Money, items: Sequence[Item]) -> Money:
    """Return the part of a booking's price whose money has not gone back by refunds of single items."""
    return total((item.money_left for item in items), amount.currency) if items else amount


_EVENT_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")


def require_event_id(text: str) -> str:
    """Return ``text`` if it can be the id of an event, which is a part of addresses. Raises ``InvalidInput``."""
    if not _EVENT_ID.fullmatch(text):
        raise InvalidInput("event_id: use 1 to 64 letters, digits, - and _")
    return text


RESERVED_METADATA: Final = metadata_keys.OWN
"""Keys that this service writes to the gateway's objects itself."""

MAX_METADATA: Final = 40
"""Entries of a booking's metadata: an object of the gateway has 50, and this service needs some itself."""

MAX_METADATA_KEY: Final = 40
MAX_METADATA_VALUE: Final = 500


def plain_metadata(metadata: Mapping[str, str]) -> dict[str, str]:
    """Return a copy, which storage can write and a change of the caller's mapping does not reach."""
    return dict(metadata)


def require_metadata(metadata: Mapping[str, str]) -> None:
    """Check a booking's metadata: the limits are those of the gateway's metadata.

    Raises:
        RefusedByRule: with code ``metadata_key_reserved``, a key is one that this service writes itself.
        InvalidInput: too many entries, or a key or a value that is no text, too long or not printable.
    """
    require_strings(metadata, "metadata")
    if len(metadata) > MAX_METADATA:
        raise InvalidInput(f"metadata: {MAX_METADATA} entries at most")
    for key, value in metadata.items():
        if key in RESERVED_METADATA:
            raise RefusedByRule(f"metadata: the key {key} is written by this service", code="metadata_key_reserved")
        if not 0 < len(key) <= MAX_METADATA_KEY or not key.isprintable() or "[" in key or "]" in key:
            raise InvalidInput(f"metadata: a key has 1 to {MAX_METADATA_KEY} visible characters, without [ and ]")
        if len(value) > MAX_METADATA_VALUE or not is_line(value):
            raise InvalidInput(f"metadata: a value has at most {MAX_METADATA_VALUE} visible characters, on one line")


REMEMBERED_AMENDMENTS: Final = 32
"""How many amendments of a booking are recognized when their requests are repeated, although others followed."""


ASKED_AGAIN_WITHIN: Final = timedelta(hours=24)
"""Within this time an equal request of the same caller repeats an earlier one whose outcome was not received."""

REMEMBERED_REQUESTS: Final = 8
"""How many requests without a received outcome a booking remembers."""


@frozen(kw_only=True)
class ItemsRequest:
    """A request to give up units of a booking's items, which is relative: carried out twice, it gives up twice as many.

    Attributes:
        digest: of its caller and its content, which recognizes its repetition.
        at: when it was made.
    """

    digest: str
    at: datetime

    @classmethod
    def of(cls, caller: str, items: Sequence[ItemCount], refund: str | None, at: datetime) -> "ItemsRequest":
        """Return the request of the subject ``caller`` for these units, in any order, with this kind of refund."""
        named = sorted((each.id, each.quantity or 0) for each in items)
        return cls(digest=digest_of_cause(repr((caller, named, refund))), at=at)

    def repeats(self, earlier: "ItemsRequest") -> bool:
        """True when this request is equal to ``earlier``, and not too late to be its repetition."""
        return self.digest == earlier.digest and self.at - earlier.at < ASKED_AGAIN_WITHIN


def digest_of_cause(cause: str) -> str:
    """Return a short digest of a cause, which may be long."""
    return hashlib.sha256(cause.encode()).hexdigest()[:16]


@frozen(kw_only=True)
class Booking:
    """An order to be paid: customer, amount, start of the event and deadline.

    Attributes:
        reference: the booking app's own name for it, unique among the live bookings.
        amount: its price; the sum of ``items`` where it has any.
        expires_at: end of the hold: until when the booking may be paid; not later than ``event_starts_at``.
        refund_policy: None applies the installation's default when a payment starts.
        end_reason: why it ended, in addition to its status; None without a further reason.
        event_id: the booking app's own id of the event; None if it gave none.
        items: the parts of the price; empty where none were given.
        metadata: the booking app's own data.
        version: 1 at first, and one more with each change.
        expiry_follows_event: no ``expires_at`` was given, so that it moves with the event's start.
        refund_grace_until: until then the customer may have everything back, because the event was moved.
        registered_as: digest of the content it was registered with, once it was amended; None before.
        amended_by: digests of the causes of the latest amendments, the newest last, which recognize repetitions.
        unanswered: requests that gave up units of items, until their callers have received the outcome.
    """

    id: str
    reference: str
    customer_id: str
    amount: Money
    event_starts_at: datetime
    expires_at: datetime
    created_at: datetime
    status: BookingStatus = BookingStatus.PENDING
    refund_policy: RefundPolicy | None = None
    details: BookingDetails = NO_DETAILS
    end_reason: EndReason | None = None
    event_id: str | None = None
    items: tuple[Item, ...] = ()
    metadata: Mapping[str, str] = field(factory=dict, converter=plain_metadata)
    version: int = 1
    expiry_follows_event: bool = False
    refund_grace_until: datetime | None = None
    registered_as: str | None = None
    amended_by: tuple[str, ...] = ()
    unanswered: tuple[ItemsRequest, ...] = ()

    @property
    def free(self) -> bool:
        """True when the amount is zero: the booking is confirmed without a payment."""
        return self.amount.minor == 0

    def was_amended_by(self, cause: str) -> bool:
        """True when one of the latest amendments, ``REMEMBERED_AMENDMENTS`` at most, had this cause."""
        return digest_of_cause(cause) in self.amended_by

    def repeated(self, request: ItemsRequest) -> ItemsRequest | None:
        """Return the earlier request that this one repeats, which has been carried out; None without one."""
        return next((each for each in self.unanswered if request.repeats(each)), None)

    def to_dict(self) -> dict[str, Any]:
        """Return the booking as the HTTP API represents it; ``describe_booking`` adds ``refund_owed``."""
        details = self.details
        return {
            "id": self.id,
            "reference": self.reference,
            "version": self.version,
            "customer_id": self.customer_id,
            "event_id": self.event_id,
            "amount": self.amount.major(),
            "currency": self.amount.currency.code,
            "event_starts_at": rfc3339(self.event_starts_at),
            "expires_at": rfc3339(self.expires_at),
            "status": self.status.value,
            "reason": self.end_reason.value if self.end_reason else None,
            "free": self.free,
            "items": [item.to_dict() for item in self.items],
            "metadata": dict(self.metadata),
            "refund_policy": self.refund_policy.to_dict() if self.refund_policy else None,
            "refund_grace_until": rfc3339_or_none(self.refund_grace_until),
            "title": details.title,
            "description": details.description,
            "customer_email": details.customer_email,
            "customer_name": details.customer_name,
            "locale": details.locale,
            "time_zone": details.time_zone,
            "success_url": details.success_url,
            "cancel_url": details.cancel_url,
            "statement_descriptor_suffix": details.statement_descriptor_suffix,
            "payment_methods": details.methods.to_dict(),
            "capture_method": details.capture_method.value if details.capture_method else None,
            "customer_refunds": details.customer_refunds.value if details.customer_refunds else None,
        }

    def payability(self, now: datetime) -> Payability:
        """Return ``PAYABLE``, or the first reason why this booking may not be paid at ``now``."""
        if self.status is BookingStatus.EXPIRED and self.end_reason is EndReason.ATTEMPTS_EXHAUSTED:
            return Payability.ATTEMPTS_EXHAUSTED
        if self.status is BookingStatus.CONFIRMED and self.free:
            return Payability.NOTHING_TO_PAY
        if self.status in _BY_STATUS:
            return _BY_STATUS[self.status]
        if now >= self.event_starts_at:
            return Payability.EVENT_STARTED
        if now >= self.expires_at:
            return Payability.EXPIRED
        return Payability.NOTHING_TO_PAY if self.free else Payability.PAYABLE

    def same_content(self, other: "Booking") -> bool:
        """True when ``other``, a booking just registered, repeats the registration of this one.

        It has the content of this one as it is now, or as it was registered before it was amended.
        """
        return self._content() == other._content() or self.registered_as == other.content_digest

    @property
    def content_digest(self) -> str:
        """SHA-256 of the registered content, by which its repetition is recognized after an amendment.

        A field that has its default is left out: a release that adds one still recognizes earlier registrations.
        """
        return hashlib.sha256(repr(_without_defaults(self._content())).encode()).hexdigest()

    def _content(self) -> tuple[object, ...]:
        times = (self.event_starts_at, self.expires_at)
        own = (self.event_id, tuple((item.id, item.label, item.quantity, item.unit_amount) for item in self.items))
        metadata = tuple(sorted(self.metadata.items()))
        return (self.reference, self.customer_id, self.amount, *times, self.refund_policy, self.details, *own, metadata)


def _without_defaults(value: object) -> object:
    """Return ``value`` as nested tuples; of an attrs object the fields that differ from their defaults, by name."""
    if isinstance(value, tuple):
        return tuple(_without_defaults(each) for each in value)
    kind = type(value)
    if not has(kind):
        return value
    given = ((each.name, getattr(value, each.name), each.default) for each in fields(kind))
    return tuple((name, _without_defaults(content)) for name, content, default in given if content != default)
