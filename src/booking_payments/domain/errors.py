"""What can go wrong, split by whose move it is.

::

    PaymentError
    ├── CustomerCanFix             the customer changes something and tries again
    │   ├── CardDeclined           another card, other data, or authentication (carries the decline)
    │   └── InvalidInput           a value that cannot be
    │       ├── InvalidAmount
    │       ├── UnknownCurrency
    │       └── CurrencyMismatch
    ├── RefusedByRule              understood, and refused: event started, nothing left, too small
    ├── NotPossibleNow             the present state does not allow it: paid, canceled, expired
    │   └── AlreadyUnderWay        the same thing is being done at this moment; wait for it
    ├── NotFound                   no such booking or payment, or somebody else's
    ├── TryAgainLater              the gateway cannot be reached; nothing happened
    │   └── OutcomeUnknown         it may have happened; we find out by ourselves
    └── OurFault                   a bug or a wrong setting on our side
        ├── GatewayRefusedUs
        │   └── RefundRefused  the booking is canceled all the same
        ├── IllegalTransition
        └── Contradiction          the gateway's report does not fit what we asked for

HTTP statuses are a table of the HTTP entrypoint; nothing here knows them. ``code`` is stable and machine-readable,
the message is fit for the customer.
"""

from booking_payments.domain.declines import Advice, Decline


class PaymentError(Exception):
    """Root of every error that this library raises on purpose.

    ``advice`` is what the customer may do; None where there is nothing, or where it must not be said.
    """

    code = "payment_error"

    def __init__(self, message: str, *, code: str | None = None, advice: Advice | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.code
        self.advice = advice


class CustomerCanFix(PaymentError):
    """The customer changes something and tries again."""


class CardDeclined(CustomerCanFix):
    """The card was declined, or its holder could not be authenticated. ``decline`` says why and what may follow."""

    code = "card_declined"

    def __init__(self, decline: Decline) -> None:
        super().__init__(decline.customer_text, code=decline.customer_code, advice=decline.advice)
        self.decline = decline


class InvalidInput(CustomerCanFix):
    """A value that cannot be."""

    code = "invalid_input"


class InvalidAmount(InvalidInput):
    """Text or a number that is no amount of its currency."""

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
        super().__init__(f"amounts in {left} and {right} do not mix")


class RefusedByRule(PaymentError):
    """Understood, and refused by a rule. Repeating it changes nothing until the facts change."""

    code = "refused"


class NotPossibleNow(PaymentError):
    """The present state of the booking or payment does not allow this."""

    code = "not_possible"


class AlreadyUnderWay(NotPossibleNow):
    """Another operation on the same payment is in flight; wait for its outcome and look again."""

    code = "operation_in_flight"

    def __init__(
        self,
        message: str = "another operation on this payment is under way; look again in a moment",
        *,
        code: str | None = None,
    ) -> None:
        super().__init__(message, code=code)


class NotFound(PaymentError):
    """No such booking or payment, or one that belongs to somebody else: the two are not told apart."""

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
    """The gateway may have done what we asked. The booking stays held; the payment is settled later by itself."""

    code = "outcome_unknown"
    outcome_unknown = True

    def __init__(
        self,
        message: str = "the payment provider has not answered; the outcome is being found out, do not pay again",
    ) -> None:
        # No advice: who tries again, in whatever way, may pay twice.
        super().__init__(message, advice=None)


class OurFault(PaymentError):
    """A bug or a wrong setting on our side; no input of a client can cause it."""

    code = "our_fault"


class GatewayRefusedUs(OurFault):
    """The gateway refused our request itself: wrong key, wrong parameters, wrong account, too little on it."""

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
    """The booking was canceled, and the gateway refused its refund. Canceling it again asks for the refund again."""

    code = "refund_refused"

    def __init__(
        self, message: str = "the booking is canceled, but its refund was refused; cancel it again to ask once more"
    ) -> None:
        super().__init__(message)


class IllegalTransition(OurFault):
    """A lifecycle table has no such move."""

    code = "illegal_transition"

    def __init__(self, state: str, event: str) -> None:
        super().__init__(f"nothing leads from {state} by {event}")
        self.state = state
        self.event = event


class Contradiction(OurFault):
    """The gateway's report does not fit what we asked for: another amount, currency or booking. Never booked."""

    code = "contradiction"
