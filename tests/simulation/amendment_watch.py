"""Invariants of amended bookings, items and event jobs, checked after every step and at the end of a run.

Sums are counted here in plain integers, from the gateway's records and the committed values.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Final

from attrs import define, field

from booking_payments.application.event_jobs import EventLine, EventReport
from booking_payments.domain.booking import Booking, money_left
from booking_payments.domain.events import BookingReleased
from booking_payments.domain.lifecycle import PaymentStatus
from booking_payments.domain.payment import Payment
from booking_payments.ports.event_jobs import BookingOutcome, EventJob, EventJobKind, EventJobState
from tests.simulation.books import Changes
from tests.simulation.invariants import TAKEN, GatewaySide, Json, OurSide

EVENT: Final = "evening"
_LOST: Final = ("failed", "canceled")


@define
class AmendmentWatch:
    """What bookings cost at each moment, and what was given back for them.

    Attributes:
        bookings: the bookings as they were committed last.
        inexact: bookings for which somebody asked to give back less than the whole difference.
        whole: bookings that were registered far ahead of their event, so that their policy gives everything back.
        given: number of acknowledged units by booking, item and way (``refund`` or ``cancel``).
        asked: number of units that requests named, each request counted once however often it was sent.
        quantities: number of registered units by booking and item.
        released_by: the cause that canceled each booking.
        jobs: the event jobs that callers have received.
    """

    ours: OurSide
    theirs: GatewaySide
    bookings: dict[str, Booking] = field(factory=dict)
    inexact: set[str] = field(factory=set)
    whole: set[str] = field(factory=set)
    given: Counter[tuple[str, str, str]] = field(factory=Counter)
    asked: Counter[tuple[str, str]] = field(factory=Counter)
    quantities: dict[tuple[str, str], int] = field(factory=dict)
    released_by: dict[str, str] = field(factory=dict)
    jobs: list[EventJob] = field(factory=list)
    _succeeded: set[str] = field(factory=set)

    # --- after every step

    def taken(self, intent: Json, before: str | None) -> None:
        """An intent changed at the gateway: it takes what the booking costs, in our books or by an amendment whose call
        is in flight."""
        booking = self.bookings.get(str(intent["metadata"].get("booking_id", "")))
        if booking is None or intent["status"] not in TAKEN:
            return
        prices = {booking.amount.minor} | {
            payment.operation.amendment.amount.minor
            for payment in self._payments(booking.id)
            if payment.operation is not None and payment.operation.amendment is not None
        }
        require = self.ours.invariants.require
        if before not in TAKEN:
            what = f"{intent['id']} takes {intent['amount']}, and {booking.id} costs {sorted(prices)}"
            require(intent["amount"] in prices, what)
        elif intent["status"] != before:
            what = f"{intent['id']} collects {intent['amount_received']}, and {booking.id} costs {sorted(prices)}"
            require(intent["amount_received"] <= max(prices), what)

    def committed(self, changes: Changes) -> None:
        """A transaction was committed: a booking is confirmed by a payment of its present price."""
        self.bookings.update({booking.id: booking for booking in changes.bookings})
        for appended in changes.appended:
            payment = appended.payment
            for recorded in appended.recorded:
                if isinstance(recorded.event, BookingReleased):
                    self.released_by[payment.booking_id] = recorded.cause
            if payment.status is not PaymentStatus.SUCCEEDED or payment.id in self._succeeded:
                continue
            self._succeeded.add(payment.id)
            price = self.bookings[payment.booking_id].amount.minor
            part = payment.captured < payment.asked  # an operator may capture less
            right = payment.late or payment.captured.minor == price or (part and payment.captured.minor < price)
            what = f"{payment.id} has {payment.captured.minor} captured, and its booking costs {price}"
            self.ours.invariants.require(right, what)

    # --- what actors report

    def gave_back(self, booking_id: str, item: str, how: str, quantity: int) -> None:
        """A request to give units back succeeded: no more of them than were booked."""
        if (booking_id, item) not in self.quantities:
            return  # an item that came with an amendment
        self.given[booking_id, item, how] += quantity
        given, booked = self.given[booking_id, item, how], self.quantities[booking_id, item]
        what = f"{given} units of {item} were given back by {how}, of {booked} in {booking_id}"
        self.ours.invariants.require(given <= booked, what)

    # --- at the end

    def left(self, *, exact: bool) -> Iterator[str]:
        """Yield a line for each booking whose money does not agree with its price.

        ``exact``: nothing but amendments, items and cancellations gave money back.
        """
        for booking in self.bookings.values():
            yield from self._of_items(booking)
            for payment in self._payments(booking.id):
                yield from self._of_payment(booking, payment, exact)

    def _of_items(self, booking: Booking) -> Iterator[str]:
        """Yield a line for each item of which more was given back than was asked for."""
        items = {item.id: item for item in booking.items}
        if any((booking.id, each) not in self.quantities for each in items):
            return  # an amendment has replaced the items
        for (booking_id, each), booked in self.quantities.items():
            if booking_id != booking.id:
                continue
            item, asked = items.get(each), self.asked[booking_id, each]
            gone = max(booked - item.quantity, item.refunded) if item is not None else booked
            if gone > asked:
                yield f"{gone} of {booked} units of {each} in {booking_id} are gone, and {asked} were to be given back"

    def _of_payment(self, booking: Booking, payment: Payment, exact: bool) -> Iterator[str]:
        if payment.status is not PaymentStatus.SUCCEEDED or payment.late or payment.operation or payment.disputes:
            return
        captured, back = self._captured(payment), self._back(payment)
        if back > captured:
            yield f"{payment.id}: {back} of {captured} goes back"
        if not exact or not booking.status.is_live:
            return
        due = max(captured - money_left(booking.amount, booking.items).minor, 0)
        if back > due:
            yield f"{payment.id}: {back} goes back of {captured}, and {booking.id} still costs {captured - due}"
        if back < due and captured == payment.asked.minor and self._is_whole(booking):
            yield f"{payment.id}: only {back} goes back of {captured}, and {booking.id} costs {captured - due} now"

    def _is_whole(self, booking: Booking) -> bool:
        return booking.id in self.whole and booking.id not in self.inexact

    def _captured(self, payment: Payment) -> int:
        intent = self.theirs.records["payment_intent"].get(payment.intent_id or "")
        return int(intent["amount_received"]) if intent else 0

    def _back(self, payment: Payment) -> int:
        """What the gateway has sent back or is sending, and what is still owed."""
        refunds = self.theirs.of_intent("refund", payment.intent_id or "")
        return sum(int(each["amount"]) for each in refunds if each["status"] not in _LOST) + payment.owed.amount.minor

    def _payments(self, booking_id: str) -> list[Payment]:
        return [each for each in self.ours.payments.values() if each.booking_id == booking_id]

    # --- events

    def of_event(self, report: EventReport, lines: list[EventLine]) -> Iterator[str]:
        """Yield a line for each statement of an event's report that is not right."""
        job = report.job
        if job is None:
            return
        if job.state is not EventJobState.DONE:
            yield f"the job of {job.event_id} has not ended: {dict(report.counts)}"
            return
        yield from self._of_sums(report)
        members = {each.id: each for each in self.bookings.values() if each.event_id == job.event_id}
        if report.total != len(members):
            yield f"the report counts {report.total} bookings, and there are {len(members)}"
        if job.kind is EventJobKind.RESCHEDULE:
            for booking in members.values():
                moved = booking.event_starts_at == job.event_starts_at
                if booking.status.is_live and not moved and booking.created_at < job.created_at:
                    yield f"{booking.id} was not moved by {job.id}"
            return
        outcomes = {line.booking.id: line for line in lines}
        for booking in members.values():
            if booking.id not in outcomes:
                yield f"{booking.id} is missing in the report"
                continue
            yield from self._of_line(job, booking, outcomes[booking.id])

    def _of_sums(self, report: EventReport) -> Iterator[str]:
        ids = {booking.id for booking in self.bookings.values() if booking.event_id == report.event_id}
        intents = [
            each for each in self.theirs.records["payment_intent"].values() if each["metadata"].get("booking_id") in ids
        ]
        refunds = [refund for intent in intents for refund in self.theirs.of_intent("refund", intent["id"])]
        there = (
            sum(intent["amount_received"] for intent in intents),
            sum(refund["amount"] for refund in refunds if refund["status"] == "succeeded"),
        )
        here = (
            sum(totals.captured.minor for totals in report.totals),
            sum(totals.refunded.minor for totals in report.totals),
        )
        if here != there:
            yield f"the report has {here} captured and refunded, the gateway {there}"

    def _of_line(self, job: EventJob, booking: Booking, line: EventLine) -> Iterator[str]:
        payments = self._payments(booking.id)
        if booking.status.is_live:
            yield f"{booking.id} is {booking.status.value} after {job.id}"
        if line.reason in ("internal_error", "storage"):
            yield f"{booking.id} is {line.outcome.value} in the report: {line.reason}"
        owed = sum(payment.owed.amount.minor for payment in payments)
        pending = sum(payment.refund_pending.minor for payment in payments)
        if line.owed.minor != owed:
            yield f"the report owes {line.owed.minor} for {booking.id}, our books {owed}"
        done = line.outcome is BookingOutcome.DONE
        processing = any(payment.status is PaymentStatus.PROCESSING for payment in payments)
        disputed = any(each.has_open_dispute for each in payments)
        if done != (not owed and not pending and not processing and not disputed):
            yield f"{booking.id} is {line.outcome.value}, with {owed} owed and {pending} pending"
        if disputed and line.outcome not in (BookingOutcome.DISPUTED, BookingOutcome.FAILED):
            yield f"{booking.id} is {line.outcome.value} although its payment is disputed"
        if line.outcome is BookingOutcome.DISPUTED and not any(payment.has_open_dispute for payment in payments):
            yield f"{booking.id} is disputed in the report, and has no open dispute"
        if job.refund.value != "full" or self.released_by.get(booking.id) != job.cause:
            return
        for payment in payments:
            settled = payment.operation is None and not payment.disputes
            if payment.status is PaymentStatus.SUCCEEDED and settled and self._back(payment) != self._captured(payment):
                yield f"{payment.id}: {self._back(payment)} of {self._captured(payment)} goes back for {job.id}"
