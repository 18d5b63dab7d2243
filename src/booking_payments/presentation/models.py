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


def _matching(pattern: str, **constraints: Any) -> Meta:
    """Text that is ``pattern`` from its first to its last character, for the check and for the OpenAPI document.

    In Python ``$`` also matches before a line break at the end of the text; in the document's dialect (ECMA 262) there
    is no ``\\Z``.
    """
    return Meta(pattern=rf"^{pattern}\Z", extra_json_schema={"pattern": f"^{pattern}$"}, **constraints)


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
    Meta(
        description="for a new payment; an open one keeps its own. Customers may choose it only with "
        "`PAYMENT_CAPTURE_BY_CUSTOMER`; otherwise the booking's applies"
    ),
]
ClientText = Annotated[
    Literal["stripe_js"],
    Meta(
        description="`stripe_js`: the front end shows 3-D Secure itself, with Stripe.js, also for later `confirm` and "
        "`retry`. Otherwise the browser is redirected to the bank's page"
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

    hours_before: Annotated[int, Meta(ge=0, le=8784, examples=[48])]
    percent: Percent


class Policy(Asked):
    """The refund policy: the refundable shares of the charge, and whether the fee is kept or returned."""

    tiers: Annotated[list[Tier], Meta(max_length=20)] = []
    fee: Literal["kept", "returned"] = "kept"


class MethodsChosen(Asked, omit_defaults=True):
    """The accepted types of payment methods, by the gateway's names: only ``allowed``, or all but ``excluded``."""

    allowed: Annotated[list[MethodType], Meta(min_length=1, max_length=50)] | None = None
    excluded: Annotated[list[MethodType], Meta(min_length=1, max_length=50)] | None = None


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

    id: ItemId
    unit_amount: AskedAmount
    quantity: Quantity = 1
    label: Annotated[str, Meta(min_length=1, max_length=200, description="by default the id")] | None = None


Items = Annotated[list[ItemAsked], Meta(min_length=1, max_length=100)]


class ItemNamed(Asked):
    """Units of an item; by default all remaining ones."""

    id: ItemId
    quantity: Quantity | None = None


NamedItems = Annotated[list[ItemNamed], Meta(min_length=1, max_length=100)]


class RegisterBooking(Asked):
    """A booking to be paid. ``amount`` may be omitted if ``items`` are given."""

    reference: Name
    customer_id: Name
    currency: CurrencyText
    event_starts_at: Moment
    expires_at: Moment | None = None
    refund_policy: Policy | None = None
    amount: AskedAmount | None = None
    items: Items | None = None
    event_id: EventId | None = None
    metadata: Metadata | None = None
    title: Title | None = None
    description: Description | None = None
    customer_email: Email | None = None
    customer_name: Name | None = None
    locale: Locale | None = None
    time_zone: Annotated[str, Meta(max_length=64, description="IANA name", examples=["Europe/Vienna"])] | None = None
    success_url: WebAddress | None = None
    cancel_url: WebAddress | None = None
    statement_descriptor_suffix: Annotated[str, Meta(min_length=1, max_length=100)] | None = None
    payment_methods: MethodsChosen | None = None
    capture_method: Annotated[CaptureOfBooking, Meta(description="of its payment, by default `automatic`")] | None = (
        None
    )
    customer_refunds: (
        Annotated[
            Literal["policy", "none"],
            Meta(description="which refunds the customer may request; by default as `CUSTOMER_REFUNDS` says"),
        ]
        | None
    ) = None


RefundText = Annotated[
    Literal["none", "policy", "full"], Meta(description="how much is refunded; by default as the refund policy says")
]


class AmendBooking(Asked):
    """The fields of a booking to change; omitted fields stay. Null removes a text, or ``refund_grace_until``, the time
    until which customers may have everything refunded. The price of a booking with items is changed by its items."""

    amount: AskedAmount | UnsetType = UNSET
    items: Items | UnsetType = UNSET
    event_starts_at: Moment | UnsetType = UNSET
    expires_at: Moment | UnsetType = UNSET
    refund_grace_until: Moment | UnsetType | None = UNSET
    title: Title | UnsetType | None = UNSET
    description: Description | UnsetType | None = UNSET
    customer_email: Email | UnsetType | None = UNSET
    customer_name: Name | UnsetType | None = UNSET
    locale: Locale | UnsetType | None = UNSET
    success_url: WebAddress | UnsetType | None = UNSET
    cancel_url: WebAddress | UnsetType | None = UNSET
    metadata: Metadata | UnsetType = UNSET
    expected_version: Annotated[int, Meta(ge=1, le=2**31 - 1)] | None = None
    refund: RefundText | None = None


class CancelBooking(Asked):
    """Why a booking is canceled, and how much is refunded. Customers must omit ``refund``. With ``items`` only these
    are canceled, and the booking keeps the others."""

    reason: Annotated[str, Meta(max_length=LONGEST)] | None = None
    refund: RefundText | None = None
    items: NamedItems | None = None


class ItemAnswer(Given):
    """A part of a booking. ``refunded_quantity``: units that were refunded while the booking keeps them."""

    id: str
    label: str
    quantity: int
    unit_amount: AmountText
    refunded_quantity: int


class BookingAnswer(Given):
    """A booking. ``free``: its price is zero, and it is confirmed without a payment. ``reason`` says why it expired
    early, or that it was canceled because it was refunded in full. ``refund_owed`` is promised and not refunded yet;
    ``refund_waiting`` is the part of it that the system sends by itself, when an open dispute has ended for example."""

    id: str
    version: int
    reference: str
    customer_id: str
    event_id: str | None
    amount: AmountText
    currency: CurrencyText
    items: list[ItemAnswer]
    metadata: dict[str, str]
    event_starts_at: Instant
    expires_at: Instant
    refund_grace_until: Instant | None
    status: Literal["pending", "confirmed", "canceled", "expired"]
    reason: Literal["attempts_exhausted", "refunded"] | None
    free: bool
    refund_policy: Policy | None
    title: str | None
    description: str | None
    customer_email: str | None
    customer_name: str | None
    locale: str | None
    time_zone: str | None
    success_url: str | None
    cancel_url: str | None
    statement_descriptor_suffix: str | None
    payment_methods: MethodsChosen | None
    capture_method: CaptureOfBooking | None
    customer_refunds: Literal["policy", "none"] | None
    refund_owed: AmountText
    refund_waiting: AmountText


class BookingsAnswer(Given):
    """Bookings, newest first. ``next_cursor`` is null on the last page."""

    items: list[BookingAnswer]
    next_cursor: str | None


class BookingsQuery(Asked):
    """Filters and position of a page of bookings."""

    WHOLE_NUMBERS: ClassVar = ("limit",)

    reference: Name | None = None
    customer_id: Name | None = None
    event_id: EventId | None = None
    status: Literal["pending", "confirmed", "canceled", "expired"] | None = None
    cursor: Annotated[str, _matching(r"[!-~]+", min_length=1, max_length=512)] | None = None
    limit: Annotated[int, Meta(ge=1, le=100)] = 20


# --- events ---------------------------------------------------------------------------------------------------------


class EventQuery(Asked):
    """How an event is answered."""

    format: Annotated[Literal["json", "csv"], Meta(description="`csv`: a row for each booking")] | None = None


class CancelEvent(Asked):
    """Why an event is canceled, and how much its paid bookings are refunded: everything by default. With ``preview``
    nothing is changed."""

    reason: Annotated[str, Meta(max_length=LONGEST)] | None = None
    refund: RefundText | None = None
    preview: bool = False


class RescheduleEvent(Asked):
    """The new date of an event. Until ``refund_grace_until`` customers may have everything refunded. With ``preview``
    nothing is changed."""

    event_starts_at: Moment
    refund_grace_until: Moment | None = None
    preview: bool = False


class SumAnswer(Given):
    """An amount of one currency."""

    currency: CurrencyText
    amount: AmountText


class EventBalanceAnswer(Given):
    """Whether the available balance at a gateway suffices for what an event would refund in one currency.

    ``missing`` has to be added before. Both it and ``available`` are null when ``unknown`` says why: the account
    settles in ``other_currency``, or the balance is ``unreadable`` (no answer, or a key without the permission)."""

    gateway: str
    currency: CurrencyText
    needed: AmountText
    available: AmountText | None
    missing: AmountText | None
    unknown: Literal["other_currency", "unreadable"] | None


class EventTotalsAnswer(Given):
    """The sums over the bookings of an event in one currency. ``amount`` is the price of the live ones, ``unpaid`` that
    of the pending ones; the others are sums over their payments."""

    currency: CurrencyText
    bookings: dict[str, int]
    amount: AmountText
    unpaid: AmountText
    captured: AmountText
    authorized: AmountText
    processing: AmountText
    refunded: AmountText
    refund_pending: AmountText
    refund_owed: AmountText


class EventPreviewAnswer(Given):
    """The effect that canceling or moving an event would have now. ``to_refund`` would be promised to customers,
    ``held`` bookings would have their holds released, those in ``processing`` are refunded when their money arrives,
    ``disputed`` ones wait for the end of their dispute. ``balances`` compares with the gateways that keep a balance."""

    event_id: str
    preview: bool
    bookings: dict[str, int]
    to_refund: list[SumAnswer]
    held: int
    unpaid: int
    processing: int
    disputed: list[str]
    balances: list[EventBalanceAnswer]
    totals: list[EventTotalsAnswer]


class EventJobAnswer(Given):
    """A job over the bookings of an event. Of ``total`` bookings, ``done`` are finished, ``owed`` have a refund that is
    pending or is sent later by the system, ``disputed`` wait for the end of their dispute, ``failed`` need an operator,
    and ``waiting`` are processed again soon."""

    id: str
    event_id: str
    kind: Literal["cancel", "reschedule"]
    state: Literal["running", "done"]
    done: int
    owed: int
    disputed: int
    failed: int
    waiting: int
    total: int
    refund: Literal["none", "policy", "full"]
    reason: str | None
    event_starts_at: Instant | None
    refund_grace_until: Instant | None
    created_at: Instant
    finished_at: Instant | None


class EventReportAnswer(Given):
    """An event: sums by currency, and the newest job that cancels or moves it; null without one."""

    event_id: str
    totals: list[EventTotalsAnswer]
    job: EventJobAnswer | None


# --- payments --------------------------------------------------------------------------------------------------


class StartPayment(Asked):
    """How to start a payment; all fields are optional."""

    payment_method_id: MethodId | None = None
    confirm_immediately: bool = False
    capture_method: CaptureMethodText | None = None
    return_url: Url | None = None
    client: ClientText | None = None
    gateway: GatewayText | None = None


class ConfirmPayment(Asked):
    """The payment method to charge; by default the one that the payment has."""

    payment_method_id: MethodId | None = None
    return_url: Url | None = None


class RetryPayment(Asked):
    """The payment method of the next attempt."""

    payment_method_id: MethodId
    return_url: Url | None = None


class RecordPayment(Asked):
    """A payment that an operator has received by hand."""

    amount: AskedAmount
    kind: Literal["cash", "invoice", "voucher", "gift_card"]
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

    amount: AskedAmount | None = None


class Nothing(Asked):
    """An empty body."""


class FeeAnswer(Given):
    """The processing fee of a charge; ``net`` is the organizer's share."""

    rate: str
    amount: AmountText
    payer: Literal["organizer", "customer"]
    net: AmountText


class RefundAnswer(Given):
    """A refund. ``success`` is false when it failed. ``deferred``: it is promised, cannot be sent yet, and is sent by
    the system when the dispute or inquiry has ended."""

    success: bool
    refund_id: str
    gateway_refund_id: str | None
    status: RefundStatusText
    amount: AmountText
    currency: CurrencyText
    reason: str | None
    refunded_amount: AmountText
    remaining_refundable: AmountText
    deferred: bool
    refund_owed: AmountText


class DisputeAnswer(Given):
    """A claim or an inquiry of the customer's bank. ``withdrawn_amount`` was taken from our balance for it."""

    dispute_id: str
    status: str
    reason: str
    amount: AmountText
    withdrawn_amount: AmountText
    is_inquiry: bool
    opened_at: Instant
    evidence_due_by: Instant | None


class MethodAnswer(Given):
    """The payment method that was charged. ``type`` is the gateway's name; the others are null for types without."""

    type: str
    brand: str | None
    last4: str | None
    wallet: str | None


class PaymentAnswer(Given):
    """A payment. ``success`` is false when it was canceled or has no attempts left."""

    success: bool
    booking_id: str
    payment_id: str
    payment_intent_id: str | None
    gateway: str
    client_secret: str | None
    status: PaymentStatusText
    requires_action: bool
    next_action: dict[str, Any] | None
    outcome_unknown: bool
    amount: AmountText
    currency: CurrencyText
    amount_received: AmountText
    fee: FeeAnswer
    refunded_amount: AmountText
    refund_pending_amount: AmountText
    refund_owed: AmountText
    refund_waiting: AmountText
    withdrawn_amount: AmountText
    refunds: list[RefundAnswer]
    dispute: DisputeAnswer | None
    disputes: list[DisputeAnswer]
    capture_before: Instant | None
    method: MethodAnswer | None
    attempts_made: int
    attempts_left: int
    error: str | None
    error_code: str | None
    decline_code: str | None
    created_at: Instant
    updated_at: Instant


class EventAnswer(Given):
    """One event of the journal."""

    sequence: int
    type: str
    at: Instant
    actor: str
    cause: str
    data: dict[str, Any]


class EventsAnswer(Given):
    """The journal of a payment, oldest first."""

    events: list[EventAnswer]


class PageAnswer(Given):
    """Payments, newest first. ``next_cursor`` is null on the last page."""

    items: list[PaymentAnswer]
    next_cursor: str | None


class PaymentConditions(Asked):
    """Conditions on payments; a payment has to fulfil all that are given. Times are of creation, ``created_to`` is
    exclusive.

    ``email`` and ``q`` are found in part and in any case: ``email`` in the booking's address, ``q`` in its reference,
    customer id, customer name, address and title. ``amount`` is the charge in whatever currency. ``refunded`` counts
    refunds that have succeeded; ``true`` means partly or fully. ``disputed`` counts inquiries too.
    """

    status: PaymentStatusText | None = None
    customer_id: Name | None = None
    reference: Name | None = None
    created_from: Moment | None = None
    created_to: Moment | None = None
    event_id: Name | None = None
    email: Part | None = None
    q: Part | None = None
    amount: AskedAmount | None = None
    last4: LastFour | None = None
    refunded: Literal["true", "false", "none", "partly", "fully"] | None = None
    disputed: Literal["true", "false"] | None = None


class PaymentsQuery(PaymentConditions):
    """Conditions and position of a page of payments."""

    WHOLE_NUMBERS: ClassVar = ("limit",)

    cursor: Annotated[str, _matching(r"[!-~]+", min_length=1, max_length=512)] | None = None
    limit: Annotated[int, Meta(ge=1, le=100)] = 20


class ExportQuery(PaymentConditions):
    """Conditions on the payments of an export. ``created_from`` and ``created_to`` are compared with the time of each
    row: a payment's creation, a refund's request, a dispute's opening, a posting's time.
    """


# --- refunds ---------------------------------------------------------------------------------------------------


class RefundPayment(Asked):
    """How much to refund, by default the whole refundable amount, and why. With ``items``, the share that the refund
    policy allows for them: after a customer's refund they leave the booking, after an operator's the booking keeps
    them."""

    amount: AskedAmount | None = None
    items: NamedItems | None = None
    reason: Literal["requested_by_customer", "duplicate", "fraudulent"] = "requested_by_customer"
    note: Annotated[str, Meta(max_length=LONGEST)] | None = None
    override: Annotated[bool, Meta(description="operators only: override the refund rules; requires a note")] = False


class SettleDebt(Asked):
    """How much of the owed refund was settled otherwise, and how."""

    amount: AskedAmount
    how: Literal["paid_elsewhere", "waived"]
    note: Annotated[str, Meta(min_length=1, max_length=LONGEST)]


class QuoteQuery(Asked):
    """The refund to quote, by default of the whole refundable amount. ``override``: as an operator who overrides the
    refund rules."""

    TRUTHS: ClassVar = ("override",)

    amount: AskedAmount | None = None
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
    override: bool = False


class QuoteAnswer(Given):
    """What a refund would give now, or in ``reason_code`` why it would be refused."""

    allowed: bool
    amount: AmountText
    currency: CurrencyText
    fee_refunded: AmountText
    refundable_until: Instant | None
    reason_code: str
    deferred: bool
    overrides: list[str]


# --- the rest --------------------------------------------------------------------------------------------------


class ConfigAnswer(Given):
    """The configuration for a front end."""

    publishable_key: str | None
    gateway: str
    gateways: list[str]
    processing_fee_rate: str
    retry_attempts: int


class WebhookAnswer(Given):
    """The result of processing a webhook."""

    received: bool
    event_id: str
    type: str
    outcome: Literal["processed", "duplicate", "ignored"]
    reason: str | None


class HealthAnswer(Given):
    """The health of the service. ``status`` is ``ok``; ``checks`` has the result of each check."""

    status: Literal["ok"]
    checks: dict[str, bool] | UnsetType = UNSET


class AuthenticateCard(Asked):
    """The customer's answer to the bank's 3-D Secure question, or on the page to which a method redirects."""

    client_secret: Annotated[str, Meta(min_length=1, max_length=255)]
    outcome: Literal["succeeded", "failed", "processing"]
