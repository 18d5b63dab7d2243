"""What we ask of the gateway, as values. Stored before the call, so that every repetition is the same to the byte."""

from collections.abc import Mapping
from enum import Enum
from typing import Any, Final

from attrs import field, frozen

from booking_payments.domain.errors import InvalidInput, RefusedByRule
from booking_payments.domain.money import Money
from booking_payments.domain.refunds import RefundReason


class CaptureMethod(Enum):
    """``automatic`` collects at once; ``manual`` holds the money until it is captured."""

    AUTOMATIC = "automatic"
    MANUAL = "manual"


class Client(Enum):
    """What carries out the customer's action in the browser. ``stripe_js``: the front end hands it to Stripe.js, so
    that 3-D Secure is a window on its page; without a client the browser is sent to the bank's page."""

    STRIPE_JS = "stripe_js"


class CancellationReason(Enum):
    """Why an intent is canceled, in the gateway's words."""

    DUPLICATE = "duplicate"
    FRAUDULENT = "fraudulent"
    REQUESTED_BY_CUSTOMER = "requested_by_customer"
    ABANDONED = "abandoned"


@frozen(kw_only=True)
class MethodChoice:
    """Which kinds of payment methods are taken (``card``, ``sepa_debit``, ...), where it is not all that the gateway's
    own settings offer.

    ``allowed``: these and no others, which goes with neither of the following. ``excluded``: not these.
    ``configuration``: the id of a set of them that is kept at the gateway.
    """

    allowed: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()
    configuration: str | None = None

    @property
    def takes_cards(self) -> bool:
        """Whether a card may be among them."""
        return "card" not in self.excluded and (not self.allowed or "card" in self.allowed)

    def narrowed_by(self, own: "MethodChoice") -> "MethodChoice":
        """What is left of it for a booking with a choice of its ``own``: that never adds what is not taken otherwise.

        Raises ``RefusedByRule`` where nothing is left.
        """
        if own == ANY_METHOD:
            return self
        excluded = tuple(dict.fromkeys((*self.excluded, *own.excluded)))
        if not (self.allowed or own.allowed):
            return MethodChoice(excluded=excluded, configuration=self.configuration)
        asked = own.allowed or self.allowed
        allowed = tuple(each for each in asked if each not in excluded and (not self.allowed or each in self.allowed))
        if not allowed:
            message = "none of the payment methods of this booking is taken here; choose others, or name none"
            raise RefusedByRule(message, code="no_payment_method_left")
        return MethodChoice(allowed=allowed)

    def to_dict(self) -> dict[str, Any] | None:
        """The choice as the HTTP API shows it; None when it leaves all to the gateway's settings."""
        if self == ANY_METHOD:
            return None
        named = {"allowed": list(self.allowed), "excluded": list(self.excluded)}
        return {name: types for name, types in named.items() if types}

    def __attrs_post_init__(self) -> None:
        if self.allowed and (self.excluded or self.configuration):
            raise InvalidInput("payment methods that are allowed go with neither excluded ones nor a configuration")


ANY_METHOD: Final = MethodChoice()
"""All that the gateway's own settings offer."""


@frozen(kw_only=True)
class ChargeTexts:
    """What the customer and the dashboard read about a charge. Each None is left out.

    ``description``: in the dashboard, and on receipts. ``statement_descriptor_suffix``: on a card's statement, behind
    the merchant's name. ``receipt_email``: where the gateway mails a receipt to. ``order_reference``: how the booking
    app calls what was paid.
    """

    description: str | None = None
    statement_descriptor_suffix: str | None = None
    receipt_email: str | None = field(default=None, repr=False)
    order_reference: str | None = None


NO_TEXTS: Final = ChargeTexts()


@frozen(kw_only=True)
class CreateIntent:
    """Make an intent over ``amount``; with ``confirm`` charge it at once. Without ``return_url`` no redirects.

    ``client`` says who carries out the customer's action; it matters only with ``confirm``.
    """

    amount: Money
    capture_method: CaptureMethod
    payment_method_id: str | None
    confirm: bool
    return_url: str | None
    metadata: Mapping[str, str] = field(factory=dict)
    methods: MethodChoice = ANY_METHOD
    texts: ChargeTexts = NO_TEXTS
    client: Client | None = None


@frozen(kw_only=True)
class UpdateIntent:
    """Give an intent another payment method; nothing is charged, and an authentication that is open is over."""

    intent_id: str
    payment_method_id: str


@frozen(kw_only=True)
class ConfirmIntent:
    """Charge an intent, with another payment method when one is given. ``client`` as in ``CreateIntent``.

    ``during_action``: the customer was to authenticate another method, so that the intent is updated first.
    """

    intent_id: str
    payment_method_id: str | None
    return_url: str | None
    during_action: bool = False
    client: Client | None = None


@frozen(kw_only=True)
class CaptureIntent:
    """Collect ``amount`` of what is held; the rest is released."""

    intent_id: str
    amount: Money


@frozen(kw_only=True)
class CancelIntent:
    """Give an intent up; what is held is released."""

    intent_id: str
    reason: CancellationReason


@frozen(kw_only=True)
class CreateRefund:
    """Give ``amount`` of a charge back."""

    intent_id: str
    refund_id: str
    amount: Money
    reason: RefundReason
    metadata: Mapping[str, str] = field(factory=dict)


Instruction = CreateIntent | UpdateIntent | ConfirmIntent | CaptureIntent | CancelIntent | CreateRefund


@frozen(kw_only=True)
class Replacement:
    """What a payment is begun anew with when its intent was canceled to make room for another: the fields are those of
    ``CreateIntent``."""

    payment_method_id: str | None
    confirm: bool
    return_url: str | None
