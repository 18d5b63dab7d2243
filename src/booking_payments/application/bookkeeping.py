"""Checking the books: every posting balances, and snapshots and postings agree with the journals.

Payments are read in batches, each in one consistent snapshot of the database. So the check may run while payments are
made, and its memory does not grow with their number.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence

import attrs
from attrs import define, field, frozen

from booking_payments.application.dependencies import Dependencies
from booking_payments.application.progress import Progress, in_silence
from booking_payments.domain.events import RefundRequested
from booking_payments.domain.ledger import Account, Posting, balances, postings_of
from booking_payments.domain.money import Currency, Money
from booking_payments.domain.payment import Payment, evolve, fold
from booking_payments.ports.payments import PaymentHistory
from booking_payments.ports.unit_of_work import UnitOfWork

AT_ONCE = 200
"""How many payments are in memory at a time."""

MOST_KEPT = 1000
"""How many faults are listed with their text; all are counted."""


@frozen(kw_only=True)
class LedgerFault:
    """A contradiction in the books of a payment. ``code`` is for scripts, ``text`` for operators."""

    payment_id: str
    code: str
    text: str


@frozen(kw_only=True)
class LedgerCheck:
    """The result of a check.

    Attributes:
        payments: how many payments were checked.
        events: how many events of their journals were checked.
        postings: how many postings were checked.
        balances: the balance of each ledger account with each gateway and in each currency. Those of one gateway and
            currency sum to zero, since each payment has one gateway.
        faults_found: how many faults there are.
        faults: the first ``MOST_KEPT`` of them.
    """

    payments: int
    events: int
    postings: int
    balances: Mapping[tuple[str, Account, Currency], Money]
    faults_found: int
    faults: tuple[LedgerFault, ...]

    @property
    def agrees(self) -> bool:
        """Whether no fault was found."""
        return not self.faults_found


async def check_ledger(deps: Dependencies, progress: Progress = in_silence) -> LedgerCheck:
    """Check the books of all payments. Changes nothing."""
    tally = _RunningTotals()
    total = await deps.storage.read(lambda uow: uow.payment_reader.count())
    last = ""
    while True:
        ids = await _ids_after(deps, last)
        if not ids:
            return tally.result()
        for payment_id, history in (await _histories(deps, ids)).items():
            tally.add(payment_id, history)
        last = ids[-1]
        progress("checking the books", tally.payments, max(total, tally.payments))


async def _ids_after(deps: Dependencies, last: str) -> Sequence[str]:
    return await deps.storage.read(lambda uow: uow.payment_reader.ids(last, AT_ONCE))


async def _histories(deps: Dependencies, ids: Sequence[str]) -> Mapping[str, PaymentHistory | Exception]:
    """Return the histories of these payments, by payment id.

    When the batch can't be read, each is read by itself, and the error of a payment takes the place of its history.
    """
    try:
        return await deps.storage.read(lambda uow: uow.payment_reader.histories(ids))
    except Exception:
        return {each: await _history(deps, each) for each in ids}


async def _history(deps: Dependencies, payment_id: str) -> PaymentHistory | Exception:
    async def work(uow: UnitOfWork) -> PaymentHistory:
        return (await uow.payment_reader.histories([payment_id]))[payment_id]

    try:
        return await deps.storage.read(work)
    except Exception as error:  # a corrupt row can make the reader raise any error
        return error


@define
class _RunningTotals:
    """Counts, balances and faults of the payments checked so far."""

    payments: int = 0
    events: int = 0
    postings: int = 0
    sums: dict[tuple[str, Account, Currency], int] = field(factory=lambda: defaultdict(int))
    faults: list[LedgerFault] = field(factory=list)
    faults_found: int = 0

    def add(self, payment_id: str, history: PaymentHistory | Exception) -> None:
        self.payments += 1
        if isinstance(history, PaymentHistory):
            self.events += len(history.journal)
            self.postings += len(history.postings)
            for (account, currency), amount in balances(history.postings).items():
                self.sums[history.payment.gateway, account, currency] += amount.minor
        self._keep(tuple(faults_of(payment_id, history)))

    def _keep(self, faults: tuple[LedgerFault, ...]) -> None:
        self.faults_found += len(faults)
        self.faults.extend(faults[: MOST_KEPT - len(self.faults)])

    def result(self) -> LedgerCheck:
        return LedgerCheck(
            payments=self.payments,
            events=self.events,
            postings=self.postings,
            balances={key: Money.sum_of(minor, key[2]) for key, minor in self.sums.items()},
            faults_found=self.faults_found,
            faults=tuple(self.faults),
        )


# --- one payment -----------------------------------------------------------------------------------------------


def faults_of(payment_id: str, history: PaymentHistory | Exception) -> Iterator[LedgerFault]:
    """Yield the faults in one payment's books; ``history`` is the error where it can't be read."""
    if isinstance(history, Exception):
        yield LedgerFault(
            payment_id=payment_id, code="unreadable", text=f"can't be read ({type(history).__name__}: {history})"
        )
        return
    for code, check in _CHECKS.items():
        for text in check(history):
            yield LedgerFault(payment_id=payment_id, code=code, text=text)


def _gaps(history: PaymentHistory) -> Iterator[str]:
    for place, recorded in enumerate(history.journal, start=1):
        if recorded.sequence != place:
            yield f"event {place} of the journal is missing; the next one is {recorded.sequence}"
            return


def _snapshot(history: PaymentHistory) -> Iterator[str]:
    folded = _folded(history)
    if isinstance(folded, Exception):
        yield f"the journal can't be folded ({type(folded).__name__}: {folded})"
    elif folded != history.payment:
        yield "the journal gives another " + ", ".join(_differing(folded, history.payment))


def _folded(history: PaymentHistory) -> Payment | Exception:
    try:
        return fold(history.journal)
    except Exception as error:  # events in an impossible order can make the fold raise any error
        return error


def _differing(folded: Payment, kept: Payment) -> list[str]:
    names = [each.name for each in attrs.fields(Payment)]
    return [name for name in names if getattr(folded, name) != getattr(kept, name)]


def _columns(history: PaymentHistory) -> Iterator[str]:
    if history.stale:
        yield "columns for queries are out of date: " + ", ".join(history.stale)


def _unbalanced(history: PaymentHistory) -> Iterator[str]:
    for place, posting in enumerate(history.postings, start=1):
        if any(amount for amount in _sums(posting).values()):
            yield f"posting {place} ({posting.kind.value} of {posting.subject}) does not balance"


def _sums(posting: Posting) -> Mapping[Currency, int]:
    sums: dict[Currency, int] = defaultdict(int)
    for line in posting.lines:
        sums[line.amount.currency] += line.amount.minor
    return sums


def _postings(history: PaymentHistory) -> Iterator[str]:
    """Compare the stored postings with those computed from the journal; yields nothing if it can't be folded."""
    if isinstance(_folded(history), Exception):
        return
    due = postings_of(history.journal)
    for place, (kept, expected) in enumerate(zip(history.postings, due, strict=False), start=1):
        if kept != expected:
            yield f"posting {place} is {_posting_text(kept)}; the journal gives {_posting_text(expected)}"
            return
    if len(history.postings) != len(due):
        yield f"there are {len(history.postings)} postings; the journal gives {len(due)}"


def _posting_text(posting: Posting) -> str:
    return f"{posting.kind.value} of {posting.subject} over {posting.amount} at {posting.at.isoformat()}"


def _bound(history: PaymentHistory) -> Iterator[str]:
    """Check that each refund that this service requested was within the bound at that time.

    The bound: succeeded and pending refunds and the amount held by disputes together do not exceed the captured amount.
    Refunds that were made in the gateway's dashboard may exceed it; that is not a fault of our books.
    """
    if isinstance(_folded(history), Exception):
        return
    payment: Payment | None = None
    for recorded in history.journal:
        if payment is not None and isinstance(recorded.event, RefundRequested):
            room = payment.captured - payment.given_back.amount - payment.held_by_disputes
            refund = recorded.event
            if refund.amount > room:
                yield f"refund {refund.refund_id} of {refund.amount} was requested where {room} was left"
        payment = evolve(payment, recorded)


_CHECKS: Mapping[str, Callable[[PaymentHistory], Iterator[str]]] = {
    "journal_gap": _gaps,
    "snapshot_differs": _snapshot,
    "columns_differ": _columns,
    "posting_unbalanced": _unbalanced,
    "postings_differ": _postings,
    "refunds_exceed": _bound,
}
"""The checks, by the code of the faults that they yield."""
