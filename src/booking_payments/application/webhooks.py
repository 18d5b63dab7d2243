"""Receiving webhooks: check, one transaction for the row and its effect, and a fresh read where the news is not final.

Stripe delivers at least once and in any order, and a snapshot may be older than our books. Two kinds of news are true
whenever they come: that an intent succeeded, and that it was canceled. They are booked from the event itself. All
other news only says that something has changed: the object is read as it is now, with no transaction open.
"""

from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import Literal

from attrs import evolve

from booking_payments.application.callers import Caller
from booking_payments.application.dependencies import Dependencies
from booking_payments.application.operations import Observation, apply_observation, look
from booking_payments.application.reading import load
from booking_payments.application.recording import Recorder
from booking_payments.application.views import WebhookResult
from booking_payments.domain import decisions
from booking_payments.domain import events as ev
from booking_payments.domain.changing import changed
from booking_payments.domain.errors import PaymentError
from booking_payments.domain.lifecycle import PaymentStatus
from booking_payments.domain.payment import AttemptOutcome, Payment
from booking_payments.domain.reports import IntentReport, Unreadable
from booking_payments.ports.gateway import GatewayError, NotThere, Silent
from booking_payments.ports.inbox import InboxEntry, InboxStatus
from booking_payments.ports.storage import CommitLost, StorageConflict
from booking_payments.ports.unit_of_work import LockScope, UnitOfWork
from booking_payments.ports.webhooks import (
    GatewayEvent,
    HeaderItems,
    WebhookRefused,
    WebhookRequest,
    WebhooksNotTaken,
)

NOT_OURS = "the event is about an object that is not ours"
LOST = "a charge of this installation for a payment that our books don't have; run: booking-payments reconcile"
"""Why such an event is ignored: after a backup was restored, only reconciling compares all that has to be compared."""

FINAL = (PaymentStatus.SUCCEEDED, PaymentStatus.CANCELED)

SIGNATURE = "signature_"
"""How the codes begin with which a delivery is refused for its signature."""

MAX_READS = 3
"""How often the object is read anew because our books moved meanwhile; then the gateway is asked to send it again."""


class WebhookFailed(PaymentError):
    """A webhook could not be checked, or a genuine one was kept but not processed; the gateway is asked to send it
    again."""

    code = "webhook_failed"


async def receive_webhook(
    deps: Dependencies, body: bytes, headers: HeaderItems, gateway: str | None = None
) -> WebhookResult:
    """Take in one delivery, which was sent to the webhooks of ``gateway`` (None: of this installation's gateway).

    Raises:
        WebhooksNotTaken: When no gateway of that name takes webhooks here.
        WebhookRefused: When the delivery is not genuine, or no event.
        WebhookFailed: When it could not be checked or processed, so that the gateway sends it again.
    """
    deps = _taking(deps, gateway)
    request = WebhookRequest(body=body, headers=headers, received_at=deps.clock.now())
    try:
        event = await deps.webhooks.read(request)
    except WebhookRefused as refused:
        if refused.code.startswith(SIGNATURE):
            await _count_refused(deps)
        raise
    except GatewayError as error:
        raise WebhookFailed("whether the webhook is genuine could not be checked; send it again") from error
    return await take_in(deps, changed(event, delivered_at=request.received_at))


def _taking(deps: Dependencies, name: str | None) -> Dependencies:
    """``deps`` narrowed to the gateway whose webhooks are sent to ``name``; None: to the default gateway.

    Raises ``WebhooksNotTaken``.
    """
    for each in deps.each_gateway():
        if name in each.webhook_names or (name is None and each.webhook_names):
            return each
        if name is None:
            break
    raise WebhooksNotTaken


async def _count_refused(deps: Dependencies) -> None:
    """Count a delivery that was refused for its signature, for ``doctor``. Anybody can send these, so not each of them
    may write; a storage that is busy or away must not change the answer either."""
    now = deps.clock.now()
    deliveries = deps.refused_deliveries.count(now)
    if deliveries:
        hour = now.replace(minute=0, second=0, microsecond=0)
        with suppress(StorageConflict, CommitLost):
            await deps.storage.transact(lambda uow: uow.inbox.count_refused(hour, deliveries))


async def take_in(deps: Dependencies, event: GatewayEvent) -> WebhookResult:
    """Process one genuine event: from a delivery, a replay, or the list of events after an outage."""
    try:
        return await _process(deps, event)
    except (GatewayError, StorageConflict, PaymentError) as error:
        await _keep_failed(deps, event, type(error).__name__)
        raise WebhookFailed("the event was kept but not processed; it will be tried again") from error
    except Exception as error:
        await _keep_failed(deps, event, type(error).__name__)
        raise


async def _process(deps: Dependencies, event: GatewayEvent) -> WebhookResult:
    about = LockScope(event_id=event.id, intent_id=event.intent_id)
    first = await deps.storage.transact(lambda uow: _take_first_step(deps, uow, event), about)
    if isinstance(first, WebhookResult):
        return first
    payment, intent_id = (first, event.intent_id) if first else await _owner(deps, event)
    if payment is None:
        return await _ignore(deps, event, NOT_OURS)
    if event.kind is None:
        return await _ignore(deps, event, event.remark or NOT_OURS, payment)
    for _ in range(MAX_READS):
        observation = await look(deps, payment, intent_id)
        result = await deps.storage.transact(partial(_take_second_step, deps, event, payment, observation))
        if isinstance(result, WebhookResult):
            return result
        payment = result
    raise StorageConflict(f"payment {payment.id} kept changing while it was read")


async def _take_first_step(deps: Dependencies, uow: UnitOfWork, event: GatewayEvent) -> WebhookResult | Payment | None:
    """Store the row, and book what can be booked from the event alone. The payment when the object has to be read,
    None when the gateway has to be asked whose it is."""
    seen = await uow.inbox.find(event.id)
    if any(row.gateway != deps.gateway.name for row in seen):
        return _ignored_unstored(event)
    entry = _begun_again(_entry(deps, event, seen), seen)
    if entry.status.is_done:
        if entry not in seen:
            await uow.inbox.put(entry)  # it was only read from a list so far
        return _duplicate(event)
    reason = _why_ignored(deps, event, seen)
    concerns = reason is None or _is_alert(event, reason)
    payment = await _payment_of(deps, uow, event) if concerns else None
    if concerns and payment is None and event.object_id is not None:
        if _may_be_ours(event):
            await uow.inbox.put(entry)
            return None
        reason = LOST if _is_lost(deps, event) else NOT_OURS
    if reason is not None:
        return await _close(deps, uow, entry, event, reason, payment)
    if payment is not None and _is_stale(event, payment) and not await _is_other_action(uow, event, payment):
        return await _close(deps, uow, entry, event)
    if payment is not None and event.charge is not None:
        await _book_method(deps, uow, event, payment, event.charge)
        return await _close(deps, uow, entry, event)
    if payment is None or not _is_final(event):
        await uow.inbox.put(entry)
        return payment
    await _book(deps, uow, event, payment, Observation(intent=event.intent))
    return await _close(deps, uow, entry, event)


def _entry(deps: Dependencies, event: GatewayEvent, seen: Sequence[InboxEntry]) -> InboxEntry:
    """The inbox row of this event: a new one, or the one that an earlier step or delivery left."""
    for row in seen:
        if row.type == event.type:
            return evolve(row, delivered_at=row.delivered_at or event.delivered_at)
    return InboxEntry(
        event_id=event.id,
        type=event.type,
        gateway=deps.gateway.name,
        status=InboxStatus.RECEIVED,
        object_id=event.object_id,
        received_at=deps.clock.now(),
        body=event.body,
        tries=1,
        created_at=event.created_at,
        delivered_at=event.delivered_at,
    )


def _begun_again(entry: InboxEntry, seen: Sequence[InboxEntry]) -> InboxEntry:
    """A try is counted when it begins. From then on the row is ``received`` again until the try ends."""
    known = any((row.event_id, row.type) == (entry.event_id, entry.type) for row in seen)
    if entry.status.is_done or not known:
        return entry
    return evolve(entry, status=InboxStatus.RECEIVED, reason=None, tries=entry.tries + 1)


def _ignored_unstored(event: GatewayEvent) -> WebhookResult:
    """An event whose id another gateway has used already: the inbox has one row for it, which is not this event's. What
    it tells of is read when the payment is looked at."""
    reason = "this event id was seen from another gateway"
    return WebhookResult(event_id=event.id, type=event.type, outcome="ignored", reason=reason, alert=False)


def _why_ignored(deps: Dependencies, event: GatewayEvent, seen: Sequence[InboxEntry]) -> str | None:
    if any(row.type != event.type for row in seen):
        return "this event id was seen under another type"
    if event.livemode is not None and event.livemode is not deps.gateway.livemode:
        return "the event is of the other mode (livemode)"
    return None if event.kind else event.remark or "events of this type are not acted on"


def _is_alert(event: GatewayEvent, reason: str) -> bool:
    """Whether the event is ignored only since a human has to look at it; not for its mode, or for its id."""
    return reason == LOST or (event.alert and reason == event.remark)


def _is_lost(deps: Dependencies, event: GatewayEvent) -> bool:
    """Whether the event tells of a charge that this installation made, though no payment of ours has it."""
    own, intent = deps.config.installation_id, event.intent
    charged = intent is not None and intent.status in decisions.CHARGED
    return charged and intent is not None and own is not None and intent.metadata.get("installation_id") == own


def _may_be_ours(event: GatewayEvent) -> bool:
    """Whether the gateway is worth asking: a refund, dispute or review of an intent whose id we may not have learned
    yet. Old shapes of a refund or dispute name their charge alone."""
    if event.kind == "intent" or event.charge is not None:
        return False
    return event.intent_id is not None or event.kind in ("refund", "dispute")


async def _owner(deps: Dependencies, event: GatewayEvent) -> tuple[Payment | None, str | None]:
    """The payment that made the event's intent, as the intent's own metadata says, even if that is all that can be
    read of it; and the id of that intent."""
    try:
        intent_id = event.intent_id or await _intent_of(deps, event)
        payment = await _maker_of(deps, intent_id) if intent_id else None
    except NotThere:
        return None, None
    return payment, intent_id


async def _intent_of(deps: Dependencies, event: GatewayEvent) -> str | None:
    """The intent of a refund or dispute, as it is read today. Raises ``GatewayError``."""
    object_id = event.object_id or ""
    try:
        if event.kind == "refund":
            return (await deps.gateway.retrieve_refund(object_id)).intent_id
        return (await deps.gateway.retrieve_dispute(object_id)).intent_id
    except Silent as silent:
        if silent.unreadable is None:
            raise
        return silent.unreadable.intent_id


async def _maker_of(deps: Dependencies, intent_id: str) -> Payment | None:
    intent: IntentReport | Unreadable
    try:
        intent = await deps.gateway.retrieve_intent(intent_id)
    except Silent as silent:
        if silent.unreadable is None:
            raise
        intent = silent.unreadable
    payment_id = intent.metadata.get("payment_id", "")
    return _of_gateway(deps, await deps.storage.read(lambda uow: uow.payments.get(payment_id)))


async def _ignore(
    deps: Dependencies, event: GatewayEvent, reason: str, payment: Payment | None = None
) -> WebhookResult:
    async def work(uow: UnitOfWork) -> WebhookResult:
        entry = _entry(deps, event, await uow.inbox.find(event.id))
        return await _close(deps, uow, entry, event, reason, payment)

    return await deps.storage.transact(work)


async def _payment_of(deps: Dependencies, uow: UnitOfWork, event: GatewayEvent) -> Payment | None:
    """The payment that the event is about: by what the gateway calls it, or by our id in its metadata when the event
    was faster than the answer to our own call."""
    for gateway_id in (event.intent_id, event.object_id, event.charge_id):
        payment = await uow.payments.by_gateway_id(gateway_id) if gateway_id else None
        if payment is not None:
            return _of_gateway(deps, payment)
    # Of another intent than the payment's own it is a contradiction, which the payment's journal has to keep.
    return _of_gateway(deps, await uow.payments.get(event.payment_id)) if event.payment_id else None


def _of_gateway(deps: Dependencies, payment: Payment | None) -> Payment | None:
    """``payment`` where it belongs to ``deps.gateway``: what one gateway says of another one's payment is not
    believed."""
    return payment if payment is not None and payment.gateway == deps.gateway.name else None


def _is_stale(event: GatewayEvent, payment: Payment) -> bool:
    if event.intent is not None:
        return decisions.is_stale_intent(payment, event.intent)
    if event.refund is not None:
        return decisions.is_stale_refund(payment, event.refund)
    return event.dispute is not None and decisions.is_stale_dispute(payment, event.dispute)


async def _is_other_action(uow: UnitOfWork, event: GatewayEvent, payment: Payment) -> bool:
    """Whether the customer has to do something else than what we hand over: another card was tried in the browser, or
    the same one again. Of an event that is read again it can't be told, since what it hands over is not kept."""
    if event.intent is None or event.intent.status is not PaymentStatus.REQUIRES_ACTION:
        return False
    known = await uow.payments.client_action(payment.id)
    return known is None or known.next_action != event.intent.next_action


async def _book_method(
    deps: Dependencies, uow: UnitOfWork, event: GatewayEvent, payment: Payment, charge: IntentReport
) -> None:
    """Take down what a charge was made with. While a call of ours is in flight its answer brings that, too."""
    booking, now = await load(uow, payment.id)
    if now.operation is None:
        recorder = Recorder(deps, uow, booking, now, Caller.gateway(event.id))
        recorder.add(decisions.observe_method(now, charge))
        await recorder.save()


def _is_final(event: GatewayEvent) -> bool:
    return event.intent is not None and event.intent.status in FINAL


async def _book(
    deps: Dependencies, uow: UnitOfWork, event: GatewayEvent, payment: Payment, observation: Observation
) -> None:
    """Let the news happen. While a call of ours is in flight, an intent that is not final is left to its answer,
    which is newer; the fact makes sure that the answer is read anew."""
    booking, now = await load(uow, payment.id)
    recorder = Recorder(deps, uow, booking, now, Caller.gateway(event.id))
    if now.operation is not None and observation.intent_may_be_stale:
        recorder.add((ev.ObservationDeferred(),))
        observation = evolve(observation, intent=None)
    await apply_observation(uow, recorder, observation)
    recorder.follow_up()
    await recorder.save()


async def _take_second_step(
    deps: Dependencies, event: GatewayEvent, seen: Payment, observation: Observation, uow: UnitOfWork
) -> WebhookResult | Payment:
    """Judge what was read; the payment as it is now when our books have moved on while it was being read."""
    entry = _entry(deps, event, await uow.inbox.find(event.id))
    if entry.status.is_done:
        return _duplicate(event)
    _, payment = await load(uow, seen.id)
    if payment.version != seen.version:
        return payment
    await _book(deps, uow, event, payment, observation)
    return await _close(deps, uow, entry, event)


async def _close(
    deps: Dependencies,
    uow: UnitOfWork,
    entry: InboxEntry,
    event: GatewayEvent,
    ignored: str | None = None,
    payment: Payment | None = None,
) -> WebhookResult:
    """The end of an event: processed, or ignored for the reason given; ``payment`` is the one that it is about."""
    status = InboxStatus.IGNORED if ignored else InboxStatus.PROCESSED
    await uow.inbox.put(changed(entry, status=status, reason=ignored, processed_at=deps.clock.now()))
    outcome: Literal["processed", "ignored"] = "ignored" if ignored else "processed"
    return WebhookResult(
        event_id=event.id,
        type=event.type,
        outcome=outcome,
        reason=ignored,
        alert=ignored is not None and _is_alert(event, ignored),
        correlation_id=event.correlation_id,
        about=_named(event, payment),
        api_version=event.api_version,
    )


def _named(event: GatewayEvent, payment: Payment | None) -> dict[str, str | None]:
    """What an alert is about, by the names that one looks for. What the event does not name our books may know."""
    if payment is None:
        return {"intent_id": event.intent_id, "charge_id": event.charge_id}
    return {
        "intent_id": event.intent_id or payment.intent_id,
        "charge_id": event.charge_id or (_charge_of(payment) if event.intent_id == payment.intent_id else None),
        "payment_id": payment.id,
        "booking_reference": payment.booking_reference,
    }


def _charge_of(payment: Payment) -> str | None:
    """The charge that went through."""
    done = [attempt.charge_id for attempt in payment.attempts if attempt.outcome is AttemptOutcome.DONE]
    return done[-1] if done else None


def _duplicate(event: GatewayEvent) -> WebhookResult:
    return WebhookResult(
        event_id=event.id,
        type=event.type,
        outcome="duplicate",
        correlation_id=event.correlation_id,
        api_version=event.api_version,
    )


async def _keep_failed(deps: Dependencies, event: GatewayEvent, reason: str) -> None:
    async def work(uow: UnitOfWork) -> None:
        seen = await uow.inbox.find(event.id)
        entry = _entry(deps, event, seen)
        if entry.status is InboxStatus.FAILED:  # not even the beginning of this try was committed
            entry = _begun_again(entry, seen)
        if not entry.status.is_done:
            await uow.inbox.put(evolve(entry, status=InboxStatus.FAILED, reason=reason))

    await deps.storage.transact(work)
