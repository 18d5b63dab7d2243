"""Receiving webhooks: verify the event, store it and its effect in one transaction, read the object if it may be stale.

Stripe delivers events at least once and in any order, so the object in an event may be older than our books. Only two
states are final: an intent that succeeded, and one that was canceled. These are booked from the event itself. Any other
event only shows that the object has changed, so the object is read from the gateway, with no transaction open.

An event is a *duplicate* when the inbox has an entry of the same gateway, event id and type that is processed or
ignored (``ports.inbox``). An entry that is only received, or has failed, is processed again.
"""

from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import Literal

from attrs import evolve

from booking_payments.application.callers import Caller
from booking_payments.application.dependencies import Dependencies
from booking_payments.application.operations import Observation, apply_observation, fetch_observation
from booking_payments.application.reading import load
from booking_payments.application.recording import Recorder
from booking_payments.application.views import WebhookResult
from booking_payments.domain import decisions, metadata_keys
from booking_payments.domain import events as ev
from booking_payments.domain.changing import changed
from booking_payments.domain.errors import PaymentError
from booking_payments.domain.lifecycle import PaymentStatus
from booking_payments.domain.payment import AttemptOutcome, Payment
from booking_payments.domain.reports import IntentReport, Unreadable
from booking_payments.ports.gateway import GatewayError, ObjectNotFound, OutcomeAmbiguous
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
"""Reason for ignoring such an event: it appears after a backup was restored, and only ``reconcile`` compares everything
that the restore may have lost."""

FINAL = (PaymentStatus.SUCCEEDED, PaymentStatus.CANCELED)

SIGNATURE = "signature_"
"""Prefix of the error codes of a delivery whose signature is missing or wrong."""

MAX_READS = 3
"""How often the object is read when the payment changes during each read. After that the webhook is answered with an
error, so that the gateway sends it again."""


class WebhookFailed(PaymentError):
    """A webhook could not be verified, or it was stored but not processed. The HTTP answer makes the gateway send it
    again."""

    code = "webhook_failed"


async def receive_webhook(
    deps: Dependencies, body: bytes, headers: HeaderItems, gateway: str | None = None
) -> WebhookResult:
    """Verify and process one delivery.

    Args:
        deps: the dependencies.
        body: the request body, byte for byte as it was signed.
        headers: the request's headers.
        gateway: name of the gateway in the webhook's URL; None stands for the default gateway.

    Raises:
        WebhooksNotTaken: When this installation has no gateway of that name that sends webhooks.
        WebhookRefused: When the signature is missing, wrong or too old, or the body is not an event.
        WebhookFailed: When it could not be verified or processed; the gateway should send it again.
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
    """Return ``deps`` narrowed to the gateway that has the webhook name ``name``, or to the default gateway for None.

    Raises:
        WebhooksNotTaken: When no gateway has this name, or the default gateway sends no webhooks.
    """
    for each in deps.each_gateway():
        if name in each.webhook_names or (name is None and each.webhook_names):
            return each
        if name is None:
            break
    raise WebhooksNotTaken


async def _count_refused(deps: Dependencies) -> None:
    """Count a delivery with a bad signature, for ``doctor``.

    Anyone on the internet can send these, so they are counted in memory and stored in groups. A storage that is busy or
    unreachable does not change the answer.
    """
    now = deps.clock.now()
    gateway = deps.gateway.name
    deliveries = deps.refused_deliveries.count(gateway, now)
    if deliveries:
        hour = now.replace(minute=0, second=0, microsecond=0)
        with suppress(StorageConflict, CommitLost):
            await deps.storage.transact(lambda uow: uow.inbox.count_refused(gateway, hour, deliveries))


async def take_in(deps: Dependencies, event: GatewayEvent) -> WebhookResult:
    """Process one verified event: from a delivery, a replay, or the gateway's list of events after an outage.

    Raises:
        WebhookFailed: When the event was stored as failed because of the gateway, the storage or a rule.
    """
    try:
        return await _process(deps, event)
    except (GatewayError, StorageConflict, PaymentError) as error:
        await _keep_failed(deps, event, type(error).__name__)
        raise WebhookFailed("the event was stored but not processed; it will be processed again") from error
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
        observation = await fetch_observation(deps, payment, intent_id)
        result = await deps.storage.transact(partial(_take_second_step, deps, event, payment, observation))
        if isinstance(result, WebhookResult):
            return result
        payment = result
    raise StorageConflict(f"payment {payment.id} kept changing while it was read")


async def _take_first_step(deps: Dependencies, uow: UnitOfWork, event: GatewayEvent) -> WebhookResult | Payment | None:
    """Store the inbox row, and book a final state from the event itself.

    Returns the result when the event is done, the payment when its object has to be read from the gateway, or None when
    the gateway has to be asked to which payment the object belongs.
    """
    seen = await _entries(deps, uow, event)
    entry = _begun_again(_entry(deps, event, seen), seen)
    if entry.status.is_done:
        if entry not in seen:
            await uow.inbox.put(entry)  # the row came from the gateway's list of events and has no delivery time yet
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


async def _entries(deps: Dependencies, uow: UnitOfWork, event: GatewayEvent) -> Sequence[InboxEntry]:
    """Return the inbox rows with this event's id that came from ``deps.gateway``."""
    return [row for row in await uow.inbox.find(event.id) if row.gateway == deps.gateway.name]


def _entry(deps: Dependencies, event: GatewayEvent, seen: Sequence[InboxEntry]) -> InboxEntry:
    """Return the inbox row of this event: the row that an earlier step or delivery stored, otherwise a new one."""
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
    """Return the row as it is when a further try begins: ``received`` again, with one more try.

    A try is counted at its beginning, so that one that ends with the process counts, too. A new row and one that is
    done are returned unchanged.
    """
    known = any(row.key == entry.key for row in seen)
    if entry.status.is_done or not known:
        return entry
    return evolve(entry, status=InboxStatus.RECEIVED, reason=None, tries=entry.tries + 1)


def _why_ignored(deps: Dependencies, event: GatewayEvent, seen: Sequence[InboxEntry]) -> str | None:
    """Return the reason for which the event is ignored; None when it is processed."""
    if any(row.type != event.type for row in seen):
        return "this event id was seen under another type"
    if event.livemode is not None and event.livemode is not deps.gateway.livemode:
        return "the event is of the other mode (livemode)"
    return None if event.kind else event.remark or "events of this type are not acted on"


def _is_alert(event: GatewayEvent, reason: str) -> bool:
    """Whether an operator has to look at the event: ignored for its content, and not for its mode or its id."""
    return reason == LOST or (event.alert and reason == event.remark)


def _is_lost(deps: Dependencies, event: GatewayEvent) -> bool:
    """Whether the event reports a charge that this installation made and that no payment in our books has."""
    own, intent = deps.config.installation_id, event.intent
    charged = intent is not None and intent.status in decisions.CHARGED
    return (
        charged and intent is not None and own is not None and intent.metadata.get(metadata_keys.INSTALLATION_ID) == own
    )


def _may_be_ours(event: GatewayEvent) -> bool:
    """Whether the gateway can say to which payment the event belongs.

    It can for a refund, dispute or review of an intent whose id our books do not have yet. Refunds and disputes of old
    API versions name only their charge, and not the intent.
    """
    if event.kind == "intent" or event.charge is not None:
        return False
    return event.intent_id is not None or event.kind in ("refund", "dispute")


async def _owner(deps: Dependencies, event: GatewayEvent) -> tuple[Payment | None, str | None]:
    """Ask the gateway to which payment and intent the event belongs; the intent's metadata name the payment.

    This works for an intent of which only id and metadata can be read, too. Returns None for the payment when our books
    do not have it, and None for both when the gateway does not know the object.

    Raises:
        GatewayError: When the gateway can't be read.
    """
    try:
        intent_id = event.intent_id or await _intent_of(deps, event)
        payment = await _maker_of(deps, intent_id) if intent_id else None
    except ObjectNotFound:
        return None, None
    return payment, intent_id


async def _intent_of(deps: Dependencies, event: GatewayEvent) -> str | None:
    """Read the refund or dispute from the gateway, and return the id of its intent; None when it has none.

    Raises:
        GatewayError: When the gateway can't be read.
    """
    object_id = event.object_id or ""
    try:
        if event.kind == "refund":
            return (await deps.gateway.retrieve_refund(object_id)).intent_id
        return (await deps.gateway.retrieve_dispute(object_id)).intent_id
    except OutcomeAmbiguous as ambiguous:
        if ambiguous.unreadable is None:
            raise
        return ambiguous.unreadable.intent_id


async def _maker_of(deps: Dependencies, intent_id: str) -> Payment | None:
    intent: IntentReport | Unreadable
    try:
        intent = await deps.gateway.retrieve_intent(intent_id)
    except OutcomeAmbiguous as ambiguous:
        if ambiguous.unreadable is None:
            raise
        intent = ambiguous.unreadable
    payment_id = intent.metadata.get(metadata_keys.PAYMENT_ID, "")
    return _of_gateway(deps, await deps.storage.read(lambda uow: uow.payments.get(payment_id)))


async def _ignore(
    deps: Dependencies, event: GatewayEvent, reason: str, payment: Payment | None = None
) -> WebhookResult:
    async def work(uow: UnitOfWork) -> WebhookResult:
        entry = _entry(deps, event, await _entries(deps, uow, event))
        return await _close(deps, uow, entry, event, reason, payment)

    return await deps.storage.transact(work)


async def _payment_of(deps: Dependencies, uow: UnitOfWork, event: GatewayEvent) -> Payment | None:
    """Return the payment that the event is about; None when our books have none.

    It is found by the gateway's ids, or by the payment's id in the metadata, since an event may arrive before the
    response of the call that caused it.
    """
    for gateway_id in (event.intent_id, event.object_id, event.charge_id):
        payment = await uow.payments.by_gateway_id(gateway_id) if gateway_id else None
        if payment is not None:
            return _of_gateway(deps, payment)
    # The metadata may name a payment that has another intent: the caller then records the contradiction in its journal.
    return _of_gateway(deps, await uow.payments.get(event.payment_id)) if event.payment_id else None


def _of_gateway(deps: Dependencies, payment: Payment | None) -> Payment | None:
    """Return ``payment`` if it belongs to ``deps.gateway``, otherwise None.

    One gateway must not change the payments of another one.
    """
    return payment if payment is not None and payment.gateway == deps.gateway.name else None


def _is_stale(event: GatewayEvent, payment: Payment) -> bool:
    if event.intent is not None:
        return decisions.is_stale_intent(payment, event.intent)
    if event.refund is not None:
        return decisions.is_stale_refund(payment, event.refund)
    return event.dispute is not None and decisions.is_stale_dispute(payment, event.dispute)


async def _is_other_action(uow: UnitOfWork, event: GatewayEvent, payment: Payment) -> bool:
    """Whether the event asks the customer for another action than the stored one.

    This happens when the customer tries another card in the browser, or the same card again. True when no action is
    stored, since then there is nothing to compare with.
    """
    if event.intent is None or event.intent.status is not PaymentStatus.REQUIRES_ACTION:
        return False
    known = await uow.payments.client_action(payment.id)
    return known is None or known.next_action != event.intent.next_action


async def _book_method(
    deps: Dependencies, uow: UnitOfWork, event: GatewayEvent, payment: Payment, charge: IntentReport
) -> None:
    """Record the payment method of a charge. While a call for the payment is in flight, its response brings it."""
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
    """Apply the observation to the payment, and save the resulting events.

    While a call for the payment is in flight, an intent that is not final is not applied, since the call's response is
    newer. The recorded ``ObservationDeferred`` has the intent read again after that response.
    """
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
    """Apply what was read from the gateway, and return the result.

    Returns the current payment instead when it is no longer as ``seen``: the observation may be older than the change,
    and has to be read again.
    """
    entry = _entry(deps, event, await _entries(deps, uow, event))
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
    """Store that the event is processed, or ignored for the reason ``ignored``, and return the result.

    ``payment`` is the payment that an ignored event is about, if there is one; the alert then names it.
    """
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
    """Return the ids that an alert shows an operator; our books add those that the event does not contain."""
    if payment is None:
        return {"intent_id": event.intent_id, "charge_id": event.charge_id}
    return {
        "intent_id": event.intent_id or payment.intent_id,
        "charge_id": event.charge_id or (_charge_of(payment) if event.intent_id == payment.intent_id else None),
        "payment_id": payment.id,
        "booking_reference": payment.booking_reference,
    }


def _charge_of(payment: Payment) -> str | None:
    """Return the id of the charge that succeeded; None when no attempt has succeeded."""
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
        seen = await _entries(deps, uow, event)
        entry = _entry(deps, event, seen)
        if entry.status is InboxStatus.FAILED:  # the transaction that counts this try was not committed
            entry = _begun_again(entry, seen)
        if not entry.status.is_done:
            await uow.inbox.put(evolve(entry, status=InboxStatus.FAILED, reason=reason))

    await deps.storage.transact(work)
