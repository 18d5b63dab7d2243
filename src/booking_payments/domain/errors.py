"""The errors of the library, grouped by who can resolve them.

::

    PaymentError
    ├── CustomerCanFix             the customer changes something and tries again
    │   ├── CardDeclined           another card, other data, or authentication (carries the decline)
    │   └── InvalidInput           a value that is not allowed
    │       ├── InvalidAmount
    │       ├── UnknownCurrency
    │       └── CurrencyMismatch
    ├── RefusedByRule              valid, and refused by a rule: event started, nothing left, too small
    ├── NotPossibleNow             the present state does not allow it: paid, canceled, expired
    │   └── AlreadyUnderWay        another operation is in flight; wait for it
    ├── NotFound                   no such booking or payment, or another customer's
    ├── TryAgainLater              the gateway cannot be reached; nothing happened
    │   └── OutcomeUnknown         the call may have had its effect; this service resolves it
    └── OurFault                   a bug or a wrong setting of this service
        ├── GatewayRefusedUs
        │   └── RefundRefused      the booking is canceled, its refund is not
        ├── IllegalTransition
        └── Contradiction          the gateway's report does not match the request

The HTTP entrypoint maps them to statuses. ``code`` is stable and machine-readable, the message may be shown to the
customer.
"""

from booking_payments.domain.declines import Advice, Decline


class PaymentError(Exception):
    """Base class of every error that this library raises deliberately.

    Attributes:
        code: stable and machine-readable.
        message: may be shown to the customer.
        advice: what the customer may do; None when there is nothing, or when the reason is hidden.
    """

    code = "payment_error"

    def __init__(self, message: str, *, code: str | None = None, advice: Advice | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.code
        self.advice = advice


class CustomerCanFix(PaymentError):
    """The customer can change something and try again."""


class CardDeclined(CustomerCanFix):
    """The card was declined, or its holder could not be authenticated. ``decline`` has the reason and the next step.

    Text and code are fit for the customer. ``decline`` may hold one of the codes that only operators may see; show
    ``decline.for_customer()`` to everybody else.
    """

    code = "card_declined"

    def __init__(self, decline: Decline) -> None:
        super().__init__(decline.customer_text, code=decline.customer_code, advice=decline.advice)
        self.decline = decline


class InvalidInput(CustomerCanFix):
    """A value is not allowed."""

    code = "invalid_input"


class InvalidAmount(InvalidInput):
    """Text or a number is not an amount of its currency."""

    code = "invalid_amount"


class UnknownCurrency(InvalidInput):
    """No ISO 4217 currency has this code."""

    code = "unknown_currency"

    def __init__(self, currency: object) -> None:
        super().__init__('use a lower-case ISO 4217 currency code, for example "usd"')
        self.currency = currency


class CurrencyMismatch(InvalidInput):
    """Two amounts of different currencies met."""

    code = "currency_mismatch"

    def __init__(self, left: str, right: str) -> None:
        super().__init__(f"amounts in {left} and {right} cannot be combined")


class RefusedByRule(PaymentError):
    """The request is valid, and a rule refuses it until the booking or the payment changes."""

    code = "refused"


class NotPossibleNow(PaymentError):
    """The present state of the booking or payment does not allow this."""

    code = "not_possible"


class AlreadyUnderWay(NotPossibleNow):
    """Another operation on the same payment is in flight; wait for its outcome and read the payment again."""

    code = "operation_in_flight"

    def __init__(
        self,
        message: str = "another operation on this payment is in flight; read it again in a moment",
        *,
        code: str | None = None,
    ) -> None:
        super().__init__(message, code=code)


class NotFound(PaymentError):
    """No such booking or payment, or another customer's: the error is the same for both."""

    code = "not_found"

    def __init__(self, message: str = "no such booking or payment") -> None:
        super().__init__(message)


class TryAgainLater(PaymentError):
    """The gateway could not be reached, and nothing happened."""

    code = "gateway_unavailable"
    outcome_unknown = False

    def __init__(
        self,
        message: str = "the payment provider cannot be reached; try again in a moment",
        *,
        advice: Advice | None = Advice.TRY_AGAIN,
    ) -> None:
        super().__init__(message, advice=advice)


class OutcomeUnknown(TryAgainLater):
    """The call may have had its effect. The booking stays held; the system resolves the outcome later."""

    code = "outcome_unknown"
    outcome_unknown = True

    def __init__(
        self,
        message: str = "the payment provider has not answered; the outcome is being checked, do not pay again",
    ) -> None:
        # No advice: another try, with any method, may pay twice.
        super().__init__(message, advice=None)


class OurFault(PaymentError):
    """A bug or a wrong setting of this service; no input of a client can cause it."""

    code = "our_fault"


class GatewayRefusedUs(OurFault):
    """The gateway rejected the request itself: wrong key, parameters or account, or an insufficient balance."""

    code = "gateway_refused"

    def __init__(
        self,
        message: str = "the payment provider refused the request; this is our mistake",
        *,
        code: str | None = None,
        advice: Advice | None = None,
    ) -> None:
        super().__init__(message, code=code, advice=advice)


class RefundRefused(GatewayRefusedUs):
    """The booking was canceled, and the gateway refused its refund. Another cancellation requests the refund again."""

    code = "refund_refused"

    def __init__(
        self, message: str = "the booking is canceled, but its refund was refused; cancel it again to ask once more"
    ) -> None:
        super().__init__(message)


class IllegalTransition(OurFault):
    """The lifecycle table does not allow this event in this state."""

    code = "illegal_transition"

    def __init__(self, state: str, event: str) -> None:
        super().__init__(f"no transition from {state} by {event}")
        self.state = state
        self.event = event


class Contradiction(OurFault):
    """The gateway's report does not match the request: another amount, currency or booking. It is never recorded."""

    code = "contradiction"
