"""The audit record of a request: its principal, request id and idempotency key."""

from collections.abc import Sequence
from typing import Any

import pytest

from booking_payments.ports.audit import AuditOutcome, AuditRecord
from tests.integration.http.api import ANN, BOB, BOOKING_APP, OPERATOR, Api
from tests.integration.http.routes import declared

KEY = "a-key-of-some-length"
MOVERS = [each for each in declared(sandboxed=False) if each.operation]
CARD = {"payment_method_id": "pm_card_visa"}

# For each operation: the steps before it, the role that requests it, and the body.
REQUESTS: dict[str, tuple[str, dict[str, str], Any]] = {
    "register_booking": ("nothing", BOOKING_APP, None),
    "cancel_booking": ("paid", BOOKING_APP, {}),
    "start_payment": ("nothing", ANN, CARD),
    "confirm_payment": ("open", ANN, CARD),
    "retry_payment": ("open", ANN, CARD),
    "capture_payment": ("held", OPERATOR, {}),
    "cancel_payment": ("open", OPERATOR, {}),
    "refund_payment": ("paid", OPERATOR, {"amount": "1.00"}),
    "amend_booking": ("nothing", BOOKING_APP, {"amount": "90.00"}),
    "cancel_event": ("paid", OPERATOR, {}),
    "reschedule_event": ("paid", OPERATOR, {"event_starts_at": "2026-09-01T20:00:00Z"}),
    "settle_debt": ("owed", OPERATOR, {"amount": "1.00", "how": "paid_elsewhere", "note": "in cash"}),
}


def trail(api: Api) -> Sequence[AuditRecord]:
    """The records, newest first."""
    return api.client.blocking_portal.call(api.kit.payments.audit_trail)


def prepared(api: Api, state: str) -> str:
    booking_id = api.book()
    if state == "open":
        api.post(f"/api/bookings/{booking_id}/payment/intent/", ANN, json={})
    elif state == "owed":
        api.pay(booking_id, "pm_card_createDispute")
        api.deliver_all()
        api.post(f"/api/bookings/{booking_id}/cancel/", BOOKING_APP, json={"refund": "full"})
    elif state != "nothing":
        api.pay(booking_id, capture_method="manual" if state == "held" else "automatic")
    return booking_id


def test_every_operation_of_the_api_is_requested_here() -> None:
    # Receipts are kept in SQL: tests/integration/test_manual.py checks their records.
    assert {each.operation for each in MOVERS} == {*REQUESTS, "record_payment"}


@pytest.mark.parametrize(
    "mover", [each for each in MOVERS if each.operation in REQUESTS], ids=lambda each: each.operation
)
def test_a_request_leaves_one_record_with_its_id_and_key(api: Api, mover: Any) -> None:
    state, who, body = REQUESTS[mover.operation]
    path = api.path_of(mover.path, prepared(api, state))
    before = len(trail(api))

    for _ in range(2):  # the repetition is answered from the store, so it is no command
        headers = {"Idempotency-Key": KEY, "X-Request-Id": "req-of-the-test"}
        given = api.new_booking(reference="R-x") if body is None else body
        response = api.send(mover.method, path, who, headers, json=given)
        assert response.status_code < 300, response.text

    [record] = trail(api)[: len(trail(api)) - before]
    assert (record.operation, record.outcome) == (mover.operation, AuditOutcome.DONE)
    assert (record.request_id, record.key) == ("req-of-the-test", KEY)
    assert record.actor.partition(":")[2] in {"ann", "olga", "app"}


def test_the_record_and_the_journal_name_the_same_cause(api: Api) -> None:
    booking_id = api.paid()

    events = api.get(f"/api/bookings/{booking_id}/payment/events/", OPERATOR).json()["events"]
    assert {event["cause"] for event in events} == {trail(api)[0].cause}


def test_a_request_for_a_foreign_booking_is_recorded(api: Api) -> None:
    booking_id = api.book()

    api.pay(booking_id, who=BOB)

    record = trail(api)[0]
    assert (record.actor, record.outcome, record.code) == ("customer:bob", AuditOutcome.REFUSED, "not_found")


def test_a_request_without_a_key_is_recorded_without_one(api: Api) -> None:
    api.book()

    assert trail(api)[0].key is None
