"""Movements of the account's balance, in the currency that it settles in."""

from booking_payments.sandbox.emulator import objects
from booking_payments.sandbox.emulator.records import Account, Record
from booking_payments.sandbox.emulator.settings import Settled, settled


def move(account: Account, type_: str, source: Record, amount: int, category: str | None = None) -> Record:
    """Write a balance transaction caused by ``source``.

    ``amount`` is in the source's currency (negative: money leaves), and is converted at the present rate.
    """
    return book(account, type_, source, settled(account, amount, source.body["currency"]), category)


def book(
    account: Account, type_: str, source: Record, moved: Settled, category: str | None = None, *, fee: int = 0
) -> Record:
    """Write a balance transaction of an amount that is known in the settlement currency.

    ``fee`` is Stripe's, in the same currency; negative: a fee that is given back.
    """
    id_ = account.new_id("balance_transaction", "txn")
    body = objects.balance_transaction(
        account,
        id_,
        amount=moved.amount,
        currency=moved.currency,
        exchange_rate=moved.exchange_rate,
        type=type_,
        reporting_category=category or type_,
        source=source.id,
        fee=fee,
    )
    return account.add("balance_transaction", id_, body)
