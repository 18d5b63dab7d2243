"""Bugs planted on purpose, to prove that the simulation sees: each is one small change of what the product is wired of.

None is in the product's code: a bug is planted for the length of a context and is gone afterwards. With which seeds
each is found stands in ``test_planted_bugs.py``.
"""

from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from itertools import count
from typing import Any, Final

import attrs
import pytest
from attrs import frozen

from booking_payments.adapters.gateways.stripe import gateway as stripe_gateway
from booking_payments.adapters.gateways.stripe.requests import path_and_params
from booking_payments.application import (
    bookings,
    command,
    delivering,
    gateway_call,
    intent_list,
    operations,
    recording,
    webhooks,
)
from booking_payments.application.channels import attach_channels
from booking_payments.application.dependencies import Dependencies
from booking_payments.application.gateway_call import Done, NotDone, Outcome, Unknown
from booking_payments.application.intent_list import IntentList
from booking_payments.application.operations import Claimed, Observation
from booking_payments.application.recording import Recorder
from booking_payments.application.refusals import to_payment_error
from booking_payments.application.views import WebhookResult
from booking_payments.domain import decisions, ledger
from booking_payments.domain import events as ev
from booking_payments.domain.booking import Booking, BookingStatus, Payability
from booking_payments.domain.decisions import (
    closing,
    lost,
    obligations,
    observe_disputes,
    observe_intents,
    observe_refunds,
)
from booking_payments.domain.instructions import CancelIntent, CreateRefund
from booking_payments.domain.lifecycle import (
    NO_EFFECT,
    REFUND,
    RefundEvent,
    RefundStatus,
)
from booking_payments.domain.payment import Operation, Payment
from booking_payments.domain.refunds import Refundable
from booking_payments.domain.retry import next_check
from booking_payments.ports.gateway import Declined, GatewayError, GatewayRefused, NotSent, OutcomeAmbiguous
from booking_payments.ports.inbox import InboxStatus
from booking_payments.ports.payments import PollState
from booking_payments.ports.publisher import Message
from booking_payments.ports.unit_of_work import UnitOfWork
from booking_payments.ports.webhooks import GatewayEvent

Patch = pytest.MonkeyPatch


@frozen
class Bug:
    """A planted bug: its name, a description, and the function that plants it."""

    name: str
    wrong: str
    plant: Callable[[Patch], None]

    @contextmanager
    def planted(self) -> Iterator[None]:
        """The product with this bug."""
        with Patch.context() as patch:
            self.plant(patch)
            yield


BUGS: Final[dict[str, Bug]] = {}

_MISTAKES: Final = ("TypeError: ", "AttributeError: ", "NameError: ")


def is_found(broken: Sequence[str]) -> bool:
    """Whether a run with a planted bug noticed it. Fails the test when the run only broke because the planted code does
    not fit the product any more."""
    mistakes = [each for each in broken if any(mistake in each for mistake in _MISTAKES)]
    assert not mistakes, mistakes
    return bool(broken)


def _bug(wrong: str) -> Callable[[Callable[[Patch], None]], Callable[[Patch], None]]:
    def register(plant: Callable[[Patch], None]) -> Callable[[Patch], None]:
        name = plant.__name__
        BUGS[name] = Bug(name, wrong, plant)
        return plant

    return register


# --- keys ------------------------------------------------------------------------------------------------------


def _with_key(
    patch: Patch, change: Callable[[Dependencies, Operation], str], which: Callable[[Operation], bool]
) -> None:
    send = gateway_call._send

    async def other(deps: Dependencies, operation: Operation) -> gateway_call.Report:
        key = change(deps, operation) if which(operation) else operation.idempotency_key
        return await send(deps, attrs.evolve(operation, idempotency_key=key))

    patch.setattr(gateway_call, "_send", other)


def _is_refund(operation: Operation) -> bool:
    return isinstance(operation.instruction, CreateRefund)


@_bug("each try of a charge uses a new key")
def fresh_key_per_try(patch: Patch) -> None:
    _with_key(patch, lambda deps, operation: deps.ids.idempotency_key(), lambda operation: not _is_refund(operation))


@_bug("each try of a refund uses a new key")
def fresh_refund_key_per_try(patch: Patch) -> None:
    _with_key(patch, lambda deps, operation: deps.ids.idempotency_key(), _is_refund)


@_bug("a process that resumes an operation sends it with a new key")
def fresh_key_per_process(patch: Patch) -> None:
    numbers = count()
    names: dict[int, tuple[Dependencies, int]] = {}

    def key(deps: Dependencies, operation: Operation) -> str:
        _, number = names.setdefault(id(deps), (deps, next(numbers)))
        return f"{operation.idempotency_key}-{number}"

    _with_key(patch, key, lambda operation: True)


@_bug("a key is sent at any age")
def keys_live_for_ever(patch: Patch) -> None:
    patch.setattr(closing, "KEY_LIFETIME", timedelta(days=365))


# --- outcomes --------------------------------------------------------------------------------------------------


def _with_outcome(patch: Patch, change: Callable[[Operation, Outcome], Outcome]) -> None:
    call = gateway_call.call_gateway

    async def other(deps: Dependencies, operation: Operation) -> Outcome:
        return change(operation, await call(deps, operation))

    patch.setattr(operations, "call_gateway", other)


def _silence_is_failure(which: Callable[[str, Operation], bool]) -> Callable[[Operation, Outcome], Outcome]:
    def change(operation: Operation, outcome: Outcome) -> Outcome:
        if isinstance(outcome, Unknown) and which(outcome.reason, operation):
            return NotDone(GatewayRefused("failed", code=outcome.reason))
        return outcome

    return change


@_bug("a timeout is a failure")
def timeout_is_failure(patch: Patch) -> None:
    _with_outcome(patch, _silence_is_failure(lambda reason, _: reason == "timeout"))
    patch.setattr(operations, "_refused", _refused_unread)


@_bug("a broken connection is a failure")
def reset_is_failure(patch: Patch) -> None:
    _with_outcome(patch, _silence_is_failure(lambda reason, _: reason == "reset"))
    patch.setattr(operations, "_refused", _refused_unread)


@_bug("a 500 is a failure")
def server_error_is_failure(patch: Patch) -> None:
    _with_outcome(patch, _silence_is_failure(lambda reason, _: reason.startswith("http_5")))
    patch.setattr(operations, "_refused", _refused_unread)


@_bug("a refund without a response counts as failed")
def silent_refund_is_failure(patch: Patch) -> None:
    _with_outcome(patch, _silence_is_failure(lambda _, operation: _is_refund(operation)))
    patch.setattr(operations, "_refused", _refused_unread)


async def _refused_unread(deps: Dependencies, claimed: Claimed, refused: GatewayRefused) -> Observation:
    return Observation(refusal=refused.code, error=to_payment_error(refused))


@_bug("a cancellation without a response counts as done")
def silent_cancel_is_done(patch: Patch) -> None:
    write_down = operations._write_down

    async def other(deps: Dependencies, claimed: Claimed, observation: Observation, caller: Any) -> Any:
        if observation.unknown and isinstance(claimed.operation.instruction, CancelIntent):
            canceled.append(claimed.payment.id)
            observation = Observation()
        return await write_down(deps, claimed, observation, caller)

    canceled: list[str] = []
    settle = decisions.settle

    def settled(payment: Payment, operation: Operation, **how: Any) -> decisions.Events:
        believed = payment.id in canceled and payment.status.is_open and payment.operation is not None
        return (*((ev.PaymentCanceled(),) if believed else ()), *settle(payment, operation, **how))

    patch.setattr(operations, "_write_down", other)
    patch.setattr(decisions, "settle", settled)


@_bug("after a silent try a refused one is the last word")
def silence_is_forgotten(patch: Patch) -> None:
    async def other(deps: Dependencies, send: Callable[[], Awaitable[Any]]) -> Any:
        for tries in count(1):
            try:
                return await send()
            except GatewayError as error:
                delay = deps.retry.delay_after(tries, deps.random)
                if delay is None or not isinstance(error, OutcomeAmbiguous | NotSent):
                    raise
                await deps.clock.sleep(delay)
        raise AssertionError

    patch.setattr(gateway_call, "with_retries", other)


@_bug("a stored answer is taken for the state of now")
def replay_is_trusted(patch: Patch) -> None:
    async def other(deps: Dependencies, report: gateway_call.Report) -> Outcome:
        return Done(report)

    patch.setattr(gateway_call, "_fresh", other)


@_bug("of a decline the intent that it leaves behind is forgotten")
def declined_intent_is_forgotten(patch: Patch) -> None:
    patch.setattr(Declined, "__init__", _declined_without_intent)


def _declined_without_intent(self: Any, failure: Any, intent: Any) -> None:
    GatewayError.__init__(self, failure.decline.message, code=failure.decline.code)
    self.failure, self.intent = failure, None


# --- going on --------------------------------------------------------------------------------------------------


@_bug("an operation whose gateway can't be read was not done")
def unreadable_is_not_done(patch: Patch) -> None:
    resumed = operations._resumed

    async def other(deps: Dependencies, claimed: Claimed, listed: IntentList | None = None) -> Observation:
        observation = await resumed(deps, claimed, listed)
        return (
            attrs.evolve(observation, settles=True, unknown=None, refusal="gave_up")
            if observation.unknown
            else observation
        )

    patch.setattr(operations, "_resumed", other)


@_bug("an operation is taken up while its owner works on it")
def lease_is_ignored(patch: Patch) -> None:
    save = Recorder._next_poll_state

    def other(self: Recorder, payment: Payment, holder: str | None, checks: int) -> Any:
        poll_state = save(self, payment, holder, checks)
        return attrs.evolve(poll_state, lease_until=None, next_check_at=self.now) if poll_state.holder else poll_state

    patch.setattr(Recorder, "_next_poll_state", other)


@_bug("a lease never lapses")
def lease_never_lapses(patch: Patch) -> None:
    save = Recorder._next_poll_state

    def other(self: Recorder, payment: Payment, holder: str | None, checks: int) -> Any:
        poll_state = save(self, payment, holder, checks)
        never = self.now + timedelta(days=10_000)
        return attrs.evolve(poll_state, lease_until=never, next_check_at=never) if poll_state.holder else poll_state

    patch.setattr(Recorder, "_next_poll_state", other)


@_bug("polling ends after two checks")
def resolver_gives_up(patch: Patch) -> None:
    look = next_check
    patch.setattr(recording, "next_check", lambda checks: look(checks) if checks < 2 else timedelta(days=10_000))
    patch.setattr(recording, "KEY_LIFETIME", timedelta(days=10_000))


@_bug("a waiting payment is not polled")
def waiting_is_not_watched(patch: Patch) -> None:
    poll_state = Recorder._next_poll_state

    def other(self: Recorder, payment: Payment, holder: str | None, checks: int) -> Any:
        return poll_state(self, payment, holder, checks) if payment.operation else PollState()

    patch.setattr(Recorder, "_next_poll_state", other)


@_bug("the resolver reads intents and no refunds")
def refunds_are_not_read(patch: Patch) -> None:
    read = operations._read_intent

    async def other(deps: Dependencies, intent_id: str) -> Observation:
        return attrs.evolve(await read(deps, intent_id), refunds=())

    patch.setattr(operations, "_read_intent", other)


@_bug("an intent that our call made is looked for in the wrong hour")
def own_intent_is_not_found(patch: Patch) -> None:
    patch.setattr(intent_list, "CLOCKS_APART", -timedelta(hours=1))


@_bug("an operation that was not executed is not sent again and counts as refused")
def nothing_is_sent_again(patch: Patch) -> None:
    async def resumed(deps: Dependencies, claimed: Claimed, listed: IntentList | None = None) -> Observation:
        return Observation(refusal="not_sent_again")

    patch.setattr(operations, "_resumed", resumed)


# --- lost calls ------------------------------------------------------------------------------------------------


@_bug("a call that was given up is not watched")
def lost_is_not_watched(patch: Patch) -> None:
    patch.setattr(decisions, "watch", _no_events)


@_bug("one walk that finds nothing suffices")
def one_walk_suffices(patch: Patch) -> None:
    patch.setattr(lost, "WALKS", 1)


@_bug("three walks in a row count as three")
def walks_at_once_count(patch: Patch) -> None:
    patch.setattr(lost, "WALKS_APART", timedelta(0))
    patch.setattr(lost, "ARRIVES_WITHIN", timedelta(0))


@_bug("a walk that breaks off counts")
def broken_walk_counts(patch: Patch) -> None:
    find = IntentList.find

    async def other(self: IntentList, deps: Dependencies, payment_id: str, first_sent: datetime) -> str | None:
        try:
            return await find(self, deps, payment_id, first_sent)
        except GatewayError:
            self.walked_at = deps.clock.now()
            return None

    patch.setattr(IntentList, "find", other)


@_bug("an intent that turns up is left as it is")
def what_turns_up_is_left(patch: Patch) -> None:
    patch.setattr(closing, "_MAY_BE_PAID", ())


@_bug("a refund is sent again while its first sending could pay it, too")
def lost_refund_is_sent_at_once(patch: Patch) -> None:
    patch.setattr(obligations, "may_send_again", lambda payment, refund_id, amount: True)


# --- webhooks --------------------------------------------------------------------------------------------------


@_bug("an event is marked processed before its effect")
def marked_before_effect(patch: Patch) -> None:
    process = webhooks._process

    async def other(deps: Dependencies, event: GatewayEvent) -> WebhookResult:
        async def mark(uow: UnitOfWork) -> bool:
            entry = webhooks._entry(deps, event, await webhooks._entries(deps, uow, event))
            if not entry.status.is_done:
                await uow.inbox.put(attrs.evolve(entry, status=InboxStatus.PROCESSED))
            return entry.status.is_done

        if await deps.storage.transact(mark):
            return WebhookResult(event_id=event.id, type=event.type, outcome="duplicate")
        return await process(deps, attrs.evolve(event, id=f"{event.id}-effect"))

    patch.setattr(webhooks, "_process", other)


@_bug("a webhook whose processing failed is answered with 200")
def failed_webhook_is_taken(patch: Patch) -> None:
    take_in = webhooks.take_in

    async def other(deps: Dependencies, event: GatewayEvent) -> WebhookResult:
        try:
            return await take_in(deps, event)
        except webhooks.WebhookFailed:
            return WebhookResult(event_id=event.id, type=event.type, outcome="processed")

    patch.setattr(webhooks, "take_in", other)


@_bug("a failed event that comes again is a duplicate")
def failed_is_duplicate(patch: Patch) -> None:
    patch.setattr(InboxStatus, "is_done", property(lambda self: self is not InboxStatus.RECEIVED))


@_bug("an event that is faster than our own answer is not ours")
def early_event_is_foreign(patch: Patch) -> None:
    found = webhooks._payment_of

    async def other(deps: Dependencies, uow: UnitOfWork, event: GatewayEvent) -> Payment | None:
        return await found(deps, uow, attrs.evolve(event, payment_id=None))

    patch.setattr(webhooks, "_payment_of", other)


@_bug("a report of an object that we know is an old report")
def known_object_is_old_news(patch: Patch) -> None:
    def other(event: GatewayEvent, payment: Payment) -> bool:
        known = payment.refund(event.object_id or "") or payment.dispute_by_id(event.object_id or "")
        return known is not None

    patch.setattr(webhooks, "_is_stale", other)


@_bug("the snapshot in an event is the state of now")
def snapshot_is_trusted(patch: Patch) -> None:
    patch.setattr(webhooks, "_is_final", lambda event: event.intent is not None)


# --- decisions -------------------------------------------------------------------------------------------------


def _no_events(*_: Any, **__: Any) -> tuple[ev.Event, ...]:
    return ()


@_bug("money that comes late is kept")
def late_money_is_kept(patch: Patch) -> None:
    patch.setattr(decisions, "owes_late_refund", lambda payment: False)


@_bug("a success after the end is not booked")
def late_success_is_dropped(patch: Patch) -> None:
    succeeded = observe_intents._succeeded

    def other(payment: Payment, report: Any, booking: Booking, alone: bool) -> decisions.Events:
        if booking.status is not BookingStatus.PENDING:
            return ()
        return succeeded(payment, report, booking, alone)

    patch.setattr(observe_intents, "_succeeded", other)


@_bug("a paid booking is not confirmed")
def paid_is_not_confirmed(patch: Patch) -> None:
    after = decisions.booking_after

    def other(booking: Booking, events: Sequence[ev.Event]) -> BookingStatus:
        return after(booking, [event for event in events if not isinstance(event, ev.BookingConfirmed)])

    patch.setattr(decisions, "booking_after", other)


@_bug("a decline is recorded for the running attempt although its method differs")
def verdict_goes_to_the_running_attempt(patch: Patch) -> None:
    patch.setattr(observe_intents, "_running_with", lambda payment, payment_method_id: payment.running_attempt)


@_bug("a method that is named later is forgotten, and the older one charged")
def older_method_is_charged(patch: Patch) -> None:
    patch.setattr(decisions, "intend_update", lambda payment, **_: (ev.MethodAttached(),))


@_bug("an intent that makes room is forgotten before the gateway has canceled it")
def room_is_made_unasked(patch: Patch) -> None:
    def other(payment: Payment, *, idempotency_key: str, replacement: Any) -> decisions.Events:
        return (ev.PaymentCanceled(),)

    patch.setattr(decisions, "intend_replacement", other)


@_bug("money that is on its way back can be asked for once more")
def refund_is_not_reserved(patch: Patch) -> None:
    # attrs keeps the function of a cached property beside the class, whose slot holds the value.
    reserved = vars(Payment)["__getattr__"].__globals__["cached_properties"]["refundable"]

    def other(self: Payment) -> Refundable:
        found: Refundable = reserved(self)
        given = attrs.evolve(found.given, amount=self.refunded)
        return attrs.evolve(found, given=given)

    patch.setattr(Payment, "refundable", property(other))


@_bug("a refund that the bank sends back stays succeeded")
def late_refund_failure_is_dropped(patch: Patch) -> None:
    row = {**REFUND[RefundStatus.SUCCEEDED], RefundEvent.FAILED: NO_EFFECT}
    patch.setitem(REFUND, RefundStatus.SUCCEEDED, row)


@_bug("a refund made in the dashboard is ignored")
def dashboard_refund_is_dropped(patch: Patch) -> None:
    patch.setattr(observe_refunds, "_found_refund", _no_events)


@_bug("disputes are not booked")
def disputes_are_dropped(patch: Patch) -> None:
    patch.setattr(decisions, "observe_dispute", _no_events)


@_bug("what a dispute takes is not booked")
def dispute_funds_are_dropped(patch: Patch) -> None:
    patch.setattr(observe_disputes, "_funds", _no_events)


@_bug("a partial refund refunds everything")
def partial_refund_is_full(patch: Patch) -> None:
    read = path_and_params

    def other(instruction: Any) -> Any:
        path, params = read(instruction)
        params = {name: value for name, value in params.items() if path != "/v1/refunds" or name != "amount"}
        return path, params

    patch.setattr(stripe_gateway, "path_and_params", other)


# --- bookings --------------------------------------------------------------------------------------------------


@_bug("a booking expires while the outcome of its payment is unknown")
def unknown_releases_booking(patch: Patch) -> None:
    def other(deps: Dependencies, recorder: Recorder) -> None:
        recorder.release(BookingStatus.EXPIRED.value)

    def unchecked(deps: Dependencies, expiry: command.BookingCommand[None]) -> Awaitable[object]:
        return command.attempt(deps, attrs.evolve(expiry, waits=lambda _: False))

    patch.setattr(bookings, "_decide_expiry", other)
    patch.setattr(bookings, "attempt", unchecked)


@_bug("a booking is canceled and its open payment left as it is")
def canceled_booking_can_be_paid(patch: Patch) -> None:
    patch.setattr(bookings, "_can_be_canceled", lambda payment: False)


@_bug("a charge is sent again for a booking that is closed")
def closed_booking_is_charged(patch: Patch) -> None:
    patch.setattr(Booking, "payability", lambda self, now: Payability.PAYABLE)


@_bug("a canceled payment frees the booking before the gateway has said so")
def cancel_does_not_wait(patch: Patch) -> None:
    intend = decisions.intend_cancel

    def other(payment: Payment, **how: Any) -> decisions.Events:
        intend(payment, **how)
        return (ev.PaymentCanceled(),)

    patch.setattr(decisions, "intend_cancel", other)


# --- books and messages ----------------------------------------------------------------------------------------


@_bug("a refund that was given back is not posted")
def returned_refund_is_not_posted(patch: Patch) -> None:
    post = ledger._refund_moved

    def other(before: Payment, event: ev.RefundMoved) -> tuple[ledger.Movement, ...]:
        return () if event.status is RefundStatus.FAILED else post(before, event)

    patch.setattr(ledger, "_refund_moved", other)


@_bug("a refund is posted twice")
def refund_is_posted_twice(patch: Patch) -> None:
    post = ledger._refund_moved
    patch.setattr(ledger, "_refund_moved", lambda before, event: post(before, event) * 2)


@_bug("the booking is saved in a separate transaction")
def two_transactions(patch: Patch) -> None:
    save = Recorder._save_booking
    late: dict[int, tuple[Dependencies, list[Booking]]] = {}

    async def other(self: Recorder) -> None:
        before, known = self.booking, self._uow.bookings.save
        _, waiting = late.setdefault(id(self._deps), (self._deps, []))
        for booking in waiting:
            await known(booking)
        waiting.clear()
        events = [recorded.event for recorded in self._recorded]
        status = decisions.booking_after(before, events)
        if status is BookingStatus.CONFIRMED:
            waiting.append(attrs.evolve(before, status=status))
        else:
            await save(self)

    patch.setattr(Recorder, "_save_booking", other)


@_bug("a message is crossed off before it is published")
def message_is_crossed_off_first(patch: Patch) -> None:
    async def other(deps: Dependencies, channel: str, message: Message) -> str | None:
        now = deps.clock.now()
        await deps.storage.transact(lambda uow: uow.outbox.delivered(channel, [message.id], now))
        return await publish(deps, channel, message)

    publish = delivering._publish

    patch.setattr(delivering, "_publish", other)


@_bug("the rest of a booking's messages does not wait for one that failed")
def messages_overtake(patch: Patch) -> None:
    async def other(deps: Dependencies, besides: Collection[str] = ()) -> int:
        await attach_channels(deps)
        await deps.storage.transact(lambda uow: uow.outbox.assign(100))
        (channel,) = deps.channels
        waiting = await deps.storage.read(lambda uow: uow.outbox.undelivered(dead=False, limit=100))
        messages = [each.message for each in waiting]
        delivered = [each.id for each in messages if await delivering._publish(deps, channel, each) is None]
        now = deps.clock.now()
        await deps.storage.transact(lambda uow: uow.outbox.delivered(channel, delivered, now))
        return len(delivered)

    patch.setattr("booking_payments.application.payments.deliver_messages", other)
