"""The ledger: double-entry postings derived from journal events. Every posting sums to zero per currency.

Accounts, from the merchant's view:

============== ==========================================================================
gateway        the balance that the gateway holds for the merchant
organizer      the amount that is owed to the organizer of the event
fees           processing fees earned
disputes       the amount that banks have withdrawn, during a dispute or for good
============== ==========================================================================

Lines are signed: a debit is positive, a credit negative, so an amount owed shows as a negative balance. Balances can be
rebuilt from the journal at any time, since ``postings`` is a function of the payment before an event and the event. A
posting has the time of its journal event, so that money is reported on the day that it moved.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime
from enum import Enum
from typing import Final

from attrs import field, frozen

from booking_payments.domain import events as ev
from booking_payments.domain.errors import CurrencyMismatch, OurFault
from booking_payments.domain.lifecycle import RefundStatus
from booking_payments.domain.money import Currency, Money
from booking_payments.domain.payment import Payment, evolve


class Account(Enum):
    """The accounts of the ledger."""

    GATEWAY = "gateway"
    ORGANIZER = "organizer"
    FEES = "fees"
    DISPUTES = "disputes"


class PostingKind(Enum):
    """Why money moved."""

    CHARGE = "charge"
    PROCESSING_FEE = "processing_fee"
    REFUND = "refund"
    REFUND_FEE = "refund_fee"
    REFUND_GIVEN_BACK = "refund_given_back"
    REFUND_FEE_GIVEN_BACK = "refund_fee_given_back"
    DISPUTE_WITHDRAWN = "dispute_withdrawn"
    DISPUTE_REINSTATED = "dispute_reinstated"


CHARGED: Final = frozenset({PostingKind.CHARGE})
"""Amounts paid by customers: the gross amount of a report."""
REFUNDED: Final = frozenset({PostingKind.REFUND, PostingKind.REFUND_GIVEN_BACK})
"""Amounts refunded to customers, less refunds that failed afterwards and were returned."""
WITHDRAWN: Final = frozenset({PostingKind.DISPUTE_WITHDRAWN, PostingKind.DISPUTE_REINSTATED})
"""Amounts that banks withdrew in disputes, less the amounts that they returned."""
MONEY_KINDS: Final = CHARGED | REFUNDED | WITHDRAWN
"""The kinds that change the balance at the gateway. Each change belongs to exactly one of the three groups."""


@frozen(kw_only=True)
class Line:
    """One side of a posting: a debit (positive) or a credit (negative) of an account."""

    account: Account
    amount: Money


@frozen(kw_only=True)
class Posting:
    """One movement of money: lines that sum to zero.

    Attributes:
        at: when the journal event was recorded.
        subject: the id of the payment, refund or dispute.
    """

    kind: PostingKind
    at: datetime
    subject: str
    lines: tuple[Line, ...] = field()

    @property
    def amount(self) -> Money:
        """The debited amount; negative when the posting reverses an earlier one."""
        return self.lines[0].amount

    @lines.validator
    def _balanced(self, _: object, lines: tuple[Line, ...]) -> None:
        currencies = sorted({line.amount.currency.code for line in lines})
        if len(currencies) > 1:
            raise CurrencyMismatch(currencies[0], currencies[1])
        if sum(line.amount.minor for line in lines):
            raise OurFault(f"the posting {self.kind.value} of {self.subject} does not balance")


Movement = tuple[PostingKind, str, Money, Account, Account]
"""Kind, subject, amount, debited account, credited account."""


def postings(before: Payment, recorded: ev.Recorded) -> tuple[Posting, ...]:
    """Return the postings of one event of the payment ``before``; nothing for an event that moves no money."""
    return tuple(_posting(recorded.at, *movement) for movement in _movements(before, recorded.event))


def _posting(at: datetime, kind: PostingKind, subject: str, amount: Money, debit: Account, credit: Account) -> Posting:
    lines = (Line(account=debit, amount=amount), Line(account=credit, amount=-amount))
    return Posting(kind=kind, at=at, subject=subject, lines=lines)


def _movements(before: Payment, event: ev.Event) -> tuple[Movement, ...]:
    if isinstance(event, ev.PaymentSucceeded):
        return _charge(before, event)
    if isinstance(event, ev.RefundMoved):
        return _refund_moved(before, event)
    if isinstance(event, ev.RefundFound) and event.status is RefundStatus.SUCCEEDED:
        return _refund(PostingKind.REFUND, PostingKind.REFUND_FEE, event.refund_id, event.amount, event.fee_refunded)
    return _dispute(before, event) if isinstance(event, ev.DisputeFundsMoved) else ()


def _charge(before: Payment, event: ev.PaymentSucceeded) -> tuple[Movement, ...]:
    gross, fee = event.breakdown.gross, event.breakdown.fee
    charge = PostingKind.CHARGE, before.id, gross, Account.GATEWAY, Account.ORGANIZER
    if not fee:
        return (charge,)
    return charge, (PostingKind.PROCESSING_FEE, before.id, fee, Account.ORGANIZER, Account.FEES)


def _refund_moved(before: Payment, event: ev.RefundMoved) -> tuple[Movement, ...]:
    refund = before.refund(event.refund_id)
    if refund is None:
        return ()
    was, now = (status is RefundStatus.SUCCEEDED for status in (refund.status, event.status))
    if now and not was:
        return _refund(PostingKind.REFUND, PostingKind.REFUND_FEE, refund.id, refund.amount, refund.fee_refunded)
    if was and not now:
        given_back = PostingKind.REFUND_GIVEN_BACK, PostingKind.REFUND_FEE_GIVEN_BACK
        return _refund(*given_back, refund.id, -refund.amount, -refund.fee_refunded)
    return ()


def _refund(kind: PostingKind, fee_kind: PostingKind, subject: str, amount: Money, fee: Money) -> tuple[Movement, ...]:
    back = kind, subject, amount, Account.ORGANIZER, Account.GATEWAY
    return (back, (fee_kind, subject, fee, Account.FEES, Account.ORGANIZER)) if fee else (back,)


def _dispute(before: Payment, event: ev.DisputeFundsMoved) -> tuple[Movement, ...]:
    known = before.dispute_by_id(event.dispute_id)
    change = event.withdrawn - known.withdrawn if known else event.withdrawn
    kind = PostingKind.DISPUTE_WITHDRAWN if change.minor > 0 else PostingKind.DISPUTE_REINSTATED
    return ((kind, event.dispute_id, change, Account.DISPUTES, Account.GATEWAY),) if change else ()


def postings_of(journal: Iterable[ev.Recorded]) -> tuple[Posting, ...]:
    """Return the postings of a whole journal, in order."""
    payment: Payment | None = None
    found: list[Posting] = []
    for recorded in journal:
        if payment is not None:
            found.extend(postings(payment, recorded))
        payment = evolve(payment, recorded)
    return tuple(found)


def balances(of: Iterable[Posting]) -> Mapping[tuple[Account, Currency], Money]:
    """Return the balance of each account in each currency; the balances of a currency sum to zero."""
    sums: dict[tuple[Account, Currency], int] = defaultdict(int)
    for posting in of:
        for line in posting.lines:
            sums[line.account, line.amount.currency] += line.amount.minor
    return {key: Money.sum_of(minor, key[1]) for key, minor in sums.items()}
