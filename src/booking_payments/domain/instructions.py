"""Instructions to the gateway, as values. They are stored before the call, so that every repetition is identical."""

from collections.abc import Mapping
from enum import Enum
from typing import Any, Final

from attrs import field, frozen

from booking_payments.domain.errors import InvalidInput, RefusedByRule
from booking_payments.domain.money import Money
from booking_payments.domain.refunds import RefundReason


class CaptureMethod(Enum):
    """``automatic`` collects the money at once; ``manual`` holds it until it is captured."""

    AUTOMATIC = "automatic"
    MANUAL = "manual"


class Client(Enum):
    """What carries out the customer's action in the browser.

    ``stripe_js``: the front end passes the action to Stripe.js, which shows 3-D Secure on its page. Without a client
    the browser is redirected to the bank's page.
    """

    STRIPE_JS = "stripe_js"


class CancellationReason(Enum):
    """Why an intent is canceled, as one of the gateway's codes."""

    DUPLICATE = "duplicate"
    FRAUDULENT = "fraudulent"
    REQUESTED_BY_CUSTOMER = "requested_by_customer"
    ABANDONED = "abandoned"


@frozen(kw_only=True)
class MethodChoice:
    """Which types of payment methods are accepted (``card``, ``sepa_debit``, ...).

    Without any of the fields the gateway's own settings apply.

    Attributes:
        allowed: only these types; excludes the other two fields.
        excluded: not these types.
        configuration: the id of a configuration of payment methods that is stored at the gateway.
    """

    allowed: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()
    configuration: str | None = None

    @property
    def takes_cards(self) -> bool:
        """True unless cards are excluded."""
        return "card" not in self.excluded and (not self.allowed or "card" in self.allowed)

    def narrowed_by(self, own: "MethodChoice") -> "MethodChoice":
        """Return this choice narrowed by a booking's ``own`` choice, which can remove types and never adds one.

        Raises ``RefusedByRule`` when no type is left.
        """
        if own == ANY_METHOD:
            return self
        excluded = tuple(dict.fromkeys((*self.excluded, *own.excluded)))
        if not (self.allowed or own.allowed):
            return MethodChoice(excluded=excluded, configuration=self.configuration)
        asked = own.allowed or self.allowed
        allowed = tuple(each for each in asked if each not in excluded and (not self.allowed or each in self.allowed))
        if not allowed:
            message = "none of the payment methods of this booking is accepted; choose others, or name none"
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
            raise InvalidInput("name allowed payment methods, or excluded ones or a configuration, not both")


ANY_METHOD: Final = MethodChoice()
"""The types that the gateway's own settings offer."""


@frozen(kw_only=True)
class ChargeTexts:
    """Texts of a charge, for the customer and the dashboard. None leaves a text out.

    Attributes:
        description: for the dashboard and receipts.
        statement_descriptor_suffix: for a card's statement, after the merchant's name.
        receipt_email: where the gateway sends a receipt.
        order_reference: the booking app's reference of the booking.
    """

    description: str | None = None
    statement_descriptor_suffix: str | None = None
    receipt_email: str | None = field(default=None, repr=False)
    order_reference: str | None = None


NO_TEXTS: Final = ChargeTexts()


@frozen(kw_only=True)
class CreateIntent:
    """Create an intent for ``amount``; with ``confirm`` charge it in the same call.

    Without ``return_url`` methods that redirect are excluded. ``client`` carries out the customer's action; it matters
    only with ``confirm``.
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
    """Change an open intent: attach another payment method, charge another amount, or change its texts.

    Nothing is charged. None leaves a value unchanged. Another payment method ends an open authentication.

    Attributes:
        description: the new text for the dashboard and receipts.
        receipt_email: where the gateway sends the receipt from now on; an empty text: nowhere.
    """

    intent_id: str
    payment_method_id: str | None = None
    amount: Money | None = None
    description: str | None = None
    receipt_email: str | None = field(default=None, repr=False)


@frozen(kw_only=True)
class ConfirmIntent:
    """Charge an intent, with another payment method if one is given. ``client`` as in ``CreateIntent``.

    ``during_action``: the customer has not finished authenticating another method, so the intent is updated first.
    """

    intent_id: str
    payment_method_id: str | None
    return_url: str | None
    during_action: bool = False
    client: Client | None = None


@frozen(kw_only=True)
class CaptureIntent:
    """Collect ``amount`` of the held money; the gateway releases the rest."""

    intent_id: str
    amount: Money


@frozen(kw_only=True)
class CancelIntent:
    """Cancel an intent; the gateway releases held money."""

    intent_id: str
    reason: CancellationReason


@frozen(kw_only=True)
class CreateRefund:
    """Refund ``amount`` of a charge."""

    intent_id: str
    refund_id: str
    amount: Money
    reason: RefundReason
    metadata: Mapping[str, str] = field(factory=dict)


Instruction = CreateIntent | UpdateIntent | ConfirmIntent | CaptureIntent | CancelIntent | CreateRefund


@frozen(kw_only=True)
class Replacement:
    """The parameters of a new payment whose predecessor is canceled for it.

    Fields as in ``CreateIntent``. ``gateway`` is the gateway of the new payment; None for that of the predecessor.
    """

    payment_method_id: str | None
    confirm: bool
    return_url: str | None
    gateway: str | None = None
