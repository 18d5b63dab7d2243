"""What must hold after every step, at the gateway and in our books, whatever goes wrong.

The gateway's side is watched through the store that its model keeps its state in, ours through what each committed
transaction has stored. Neither reads, and neither uses the product's own checks where it can count by itself.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from datetime import timedelta
from enum import Enum
from typing import Any, Final

from attrs import define, field

from booking_payments.adapters.fake_stripe import Change
from booking_payments.domain import events as ev
from booking_payments.domain.booking import Booking, BookingStatus
from booking_payments.domain.ledger import Account, balances
from booking_payments.domain.lifecycle import DisputeStatus, PaymentStatus, RefundStatus
from booking_payments.domain.payment import Payment, evolve
from tests.simulation.books import Appended, Changes

Json = dict[str, Any]

LONGEST_KEY_AGE: Final = timedelta(hours=23)
"""Stripe may forget a key after 24 hours and would then charge again (facts 2)."""

TAKEN: Final = frozenset({"succeeded", "requires_capture"})
"""Statuses of an intent that has the customer's money, or holds it."""

_MAY_FOLLOW: Final = {
    **{status: frozenset(PaymentStatus) for status in PaymentStatus},
    PaymentStatus.SUCCEEDED: frozenset[PaymentStatus](),
    PaymentStatus.CANCELED: frozenset({PaymentStatus.SUCCEEDED}),
    PaymentStatus.FAILED: frozenset({PaymentStatus.SUCCEEDED}),
    **{status: frozenset(RefundStatus) for status in RefundStatus},
    RefundStatus.FAILED: frozenset[RefundStatus](),
    RefundStatus.CANCELED: frozenset[RefundStatus](),
    **{status: frozenset(DisputeStatus) for status in DisputeStatus},
    DisputeStatus.WARNING_CLOSED: frozenset[DisputeStatus](),
    DisputeStatus.WON: frozenset[DisputeStatus](),
    DisputeStatus.LOST: frozenset[DisputeStatus](),
    DisputeStatus.PREVENTED: frozenset[DisputeStatus](),
    BookingStatus.PENDING: frozenset(BookingStatus),
    BookingStatus.CONFIRMED: frozenset({BookingStatus.CANCELED}),
    BookingStatus.CANCELED: frozenset[BookingStatus](),
    BookingStatus.EXPIRED: frozenset[BookingStatus](),
}
"""Nothing terminal moves; a success is always booked, even late."""

Pair = tuple[str, str, str]


@define
class Invariants:
    """Collects what is ``broken``, and which pairs of states were seen (``pairs``: of what, from, to)."""

    longest_key_age: timedelta = LONGEST_KEY_AGE
    broken: list[str] = field(factory=list)
    pairs: Counter[Pair] = field(factory=Counter)

    def require(self, holds: bool, what: str) -> None:
        """Note ``what`` is broken unless it holds."""
        if not holds:
            self.broken.append(what)

    def moved(self, what: str, subject: str, before: Enum | None, after: Enum) -> None:
        """``subject`` went from one state to the next."""
        if before is after:
            return
        self.pairs[what, before.value if before else "", after.value] += 1
        legal = before is None or after in _MAY_FOLLOW[before]
        self.require(legal, f"{what} {subject} moved from {before and before.value} to {after.value}")


# --- at the gateway --------------------------------------------------------------------------------------------


@define
class GatewaySide:
    """The store of the model of Stripe: sees each of its records whenever it changes."""

    invariants: Invariants
    records: dict[str, dict[str, Json]] = field(factory=lambda: defaultdict(dict))
    _refund_of: dict[str, str] = field(factory=dict)

    def load(self) -> Iterable[tuple[str, str, Json]]:
        return ()

    def save(self, changes: list[Change]) -> None:
        for kind, id_, document in changes:
            if document is None:
                self.records[kind].pop(id_, None)
            elif kind in _WATCHED:
                self.records[kind][id_] = document["body"]
        for kind, id_, document in changes:
            if document is not None and kind in _WATCHED:
                _WATCHED[kind](self, document["body"])

    def intents_of(self, payment_id: str) -> list[Json]:
        """The intents that name this payment."""
        return [each for each in self.records["payment_intent"].values() if _named(each, "payment_id") == payment_id]

    def of_intent(self, kind: str, intent_id: str) -> list[Json]:
        """The charges, refunds or disputes of an intent."""
        return [each for each in self.records[kind].values() if each["payment_intent"] == intent_id]

    def _intent(self, intent: Json) -> None:
        booking_id = _named(intent, "booking_id")
        taken = [
            each["id"]
            for each in self.records["payment_intent"].values()
            if _named(each, "booking_id") == booking_id and each["status"] in TAKEN
        ]
        self.invariants.require(len(taken) <= 1, f"booking {booking_id} is charged {len(taken)} times: {taken}")

    def _charge(self, charge: Json) -> None:
        charges = self.of_intent("charge", charge["payment_intent"])
        good = sum(each["status"] == "succeeded" for each in charges)
        self.invariants.require(good <= 1, f"{charge['payment_intent']} has {good} successful charges")
        kept = charge["amount_refunded"] <= charge["amount_captured"] <= charge["amount"]
        self.invariants.require(kept, f"{charge['id']}: refunded <= captured <= authorized does not hold")

    def _refund(self, refund: Json) -> None:
        ours = _named(refund, "refund_id")
        if ours:
            known = self._refund_of.setdefault(ours, refund["id"])
            self.invariants.require(known == refund["id"], f"refund {ours} was made twice: {known}, {refund['id']}")

    def _dispute(self, dispute: Json) -> None:
        """Disputes are the bank's."""


_WATCHED: Final = {
    "payment_intent": GatewaySide._intent,
    "charge": GatewaySide._charge,
    "refund": GatewaySide._refund,
    "dispute": GatewaySide._dispute,
}


def _named(record: Json, name: str) -> str:
    return str(record["metadata"].get(name, ""))


# --- in our books ----------------------------------------------------------------------------------------------


@define
class OurSide:
    """Our books as they were committed: a mirror of every payment, and the checks of each change."""

    invariants: Invariants
    payments: dict[str, Payment] = field(factory=dict)
    bookings: dict[str, BookingStatus] = field(factory=dict)
    ledgers: dict[str, Counter[Account]] = field(factory=lambda: defaultdict(Counter))
    facts: Counter[str] = field(factory=Counter)
    _unknown: dict[str, int] = field(factory=dict)
    _answers: dict[str, int] = field(factory=dict)
    _clock: int = 0

    def answered(self, method: str, path: str, key: str | None) -> None:
        """The gateway gave a definite answer."""
        self._clock += 1
        self._answers[key or ("refunds" if "refunds" in path else "intents")] = self._clock

    def committed(self, changes: Changes) -> None:
        """A transaction was committed."""
        self._clock += 1
        for booking in changes.bookings:
            self._booking(booking)
        for appended in changes.appended:
            self._appended(appended)

    def _booking(self, booking: Booking) -> None:
        before = self.bookings.get(booking.id, BookingStatus.PENDING)
        self.invariants.moved("booking", booking.id, before, booking.status)
        self.bookings[booking.id] = booking.status

    def _appended(self, appended: Appended) -> None:
        payment = self.payments.get(appended.payment.id)
        for recorded in appended.recorded:
            before, payment = payment, evolve(payment, recorded)
            self.facts[type(recorded.fact).__name__] += 1
            self._moves(before, payment)
            self._no_guess(before, recorded)
        self.invariants.require(payment == appended.payment, f"{appended.payment.id} is not the fold of its journal")
        self.payments[appended.payment.id] = appended.payment
        self._money(appended)

    def _moves(self, before: Payment | None, after: Payment) -> None:
        moved = self.invariants.moved
        moved("payment", after.id, before.status if before else None, after.status)
        for refund in after.refunds:
            known = before.refund(refund.id) if before else None
            moved("refund", refund.id, known.status if known else None, refund.status)
        for dispute in after.disputes:
            seen = before.dispute_by_id(dispute.id) if before else None
            moved("dispute", dispute.id, seen.status if seen else None, dispute.status)

    def _no_guess(self, before: Payment | None, recorded: ev.Recorded) -> None:
        """Unknown stays unknown until the gateway has said what became of it."""
        fact = recorded.fact
        if isinstance(fact, ev.OutcomeLeftUnknown):
            self._unknown[fact.idempotency_key] = self._clock
        if not isinstance(fact, ev.OperationSettled) or fact.refusal is None or before is None:
            return
        since = self._unknown.get(fact.idempotency_key)
        operation = before.operation
        if since is None or operation is None:
            return
        subject = "refunds" if operation.purpose is ev.Purpose.REFUND else "intents"
        told = max(self._answers.get(fact.idempotency_key, 0), self._answers.get(subject, 0))
        what = f"{operation.purpose.value} of {before.id} was unknown and given up without asking"
        self.invariants.require(told > since, what)

    def _money(self, appended: Appended) -> None:
        payment = appended.payment
        ledger = self.ledgers[payment.id]
        for (account, _), amount in balances(appended.postings).items():
            ledger[account] += amount.minor
        self.invariants.require(sum(ledger.values()) == 0, f"the ledger of {payment.id} does not sum to zero")
        given = payment.refunded.minor + payment.refund_pending.minor
        asked = payment.fee_policy.of_booking(payment.booking_amount).gross.minor
        kept = given <= payment.captured.minor <= asked and payment.authorized.minor <= asked
        self.invariants.require(kept, f"{payment.id}: refunded <= captured <= authorized does not hold")
        withdrawn = sum(dispute.withdrawn.minor for dispute in payment.disputes)
        held = payment.captured.minor - payment.refunded.minor - withdrawn
        self.invariants.require(ledger[Account.GATEWAY] == held, f"the ledger of {payment.id} has not what it holds")


# --- both ------------------------------------------------------------------------------------------------------

_GATEWAY_WORD: Final = {PaymentStatus.FAILED: "canceled"}
_LOST: Final = frozenset({"failed", "canceled"})


def differences(ours: OurSide, theirs: GatewaySide) -> Iterator[str]:
    """Where our books and the gateway's differ: statuses, money, refunds, disputes, and what each side lacks."""
    known = {payment.intent_id for payment in ours.payments.values()}
    for intent in theirs.records["payment_intent"].values():
        if intent["id"] not in known and intent["status"] not in ("canceled", "requires_payment_method"):
            yield f"our books don't have {intent['id']}, which is {intent['status']}"
    for payment in ours.payments.values():
        yield from _of_payment(payment, theirs)


def _of_payment(payment: Payment, theirs: GatewaySide) -> Iterator[str]:
    intent = theirs.records["payment_intent"].get(payment.intent_id or "")
    if intent is None:
        if payment.intent_id or payment.status not in (
            PaymentStatus.REQUIRES_PAYMENT_METHOD,
            PaymentStatus.CANCELED,
            PaymentStatus.FAILED,
        ):
            yield f"{payment.id} is {payment.status.value}, and the gateway has no intent {payment.intent_id}"
        return
    status = _GATEWAY_WORD.get(payment.status, payment.status.value)
    if status != intent["status"]:
        yield f"{payment.id} is {payment.status.value}, its intent {intent['status']}"
    if payment.captured.minor != intent["amount_received"]:
        yield f"{payment.id} has {payment.captured.minor} captured, its intent {intent['amount_received']}"
    yield from _of_refunds(payment, theirs.of_intent("refund", intent["id"]))
    yield from _of_disputes(payment, theirs.of_intent("dispute", intent["id"]))


def _of_refunds(payment: Payment, refunds: list[Json]) -> Iterator[str]:
    ours = {r.gateway_refund_id: (r.status.value, r.amount.minor) for r in payment.refunds if r.gateway_refund_id}
    there = {each["id"]: (each["status"], each["amount"]) for each in refunds}
    if ours != there:
        yield f"{payment.id} has the refunds {ours}, the gateway {there}"
    unlinked = [r.id for r in payment.refunds if r.gateway_refund_id is None and r.status.value not in _LOST]
    if unlinked:
        yield f"the gateway does not have the refunds {unlinked} of {payment.id}"


def _of_disputes(payment: Payment, disputes: list[Json]) -> Iterator[str]:
    ours = {each.id: (each.status.value, each.withdrawn.minor) for each in payment.disputes}
    there = {each["id"]: (each["status"], _withdrawn(each)) for each in disputes}
    if ours != there:
        yield f"{payment.id} has the disputes {ours}, the gateway {there}"


def _withdrawn(dispute: Json) -> int:
    moved: int = sum(entry["amount"] for entry in dispute["balance_transactions"])
    return max(-moved, 0)
