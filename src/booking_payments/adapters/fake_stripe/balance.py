"""Movements of the account's balance."""

from booking_payments.adapters.fake_stripe import objects
from booking_payments.adapters.fake_stripe.records import Account, Record


def move(account: Account, type_: str, source: Record, amount: int, category: str | None = None) -> Record:
    """Write a balance transaction of ``amount`` (negative: money leaves) caused by ``source``."""
    id_ = account.new_id("balance_transaction", "txn")
    body = objects.balance_transaction(
        account,
        id_,
        amount=amount,
        currency=source.body["currency"],
        type=type_,
        reporting_category=category or type_,
        source=source.id,
    )
    return account.add("balance_transaction", id_, body)
