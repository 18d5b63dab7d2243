"""Events, and the queue of those not yet acknowledged by a webhook endpoint.

Each event is queued once for every enabled endpoint that wants its type, and once for the embedding process
(``endpoint_id`` None) if the model was told so. Whoever owns the transport asks for what is due, sends it,
and says how it went; failures come back with exponential backoff until Stripe would give up.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from typing import Final

from attrs import frozen

from booking_payments.sandbox.emulator.answers import Json, copy_json
from booking_payments.sandbox.emulator.faults import WEBHOOK, Fault, Struck
from booking_payments.sandbox.emulator.records import Record, StripeAccount, microseconds, moment

KEPT_FOR: Final = timedelta(days=30)
"""How long events can be read back (docs.stripe.com/api/events)."""

GIVES_UP_AFTER: Final = timedelta(days=3)
"""Stripe retries a delivery for up to three days (docs.stripe.com/webhooks)."""

FIRST_RETRY: Final = timedelta(seconds=1)
LONGEST_RETRY: Final = timedelta(hours=1)
"""Backoff between attempts.

Stripe does not publish its own; the first retries are quick to make demos short.
"""

SHUFFLE_SPREAD: Final = timedelta(seconds=2)
"""A shuffled event is held back by a random time up to this, so that later ones overtake it."""

_QUEUE: Final = "delivery"


@frozen
class EventDelivery:
    """An event waiting for one endpoint.

    ``attempts`` made so far; ``endpoint_id`` None: the embedding process.
    """

    id: str
    event_id: str
    endpoint_id: str | None
    attempts: int
    next_attempt_at: datetime
    event: Json


def emit(account: StripeAccount, type_: str, object_: Json, previous: Json | None = None) -> None:
    """Record an event about ``object_`` as it is now, and queue it for delivery."""
    data: Json = {"object": copy_json(object_)}
    if previous is not None:
        data["previous_attributes"] = previous
    event = account.add("event", account.new_id("event", "evt"), {})
    account.update(event, **_event_body(account, event.id, type_, data))
    _enqueue(account, event)


def _event_body(account: StripeAccount, id_: str, type_: str, data: Json) -> Json:
    request = {"id": account.request.id, "idempotency_key": account.request.idempotency_key}
    return {
        "id": id_,
        "object": "event",
        "api_version": account.api_version,
        "created": account.now(),
        "data": data,
        "livemode": account.livemode,
        "pending_webhooks": 0,
        "request": request,
        "type": type_,
    }


def _enqueue(account: StripeAccount, event: Record) -> None:
    targets: list[str | None] = [None] if account.deliver_in_process else []
    targets += [endpoint.id for endpoint in account.table("webhook_endpoint").values() if _wants(endpoint, event)]
    account.note(event, waiting=[], abandoned=False)
    for target in targets:
        _enqueue_for(account, event, target, account.faults.take(WEBHOOK))


def _wants(endpoint: Record, event: Record) -> bool:
    patterns = endpoint.body["enabled_events"]
    return endpoint.body["status"] == "enabled" and any(fnmatchcase(event.body["type"], each) for each in patterns)


def _enqueue_for(account: StripeAccount, event: Record, target: str | None, struck: Struck | None) -> None:
    fault = struck.fault if struck else None
    if fault is Fault.DROP:
        account.note(event, abandoned=True)
        return
    wait = struck.delay if struck and fault is Fault.DELAY else timedelta()
    if fault is Fault.SHUFFLE:
        wait = account.random.random() * SHUFFLE_SPREAD
    for _ in range(2 if fault is Fault.DUPLICATE else 1):
        _add_delivery(account, event, target, wait)


def _add_delivery(account: StripeAccount, event: Record, target: str | None, wait: timedelta) -> None:
    due_us = account.now_us() + microseconds(wait)
    body = {
        "event": event.id,
        "endpoint": target,
        "attempts": 0,
        "due_us": due_us,
        "since_us": account.now_us(),
    }
    delivery = account.add(_QUEUE, account.new_id(_QUEUE, "whd"), body)
    _wait_for(account, event, [*event.private["waiting"], delivery.id])


def _wait_for(account: StripeAccount, event: Record, deliveries: list[str]) -> None:
    account.note(event, waiting=deliveries)
    account.update(event, pending_webhooks=len(deliveries))


def queue(account: StripeAccount, *, due_only: bool, limit: int | None = None) -> list[EventDelivery]:
    """Deliveries not yet acknowledged, next one first."""
    now = account.now_us()
    waiting = [each for each in account.table(_QUEUE).values() if not due_only or each.body["due_us"] <= now]
    waiting.sort(key=lambda record: (record.body["due_us"], record.seq))
    return [_delivery(account, record) for record in waiting[:limit]]


def _delivery(account: StripeAccount, record: Record) -> EventDelivery:
    body, event = record.body, account.get("event", record.body["event"])
    due = moment(body["due_us"])
    return EventDelivery(record.id, event.id, body["endpoint"], body["attempts"], due, _rendered(account, event, body))


def _rendered(account: StripeAccount, event: Record, delivery: Json) -> Json:
    """The event with the version of its endpoint, if that has one; ``GET /v1/events`` has the account's."""
    endpoint = account.find("webhook_endpoint", delivery["endpoint"])
    version = endpoint.body["api_version"] if endpoint is not None else None
    rendered: Json = copy_json(event.body)
    return rendered | {"api_version": version or rendered["api_version"]}


def settle(account: StripeAccount, event_id: str, ok: bool, endpoint_id: str | None) -> bool:
    """Note how a delivery went; False when none of this event waits for this endpoint."""
    waiting = _waiting(account, event_id, endpoint_id)
    if not waiting:
        return False
    record = min(waiting, key=lambda each: (each.body["due_us"], each.seq))
    if ok:
        _leave_queue(account, record)
    else:
        _try_again_later(account, record)
    return True


def _waiting(account: StripeAccount, event_id: str, endpoint_id: str | None) -> list[Record]:
    event = account.find("event", event_id)
    records = [account.get(_QUEUE, id_) for id_ in event.private["waiting"]] if event else []
    return [record for record in records if record.body["endpoint"] == endpoint_id]


def _leave_queue(account: StripeAccount, record: Record) -> None:
    account.remove(record)
    event = account.get("event", record.body["event"])
    _wait_for(account, event, [id_ for id_ in event.private["waiting"] if id_ != record.id])


def _try_again_later(account: StripeAccount, record: Record) -> None:
    attempts = record.body["attempts"] + 1
    wait = min(FIRST_RETRY * 2 ** min(attempts - 1, 20), LONGEST_RETRY)
    due_us = account.now_us() + microseconds(wait)
    if due_us - record.body["since_us"] > microseconds(GIVES_UP_AFTER):
        account.note(account.get("event", record.body["event"]), abandoned=True)
        _leave_queue(account, record)
    else:
        account.update(record, attempts=attempts, due_us=due_us)


def forget_endpoint(account: StripeAccount, endpoint_id: str) -> None:
    """Drop the deliveries of a removed endpoint."""
    for record in list(account.table(_QUEUE).values()):
        if record.body["endpoint"] == endpoint_id:
            _leave_queue(account, record)


def prune(account: StripeAccount) -> None:
    """Forget events older than Stripe keeps them, with their deliveries."""
    oldest = account.now() - int(KEPT_FOR.total_seconds())
    for event in _older_than(account.table("event").values(), oldest):
        for id_ in event.private["waiting"]:
            account.remove(account.get(_QUEUE, id_))
        account.remove(event)


def _older_than(events: Iterable[Record], oldest: int) -> list[Record]:
    stale = []
    for event in events:
        if event.body["created"] >= oldest:
            break
        stale.append(event)
    return stale


def delivered_well(event: Record) -> bool:
    """Stripe's ``delivery_success``: nothing waits and nothing was given up."""
    return not event.private["waiting"] and not event.private["abandoned"]
