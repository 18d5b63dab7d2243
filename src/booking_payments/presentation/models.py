"""Request and response bodies of the HTTP API. Unknown fields in a request are refused.

Amounts are decimal text in major units, times are RFC 3339 in UTC. The docstrings and descriptions here are printed in
the OpenAPI document and in ``docs/reference/http.md``.
"""

from datetime import datetime
from typing import Annotated, Any, ClassVar, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from booking_payments.domain.texts import LONGEST

AmountText = Annotated[
    str, Meta(min_length=1, max_length=24, description="decimal text in major units", examples=["100.00"])
]


def says(description: str, *examples: Any) -> Meta:
    """Return a field's meaning and examples for the OpenAPI document and the reference page."""
    return Meta(description=description, examples=list(examples) or None)


def _matching(pattern: str, **constraints: Any) -> Meta:
    """Text that is ``pattern`` from its first to its last character.

    In Python ``$`` also matches before a line break at the end of the text, so the check uses ``\\Z``; the OpenAPI
    document has ``$`` instead (``entrypoints/http/openapi.py``).
    """
    return Meta(pattern=rf"^{pattern}\Z", **constraints)


AskedAmount = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=24,
        description="decimal text in major units, with the decimals of the currency",
        examples=["100.00"],
        extra_json_schema={"pattern": r"^[0-9]{1,12}(\.[0-9]{1,3})?$"},
    ),
]
"""Parsed by ``Money.parse``, which knows the currency; the pattern is only for the OpenAPI document."""
CurrencyText = Annotated[str, _matching(r"[a-z]{3}", description="ISO 4217, lower case", examples=["usd"])]
Name = Annotated[str, Meta(min_length=1, max_length=255)]
Part = Annotated[str, Meta(min_length=1, max_length=255, description="found in part and in any case")]
LastFour = Annotated[str, _matching(r"[0-9A-Za-z]{4}", description="of the card or account that paid")]
Moment = Annotated[datetime, Meta(tz=True, description="RFC 3339 with a time zone", examples=["2030-01-01T20:00:00Z"])]
Instant = Annotated[datetime, Meta(tz=True, description="RFC 3339 in UTC", examples=["2030-01-01T20:00:00Z"])]
MethodId = Annotated[str, _matching(r"[A-Za-z0-9_]{1,255}", examples=["pm_card_visa"])]
Url = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=2048,
        description="where payment methods that redirect return to; by default the URL with which the payment was "
        "started, otherwise `PAYMENT_RETURN_URL`",
        examples=["https://shop.example/back"],
    ),
]
Percent = Annotated[str, _matching(r"(100(\.0{1,2})?|[0-9]{1,2}(\.[0-9]{1,2})?)", examples=["50"])]
CaptureOfBooking = Literal["automatic", "manual"]
CaptureMethodText = Annotated[
    CaptureOfBooking,
    says(
        "for a new payment; an open one keeps its own. Customers may choose it only with "
        "`PAYMENT_CAPTURE_BY_CUSTOMER`; otherwise the booking's applies",
        "automatic",
    ),
]
ClientText = Annotated[
    Literal["stripe_js"],
    says(
        "`stripe_js`: the front end shows 3-D Secure itself, with Stripe.js, also for later `confirm` and "
        "`retry`. Otherwise the browser is redirected to the bank's page",
        "stripe_js",
    ),
]
GatewayText = Annotated[
    str,
    _matching(
        r"[a-z][a-z0-9_]{0,39}",
        description="one of `gateways` in `/api/payment/config/`, by default the first; an open payment of another "
        "gateway is canceled first",
        examples=["bank_transfer"],
    ),
]
MethodType = Annotated[str, _matching(r"[a-z][a-z0-9_]{1,49}", examples=["card"])]
AdviceText = Literal["try_again", "other_method", "ask_bank", "fix_details"]
"""``domain.errors.Advice``: the advice to the customer after an error."""

PaymentStatusText = Literal[
    "requires_payment_method",
    "requires_confirmation",
    "requires_action",
    "processing",
    "requires_capture",
    "succeeded",
    "canceled",
    "failed",
]
RefundStatusText = Literal["pending", "requires_action", "succeeded", "failed", "canceled"]


class Asked(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Base of request bodies and queries."""


class Given(msgspec.Struct, kw_only=True):
    """Base of response bodies."""


# --- bookings --------------------------------------------------------------------------------------------------


class Tier(Asked):
    """Until ``hours_before`` hours before the event, ``percent`` of the charge is refunded."""

    hours_before: Annotated[
        Annotated[int, Meta(ge=0, le=8784, examples=[48])],
        says("the tier applies until so many hours before the start of the event", 48),
    ]
    percent: Annotated[Percent, says("the share of the charge that is refunded", "50")]


class Policy(Asked):
    """The refund policy: the refundable shares of the charge, and whether the fee is kept or returned."""

    tiers: Annotated[
        Annotated[list[Tier], Meta(max_length=20)],
        says("the refundable shares by time; with an empty list everything is refunded until the event starts"),
    ] = []
    fee: Annotated[
        Literal["kept", "returned"], says("whether the processing fee is kept, or returned with the refund", "kept")
    ] = "kept"


class MethodsChosen(Asked, omit_defaults=True):
    """The accepted types of payment methods, by the gateway's names: only ``allowed``, or all but ``excluded``."""

    allowed: Annotated[
        Annotated[list[MethodType], Meta(min_length=1, max_length=50)] | None,
        says("only these types, by the gateway's names; not together with `excluded`", ["card", "sepa_debit"]),
    ] = None
    excluded: Annotated[
        Annotated[list[MethodType], Meta(min_length=1, max_length=50)] | None,
        says("all types but these; not together with `allowed`", ["klarna"]),
    ] = None


EventId = Annotated[
    str,
    _matching(r"[A-Za-z0-9_-]{1,64}", description="your own id of the event", examples=["evening-1"]),
]
ItemId = Annotated[str, _matching(r"[A-Za-z0-9_.-]{1,64}", examples=["adult"])]
Quantity = Annotated[int, Meta(ge=1, le=10_000)]
WebAddress = Annotated[str, Meta(min_length=1, max_length=2048, examples=["https://shop.example/thanks"])]
Locale = Annotated[str, Meta(min_length=2, max_length=35, description="BCP 47", examples=["de-AT"])]
Title = Annotated[str, Meta(min_length=1, max_length=200)]
Description = Annotated[str, Meta(min_length=1, max_length=1000)]
Email = Annotated[str, Meta(max_length=254, examples=["ann@example.com"])]
Metadata = Annotated[
    dict[str, str],
    Meta(max_length=40, description="your own data; keys that this service writes itself are refused"),
]


class ItemAsked(Asked):
    """A part of a booking with its own price. The sum of all items is the booking's amount."""

    id: Annotated[ItemId, says("your own id of the item, unique within the booking", "adult")]
    unit_amount: Annotated[
        AskedAmount,
        says("the price of one unit, as decimal text in major units, with the decimals of the currency", "30.00"),
    ]
    quantity: Annotated[Quantity, says("the number of units", 2)] = 1
    label: Annotated[
        Annotated[str, Meta(min_length=1, max_length=200, description="by default the id")] | None,
        says("the item's name for customers; by default the id", "Adult"),
    ] = None


Items = Annotated[list[ItemAsked], Meta(min_length=1, max_length=100)]


class ItemNamed(Asked):
    """Units of an item; by default all remaining ones."""

    id: Annotated[ItemId, says("the id of an item of the booking", "adult")]
    quantity: Annotated[Quantity | None, says("the number of units; by default all remaining ones", 1)] = None


NamedItems = Annotated[list[ItemNamed], Meta(min_length=1, max_length=100)]


class RegisterBooking(Asked):
    """A booking to be paid. ``amount`` may be omitted if ``items`` are given."""

    reference: Annotated[
        Name,
        says("your own id of the booking; the same reference with the same content is registered once", "order-1001"),
    ]
    customer_id: Annotated[
        Name, says("your own id of the customer; it is the `sub` of the token with which the customer pays", "ann")
    ]
    currency: Annotated[
        CurrencyText, says("the currency of all amounts of the booking, as ISO 4217 in lower case", "usd")
    ]
    event_starts_at: Annotated[
        Moment,
        says(
            "the start of the event, with a time zone (RFC 3339); after it customers are refunded nothing",
            "2030-01-01T20:00:00Z",
        ),
    ]
    expires_at: Annotated[
        Moment | None,
        says(
            "until when the booking may be paid, with a time zone (RFC 3339); by default until the event starts",
            "2029-12-24T12:15:00Z",
        ),
    ] = None
    refund_policy: Annotated[
        Policy | None, says("which share is refunded until when; by default everything until the event starts")
    ] = None
    amount: Annotated[
        AskedAmount | None,
        says(
            "the price, as decimal text in major units, with the currency's decimals; may be left out with `items`",
            "70.00",
        ),
    ] = None
    items: Annotated[Items | None, says("the parts of the booking; their sum is its price")] = None
    event_id: Annotated[
        EventId | None,
        says("your own id of the event, by which its bookings are canceled or moved together", "evening-1"),
    ] = None
    metadata: Annotated[
        Metadata | None,
        says(
            "your own data, returned with the booking; keys that this service writes itself are refused", {"row": "B"}
        ),
    ] = None
    title: Annotated[
        Title | None, says("the name of the purchase, as the customer reads it on the checkout page", "Hamlet, 8 pm")
    ] = None
    description: Annotated[Description | None, says("more about it, below the title", "Row B, seats 7 to 9")] = None
    customer_email: Annotated[
        Email | None, says("the customer's e-mail address, for receipts and for operators", "ann@example.com")
    ] = None
    customer_name: Annotated[Name | None, says("the customer's name, for operators", "Ann Smith")] = None
    locale: Annotated[Locale | None, says("the customer's language, as a BCP 47 tag", "de-AT")] = None
    time_zone: Annotated[
        Annotated[str, Meta(max_length=64, description="IANA name", examples=["Europe/Vienna"])] | None,
        says("the time zone of the event, as an IANA name", "Europe/Vienna"),
    ] = None
    success_url: Annotated[
        WebAddress | None,
        says("your own page to which the checkout page leads after a payment", "https://shop.example/thanks"),
    ] = None
    cancel_url: Annotated[
        WebAddress | None,
        says("your own page to which the checkout page leads without a payment", "https://shop.example/seats"),
    ] = None
    statement_descriptor_suffix: Annotated[
        Annotated[str, Meta(min_length=1, max_length=100)] | None,
        says(
            "text on a card's statement after the name of your account; by default `STATEMENT_DESCRIPTOR_SUFFIX`",
            "HAMLET",
        ),
    ] = None
    payment_methods: Annotated[MethodsChosen | None, says("narrows the offered types of payment methods")] = None
    capture_method: Annotated[CaptureOfBooking | None, says("of its payment, by default `automatic`", "automatic")] = (
        None
    )
    customer_refunds: Annotated[
        Literal["policy", "none"] | None,
        says("which refunds the customer may request; by default as `CUSTOMER_REFUNDS` says", "policy"),
    ] = None


RefundText = Annotated[
    Literal["none", "policy", "full"], Meta(description="how much is refunded; by default as the refund policy says")
]


class AmendBooking(Asked):
    """The fields of a booking to change; omitted fields stay. Null removes a text, or ``refund_grace_until``, the time
    until which customers may have everything refunded. The price of a booking with items is changed by its items."""

    amount: Annotated[
        AskedAmount | UnsetType,
        says("the new price, as decimal text in major units; not for a booking with items", "80.00"),
    ] = UNSET
    items: Annotated[Items | UnsetType, says("the new items; they replace all earlier ones")] = UNSET
    event_starts_at: Annotated[
        Moment | UnsetType, says("the new start of the event, with a time zone (RFC 3339)", "2030-02-01T20:00:00Z")
    ] = UNSET
    expires_at: Annotated[
        Moment | UnsetType,
        says(
            "until when the booking may be paid, with a time zone (RFC 3339). Omitted, an earlier one stays, but never "
            "after the start of the event; one that was never given moves with the start",
            "2030-01-20T12:00:00Z",
        ),
    ] = UNSET
    refund_grace_until: Annotated[
        Moment | UnsetType | None,
        says(
            "until then the customer may have everything back, independent of the refund policy; null removes it",
            "2030-01-15T00:00:00Z",
        ),
    ] = UNSET
    title: Annotated[
        Title | UnsetType | None,
        says(
            "the name of the purchase, as the customer reads it on the checkout page; null removes it", "Hamlet, 8 pm"
        ),
    ] = UNSET
    description: Annotated[
        Description | UnsetType | None, says("more about it, below the title; null removes it", "Row B, seats 7 to 9")
    ] = UNSET
    customer_email: Annotated[
        Email | UnsetType | None,
        says("the customer's e-mail address, for receipts and for operators; null removes it", "ann@example.com"),
    ] = UNSET
    customer_name: Annotated[
        Name | UnsetType | None, says("the customer's name, for operators; null removes it", "Ann Smith")
    ] = UNSET
    locale: Annotated[
        Locale | UnsetType | None, says("the customer's language, as a BCP 47 tag; null removes it", "de-AT")
    ] = UNSET
    success_url: Annotated[
        WebAddress | UnsetType | None,
        says(
            "your own page to which the checkout page leads after a payment; null removes it",
            "https://shop.example/thanks",
        ),
    ] = UNSET
    cancel_url: Annotated[
        WebAddress | UnsetType | None,
        says(
            "your own page to which the checkout page leads without a payment; null removes it",
            "https://shop.example/seats",
        ),
    ] = UNSET
    metadata: Annotated[Metadata | UnsetType, says("your own data; replaces all earlier entries", {"row": "C"})] = UNSET
    expected_version: Annotated[
        Annotated[int, Meta(ge=1, le=2**31 - 1)] | None,
        says("the `version` that you have read; 409 `version_conflict` when the booking has changed since", 1),
    ] = None
    refund: Annotated[
        RefundText | None,
        says(
            "how much of a lower price goes back: by the refund policy (default), all of the difference, or nothing; "
            "by default all of it when the new price is zero",
            "policy",
        ),
    ] = None


class CancelBooking(Asked):
    """Why a booking is canceled, and how much is refunded. Customers must omit ``refund``. With ``items`` only these
    are canceled, and the booking keeps the others."""

    reason: Annotated[
        Annotated[str, Meta(max_length=LONGEST)] | None,
        says("why, for the journal and for operators", "the hall is flooded"),
    ] = None
    refund: Annotated[
        RefundText | None,
        says("how much is refunded: by the refund policy (default), everything, or nothing; not for customers", "full"),
    ] = None
    items: Annotated[NamedItems | None, says("cancel only these items; the booking keeps the others")] = None


class ItemAnswer(Given):
    """A part of a booking. ``refunded_quantity``: units that were refunded while the booking keeps them."""

    id: Annotated[str, says("your own id of the item", "adult")]
    label: Annotated[str, says("the item's name for customers", "Adult")]
    quantity: Annotated[int, says("the number of units that the booking has now", 2)]
    unit_amount: Annotated[AmountText, says("the price of one unit, as decimal text in major units", "30.00")]
    refunded_quantity: Annotated[int, says("units that were refunded while the booking keeps them", 0)]


class BookingAnswer(Given):
    """A booking. ``free``: its price is zero, and it is confirmed without a payment. ``reason`` says why it expired
    early, or that it was canceled because it was refunded in full. ``refund_owed`` is promised and not refunded yet;
    ``refund_waiting`` is the part of it that the system sends by itself, when an open dispute has ended for example."""

    id: Annotated[str, says("the booking's id, made by this service", "bk_pj74csrjzcjsiy3f6v85j69i")]
    version: Annotated[int, says("grows by one with each change of the booking", 2)]
    reference: Annotated[str, says("your own id of the booking", "order-1001")]
    customer_id: Annotated[str, says("your own id of the customer", "ann")]
    event_id: Annotated[str | None, says("your own id of the event", "evening-1")]
    amount: Annotated[AmountText, says("the price, as decimal text in major units", "70.00")]
    currency: Annotated[CurrencyText, says("ISO 4217, lower case", "usd")]
    items: Annotated[list[ItemAnswer], says("the parts of the booking; empty without items")]
    metadata: Annotated[dict[str, str], says("your own data", {"row": "B"})]
    event_starts_at: Annotated[Instant, says("the start of the event, RFC 3339 in UTC", "2030-01-01T20:00:00Z")]
    expires_at: Annotated[Instant, says("until when the booking may be paid, RFC 3339 in UTC", "2029-12-24T12:15:00Z")]
    refund_grace_until: Annotated[
        Instant | None,
        says(
            "until then the customer may have everything back, independent of the refund policy", "2030-01-15T00:00:00Z"
        ),
    ]
    status: Annotated[
        Literal["pending", "confirmed", "canceled", "expired"],
        says(
            "`pending` until it is paid; `confirmed` when it is paid or free; `canceled` and `expired` are final",
            "confirmed",
        ),
    ]
    reason: Annotated[
        Literal["attempts_exhausted", "refunded"] | None,
        says(
            "`attempts_exhausted`: expired after the last refused attempt; `refunded`: canceled by a full refund",
            "refunded",
        ),
    ]
    free: Annotated[bool, says("true when the price is zero: it is confirmed without a payment", False)]
    refund_policy: Annotated[
        Policy | None, says("the refund rules given with the booking; null when the service's own apply")
    ]
    title: Annotated[
        str | None, says("the name of the purchase, as the customer reads it on the checkout page", "Hamlet, 8 pm")
    ]
    description: Annotated[str | None, says("more about it, below the title", "Row B, seats 7 to 9")]
    customer_email: Annotated[
        str | None, says("the customer's e-mail address, for receipts and for operators", "ann@example.com")
    ]
    customer_name: Annotated[str | None, says("the customer's name, for operators", "Ann Smith")]
    locale: Annotated[str | None, says("the customer's language, as a BCP 47 tag", "de-AT")]
    time_zone: Annotated[str | None, says("the time zone of the event, as an IANA name", "Europe/Vienna")]
    success_url: Annotated[
        str | None,
        says("your own page to which the checkout page leads after a payment", "https://shop.example/thanks"),
    ]
    cancel_url: Annotated[
        str | None,
        says("your own page to which the checkout page leads without a payment", "https://shop.example/seats"),
    ]
    statement_descriptor_suffix: Annotated[
        str | None, says("text on the customer's card statement after the name of your account", "HAMLET")
    ]
    payment_methods: Annotated[
        MethodsChosen | None,
        says("the types of payment methods to which the booking is narrowed; null: all offered types"),
    ]
    capture_method: Annotated[
        CaptureOfBooking | None,
        says(
            "`automatic`: the payment is captured at once; `manual`: it is authorized, and an operator captures it",
            "automatic",
        ),
    ]
    customer_refunds: Annotated[
        Literal["policy", "none"] | None,
        says("`none`: only the organizer refunds; null: as `CUSTOMER_REFUNDS` says", "policy"),
    ]
    refund_owed: Annotated[
        AmountText,
        says(
            "the promised refunds that have not gone back yet, as decimal text in major units",
            "0.00",
        ),
    ]
    refund_waiting: Annotated[
        AmountText,
        says(
            "the part of `refund_owed` that the system sends by itself, for example after an open dispute has ended",
            "0.00",
        ),
    ]


class BookingsAnswer(Given):
    """Bookings, newest first. ``next_cursor`` is null on the last page."""

    items: Annotated[list[BookingAnswer], says("the bookings of this page")]
    next_cursor: Annotated[
        str | None,
        says(
            "pass it as `cursor` for the next page; null on the last page",
            "MTc3MjM2NjQwMDAwMDAwMDpwYXlfdmVnOHFxZzNxOGJiZnR6cGVnOXM0ZTZ3",
        ),
    ]


class BookingsQuery(Asked):
    """Filters and position of a page of bookings."""

    WHOLE_NUMBERS: ClassVar = ("limit",)

    reference: Annotated[Name | None, says("your own id of the booking", "order-1001")] = None
    customer_id: Annotated[Name | None, says("your own id of the customer", "ann")] = None
    event_id: Annotated[EventId | None, says("your own id of the event", "evening-1")] = None
    status: Annotated[
        Literal["pending", "confirmed", "canceled", "expired"] | None, says("the state of the booking", "confirmed")
    ] = None
    cursor: Annotated[
        Annotated[str, _matching(r"[!-~]+", min_length=1, max_length=512)] | None,
        says("`next_cursor` of the page before", "MTc3MjM2NjQwMDAwMDAwMDpwYXlfdmVnOHFxZzNxOGJiZnR6cGVnOXM0ZTZ3"),
    ] = None
    limit: Annotated[Annotated[int, Meta(ge=1, le=100)], says("the largest number of bookings in the answer", 20)] = 20


# --- events ---------------------------------------------------------------------------------------------------------


class EventQuery(Asked):
    """How an event is answered."""

    format: Annotated[
        Annotated[Literal["json", "csv"], Meta(description="`csv`: a row for each booking of the job")] | None,
        says("`csv`: a row for each booking that the newest job has processed; 404 without a job", "csv"),
    ] = None


class CancelEvent(Asked):
    """Why an event is canceled, and how much its paid bookings are refunded: everything by default. With ``preview``
    nothing is changed."""

    reason: Annotated[
        Annotated[str, Meta(max_length=LONGEST)] | None,
        says("why, for the journal and for operators; your app tells its customers itself", "the hall is flooded"),
    ] = None
    refund: Annotated[
        RefundText | None,
        says("how much paid bookings are refunded: everything (default), by their refund policy, or nothing", "full"),
    ] = None
    preview: Annotated[bool, says("true: only return the preview", True)] = False


class RescheduleEvent(Asked):
    """The new date of an event. Until ``refund_grace_until`` customers may have everything refunded. With ``preview``
    nothing is changed."""

    event_starts_at: Annotated[
        Moment, says("the new start of the event, with a time zone (RFC 3339)", "2030-02-01T20:00:00Z")
    ]
    refund_grace_until: Annotated[
        Moment | None,
        says(
            "until then the customer may have everything back, independent of the refund policy", "2030-01-15T00:00:00Z"
        ),
    ] = None
    preview: Annotated[bool, says("true: only return the preview", True)] = False


class SumAnswer(Given):
    """An amount of one currency."""

    currency: Annotated[CurrencyText, says("ISO 4217, lower case", "usd")]
    amount: Annotated[AmountText, says("decimal text in major units", "45.00")]


class EventBalanceAnswer(Given):
    """Whether the available balance at a gateway suffices for what an event would refund in one currency.

    ``missing`` has to be added before. Both it and ``available`` are null when ``unknown`` says why: the account
    settles in ``other_currency``, or the balance is ``unreadable`` (no answer, or a key without the permission)."""

    gateway: Annotated[str, says("the gateway that keeps the balance", "stripe")]
    currency: Annotated[CurrencyText, says("ISO 4217, lower case", "usd")]
    needed: Annotated[AmountText, says("the sum of the refunds, as decimal text in major units", "45.00")]
    available: Annotated[
        AmountText | None, says("the balance that the gateway can pay out now; may be negative", "20.00")
    ]
    missing: Annotated[AmountText | None, says("the amount to add before, `0.00` when the balance suffices", "25.00")]
    unknown: Annotated[
        Literal["other_currency", "unreadable"] | None,
        says(
            "why there is no balance: the account settles in another currency, or the balance could not be read",
            "other_currency",
        ),
    ]


class EventTotalsAnswer(Given):
    """The sums over the bookings of an event in one currency. ``amount`` is the price of the live ones, ``unpaid`` that
    of the pending ones; the others are sums over their payments."""

    currency: Annotated[CurrencyText, says("ISO 4217, lower case", "usd")]
    bookings: Annotated[dict[str, int], says("the number of bookings by their status", {"confirmed": 1})]
    amount: Annotated[
        AmountText, says("the prices of the pending and confirmed bookings, as decimal text in major units", "70.00")
    ]
    unpaid: Annotated[AmountText, says("the prices of the pending bookings", "0.00")]
    captured: Annotated[AmountText, says("the sum of the captured amounts", "70.00")]
    authorized: Annotated[AmountText, says("the sum of the authorized amounts that are not captured yet", "0.00")]
    processing: Annotated[AmountText, says("the sum of the charges that banks are still working on", "0.00")]
    refunded: Annotated[AmountText, says("the sum of the succeeded refunds", "25.00")]
    refund_pending: Annotated[AmountText, says("the sum of the pending refunds", "0.00")]
    refund_owed: Annotated[AmountText, says("the promised refunds that have not gone back yet", "0.00")]


class EventPreviewAnswer(Given):
    """The effect that canceling or moving an event would have now. ``to_refund`` would be promised to customers,
    ``held`` bookings would have their holds released, those in ``processing`` are refunded when their money arrives,
    ``disputed`` ones wait for the end of their dispute. ``balances`` compares with the gateways that keep a balance."""

    event_id: Annotated[str, says("your own id of the event", "evening-1")]
    preview: Annotated[bool, says("always true: nothing was changed", True)]
    bookings: Annotated[dict[str, int], says("the number of bookings by their status", {"confirmed": 1})]
    to_refund: Annotated[list[SumAnswer], says("the refunds that customers would be promised, by currency")]
    held: Annotated[int, says("bookings whose authorized money would be released", 0)]
    unpaid: Annotated[int, says("bookings that would be canceled without a refund", 0)]
    processing: Annotated[
        int, says("bookings whose payment the bank is still working on; it is refunded when it arrives", 0)
    ]
    disputed: Annotated[
        list[str], says("ids of bookings that wait for the end of their dispute", ["bk_pj74csrjzcjsiy3f6v85j69i"])
    ]
    balances: Annotated[
        list[EventBalanceAnswer],
        says("whether the balances of the gateways suffice; empty without gateways that keep one"),
    ]
    totals: Annotated[list[EventTotalsAnswer], says("the sums over the event as they are now, by currency")]


class EventJobAnswer(Given):
    """A job over the bookings of an event. Of ``total`` bookings, ``done`` are finished, ``owed`` have a refund that is
    pending or is sent later by the system, ``disputed`` wait for the end of their dispute, ``failed`` need an operator,
    and ``waiting`` are processed again soon."""

    id: Annotated[str, says("the job's id", "evj_a6fmiuuibn9duifept2ijdae")]
    event_id: Annotated[str, says("your own id of the event", "evening-1")]
    kind: Annotated[Literal["cancel", "reschedule"], says("what the job does to the bookings", "cancel")]
    state: Annotated[Literal["running", "done"], says("`running` until every booking has had its turn", "running")]
    done: Annotated[int, says("bookings that are finished", 1)]
    owed: Annotated[int, says("bookings whose refund is pending or is sent later by the system", 0)]
    disputed: Annotated[int, says("bookings that wait for the end of their dispute", 0)]
    failed: Annotated[int, says("bookings that need an operator", 0)]
    waiting: Annotated[int, says("bookings that are tried again soon", 0)]
    total: Annotated[int, says("all bookings of the job", 1)]
    refund: Annotated[Literal["none", "policy", "full"], says("how much paid bookings are refunded", "full")]
    reason: Annotated[str | None, says("the reason given with the request", "the hall is flooded")]
    event_starts_at: Annotated[
        Instant | None, says("the new start, when the event is moved; RFC 3339 in UTC", "2030-02-01T20:00:00Z")
    ]
    refund_grace_until: Annotated[Instant | None, says("the grace, when the event is moved", "2030-01-15T00:00:00Z")]
    created_at: Annotated[Instant, says("RFC 3339 in UTC", "2026-03-01T12:00:00Z")]
    finished_at: Annotated[
        Instant | None, says("when the last booking was finished, RFC 3339 in UTC", "2026-03-01T12:00:05Z")
    ]


class EventReportAnswer(Given):
    """An event: sums by currency, and the newest job that cancels or moves it; null without one."""

    event_id: Annotated[str, says("your own id of the event", "evening-1")]
    totals: Annotated[list[EventTotalsAnswer], says("the sums over its bookings, by currency")]
    job: Annotated[EventJobAnswer | None, says("the newest job that cancels or moves the event; null without one")]


# --- payments --------------------------------------------------------------------------------------------------


class StartPayment(Asked):
    """How to start a payment; all fields are optional."""

    payment_method_id: Annotated[
        MethodId | None,
        says("the payment method to charge; left out where the customer chooses it in the browser", "pm_card_visa"),
    ] = None
    confirm_immediately: Annotated[
        bool, says("true: charge `payment_method_id` now; false: only make the intent", True)
    ] = False
    capture_method: CaptureMethodText | None = None
    return_url: Url | None = None
    client: ClientText | None = None
    gateway: GatewayText | None = None


class ConfirmPayment(Asked):
    """The payment method to charge; by default the one that the payment has."""

    payment_method_id: Annotated[
        MethodId | None, says("the payment method to charge; by default the one that the payment has", "pm_card_visa")
    ] = None
    return_url: Url | None = None


class RetryPayment(Asked):
    """The payment method of the next attempt."""

    payment_method_id: Annotated[MethodId, says("the payment method of the next attempt", "pm_card_mastercard")]
    return_url: Url | None = None


class RecordPayment(Asked):
    """A payment that an operator has received by hand."""

    amount: Annotated[
        AskedAmount,
        says("the received amount, which is the price of the booking, as decimal text in major units", "100.00"),
    ]
    kind: Annotated[Literal["cash", "invoice", "voucher", "gift_card"], says("how it was received", "cash")]
    reference: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=100,
            description="the number of the receipt, the invoice or the voucher",
            examples=["17-204"],
        ),
    ]


class CapturePayment(Asked):
    """How much of the held money to capture; everything by default."""

    amount: Annotated[
        AskedAmount | None,
        says("how much to capture, as decimal text in major units; by default everything that is authorized", "60.00"),
    ] = None


class Nothing(Asked):
    """An empty body."""


class FeeAnswer(Given):
    """The processing fee of a charge; ``net`` is the organizer's share."""

    rate: Annotated[str, says("the share of the price, as a decimal fraction", "0.03")]
    amount: Annotated[AmountText, says("the fee, as decimal text in major units", "2.10")]
    payer: Annotated[
        Literal["organizer", "customer"], says("who pays it; with `customer` it is added to the price", "organizer")
    ]
    net: Annotated[AmountText, says("the organizer's share, as decimal text in major units", "67.90")]


class RefundAnswer(Given):
    """A refund. ``success`` is false when it failed. ``deferred``: it is promised, cannot be sent yet, and is sent by
    the system when the dispute or inquiry has ended."""

    success: Annotated[bool, says("false when the refund failed or was canceled", True)]
    refund_id: Annotated[str, says("the refund's id, made by this service", "rf_5mr4cvzm6ss2ureznxnkixmg")]
    gateway_refund_id: Annotated[
        str | None, says("the gateway's own id; null until the gateway has it", "re_wayAz1KT3UEUNONzNN6W0VYL")
    ]
    status: Annotated[RefundStatusText, says("`pending` until the gateway reports an end", "succeeded")]
    amount: Annotated[AmountText, says("decimal text in major units", "25.00")]
    currency: Annotated[CurrencyText, says("ISO 4217, lower case", "usd")]
    reason: Annotated[
        str | None, says("why it was refunded; null where the reader may not learn it", "requested_by_customer")
    ]
    refunded_amount: Annotated[AmountText, says("the sum of the succeeded refunds of the payment", "25.00")]
    remaining_refundable: Annotated[AmountText, says("what may still be refunded now", "45.00")]
    deferred: Annotated[
        bool,
        says(
            "true: it is promised, cannot be sent yet, and is sent by the system when the dispute or inquiry has ended",
            False,
        ),
    ]
    refund_owed: Annotated[AmountText, says("the promised refunds of this payment that have not gone back yet", "0.00")]


class DisputeAnswer(Given):
    """A claim or an inquiry of the customer's bank. ``withdrawn_amount`` was taken from our balance for it."""

    dispute_id: Annotated[str, says("the gateway's id", "du_rzK9RtHBFzkyymYwjJ0WMTui")]
    status: Annotated[str, says("the state of the dispute, see the lifecycle of a dispute", "needs_response")]
    reason: Annotated[str, says("the bank's reason", "fraudulent")]
    amount: Annotated[AmountText, says("the claimed amount, as decimal text in major units", "100.00")]
    withdrawn_amount: Annotated[AmountText, says("the amount taken from the account's balance for it", "100.00")]
    is_inquiry: Annotated[bool, says("true while the bank only asks and has taken nothing", False)]
    opened_at: Annotated[Instant, says("RFC 3339 in UTC", "2026-03-01T12:00:00Z")]
    evidence_due_by: Annotated[
        Instant | None, says("until when the bank takes evidence, RFC 3339 in UTC", "2026-03-15T12:00:00Z")
    ]


class MethodAnswer(Given):
    """The payment method that was charged. ``type`` is the gateway's name; the others are null for types without."""

    type: Annotated[str, says("the gateway's name of the type", "card")]
    brand: Annotated[str | None, says("of a card; null for other types", "visa")]
    last4: Annotated[str | None, says("the last four digits of the card or account; null for types without", "4242")]
    wallet: Annotated[
        str | None, says("the wallet that the card was in, such as `apple_pay`; null without one", "apple_pay")
    ]


class PaymentAnswer(Given):
    """A payment. ``success`` is false when it was canceled or has no attempts left."""

    success: Annotated[bool, says("false when the payment was canceled or has no attempts left", True)]
    booking_id: Annotated[str, says("the booking that it pays", "bk_pj74csrjzcjsiy3f6v85j69i")]
    payment_id: Annotated[str, says("the payment's id, made by this service", "pay_veg8qqg3q8bbftzpeg9s4e6w")]
    payment_intent_id: Annotated[
        str | None, says("the gateway's own id; null until the gateway has it", "pi_bnBEoonCrbZINl91huSS6AZP")
    ]
    gateway: Annotated[str, says("the gateway that charges", "stripe")]
    client_secret: Annotated[
        str | None,
        says(
            "for Stripe.js in the browser; only for the booking's customer, while the payment waits for them",
            "pi_bnBEoonCrbZINl91huSS6AZP_secret_e0Nk1bw0Sr3L13APH6XTY9pmU",
        ),
    ]
    status: Annotated[PaymentStatusText, says("the state of the payment, see the lifecycle of a payment", "succeeded")]
    requires_action: Annotated[
        bool, says("true while the customer has to do something at the bank (3-D Secure, a redirect)", False)
    ]
    next_action: Annotated[
        dict[str, Any] | None,
        says(
            "the gateway's description of that step, as Stripe.js takes it; only for the booking's customer",
            {"type": "redirect_to_url"},
        ),
    ]
    outcome_unknown: Annotated[
        bool,
        says("true while a call to the gateway has no known outcome; do not pay again, the service finds out", False),
    ]
    amount: Annotated[
        AmountText,
        says("the charge: the price, with the fee where the customer bears it; decimal text in major units", "70.00"),
    ]
    currency: Annotated[CurrencyText, says("ISO 4217, lower case", "usd")]
    amount_received: Annotated[AmountText, says("the captured amount", "70.00")]
    fee: Annotated[FeeAnswer, says("the processing fee of the charge")]
    refunded_amount: Annotated[AmountText, says("the sum of the succeeded refunds", "25.00")]
    refund_pending_amount: Annotated[AmountText, says("the sum of the pending refunds", "0.00")]
    refund_owed: Annotated[AmountText, says("the promised refunds that have not gone back yet", "0.00")]
    refund_waiting: Annotated[AmountText, says("the part of `refund_owed` that the system sends by itself", "0.00")]
    withdrawn_amount: Annotated[
        AmountText, says("the amount that disputes have taken from the account's balance", "0.00")
    ]
    refunds: Annotated[list[RefundAnswer], says("all refunds, oldest first")]
    dispute: Annotated[
        DisputeAnswer | None,
        says("the dispute that matters now: an open one, otherwise the newest; null without disputes"),
    ]
    disputes: Annotated[list[DisputeAnswer], says("all disputes, oldest first")]
    capture_before: Annotated[
        Instant | None, says("until when authorized money can be captured, RFC 3339 in UTC", "2026-03-08T12:00:00Z")
    ]
    method: Annotated[MethodAnswer | None, says("the payment method that was charged; null before")]
    receipt_url: Annotated[
        str | None,
        says(
            "the gateway's receipt for the customer, once money was captured; null where the gateway has none. "
            "Everyone who has the link can read it; that of the fake gateway leads nowhere",
            "https://pay.stripe.com/receipts/payment/CAcaFwoVYWNjdF8xTTJ",
        ),
    ]
    attempts_made: Annotated[int, says("attempts that the bank has decided", 2)]
    attempts_left: Annotated[int, says("attempts that remain", 1)]
    error: Annotated[
        str | None,
        says("the text of the last decline, for the customer; null after a success", "Your card was declined."),
    ]
    error_code: Annotated[str | None, says("the code of the last decline", "card_declined")]
    decline_code: Annotated[
        str | None,
        says("the bank's reason; a general one for customers where they may not learn it", "insufficient_funds"),
    ]
    created_at: Annotated[Instant, says("RFC 3339 in UTC", "2026-03-01T12:00:00Z")]
    updated_at: Annotated[Instant, says("RFC 3339 in UTC", "2026-03-01T12:00:00Z")]


class EventAnswer(Given):
    """One event of the journal."""

    sequence: Annotated[int, says("the number within the payment, from 1 without gaps", 9)]
    type: Annotated[str, says("the kind of event", "payment_succeeded")]
    at: Annotated[Instant, says("when it was recorded, RFC 3339 in UTC", "2026-03-01T12:00:00Z")]
    actor: Annotated[str, says("who caused it; customers see only the role of operators and services", "customer:ann")]
    cause: Annotated[
        str,
        says("the request id, the id of the gateway's event, or the background task", "req_gezijsxsbqivwqriqkezq8nn"),
    ]
    data: Annotated[dict[str, Any], says("the fields of this kind of event", {"attempt": 2, "late": False})]


class EventsAnswer(Given):
    """The journal of a payment, oldest first."""

    events: Annotated[list[EventAnswer], says("the events in order")]


class PageAnswer(Given):
    """Payments, newest first. ``next_cursor`` is null on the last page."""

    items: Annotated[list[PaymentAnswer], says("the payments of this page")]
    next_cursor: Annotated[
        str | None,
        says(
            "pass it as `cursor` for the next page; null on the last page",
            "MTc3MjM2NjQwMDAwMDAwMDpwYXlfdmVnOHFxZzNxOGJiZnR6cGVnOXM0ZTZ3",
        ),
    ]


class PaymentConditions(Asked):
    """Conditions on payments; a payment has to fulfil all that are given. Times are of creation, ``created_to`` is
    exclusive.

    ``email`` and ``q`` are found in part and in any case: ``email`` in the booking's address, ``q`` in its reference,
    customer id, customer name, address and title. ``amount`` is the charge in whatever currency. ``refunded`` counts
    refunds that have succeeded; ``true`` means partly or fully. ``disputed`` counts inquiries too.
    """

    status: Annotated[PaymentStatusText | None, says("the state of the payment", "succeeded")] = None
    customer_id: Annotated[Name | None, says("your own id of the customer", "ann")] = None
    reference: Annotated[Name | None, says("your own id of the booking", "order-1001")] = None
    created_from: Annotated[
        Moment | None, says("the earliest creation, with a time zone (RFC 3339)", "2026-03-01T00:00:00Z")
    ] = None
    created_to: Annotated[
        Moment | None, says("before this creation, with a time zone (RFC 3339)", "2026-04-01T00:00:00Z")
    ] = None
    event_id: Annotated[Name | None, says("your own id of the event", "evening-1")] = None
    email: Annotated[Part | None, says("found in part and in any case in the booking's `customer_email`", "ann@")] = (
        None
    )
    q: Annotated[
        Part | None,
        says(
            "found in part and in any case in reference, customer id, name, address and title of the booking; one or "
            "two characters where a word begins",
            "hamlet",
        ),
    ] = None
    amount: Annotated[
        AskedAmount | None, says("the charge in any currency, as decimal text in major units", "70.00")
    ] = None
    last4: Annotated[LastFour | None, says("the last four digits of the card or account that paid", "4242")] = None
    refunded: Annotated[
        Literal["true", "false", "none", "partly", "fully"] | None,
        says("how much was refunded; `true` means partly or fully", "partly"),
    ] = None
    disputed: Annotated[Literal["true", "false"] | None, says("whether there is a dispute or an inquiry", "true")] = (
        None
    )


class PaymentsQuery(PaymentConditions):
    """Conditions and position of a page of payments."""

    WHOLE_NUMBERS: ClassVar = ("limit",)

    cursor: Annotated[
        Annotated[str, _matching(r"[!-~]+", min_length=1, max_length=512)] | None,
        says("`next_cursor` of the page before", "MTc3MjM2NjQwMDAwMDAwMDpwYXlfdmVnOHFxZzNxOGJiZnR6cGVnOXM0ZTZ3"),
    ] = None
    limit: Annotated[Annotated[int, Meta(ge=1, le=100)], says("the largest number of payments in the answer", 20)] = 20


class ExportQuery(PaymentConditions):
    """Conditions on the payments of an export. ``created_from`` and ``created_to`` are compared with the time of each
    row: a payment's creation, a refund's request, a dispute's opening, a posting's time.
    """


# --- refunds ---------------------------------------------------------------------------------------------------


class RefundPayment(Asked):
    """How much to refund, by default the whole refundable amount, and why. With ``items``, the share that the refund
    policy allows for them: after a customer's refund they leave the booking, after an operator's the booking keeps
    them."""

    amount: Annotated[
        AskedAmount | None,
        says("how much to refund, as decimal text in major units; by default everything that is refundable", "25.00"),
    ] = None
    items: Annotated[
        NamedItems | None, says("refund these items, by the refund policy; not together with `amount`")
    ] = None
    reason: Annotated[
        Literal["requested_by_customer", "duplicate", "fraudulent"],
        says("why; `duplicate` and `fraudulent` are for operators", "requested_by_customer"),
    ] = "requested_by_customer"
    note: Annotated[
        Annotated[str, Meta(max_length=LONGEST)] | None,
        says("for operators; it stays in this service", "the lights went out"),
    ] = None
    override: Annotated[bool, says("operators only: override the refund rules; requires a note", False)] = False


class SettleDebt(Asked):
    """How much of the owed refund was settled otherwise, and how."""

    amount: Annotated[
        AskedAmount, says("how much of the owed amount is settled, as decimal text in major units", "50.00")
    ]
    how: Annotated[
        Literal["paid_elsewhere", "waived"],
        says("`paid_elsewhere`: the customer got it another way; `waived`: the customer gave it up", "paid_elsewhere"),
    ]
    note: Annotated[
        Annotated[str, Meta(min_length=1, max_length=LONGEST)],
        says("what happened, for the journal", "in cash at the box office"),
    ]


class QuoteQuery(Asked):
    """The refund to quote, by default of the whole refundable amount. ``override``: as an operator who overrides the
    refund rules."""

    TRUTHS: ClassVar = ("override",)

    amount: Annotated[
        AskedAmount | None,
        says("how much to quote, as decimal text in major units; by default everything that is refundable", "25.00"),
    ] = None
    items: (
        Annotated[
            str,
            Meta(
                min_length=1,
                max_length=500,
                description="ids of items with quantities; without a quantity all remaining units",
                examples=["adult:2,child"],
            ),
        ]
        | None
    ) = None
    override: Annotated[bool, says("operators only: quote as if the refund rules were overridden", False)] = False


class QuoteAnswer(Given):
    """What a refund would give now, or in ``reason_code`` why it would be refused."""

    allowed: Annotated[bool, says("whether a refund is possible now", True)]
    amount: Annotated[AmountText, says("the amount that a refund would give, as decimal text in major units", "25.00")]
    currency: Annotated[CurrencyText, says("ISO 4217, lower case", "usd")]
    fee_refunded: Annotated[AmountText, says("the part of the processing fee in it", "0.00")]
    refundable_until: Annotated[
        Instant | None,
        says("until when this amount holds, RFC 3339 in UTC; null without an end", "2030-01-01T20:00:00Z"),
    ]
    reason_code: Annotated[
        str, says("why it is possible or not; the codes are those of errors, and `refundable`", "refundable")
    ]
    deferred: Annotated[bool, says("true: the refund would be promised now and sent after a dispute has ended", False)]
    overrides: Annotated[list[str], says("the rules that an operator would pass over", ["too_late"])]


# --- the rest --------------------------------------------------------------------------------------------------


class ConfigAnswer(Given):
    """The configuration for a front end."""

    publishable_key: Annotated[str | None, says("for Stripe.js; null with gateways that have none", "pk_test_123")]
    gateway: Annotated[str, says("the default gateway", "stripe")]
    gateways: Annotated[list[str], says("all gateways that customers may choose", ["stripe", "bank_transfer"])]
    processing_fee_rate: Annotated[str, says("the fee's share of the price, as a decimal fraction", "0.03")]
    retry_attempts: Annotated[int, says("attempts that a payment has", 3)]


class WebhookAnswer(Given):
    """The result of processing a webhook."""

    received: Annotated[bool, says("always true: the event is stored", True)]
    event_id: Annotated[str, says("the gateway's id of the event", "evt_47iW0ORB58xXAkuh47hLzhsp")]
    type: Annotated[str, says("the gateway's name of its kind", "payment_intent.succeeded")]
    outcome: Annotated[
        Literal["processed", "duplicate", "ignored"],
        says("`duplicate`: known already; `ignored`: of no effect here, see `reason`", "processed"),
    ]
    reason: Annotated[str | None, says("why it was ignored", "not handled")]


class HealthAnswer(Given):
    """The health of the service. ``status`` is ``ok``; ``checks`` has the result of each check."""

    status: Annotated[Literal["ok"], says("always `ok`; another state is a 503 with a problem", "ok")]
    checks: Annotated[
        dict[str, bool] | UnsetType,
        says("the result of each check, by its name", {"database": True, "migrations": True}),
    ] = UNSET


class AuthenticateCard(Asked):
    """The customer's answer to the bank's 3-D Secure question, or on the page to which a method redirects."""

    client_secret: Annotated[
        Annotated[str, Meta(min_length=1, max_length=255)],
        says("`client_secret` of the payment", "pi_bnBEoonCrbZINl91huSS6AZP_secret_e0Nk1bw0Sr3L13APH6XTY9pmU"),
    ]
    outcome: Annotated[
        Literal["succeeded", "failed", "processing"], says("what the customer does in the bank's window", "succeeded")
    ]
