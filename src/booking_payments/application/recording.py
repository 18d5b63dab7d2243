"""Recording: events are stored in the journal, with their postings, their messages and the booking's new status.

One ``Recorder`` belongs to one transaction, one locked booking and one of its payments. Events are folded as they are
added, so that the next decision sees them; ``save`` stores them all.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

import attrs

from booking_payments.application.callers import Caller
from booking_payments.application.dependencies import Dependencies
from booking_payments.application.messages import SCHEMA_VERSION, amended_content, message_for, standing
from booking_payments.domain import decisions
from booking_payments.domain import events as ev
from booking_payments.domain.amendments import Amendment
from booking_payments.domain.booking import Booking, BookingStatus
from booking_payments.domain.changing import changed
from booking_payments.domain.ledger import Posting, postings
from booking_payments.domain.payment import Operation, Payment, evolve
from booking_payments.domain.refunds import Refundable, RefundOnCancel, RefundReason
from booking_payments.domain.reports import IntentReport
from booking_payments.domain.retry import KEY_LIFETIME, next_check
from booking_payments.ports.audit import AuditOutcome, AuditRecord
from booking_payments.ports.jobs import DeliverMessages, SettlePayment
from booking_payments.ports.payments import ClientAction, PollState
from booking_payments.ports.publisher import Message
from booking_payments.ports.unit_of_work import UnitOfWork

CHECKS_OF_WAITING = 3
"""The position in the schedule of checks at which a payment begins that waits for the customer or the gateway: its
checks come after ten minutes, an hour, hours and days."""

LOST_LOOKED_FOR = timedelta(hours=1)
"""The longest time between two searches for the effect of a lost call."""


class _Draft(NamedTuple):
    """A message without the booking's status, which is known at the end of the transaction."""

    id: str
    type: str
    payment_id: str | None
    data: dict[str, object]


class Recorder:
    """Collects the events of one transaction about ``booking`` and its ``payment`` (None until it is started)."""

    def __init__(
        self, deps: Dependencies, uow: UnitOfWork, booking: Booking, payment: Payment | None, caller: Caller
    ) -> None:
        self._deps, self._uow, self._caller = deps, uow, caller
        self.booking = booking
        self._payment = payment
        self._in_flight = payment.operation if payment else None
        self._recorded: list[ev.Recorded] = []
        self._postings: list[Posting] = []
        self._messages: list[_Draft] = []
        self._seen: IntentReport | None = None
        self._stands: tuple[Refundable, Mapping[str, object]] | None = None
        self._events_without_payment: list[ev.Event] = []
        self.now: datetime = deps.clock.now()

    @property
    def payment(self) -> Payment:
        """The payment with all events added so far. Raises ``LookupError`` before a payment was started."""
        if self._payment is None:
            raise LookupError("no payment was started")
        return self._payment

    @property
    def payment_or_none(self) -> Payment | None:
        """The payment with all events added so far; None before a payment was started."""
        return self._payment

    def start(self, started: ev.PaymentStarted) -> None:
        """Begin a new payment; the recorder's earlier payment stays as it is."""
        self._payment = None
        self._add(started)

    @property
    def correlation_id(self) -> str:
        """The id of the request that causes these events."""
        return self._caller.correlation_id

    def add(self, events: Sequence[ev.Event]) -> None:
        """Add these events, in this order."""
        for event in events:
            self._add(event)

    def _add(self, event: ev.Event) -> None:
        before = self._payment
        recorded = ev.Recorded(
            sequence=before.version + 1 if before else 1,
            at=self.now,
            actor=self._caller.actor,
            cause=self._caller.cause,
            event=event,
        )
        if before is not None:
            self._postings.extend(postings(before, recorded))
        self._payment = evolve(before, recorded)
        self._recorded.append(recorded)
        self._announce(event, self._payment)

    def _announce(self, event: ev.Event, payment: Payment) -> None:
        made = message_for(event, payment, self.booking)
        if made is not None:
            self._messages.append(self._message(*made))

    def _message(self, kind: str, data: dict[str, object]) -> _Draft:
        return _Draft(
            id=self._deps.ids.new("msg"),
            type=kind,
            payment_id=self._payment.id if self._payment else None,
            data={
                "schema_version": SCHEMA_VERSION,
                "booking_id": self.booking.id,
                "booking_reference": self.booking.reference,
                **self._standing(),
                **data,
            },
        )

    def _standing(self) -> Mapping[str, object]:
        """``standing`` at present. Two payments that differ in version and time only stand alike; they share their
        ``refundable``."""
        payment = self._payment
        if payment is None:
            return standing(self.booking, None, self.now)
        if self._stands is None or self._stands[0] is not payment.refundable:
            self._stands = payment.refundable, standing(self.booking, payment, self.now)
        return self._stands[1]

    async def add_message(self, kind: str, data: dict[str, object]) -> None:
        """Store a message that no event causes; nothing else changes."""
        await self._uow.outbox.append(self._complete(self._message(kind, data)))
        self._uow.jobs.defer(DeliverMessages(), self.now)

    def _complete(self, draft: _Draft) -> Message:
        """Return the message with the booking's status at the end of this transaction, and the actor's role."""
        return Message(
            id=draft.id,
            type=draft.type,
            booking_id=self.booking.id,
            payment_id=draft.payment_id,
            at=self.now,
            data={**draft.data, "booking_status": self.booking.status.value, "actor": self._caller.role},
        )

    def release(self, status: str) -> None:
        """Close the booking with ``status``; the event goes into the journal of its payment, if it has one."""
        self._add_to_booking(ev.BookingReleased(status=status), f"booking.{status}")

    def confirm(self) -> None:
        """Confirm a booking that needs no payment."""
        self._add_to_booking(ev.BookingConfirmed(), "booking.confirmed")

    @property
    def amended_to(self) -> Amendment | None:
        """The booking's new content that was added here; None without an amendment."""
        found = [event.amendment for event in self._events() if isinstance(event, ev.BookingAmended)]
        return found[-1] if found else None

    def amend(self, amendment: Amendment) -> None:
        """Give the booking its new content, without a refund."""
        event = decisions.amended(self.booking, self._payment, amendment)
        content = {**amended_content(event, self.booking), "amount": amendment.amount.major()}
        self._add_to_booking(event, "booking.amended", content)

    def _add_to_booking(
        self,
        event: ev.BookingReleased | ev.BookingConfirmed | ev.BookingAmended,
        message: str,
        content: dict[str, object] | None = None,
    ) -> None:
        if self._payment is not None:
            self._add(event)
            return
        self._messages.append(self._message(message, content or {}))
        self._events_without_payment.append(event)

    def follow_up(self, *, send: bool = True) -> Operation | None:
        """Add the events that follow from those added so far, and from the intent as it was reported.

        They end a payment without attempts left, together with its booking; refund a late payment and an amount that
        was captured beyond the price; release an authorization that is no longer needed; and send deferred refunds.
        Returns the operation that these events begin; None if they begin none.

        ``send`` is False after the gateway has refused a call or could not be reached: deferred refunds then wait for
        the next check.
        """
        self.add(decisions.paid_out_beyond(self.payment))
        self.change_refunded_items()
        self.release_refunded()
        payment, before = self.payment, self._in_flight
        if decisions.attempts_exhausted(payment):
            key = self._deps.ids.idempotency_key()
            self.add(decisions.intend_cancel(payment, idempotency_key=key, purpose=ev.Purpose.END_ATTEMPTS))
        elif decisions.owes_late_refund(payment):
            request = self.refund_request("paid after the booking was closed")
            self.add(decisions.promise_late_money(payment, request, self.new_ids))
        elif decisions.owes_overcaptured(payment):
            request = self.refund_request("captured beyond the price after an amendment")
            self.add(decisions.promise_overcaptured(payment, request, self.new_ids))
        elif decisions.has_stale_authorization(payment, self._seen):
            self.add(decisions.intend_release(payment, idempotency_key=self._deps.ids.idempotency_key()))
        elif send:
            installation_id = self._deps.config.installation_id
            self.add(decisions.send_deferred(payment, self.new_ids, self.correlation_id, installation_id))
        self.add(decisions.release_exhausted(self.payment, decisions.booking_after(self.booking, self._events())))
        operation = self.payment.operation
        same = operation and before and operation.idempotency_key == before.idempotency_key
        return None if same else operation

    def change_refunded_items(self) -> None:
        """Give the booking the content that a refund of items leaves, once its promise can't be withdrawn any more."""
        if self._payment is not None:
            status = decisions.booking_after(self.booking, self._events())
            self.add(decisions.change_refunded_items(status, self._payment))

    def release_refunded(self) -> None:
        """Cancel the booking if everything was refunded, by its customer or in the gateway's dashboard."""
        if self._payment is None or not self._deps.config.full_refund_cancels:
            return
        events = self._events()
        status = decisions.booking_after(self.booking, events)
        self.add(decisions.release_refunded(self.booking, status, self._payment, events, by_dashboard=True))

    def cancel_with_refund(self, refund: RefundOnCancel, made_at: datetime) -> None:
        """Cancel the booking, and promise its refund.

        A booking that is canceled already promises the rest of the refund, or requests a failed one again.
        """
        again = self.booking.status is BookingStatus.CANCELED
        if not again:
            self.release(BookingStatus.CANCELED.value)
        if self._payment is not None and refund is not RefundOnCancel.NONE:
            request = attrs.evolve(self.refund_request("booking canceled"), made_at=made_at)
            in_full = refund is RefundOnCancel.FULL
            events = decisions.promise_on_cancel(self._payment, request, self.new_ids, in_full=in_full, again=again)
            self.add(events)

    def refund_request(self, note: str | None) -> decisions.RefundParameters:
        """Return a request for a refund of everything, which another event causes and no caller waits for."""
        return decisions.RefundParameters(
            amount=None,
            reason=RefundReason.REQUESTED_BY_CUSTOMER,
            note=note,
            made_at=self.now,
            correlation_id=self.correlation_id,
            installation_id=self._deps.config.installation_id,
        )

    @property
    def new_ids(self) -> decisions.NewIds:
        """Makes the ids of a refund."""
        ids = self._deps.ids
        return decisions.NewIds(refund_id=lambda: ids.new("rf"), idempotency_key=ids.idempotency_key)

    def see(self, intent: IntentReport) -> None:
        """Remember the reported intent for ``follow_up``, also when it changes nothing in the journal."""
        self._seen = intent

    async def save_client_action(self, report: IntentReport | None) -> None:
        """Store the intent's client secret and next action for the front end.

        A report without the secret keeps the stored one.
        """
        if report is None or report.id != self.payment.intent_id:
            return
        secret = report.client_secret
        if secret is None:
            known = await self._uow.payments.client_action(self.payment.id)
            secret = known.client_secret if known else None
        action = dict(report.next_action) if report.next_action else None
        await self._uow.payments.save_client_action(
            self.payment.id, ClientAction(client_secret=secret, next_action=action)
        )

    async def save(self, *, holder: str | None = None, yields: bool = False, checks: int = 0) -> None:
        """Store the events, postings, messages, the booking and the poll state.

        Args:
            holder: takes the lease on the operation that was begun here.
            yields: whether to give up the lease on the operation that was in flight before. Without this and
                ``holder``, another process's lease stays.
            checks: how many checks have brought no change.
        """
        await self._save_booking()
        if self._payment is not None:
            await self._save_payment(self._payment, holder, yields, checks)
        if self._caller.by_itself and self._events():
            await self._uow.audit.append(self._audit_record())
        if self._messages:
            await self._uow.outbox.append(*map(self._complete, self._messages))
            self._uow.jobs.defer(DeliverMessages(), self.now)

    async def take_lease(self, holder: str, checks: int) -> None:
        """Take the lease on the operation in flight."""
        await self._uow.payments.save_poll_state(self.payment.id, self._next_poll_state(self.payment, holder, checks))

    async def _save_payment(self, payment: Payment, holder: str | None, yields: bool, checks: int) -> None:
        if self._recorded:
            await self._uow.payments.append(payment, self._recorded, self._postings)
        before, now = self._in_flight, payment.operation
        same = before is not None and now is not None and before.idempotency_key == now.idempotency_key
        if yields or not same:
            await self._uow.payments.save_poll_state(payment.id, self._next_poll_state(payment, holder, checks))

    async def _save_booking(self) -> None:
        before, self.booking = self.booking, self.booking_after
        if self.booking is not before:
            await self._uow.bookings.save(self.booking)

    @property
    def booking_after(self) -> Booking:
        """The booking with all events added so far, as it will be stored."""
        events, before = self._events(), self.booking
        status, reason = decisions.booking_after(before, events), decisions.end_reason_after(before, events)
        amendment = self.amended_to
        after = before if amendment is None else amendment.apply_to(before)
        if status is not before.status:
            after = changed(after, status=status, end_reason=reason, version=before.version + 1)
        return after

    def _events(self) -> list[ev.Event]:
        return [*(recorded.event for recorded in self._recorded), *self._events_without_payment]

    def _audit_record(self) -> AuditRecord:
        """Return the audit record of background work or of a webhook, which lists the events."""
        happened = dict.fromkeys(type(event).__name__ for event in self._events())
        return AuditRecord(
            at=self.now,
            operation="webhook" if self._caller.actor == "gateway" else self._caller.cause,
            actor=self._caller.actor,
            cause=self._caller.cause,
            outcome=AuditOutcome.DONE,
            booking_id=self.booking.id,
            payment_id=self._payment.id if self._payment else None,
            asked={"events": " ".join(happened)},
        )

    def _next_poll_state(self, payment: Payment, holder: str | None, checks: int) -> PollState:
        operation = payment.operation
        if operation is not None and holder is not None:
            until = self.now + self._deps.config.lease
            return PollState(next_check_at=until, checks=checks, lease_until=until, holder=holder)
        if operation is not None:
            after = self._until_next_check(operation, checks) if operation.unknown else timedelta(0)
            return self._check_again(payment, after, checks)
        waits = bool(payment.refund_pending or payment.owed_waiting) or (
            payment.status.is_open and payment.intent_id is not None
        )
        if not waits and not payment.lost:
            return PollState()
        return self._check_again(payment, self._until_turned_up(payment, checks), checks)

    def _until_next_check(self, operation: Operation, checks: int) -> timedelta:
        """Return the time until the next check of an operation with unknown outcome.

        It is the schedule's delay, but not later than the next search through the intent list for a lost call, nor than
        the time when the key is too old to be sent again, from which on the outcome has to be read.
        """
        after = min(next_check(checks), LOST_LOOKED_FOR) if operation.stored_error else next_check(checks)
        return self._not_beyond(after, operation.intended_at + KEY_LIFETIME, decisions.next_walk_at(operation))

    def _until_turned_up(self, payment: Payment, checks: int) -> timedelta:
        after = next_check(checks + CHECKS_OF_WAITING)
        ends = [decisions.watched_until(lost) for lost in payment.lost]
        if any(end > self.now for end in ends):
            after = min(after, LOST_LOOKED_FOR)
        return self._not_beyond(after, *ends)

    def _not_beyond(self, after: timedelta, *moments: datetime | None) -> timedelta:
        """Return ``after``, or the time until the first of ``moments`` that is in the future, if that is shorter."""
        return min(after, *(each - self.now for each in moments if each is not None and each > self.now), after)

    def _check_again(self, payment: Payment, after: timedelta, checks: int) -> PollState:
        self._uow.jobs.defer(SettlePayment(payment_id=payment.id), self.now + after)
        return PollState(next_check_at=self.now + after, checks=checks)
