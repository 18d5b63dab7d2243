"""What happens by itself later: refunds arrive or bounce, bank debits settle, disputes move on."""

import heapq
from collections.abc import Iterator
from datetime import timedelta
from typing import Final

from booking_payments.sandbox.emulator.records import Record, StripeAccount, microseconds

KIND: Final = "follow_up"


def schedule(account: StripeAccount, action: str, target: str, after: timedelta | None = None) -> None:
    """Do ``action`` (of ``model.FOLLOW_UPS``) to ``target`` after a time, by default the account's delay."""
    due_us = account.now_us() + microseconds(account.follow_up_delay if after is None else after)
    body = {"action": action, "target": target, "due_us": due_us}
    _plan(account, account.add(KIND, account.new_id(KIND, "later"), body))


def plan_again(account: StripeAccount) -> None:
    """Rebuild the agenda from the records, after they were loaded."""
    account.agenda.clear()
    for record in account.table(KIND).values():
        _plan(account, record)


def _plan(account: StripeAccount, record: Record) -> None:
    heapq.heappush(account.agenda, (record.body["due_us"], record.seq, record.id))


def take_due(account: StripeAccount) -> Iterator[tuple[str, str]]:
    """Action and target of everything due, earliest first, each taken off the agenda as it is handed out."""
    while account.agenda and account.agenda[0][0] <= account.now_us():
        _, _, id_ = heapq.heappop(account.agenda)
        record = account.get(KIND, id_)
        account.remove(record)
        yield record.body["action"], record.body["target"]


def next_due_us(account: StripeAccount) -> int | None:
    """When the next follow-up is due, in microseconds since 1970; ``None`` with none planned."""
    return account.agenda[0][0] if account.agenda else None
