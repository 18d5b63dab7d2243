"""The lifecycles of payments, refunds and disputes, each one literal table.

Theory. A row is a state, a column an event: a report of the gateway, or a decision of this service. Each pair is one
of three things: a *move* to the named state, ``NO_EFFECT`` (a late or repeated report), or ``ILLEGAL`` (a
contradiction: recorded for an operator, never applied). Every pair is written out, and a test fails for a missing one.
``None`` is the state before the object exists.

Rules behind the tables:

- A report may skip states, since webhooks get lost, so the open states of a payment reach each other freely. A report
  of a state that is not final is applied only after a fresh read of the object, so it is never older than the payment.
- ``succeeded`` is final for a payment; refunds and disputes have their own lifecycles. ``failed`` means that no attempt
  is left. A success reported by the gateway is always recorded, even after ``failed`` or ``canceled``.
- A refund moves from ``succeeded`` to ``failed`` when the bank returns it.

Sources: docs.stripe.com/payments/paymentintents/lifecycle, docs.stripe.com/refunds, docs.stripe.com/disputes.
"""

from collections.abc import Mapping
from enum import Enum
from typing import Final, TypeVar

from booking_payments.domain.errors import IllegalTransition, NotPossibleNow, PaymentError, RefusedByRule


class NoTransition(Enum):
    """The entry for a pair of state and event that is not a move."""

    NO_EFFECT = "no effect"
    ILLEGAL = "illegal"


NO_EFFECT: Final = NoTransition.NO_EFFECT
ILLEGAL: Final = NoTransition.ILLEGAL


# --- payment ---------------------------------------------------------------------------------------------------


class PaymentStatus(Enum):
    """State of a payment. The first seven have the gateway's names; ``failed`` means that no attempt is left."""

    REQUIRES_PAYMENT_METHOD = "requires_payment_method"
    REQUIRES_CONFIRMATION = "requires_confirmation"
    REQUIRES_ACTION = "requires_action"
    PROCESSING = "processing"
    REQUIRES_CAPTURE = "requires_capture"
    SUCCEEDED = "succeeded"
    CANCELED = "canceled"
    FAILED = "failed"

    @property
    def is_open(self) -> bool:
        """True while money may still be collected."""
        return self not in _CLOSED

    @property
    def awaits_customer(self) -> bool:
        """True while the next step is the customer's."""
        return self in _AWAITS_CUSTOMER


class PaymentEvent(Enum):
    """Events of a payment: reports of its intent, and two decisions of this service (``started``, ``exhausted``)."""

    STARTED = "started"
    METHOD_REQUIRED = "method required"
    METHOD_ATTACHED = "method attached"
    ACTION_REQUIRED = "action required"
    PROCESSING = "processing"
    AUTHORIZED = "authorized"
    SUCCEEDED = "succeeded"
    REFUSED = "attempt refused"
    EXHAUSTED = "attempts exhausted"
    CANCELED = "canceled"


S = PaymentStatus
E = PaymentEvent

_CLOSED: Final = frozenset({S.SUCCEEDED, S.CANCELED, S.FAILED})
_AWAITS_CUSTOMER: Final = frozenset({S.REQUIRES_PAYMENT_METHOD, S.REQUIRES_CONFIRMATION, S.REQUIRES_ACTION})

PAYMENT: Final[Mapping[PaymentStatus | None, Mapping[PaymentEvent, PaymentStatus | NoTransition]]] = {
    None: {
        E.STARTED: S.REQUIRES_PAYMENT_METHOD,
        E.METHOD_REQUIRED: ILLEGAL,
        E.METHOD_ATTACHED: ILLEGAL,
        E.ACTION_REQUIRED: ILLEGAL,
        E.PROCESSING: ILLEGAL,
        E.AUTHORIZED: ILLEGAL,
        E.SUCCEEDED: ILLEGAL,
        E.REFUSED: ILLEGAL,
        E.EXHAUSTED: ILLEGAL,
        E.CANCELED: ILLEGAL,
    },
    S.REQUIRES_PAYMENT_METHOD: {
        E.STARTED: ILLEGAL,
        E.METHOD_REQUIRED: NO_EFFECT,
        E.METHOD_ATTACHED: S.REQUIRES_CONFIRMATION,
        E.ACTION_REQUIRED: S.REQUIRES_ACTION,
        E.PROCESSING: S.PROCESSING,
        E.AUTHORIZED: S.REQUIRES_CAPTURE,
        E.SUCCEEDED: S.SUCCEEDED,
        E.REFUSED: S.REQUIRES_PAYMENT_METHOD,
        E.EXHAUSTED: S.FAILED,
        E.CANCELED: S.CANCELED,
    },
    S.REQUIRES_CONFIRMATION: {
        E.STARTED: ILLEGAL,
        E.METHOD_REQUIRED: S.REQUIRES_PAYMENT_METHOD,
        E.METHOD_ATTACHED: NO_EFFECT,
        E.ACTION_REQUIRED: S.REQUIRES_ACTION,
        E.PROCESSING: S.PROCESSING,
        E.AUTHORIZED: S.REQUIRES_CAPTURE,
        E.SUCCEEDED: S.SUCCEEDED,
        E.REFUSED: S.REQUIRES_PAYMENT_METHOD,
        E.EXHAUSTED: S.FAILED,
        E.CANCELED: S.CANCELED,
    },
    S.REQUIRES_ACTION: {
        E.STARTED: ILLEGAL,
        E.METHOD_REQUIRED: S.REQUIRES_PAYMENT_METHOD,
        E.METHOD_ATTACHED: S.REQUIRES_CONFIRMATION,
        E.ACTION_REQUIRED: NO_EFFECT,
        E.PROCESSING: S.PROCESSING,
        E.AUTHORIZED: S.REQUIRES_CAPTURE,
        E.SUCCEEDED: S.SUCCEEDED,
        E.REFUSED: S.REQUIRES_PAYMENT_METHOD,
        E.EXHAUSTED: S.FAILED,
        E.CANCELED: S.CANCELED,
    },
    S.PROCESSING: {
        E.STARTED: ILLEGAL,
        E.METHOD_REQUIRED: S.REQUIRES_PAYMENT_METHOD,
        E.METHOD_ATTACHED: S.REQUIRES_CONFIRMATION,
        E.ACTION_REQUIRED: S.REQUIRES_ACTION,
        E.PROCESSING: NO_EFFECT,
        E.AUTHORIZED: S.REQUIRES_CAPTURE,
        E.SUCCEEDED: S.SUCCEEDED,
        E.REFUSED: S.REQUIRES_PAYMENT_METHOD,
        E.EXHAUSTED: S.FAILED,
        E.CANCELED: S.CANCELED,
    },
    S.REQUIRES_CAPTURE: {
        E.STARTED: ILLEGAL,
        E.METHOD_REQUIRED: NO_EFFECT,
        E.METHOD_ATTACHED: NO_EFFECT,
        E.ACTION_REQUIRED: NO_EFFECT,
        E.PROCESSING: S.PROCESSING,
        E.AUTHORIZED: NO_EFFECT,
        E.SUCCEEDED: S.SUCCEEDED,
        E.REFUSED: NO_EFFECT,
        E.EXHAUSTED: ILLEGAL,
        E.CANCELED: S.CANCELED,
    },
    S.SUCCEEDED: {
        E.STARTED: ILLEGAL,
        E.METHOD_REQUIRED: NO_EFFECT,
        E.METHOD_ATTACHED: NO_EFFECT,
        E.ACTION_REQUIRED: NO_EFFECT,
        E.PROCESSING: NO_EFFECT,
        E.AUTHORIZED: NO_EFFECT,
        E.SUCCEEDED: NO_EFFECT,
        E.REFUSED: NO_EFFECT,
        E.EXHAUSTED: ILLEGAL,
        E.CANCELED: ILLEGAL,
    },
    S.CANCELED: {
        E.STARTED: ILLEGAL,
        E.METHOD_REQUIRED: NO_EFFECT,
        E.METHOD_ATTACHED: NO_EFFECT,
        E.ACTION_REQUIRED: NO_EFFECT,
        E.PROCESSING: NO_EFFECT,
        E.AUTHORIZED: NO_EFFECT,
        E.SUCCEEDED: S.SUCCEEDED,
        E.REFUSED: NO_EFFECT,
        E.EXHAUSTED: ILLEGAL,
        E.CANCELED: NO_EFFECT,
    },
    S.FAILED: {
        E.STARTED: ILLEGAL,
        E.METHOD_REQUIRED: NO_EFFECT,
        E.METHOD_ATTACHED: NO_EFFECT,
        E.ACTION_REQUIRED: NO_EFFECT,
        E.PROCESSING: NO_EFFECT,
        E.AUTHORIZED: NO_EFFECT,
        E.SUCCEEDED: S.SUCCEEDED,
        E.REFUSED: NO_EFFECT,
        E.EXHAUSTED: NO_EFFECT,
        E.CANCELED: NO_EFFECT,
    },
}


class Command(Enum):
    """Commands on a payment."""

    CONFIRM = "confirm"
    CAPTURE = "capture"
    CANCEL = "cancel"
    REFUND = "refund"


class Denial(Enum):
    """Why a state does not allow a command: a stable ``code`` and a ``message`` for the customer."""

    ALREADY_PAID = "already_paid", "this booking is paid already"
    ALREADY_AUTHORIZED = "already_authorized", "the money is held already; it only has to be captured"
    PAYMENT_PROCESSING = (
        "payment_processing",
        "the bank is still working on this payment; wait for its answer",
    )
    PAYMENT_CANCELED = "payment_canceled", "this payment was canceled; start a new one"
    ATTEMPTS_EXHAUSTED = "attempts_exhausted", "no payment attempt is left for this booking"
    NOT_AUTHORIZED = "not_authorized", "there is no held money to capture"
    NOT_PAID = "not_paid", "only a payment that succeeded can be refunded"
    NOT_CAPTURED = (
        "not_captured",
        "the money was not captured yet; cancel the payment instead of refunding it",
    )

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        self.message = message

    def error(self) -> PaymentError:
        """Return the error to raise: ``RefusedByRule`` or ``NotPossibleNow``, with this code and message."""
        kind = RefusedByRule if self is Denial.ATTEMPTS_EXHAUSTED else NotPossibleNow
        return kind(self.message, code=self.code)


C = Command
D = Denial

COMMANDS: Final[Mapping[PaymentStatus, Mapping[Command, Denial | None]]] = {
    S.REQUIRES_PAYMENT_METHOD: {
        C.CONFIRM: None,
        C.CAPTURE: D.NOT_AUTHORIZED,
        C.CANCEL: None,
        C.REFUND: D.NOT_PAID,
    },
    S.REQUIRES_CONFIRMATION: {
        C.CONFIRM: None,
        C.CAPTURE: D.NOT_AUTHORIZED,
        C.CANCEL: None,
        C.REFUND: D.NOT_PAID,
    },
    S.REQUIRES_ACTION: {C.CONFIRM: None, C.CAPTURE: D.NOT_AUTHORIZED, C.CANCEL: None, C.REFUND: D.NOT_PAID},
    S.PROCESSING: {
        C.CONFIRM: D.PAYMENT_PROCESSING,
        C.CAPTURE: D.NOT_AUTHORIZED,
        C.CANCEL: D.PAYMENT_PROCESSING,
        C.REFUND: D.NOT_PAID,
    },
    S.REQUIRES_CAPTURE: {
        C.CONFIRM: D.ALREADY_AUTHORIZED,
        C.CAPTURE: None,
        C.CANCEL: None,
        C.REFUND: D.NOT_CAPTURED,
    },
    S.SUCCEEDED: {
        C.CONFIRM: D.ALREADY_PAID,
        C.CAPTURE: D.ALREADY_PAID,
        C.CANCEL: D.ALREADY_PAID,
        C.REFUND: None,
    },
    S.CANCELED: {
        C.CONFIRM: D.PAYMENT_CANCELED,
        C.CAPTURE: D.PAYMENT_CANCELED,
        C.CANCEL: D.PAYMENT_CANCELED,
        C.REFUND: D.NOT_PAID,
    },
    S.FAILED: {
        C.CONFIRM: D.ATTEMPTS_EXHAUSTED,
        C.CAPTURE: D.NOT_AUTHORIZED,
        C.CANCEL: D.ATTEMPTS_EXHAUSTED,
        C.REFUND: D.NOT_PAID,
    },
}
"""For each state and command ``None`` if it is allowed, otherwise the reason against it."""


# --- refund ----------------------------------------------------------------------------------------------------


class RefundStatus(Enum):
    """State of a refund, with the gateway's names."""

    PENDING = "pending"
    REQUIRES_ACTION = "requires_action"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"

    @property
    def is_pending(self) -> bool:
        """True until the refund has succeeded, failed or was canceled."""
        return self in (RefundStatus.PENDING, RefundStatus.REQUIRES_ACTION)

    @property
    def is_lost(self) -> bool:
        """True when the refund failed or was canceled, so that its amount may be refunded again."""
        return self in (RefundStatus.FAILED, RefundStatus.CANCELED)


class RefundEvent(Enum):
    """Events of a refund: its request, its refusal, and the statuses that the gateway reports."""

    REQUESTED = "requested"
    REFUSED = "refused"
    PENDING = "pending"
    ACTION_REQUIRED = "action required"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"


R = RefundStatus
V = RefundEvent

REFUND: Final[Mapping[RefundStatus | None, Mapping[RefundEvent, RefundStatus | NoTransition]]] = {
    # A refund made in the gateway's dashboard is first seen in any status.
    None: {
        V.REQUESTED: R.PENDING,
        V.REFUSED: ILLEGAL,
        V.PENDING: R.PENDING,
        V.ACTION_REQUIRED: R.REQUIRES_ACTION,
        V.SUCCEEDED: R.SUCCEEDED,
        V.FAILED: R.FAILED,
        V.CANCELED: R.CANCELED,
    },
    R.PENDING: {
        V.REQUESTED: ILLEGAL,
        V.REFUSED: R.FAILED,
        V.PENDING: NO_EFFECT,
        V.ACTION_REQUIRED: R.REQUIRES_ACTION,
        V.SUCCEEDED: R.SUCCEEDED,
        V.FAILED: R.FAILED,
        V.CANCELED: R.CANCELED,
    },
    R.REQUIRES_ACTION: {
        V.REQUESTED: ILLEGAL,
        V.REFUSED: ILLEGAL,
        V.PENDING: R.PENDING,
        V.ACTION_REQUIRED: NO_EFFECT,
        V.SUCCEEDED: R.SUCCEEDED,
        V.FAILED: R.FAILED,
        V.CANCELED: R.CANCELED,
    },
    # The bank may send the money back days later, or ask for the customer's details again.
    R.SUCCEEDED: {
        V.REQUESTED: ILLEGAL,
        V.REFUSED: ILLEGAL,
        V.PENDING: NO_EFFECT,
        V.ACTION_REQUIRED: R.REQUIRES_ACTION,
        V.SUCCEEDED: NO_EFFECT,
        V.FAILED: R.FAILED,
        V.CANCELED: R.CANCELED,
    },
    R.FAILED: {
        V.REQUESTED: ILLEGAL,
        V.REFUSED: NO_EFFECT,
        V.PENDING: NO_EFFECT,
        V.ACTION_REQUIRED: NO_EFFECT,
        V.SUCCEEDED: ILLEGAL,
        V.FAILED: NO_EFFECT,
        V.CANCELED: NO_EFFECT,
    },
    R.CANCELED: {
        V.REQUESTED: ILLEGAL,
        V.REFUSED: ILLEGAL,
        V.PENDING: NO_EFFECT,
        V.ACTION_REQUIRED: NO_EFFECT,
        V.SUCCEEDED: ILLEGAL,
        V.FAILED: NO_EFFECT,
        V.CANCELED: NO_EFFECT,
    },
}


# --- dispute ---------------------------------------------------------------------------------------------------


class DisputeStatus(Enum):
    """State of a dispute, with the gateway's names. The events of a dispute are reports of these states.

    ``unknown`` is any state that this version does not know; it is treated as an open chargeback. Source:
    docs.stripe.com/api/disputes/object (ten statuses since 2026-10-28.endive).
    """

    WARNING_NEEDS_RESPONSE = "warning_needs_response"
    WARNING_UNDER_REVIEW = "warning_under_review"
    WARNING_CLOSED = "warning_closed"
    NEEDS_RESPONSE = "needs_response"
    UNDER_REVIEW = "under_review"
    WON = "won"
    LOST = "lost"
    PREVENTED = "prevented"
    APPEAL_NEEDS_RESPONSE = "appeal_needs_response"
    APPEAL_UNDER_REVIEW = "appeal_under_review"
    UNKNOWN = "unknown"

    @property
    def is_open(self) -> bool:
        """True until the dispute has ended: an inquiry, a chargeback or an appeal is under way."""
        return self.is_open_inquiry or self.is_open_chargeback

    @property
    def is_inquiry(self) -> bool:
        """True for an inquiry, open or closed: the bank requests information and withdraws nothing yet."""
        return self in (P.WARNING_NEEDS_RESPONSE, P.WARNING_UNDER_REVIEW, P.WARNING_CLOSED)

    @property
    def is_open_inquiry(self) -> bool:
        """True while the bank may still turn its inquiry into a chargeback."""
        return self in (P.WARNING_NEEDS_RESPONSE, P.WARNING_UNDER_REVIEW)

    @property
    def is_open_chargeback(self) -> bool:
        """True while the bank claims the disputed amount: a chargeback, its appeal, or an unknown status."""
        return self in _OPEN_CHARGEBACK

    @property
    def ended_against_us(self) -> bool:
        """True when the withdrawn amount stays with the customer's bank."""
        return self in (P.LOST, P.PREVENTED)


P = DisputeStatus
_OPEN_CHARGEBACK: Final = frozenset(
    {P.NEEDS_RESPONSE, P.UNDER_REVIEW, P.APPEAL_NEEDS_RESPONSE, P.APPEAL_UNDER_REVIEW, P.UNKNOWN}
)

# A dispute is always read before its report is applied, so an earlier status is not a late report: moves back within a
# stage are moves, and a move that the card networks' rules exclude is ILLEGAL. An ILLEGAL move is recorded as drift,
# and the disputed amount stays held (``Dispute.contradictory``), since the bank may still withdraw money.
DISPUTE: Final[Mapping[DisputeStatus | None, Mapping[DisputeStatus, DisputeStatus | NoTransition]]] = {
    None: {status: status for status in P},
    P.WARNING_NEEDS_RESPONSE: {
        P.WARNING_NEEDS_RESPONSE: NO_EFFECT,
        P.WARNING_UNDER_REVIEW: P.WARNING_UNDER_REVIEW,
        P.WARNING_CLOSED: P.WARNING_CLOSED,
        P.NEEDS_RESPONSE: P.NEEDS_RESPONSE,
        P.UNDER_REVIEW: P.UNDER_REVIEW,
        P.WON: P.WON,
        P.LOST: P.LOST,
        P.PREVENTED: P.PREVENTED,
        P.APPEAL_NEEDS_RESPONSE: P.APPEAL_NEEDS_RESPONSE,
        P.APPEAL_UNDER_REVIEW: P.APPEAL_UNDER_REVIEW,
        P.UNKNOWN: P.UNKNOWN,
    },
    P.WARNING_UNDER_REVIEW: {
        P.WARNING_NEEDS_RESPONSE: P.WARNING_NEEDS_RESPONSE,
        P.WARNING_UNDER_REVIEW: NO_EFFECT,
        P.WARNING_CLOSED: P.WARNING_CLOSED,
        P.NEEDS_RESPONSE: P.NEEDS_RESPONSE,
        P.UNDER_REVIEW: P.UNDER_REVIEW,
        P.WON: P.WON,
        P.LOST: P.LOST,
        P.PREVENTED: P.PREVENTED,
        P.APPEAL_NEEDS_RESPONSE: P.APPEAL_NEEDS_RESPONSE,
        P.APPEAL_UNDER_REVIEW: P.APPEAL_UNDER_REVIEW,
        P.UNKNOWN: P.UNKNOWN,
    },
    P.WARNING_CLOSED: {
        P.WARNING_NEEDS_RESPONSE: ILLEGAL,
        P.WARNING_UNDER_REVIEW: ILLEGAL,
        P.WARNING_CLOSED: NO_EFFECT,
        P.NEEDS_RESPONSE: ILLEGAL,
        P.UNDER_REVIEW: ILLEGAL,
        P.WON: ILLEGAL,
        P.LOST: ILLEGAL,
        P.PREVENTED: ILLEGAL,
        P.APPEAL_NEEDS_RESPONSE: ILLEGAL,
        P.APPEAL_UNDER_REVIEW: ILLEGAL,
        P.UNKNOWN: P.UNKNOWN,
    },
    P.NEEDS_RESPONSE: {
        P.WARNING_NEEDS_RESPONSE: ILLEGAL,
        P.WARNING_UNDER_REVIEW: ILLEGAL,
        P.WARNING_CLOSED: ILLEGAL,
        P.NEEDS_RESPONSE: NO_EFFECT,
        P.UNDER_REVIEW: P.UNDER_REVIEW,
        P.WON: P.WON,
        P.LOST: P.LOST,
        P.PREVENTED: P.PREVENTED,
        P.APPEAL_NEEDS_RESPONSE: P.APPEAL_NEEDS_RESPONSE,
        P.APPEAL_UNDER_REVIEW: P.APPEAL_UNDER_REVIEW,
        P.UNKNOWN: P.UNKNOWN,
    },
    P.UNDER_REVIEW: {
        P.WARNING_NEEDS_RESPONSE: ILLEGAL,
        P.WARNING_UNDER_REVIEW: ILLEGAL,
        P.WARNING_CLOSED: ILLEGAL,
        P.NEEDS_RESPONSE: P.NEEDS_RESPONSE,
        P.UNDER_REVIEW: NO_EFFECT,
        P.WON: P.WON,
        P.LOST: P.LOST,
        P.PREVENTED: P.PREVENTED,
        P.APPEAL_NEEDS_RESPONSE: P.APPEAL_NEEDS_RESPONSE,
        P.APPEAL_UNDER_REVIEW: P.APPEAL_UNDER_REVIEW,
        P.UNKNOWN: P.UNKNOWN,
    },
    P.WON: {
        P.WARNING_NEEDS_RESPONSE: ILLEGAL,
        P.WARNING_UNDER_REVIEW: ILLEGAL,
        P.WARNING_CLOSED: ILLEGAL,
        P.NEEDS_RESPONSE: ILLEGAL,
        P.UNDER_REVIEW: ILLEGAL,
        P.WON: NO_EFFECT,
        P.LOST: ILLEGAL,
        P.PREVENTED: ILLEGAL,
        P.APPEAL_NEEDS_RESPONSE: ILLEGAL,
        P.APPEAL_UNDER_REVIEW: ILLEGAL,
        P.UNKNOWN: P.UNKNOWN,
    },
    P.LOST: {
        P.WARNING_NEEDS_RESPONSE: ILLEGAL,
        P.WARNING_UNDER_REVIEW: ILLEGAL,
        P.WARNING_CLOSED: ILLEGAL,
        P.NEEDS_RESPONSE: ILLEGAL,
        P.UNDER_REVIEW: ILLEGAL,
        P.WON: P.WON,
        P.LOST: NO_EFFECT,
        P.PREVENTED: ILLEGAL,
        P.APPEAL_NEEDS_RESPONSE: P.APPEAL_NEEDS_RESPONSE,
        P.APPEAL_UNDER_REVIEW: P.APPEAL_UNDER_REVIEW,
        P.UNKNOWN: P.UNKNOWN,
    },
    P.PREVENTED: {
        P.WARNING_NEEDS_RESPONSE: ILLEGAL,
        P.WARNING_UNDER_REVIEW: ILLEGAL,
        P.WARNING_CLOSED: ILLEGAL,
        P.NEEDS_RESPONSE: ILLEGAL,
        P.UNDER_REVIEW: ILLEGAL,
        P.WON: ILLEGAL,
        P.LOST: P.LOST,
        P.PREVENTED: NO_EFFECT,
        P.APPEAL_NEEDS_RESPONSE: ILLEGAL,
        P.APPEAL_UNDER_REVIEW: ILLEGAL,
        P.UNKNOWN: P.UNKNOWN,
    },
    P.APPEAL_NEEDS_RESPONSE: {
        P.WARNING_NEEDS_RESPONSE: ILLEGAL,
        P.WARNING_UNDER_REVIEW: ILLEGAL,
        P.WARNING_CLOSED: ILLEGAL,
        P.NEEDS_RESPONSE: ILLEGAL,
        P.UNDER_REVIEW: ILLEGAL,
        P.WON: P.WON,
        P.LOST: P.LOST,
        P.PREVENTED: ILLEGAL,
        P.APPEAL_NEEDS_RESPONSE: NO_EFFECT,
        P.APPEAL_UNDER_REVIEW: P.APPEAL_UNDER_REVIEW,
        P.UNKNOWN: P.UNKNOWN,
    },
    P.APPEAL_UNDER_REVIEW: {
        P.WARNING_NEEDS_RESPONSE: ILLEGAL,
        P.WARNING_UNDER_REVIEW: ILLEGAL,
        P.WARNING_CLOSED: ILLEGAL,
        P.NEEDS_RESPONSE: ILLEGAL,
        P.UNDER_REVIEW: ILLEGAL,
        P.WON: P.WON,
        P.LOST: P.LOST,
        P.PREVENTED: ILLEGAL,
        P.APPEAL_NEEDS_RESPONSE: P.APPEAL_NEEDS_RESPONSE,
        P.APPEAL_UNDER_REVIEW: NO_EFFECT,
        P.UNKNOWN: P.UNKNOWN,
    },
    P.UNKNOWN: {
        P.WARNING_NEEDS_RESPONSE: P.WARNING_NEEDS_RESPONSE,
        P.WARNING_UNDER_REVIEW: P.WARNING_UNDER_REVIEW,
        P.WARNING_CLOSED: P.WARNING_CLOSED,
        P.NEEDS_RESPONSE: P.NEEDS_RESPONSE,
        P.UNDER_REVIEW: P.UNDER_REVIEW,
        P.WON: P.WON,
        P.LOST: P.LOST,
        P.PREVENTED: P.PREVENTED,
        P.APPEAL_NEEDS_RESPONSE: P.APPEAL_NEEDS_RESPONSE,
        P.APPEAL_UNDER_REVIEW: P.APPEAL_UNDER_REVIEW,
        P.UNKNOWN: NO_EFFECT,
    },
}


# --- reading the tables ----------------------------------------------------------------------------------------

State = TypeVar("State", bound=Enum)
Event = TypeVar("Event", bound=Enum)


def move(
    table: Mapping[State | None, Mapping[Event, State | NoTransition]], state: State | None, event: Event
) -> State | None:
    """Return the state to which ``event`` leads from ``state``; None when the event has no effect.

    Raises ``IllegalTransition`` when the table entry is ``ILLEGAL``.
    """
    entry = table[state][event]
    if entry is ILLEGAL:
        raise IllegalTransition(state.value if state else "not yet made", event.value)
    return None if isinstance(entry, NoTransition) else entry


def require(status: PaymentStatus, command: Command) -> None:
    """Raise the denial's error unless ``status`` allows ``command``."""
    denial = COMMANDS[status][command]
    if denial is not None:
        raise denial.error()
