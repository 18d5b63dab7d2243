"""The lifecycles of payments, refunds and disputes, each one literal table.

Theory. A row is a state, a column an event: a report of the gateway, or a decision of this service. Each pair is one
of three things: a *move* to the named state, ``NO_EFFECT`` (a late or repeated report), or ``ILLEGAL`` (a
contradiction: recorded for an operator, never applied). Every pair is written out; a row that lacks one is an error.
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

# The same under short names for the tables: the state stays the same, or the pair is illegal.
same: Final = NO_EFFECT
ILL: Final = ILLEGAL

State = TypeVar("State", bound=Enum)
Event = TypeVar("Event", bound=Enum)


_Table = Mapping[State | None, Mapping[Event, State | NoTransition]]
"""The next state by state and event, or the reason why the event is not possible."""


def _table(events: type[Event], rows: Mapping[State | None, tuple[State | NoTransition, ...]]) -> _Table[State, Event]:
    """Return the table of rows with a cell for each of ``events``, in order. Raises ``ValueError`` for a short row."""
    return {state: dict(zip(events, cells, strict=True)) for state, cells in rows.items()}


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

_CLOSED: Final = frozenset({S.SUCCEEDED, S.CANCELED, S.FAILED})
_AWAITS_CUSTOMER: Final = frozenset({S.REQUIRES_PAYMENT_METHOD, S.REQUIRES_CONFIRMATION, S.REQUIRES_ACTION})

# The states in their order, under names of six letters so that a row of the table fits on a line.
METHOD, CONFRM, ACTION, PROCSS, HELD, PAID, CANCEL, FAILED = S

# Aligned, so that one screen shows the table.
# fmt: off
PAYMENT: Final[_Table[PaymentStatus, PaymentEvent]] = _table(PaymentEvent, {
    #                                   method  method  action  pro-    autho-  succ-   attempt no more
    #                           started needed  set     needed  cessing rized   eeded   refused attempt canceled
    None:                      (METHOD, ILL,    ILL,    ILL,    ILL,    ILL,    ILL,    ILL,    ILL,    ILL),
    S.REQUIRES_PAYMENT_METHOD: (ILL,    same,   CONFRM, ACTION, PROCSS, HELD,   PAID,   METHOD, FAILED, CANCEL),
    S.REQUIRES_CONFIRMATION:   (ILL,    METHOD, same,   ACTION, PROCSS, HELD,   PAID,   METHOD, FAILED, CANCEL),
    S.REQUIRES_ACTION:         (ILL,    METHOD, CONFRM, same,   PROCSS, HELD,   PAID,   METHOD, FAILED, CANCEL),
    S.PROCESSING:              (ILL,    METHOD, CONFRM, ACTION, same,   HELD,   PAID,   METHOD, FAILED, CANCEL),
    S.REQUIRES_CAPTURE:        (ILL,    same,   same,   same,   PROCSS, same,   PAID,   same,   ILL,    CANCEL),
    S.SUCCEEDED:               (ILL,    same,   same,   same,   same,   same,   same,   same,   ILL,    ILL),
    S.CANCELED:                (ILL,    same,   same,   same,   same,   same,   PAID,   same,   ILL,    same),
    S.FAILED:                  (ILL,    same,   same,   same,   same,   same,   PAID,   same,   same,   same),
})
# fmt: on


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


D = Denial


def _commands(
    rows: Mapping[PaymentStatus, tuple[Denial | None, ...]],
) -> Mapping[PaymentStatus, Mapping[Command, Denial | None]]:
    return {status: dict(zip(Command, cells, strict=True)) for status, cells in rows.items()}


# Aligned, so that one screen shows the table.
# fmt: off
COMMANDS: Final[Mapping[PaymentStatus, Mapping[Command, Denial | None]]] = _commands({
    #                          confirm                capture                cancel                 refund
    S.REQUIRES_PAYMENT_METHOD: (None,                  D.NOT_AUTHORIZED,      None,                  D.NOT_PAID),
    S.REQUIRES_CONFIRMATION:   (None,                  D.NOT_AUTHORIZED,      None,                  D.NOT_PAID),
    S.REQUIRES_ACTION:         (None,                  D.NOT_AUTHORIZED,      None,                  D.NOT_PAID),
    S.PROCESSING:              (D.PAYMENT_PROCESSING,  D.NOT_AUTHORIZED,      D.PAYMENT_PROCESSING,  D.NOT_PAID),
    S.REQUIRES_CAPTURE:        (D.ALREADY_AUTHORIZED,  None,                  None,                  D.NOT_CAPTURED),
    S.SUCCEEDED:               (D.ALREADY_PAID,        D.ALREADY_PAID,        D.ALREADY_PAID,        None),
    S.CANCELED:                (D.PAYMENT_CANCELED,    D.PAYMENT_CANCELED,    D.PAYMENT_CANCELED,    D.NOT_PAID),
    S.FAILED:                  (D.ATTEMPTS_EXHAUSTED,  D.NOT_AUTHORIZED,      D.ATTEMPTS_EXHAUSTED,  D.NOT_PAID),
})
# fmt: on
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

# The states in their order.
R_PENDING, R_ACTION, R_SUCCEEDED, R_FAILED, R_CANCELED = R

# A refund made in the gateway's dashboard is first seen in any status, hence the row of None. A refund that
# has succeeded still moves: the bank may send the money back days later, or ask for the customer's details again.
# Aligned, so that one screen shows the table.
# fmt: off
REFUND: Final[_Table[RefundStatus, RefundEvent]] = _table(RefundEvent, {
    #                                                           action
    #                    requested    refused      pending      required     succeeded    failed       canceled
    None:               (R_PENDING,   ILL,         R_PENDING,   R_ACTION,    R_SUCCEEDED, R_FAILED,    R_CANCELED),
    R.PENDING:          (ILL,         R_FAILED,    same,        R_ACTION,    R_SUCCEEDED, R_FAILED,    R_CANCELED),
    R.REQUIRES_ACTION:  (ILL,         ILL,         R_PENDING,   same,        R_SUCCEEDED, R_FAILED,    R_CANCELED),
    R.SUCCEEDED:        (ILL,         ILL,         same,        R_ACTION,    same,        R_FAILED,    R_CANCELED),
    R.FAILED:           (ILL,         same,        same,        same,        ILL,         same,        same),
    R.CANCELED:         (ILL,         ILL,         same,        same,        ILL,         same,        same),
})
# fmt: on


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
#
# The states in their order: I_ inquiry, C_ chargeback, A_ appeal; NEED needs a response, REVW is under review.
I_NEED, I_REVW, I_CLOS, C_NEED, C_REVW, WON, LOST, PREVNT, A_NEED, A_REVW, UNKNWN = P

# Aligned, so that one screen shows the table.
# fmt: off
DISPUTE: Final[_Table[DisputeStatus, DisputeStatus]] = _table(DisputeStatus, {
    #                           I_NEED  I_REVW  I_CLOS  C_NEED  C_REVW  WON     LOST    PREVNT  A_NEED  A_REVW  UNKNWN
    None:                      (I_NEED, I_REVW, I_CLOS, C_NEED, C_REVW, WON,    LOST,   PREVNT, A_NEED, A_REVW, UNKNWN),
    P.WARNING_NEEDS_RESPONSE:  (same,   I_REVW, I_CLOS, C_NEED, C_REVW, WON,    LOST,   PREVNT, A_NEED, A_REVW, UNKNWN),
    P.WARNING_UNDER_REVIEW:    (I_NEED, same,   I_CLOS, C_NEED, C_REVW, WON,    LOST,   PREVNT, A_NEED, A_REVW, UNKNWN),
    P.WARNING_CLOSED:          (ILL,    ILL,    same,   ILL,    ILL,    ILL,    ILL,    ILL,    ILL,    ILL,    UNKNWN),
    P.NEEDS_RESPONSE:          (ILL,    ILL,    ILL,    same,   C_REVW, WON,    LOST,   PREVNT, A_NEED, A_REVW, UNKNWN),
    P.UNDER_REVIEW:            (ILL,    ILL,    ILL,    C_NEED, same,   WON,    LOST,   PREVNT, A_NEED, A_REVW, UNKNWN),
    P.WON:                     (ILL,    ILL,    ILL,    ILL,    ILL,    same,   ILL,    ILL,    ILL,    ILL,    UNKNWN),
    P.LOST:                    (ILL,    ILL,    ILL,    ILL,    ILL,    WON,    same,   ILL,    A_NEED, A_REVW, UNKNWN),
    P.PREVENTED:               (ILL,    ILL,    ILL,    ILL,    ILL,    ILL,    LOST,   same,   ILL,    ILL,    UNKNWN),
    P.APPEAL_NEEDS_RESPONSE:   (ILL,    ILL,    ILL,    ILL,    ILL,    WON,    LOST,   ILL,    same,   A_REVW, UNKNWN),
    P.APPEAL_UNDER_REVIEW:     (ILL,    ILL,    ILL,    ILL,    ILL,    WON,    LOST,   ILL,    A_NEED, same,   UNKNWN),
    P.UNKNOWN:                 (I_NEED, I_REVW, I_CLOS, C_NEED, C_REVW, WON,    LOST,   PREVNT, A_NEED, A_REVW, same),
})
# fmt: on


# --- reading the tables ----------------------------------------------------------------------------------------


def move(table: _Table[State, Event], state: State | None, event: Event) -> State | None:
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
