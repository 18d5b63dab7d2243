"""The end of a run: faults have stopped, the repair paths do their work, and everything has to be settled in time."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from enum import Enum
from itertools import chain
from random import Random
from typing import Final, TypeVar

from booking_payments.domain.booking import Booking, BookingStatus
from booking_payments.domain.events import Origin
from booking_payments.domain.lifecycle import PaymentStatus
from booking_payments.domain.payment import Payment
from booking_payments.ports.bookings import BookingFilter
from booking_payments.ports.event_jobs import EventJobKind
from booking_payments.ports.payments import PollState
from booking_payments.ports.unit_of_work import TransactionBody
from tests.simulation.actors import Actor, Repairs, Resolver, RunProfile, WebhookCarrier
from tests.simulation.amendment_watch import EVENT
from tests.simulation.invariants import differences
from tests.simulation.scheduler import alone
from tests.simulation.world import SimulatedWorld

LONGEST: Final = timedelta(hours=26)
"""The longest time until an outcome is known: a key may be sent for 23 hours."""

WATCHED_FOR: Final = timedelta(hours=25, minutes=30)

MAX_CHECKS: Final = 3
"""How often the resolver may look at a payment before it is settled, once nothing goes wrong any more."""

MOST_ROUNDS: Final = 400

_TURN: Final = timedelta(seconds=61)
"""Longer than the lease of an event job, and than the pause of a booking that waits in it."""

FINAL: Final = ("succeeded", "canceled")

T = TypeVar("T")


class Settling:
    """Runs the repair paths of this run until nothing is due, and lists what is ``left``."""

    def __init__(self, world: SimulatedWorld, profile: RunProfile, random: Random) -> None:
        self.world = world
        self.repairs: Repairs = profile.repairs
        self.webhook_sender = WebhookCarrier(world, profile, random, "webhook sender")
        self.resolver = Resolver(world, profile, random, "resolver")
        self.client = Actor(world, profile, random, "client")
        self.checks: Counter[str] = Counter()
        self.since = world.time.now

    def go(self) -> None:
        """Run passes until nothing is due; the clock advances to the next due time."""
        for _ in range(MOST_ROUNDS):
            self.world.arrive()
            self._deliver()
            self._work()
            self._ask_again()
            due = self._next_due()
            if due is None or due - self.since > LONGEST:
                due = self._next_turn_of_jobs()
            if due is None or due - self.since > LONGEST or self.world.invariants.broken:
                return
            self.world.time.now = max(self.world.time.now, due)

    # --- the three paths

    def _deliver(self) -> None:
        world = self.world
        world.stripe.tick()
        if not self.repairs.webhooks:
            return
        for delivery in world.theirs.deliveries():
            if delivery.due_at <= world.time.now:
                taken = alone(self.webhook_sender.deliver(delivery.event), world.time)
                world.stripe.delivered(delivery.event["id"], taken, delivery.endpoint_id)

    def _work(self) -> None:
        if not self.repairs.resolver:
            return
        looked_at = [payment.id for payment in self._in_flight() if self._is_due(payment)]
        alone(self.resolver.round(), self.world.time)
        self.checks.update(each for each in looked_at if self._could_be_known(each))

    def _could_be_known(self, payment_id: str) -> bool:
        """Whether the gateway has something to tell that our books don't have. Where a 500 was saved and nothing
        done, it goes on saying 500, and only the age of the key ends that."""
        payment = self.world.ours.payments[payment_id]
        intents = self.world.theirs.intents_of(payment_id)
        known = (payment.status.value, "requires_confirmation")  # which says nothing of a charge that was sent
        return any(intent["status"] not in known for intent in intents)

    def _ask_again(self) -> None:
        """The customer asks for the state of each unfinished payment that no process is working on."""
        if not self.repairs.client or self.repairs.resolver:
            return
        for payment in self._unclear():
            if not self._is_leased(payment):
                booking_id = payment.booking_id
                ask = self.client.ask(
                    "how is it going",
                    self.client.customer(),
                    lambda payments, caller, booking_id=booking_id: payments.confirm_payment(booking_id, caller),  # type: ignore[misc]
                )
                alone(ask, self.world.time)

    def _unclear(self) -> list[Payment]:
        waits = PaymentStatus.REQUIRES_ACTION
        return [each for each in self._payments() if each.operation is not None or each.status is waits]

    # --- what is due

    def _payments(self) -> Sequence[Payment]:
        return list(self.world.ours.payments.values())

    def _in_flight(self) -> Iterator[Payment]:
        return (payment for payment in self._payments() if payment.operation is not None)

    def _is_due(self, payment: Payment) -> bool:
        at = self._poll_state(payment).next_check_at
        return at is not None and at <= self.world.time.now

    def _is_leased(self, payment: Payment) -> bool:
        until = self._poll_state(payment).lease_until
        return until is not None and until > self.world.time.now

    def _poll_state(self, payment: Payment) -> PollState:
        return self._read(lambda uow: uow.payments.poll_state(payment.id))

    def _read(self, work: TransactionBody[T]) -> T:
        return alone(_reading(self.world, work), self.world.time)

    def _next_due(self) -> datetime | None:
        """Return the next time at which any repair path has work; None when there is no work left."""
        stripe, poll_states = (
            self.world.stripe,
            [self._poll_state(each) for each in self._payments() if not each.is_final],
        )
        due = [stripe.next_due_at, *(request.at for request in self.world.in_transit)]
        if self.repairs.webhooks:
            due.extend(delivery.due_at for delivery in self.world.theirs.deliveries())
        if self.repairs.resolver:
            due.extend(self._due_at(poll_state) for poll_state in poll_states)
            due.extend(self._messages_due())
        elif self.repairs.client:
            due.extend(self._due_at(poll_state) for poll_state in poll_states if poll_state.holder)
        later = [each for each in due if each is not None]
        return min(later, default=None)

    def _messages_due(self) -> Iterator[datetime]:
        """When each booking's first message may be tried; one that another process has claimed, when that lapses."""
        waiting = self._read(lambda uow: uow.outbox.undelivered(dead=False, limit=100))
        firsts = {each.message.booking_id: each for each in reversed(waiting)}
        return (each.next_try_at or self.world.time.now for each in firsts.values())

    def _next_turn_of_jobs(self) -> datetime | None:
        """Return when running event jobs are taken up again, at the latest; None when none is running."""
        if self.world.watch is None or not self._read(lambda uow: uow.events.running(1)):
            return None
        return self.world.time.now + _TURN

    def _due_at(self, poll_state: PollState) -> datetime | None:
        """Return the time at which any process may claim the payment: not before the lease of another ends."""
        times = [each for each in (poll_state.next_check_at, poll_state.lease_until) if each is not None]
        return max(times) if poll_state.next_check_at else None

    # --- what is left

    def left(self) -> Iterator[str]:
        """Yield a line for each operation that is not settled and each difference between the two sides."""
        if self.repairs.resolver or self.repairs.client:
            yield from self._unsettled()
            yield from self._different()
        else:
            yield from self._unheard()
        yield from chain.from_iterable(self._of_booking(each) for each in self.world.booking_ids)
        yield from self._undelivered()
        if self.repairs.resolver:
            yield from self._still_watched()

    def left_of_amended(self, *, exact: bool) -> Iterator[str]:
        """Yield what is not right about amended bookings and the event; the organizer tries what failed once more."""
        watch = self.world.watch
        if watch is None:
            return
        found = self._read(lambda uow: uow.bookings.page(BookingFilter(), None, 100))
        watch.bookings.update({booking.id: booking for booking in found.items})
        if watch.jobs:
            payments = self.world.processes[0].payments
            if watch.jobs[-1].kind is EventJobKind.CANCEL:
                alone(payments.cancel_event(EVENT, self.client.operator()), self.world.time)
                self.go()
            report = alone(payments.event_report(EVENT), self.world.time)
            yield from watch.of_event(report, list(alone(payments.event_lines(EVENT), self.world.time)))
        yield from watch.left(exact=exact)

    def _different(self) -> Iterator[str]:
        """Yield differences. Without the resolver, a refund whose 500 was stored is not found before its key lapses."""
        waiting = () if self.repairs.resolver else [payment.id for payment in self._in_flight()]
        for each in differences(self.world.ours, self.world.theirs):
            lacks = each.startswith("the gateway does not have the refunds")
            if not (lacks and any(payment_id in each for payment_id in waiting)):
                yield each

    def _unsettled(self) -> Iterator[str]:
        for payment in self._in_flight():
            if not self.repairs.resolver and not self._could_be_known(payment.id):
                continue
            purpose = payment.operation.purpose.value if payment.operation else ""
            yield f"{payment.id} still has an operation in flight: {purpose}"
        for payment_id, checks in self.checks.items():
            if checks > MAX_CHECKS:
                yield f"{payment_id} was settled after {checks} checks only"

    def _unheard(self) -> Iterator[str]:
        """Yield differences that webhooks must repair: they report the end of every intent, every refund and every
        dispute. An operation that did not end is left to the resolver."""
        for each in differences(self.world.ours, self.world.theirs):
            open_there = any(
                intent["id"] in each and intent["status"] not in FINAL
                for intent in self.world.theirs.records["payment_intent"].values()
            )
            in_flight = any(payment.id in each for payment in self._in_flight())
            if not open_there and not in_flight:
                yield each

    def _of_booking(self, booking_id: str) -> Iterator[str]:
        booking = self._read(lambda uow: uow.bookings.get(booking_id))
        payments = self._read(lambda uow: uow.payments.of_booking(booking_id))
        if booking is None:
            yield f"{booking_id} is gone"
            return
        paid = [each for each in payments if each.status is PaymentStatus.SUCCEEDED and not each.late]
        if len(paid) != 1 and booking.status is BookingStatus.CONFIRMED and not (booking.free and not paid):
            yield f"{booking_id} is confirmed and was paid {len(paid)} times"
        if paid and booking.status not in (BookingStatus.CONFIRMED, BookingStatus.CANCELED):
            yield f"{booking_id} is paid and {booking.status.value}"
        # A refund cancels the booking when its operation ends; ``_unsettled`` reports an operation that does not end.
        ended = [each for each in paid if each.operation is None]
        wanted = [each for payment in ended for each in payment.refunds if each.cancels_booking]
        stand = [each.id for each in wanted if not (each.status.is_lost and each.acknowledged)]
        asked_in_time = any(each.created_at < booking.event_starts_at for each in wanted)
        if stand and asked_in_time and booking.status is BookingStatus.CONFIRMED:
            yield f"{booking_id} is confirmed though its customer has everything back by {stand}"
        exhausted = [each.id for each in payments if each.status is PaymentStatus.FAILED]
        if exhausted and booking.status is BookingStatus.PENDING:
            yield f"{booking_id} is still pending, and no attempt of {exhausted} is left"
        yield from chain.from_iterable(self._of_late(each) for each in payments if each.late)
        if self.repairs.resolver and not any(payment.operation for payment in payments):
            yield from self._kept_twice(booking_id)
        if self.repairs.resolver and self._is_overdue(booking, payments):
            yield f"{booking_id} is still pending after its time"

    def _still_watched(self) -> Iterator[str]:
        """Lost calls are watched until their key is a day old, and looked for every hour."""
        for payment in self._payments():
            for lost in payment.lost:
                if payment.intent_id is None and self.world.time.now - lost.key_from > WATCHED_FOR:
                    yield f"{payment.id} is still watched"

    def _kept_twice(self, booking_id: str) -> Iterator[str]:
        """Yield a line when more than one charge of a booking is kept. Amounts that banks have returned or withdrawn do
        not count."""
        kept = []
        for intent in self.world.theirs.records["payment_intent"].values():
            if intent["metadata"].get("booking_id") != booking_id:
                continue
            refunds = self.world.theirs.of_intent("refund", intent["id"])
            disturbed = self.world.theirs.of_intent("dispute", intent["id"]) or any(
                refund["status"] in ("failed", "canceled") for refund in refunds
            )
            if not disturbed and intent["amount_received"] > sum(refund["amount"] for refund in refunds):
                kept.append(intent["id"])
        if len(kept) > 1:
            yield f"{booking_id} was charged by {kept}, and nothing went back"

    def _of_late(self, payment: Payment) -> Iterator[str]:
        asked = any(refund.origin is Origin.SERVER for refund in payment.refunds)
        kept = payment.captured - payment.refunded - payment.refund_pending
        settled = payment.operation is not None or payment.has_open_dispute or not kept or asked
        if not settled:
            yield f"{payment.id} came late, and {kept} did not go back"

    def _is_overdue(self, booking: Booking, payments: Sequence[Payment]) -> bool:
        held = any(each.status.is_open and not each.status.awaits_customer for each in payments)
        overdue = booking.expires_at <= self.world.time.now and booking.status is BookingStatus.PENDING
        return overdue and not held

    def _undelivered(self) -> Iterator[str]:
        if self.repairs.webhooks:
            unfinished = self._read(lambda uow: uow.inbox.unfinished(10))
            yield from (f"webhook {each.event_id} ({each.type}) was never processed" for each in unfinished)
        if self.repairs.resolver:
            waiting = self._read(lambda uow: uow.outbox.undelivered(dead=False, limit=10))
            yield from (f"message {each.message.id} ({each.message.type}) was never delivered" for each in waiting)
            yield from self._unsent()
            yield from self._out_of_order()
            yield from self._untold()

    def _unsent(self) -> Iterator[str]:
        """Yield refunds that are still deferred although no obstacle remains."""
        for payment in self._payments():
            free = payment.operation is None and not payment.has_open_dispute and not payment.refundable.blocked
            waits = min(payment.refundable.deferred.amount, payment.refundable.sendable)
            if free and waits:
                yield f"{payment.id} waits with {waits} that nothing stands against"

    def _out_of_order(self) -> Iterator[str]:
        """Yield a line for each message that was not delivered, or first delivered before an earlier one."""
        last: Counter[str] = Counter()
        for message in self.world.published:
            known = last[message.booking_id]
            if message.sequence > known + 1:
                yield f"message {message.sequence} of {message.booking_id} came before {known + 1}"
            last[message.booking_id] = max(known, message.sequence)

    def _untold(self) -> Iterator[str]:
        """What the booking app was never told."""
        told = {(message.type, message.payment_id) for message in self.world.published}
        told |= {(message.type, message.booking_id) for message in self.world.published}
        ends: list[tuple[str, Enum]] = [(payment.id, payment.status) for payment in self._payments()]
        ends += list(self.world.ours.bookings.items())
        for subject, status in ends:
            if status in _TOLD and (_TOLD[status], subject) not in told:
                yield f"no message reported that {subject} is {status.value}"


_TOLD: Final[Mapping[Enum, str]] = {
    PaymentStatus.SUCCEEDED: "payment.succeeded",
    PaymentStatus.FAILED: "payment.failed",
    PaymentStatus.CANCELED: "payment.canceled",
    BookingStatus.CONFIRMED: "booking.confirmed",
    BookingStatus.CANCELED: "booking.canceled",
    BookingStatus.EXPIRED: "booking.expired",
}


async def _reading(world: SimulatedWorld, work: TransactionBody[T]) -> T:
    return await world.books.read(work)
