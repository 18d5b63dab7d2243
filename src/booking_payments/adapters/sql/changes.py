"""The rows of a change set, for a transaction of one unit of work and for one that a group shares."""

from collections.abc import Mapping, Sequence
from typing import Final

from attrs import frozen
from sqlalchemy import Table

from booking_payments.adapters.sql import rows, tables
from booking_payments.adapters.sql.audit import audit_values
from booking_payments.adapters.sql.rows import Values
from booking_payments.adapters.unit_of_work import ChangeSet, PaymentChange
from booking_payments.domain.payment import Payment
from booking_payments.ports.payments import ClientAction, PollState

NO_HANDOVER: Final = ClientAction(client_secret=None)


@frozen(kw_only=True)
class Numbers:
    """The last numbers that are taken: of a payment's postings, and of a booking's messages."""

    postings: Mapping[str, int]
    messages: Mapping[str, int]


def changed_payment_values(change: PaymentChange) -> Values:
    """The columns of a payment's row that change, with their new values."""
    values: Values = rows.payment_values(change.payment) if change.payment else {}
    if change.poll_state is not None:
        values |= rows.poll_state_values(change.poll_state)
    if change.client_action is not None:
        values |= rows.client_action_values(change.client_action)
    return values


def added_payment_values(payment: Payment, change: PaymentChange) -> Values:
    """All columns of a new payment's row."""
    return {
        **rows.new_payment_values(payment),
        **rows.poll_state_values(change.poll_state or PollState()),
        **rows.client_action_values(change.client_action or NO_HANDOVER),
    }


def added_rows(
    changes: ChangeSet, numbers: Numbers, known_gateway_ids: Mapping[str, Sequence[str]]
) -> dict[Table, list[Values]]:
    """The rows that ``changes`` add to tables whose rows never change, and to ``payments``; tables without are left
    out.

    ``known_gateway_ids`` are those that are stored already, of payments that were not loaded as they are.
    """
    found: dict[Table, list[Values]] = {}

    def add(table: Table, values: Sequence[Values]) -> None:
        if values:
            found.setdefault(table, []).extend(values)

    for change in changes.payments.values():
        its = change.payment_id
        if change.is_new and change.payment is not None:
            add(tables.payments, [added_payment_values(change.payment, change)])
        add(tables.journal, [rows.recorded_values(its, each) for each in change.recorded])
        keys = change.idempotency_keys
        add(tables.operation_keys, [{"idempotency_key": each, "payment_id": its} for each in keys])
        new_ids = change.new_gateway_ids(known_gateway_ids.get(its, ()))
        add(tables.gateway_ids, [{"gateway_id": each, "payment_id": its} for each in new_ids])
        first = numbers.postings.get(its, 0) + 1
        add(tables.postings, [rows.posting_values(its, n, each) for n, each in enumerate(change.postings, first)])
    taken = dict(numbers.messages)
    for message in changes.messages:
        taken[message.booking_id] = taken.get(message.booking_id, 0) + 1
        add(tables.outbox, [{**rows.message_values(message), "sequence": taken[message.booking_id]}])
    add(tables.audit, [audit_values(each) for each in changes.records])
    return found
