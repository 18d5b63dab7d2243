"""The account's balance, in the currency that it settles in: its movements, Stripe's fees, and the sums.

Money of a charge is ``pending`` for two days and ``available`` afterwards. Stripe's fees are of its price list for the
United States; they differ by country and contract.
"""

from collections.abc import Iterable, Mapping
from datetime import timedelta
from fractions import Fraction
from typing import Final

from booking_payments.sandbox.emulator import objects
from booking_payments.sandbox.emulator.answers import Json
from booking_payments.sandbox.emulator.cards import behaviour
from booking_payments.sandbox.emulator.records import Record, StripeAccount
from booking_payments.sandbox.emulator.settings import Settled, current, settled

KIND: Final = "balance_transaction"

AVAILABLE_AFTER: Final = timedelta(days=2)
"""When the money of a charge can be paid out."""

FEES: Final[Mapping[str, tuple[Fraction, int, int | None]]] = {
    "card": (Fraction("0.029"), 30, None),
    "sepa_debit": (Fraction("0.008"), 30, 600),
    "us_bank_account": (Fraction("0.008"), 0, 500),
}
"""Share of the amount, a fixed part, and the most, in the smallest unit of the settlement currency."""

_OTHER_FEE: Final = (Fraction("0.029"), 30, None)


def book_charge(account: StripeAccount, charge: Record) -> None:
    """Write the balance transaction of a captured charge, with Stripe's fee."""
    amount = settled(account, charge.body["amount_captured"], charge.body["currency"])
    type_ = "charge" if charge.id.startswith("ch_") else "payment"
    fee = charge_fee(amount.amount, charge.body["payment_method_details"]["type"])
    at_once = behaviour(charge.private["behaviour"]).available_at_once
    later = 0 if at_once else int(AVAILABLE_AFTER.total_seconds())
    booked = book(account, type_, charge, amount, "charge", fee=fee, available_in=later)
    account.update(charge, balance_transaction=booked.id)


def charge_fee(amount: int, type_: str) -> int:
    """Stripe's fee for a charge of ``amount`` (smallest unit) with a type of method; never more than the amount."""
    share, fixed, most = FEES.get(type_, _OTHER_FEE)
    fee = round(amount * share) + fixed
    return min(fee, amount, *([most] if most is not None else []))


def move(account: StripeAccount, type_: str, source: Record, amount: int, category: str | None = None) -> Record:
    """Write a balance transaction caused by ``source``.

    ``amount`` is in the source's currency (negative: money leaves), and is converted at the present rate.
    """
    return book(account, type_, source, settled(account, amount, source.body["currency"]), category)


def book(
    account: StripeAccount,
    type_: str,
    source: Record,
    moved: Settled,
    category: str | None = None,
    *,
    fee: int = 0,
    available_in: int = 0,
) -> Record:
    """Write a balance transaction of an amount that is known in the settlement currency.

    ``fee`` is Stripe's, in the same currency; negative: a fee that is given back. ``available_in``: seconds until the
    money can be paid out.
    """
    id_ = account.new_id(KIND, "txn")
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
        available_on=account.now() + available_in,
        status="pending" if available_in else "available",
    )
    account.balances[moved.currency] = account.balances.get(moved.currency, 0) + moved.amount
    return account.add(KIND, id_, body)


def load(account: StripeAccount) -> None:
    """Add up the balances again, after the records were loaded."""
    account.balances.clear()
    for record in account.table(KIND).values():
        currency = record.body["currency"]
        account.balances[currency] = account.balances.get(currency, 0) + record.body["amount"]


def update_statuses(account: StripeAccount) -> None:
    """Make due amounts available. Nothing is planned for it: the status is written when it is read."""
    now = account.now()
    for record in account.table(KIND).values():
        if record.body["status"] == "pending" and record.body["available_on"] <= now:
            account.update(record, status="available")


def retrieve(account: StripeAccount, _: Json, __: str) -> Json:
    """``GET /v1/balance``: the available and the pending amounts by currency."""
    update_statuses(account)
    records = list(account.table(KIND).values())
    currencies = sorted({record.body["currency"] for record in records}) or [default_currency(account)]
    return {
        "object": "balance",
        "available": [_amount(records, currency, "available") for currency in currencies],
        "livemode": account.livemode,
        "pending": [_amount(records, currency, "pending") for currency in currencies],
        "refund_and_dispute_prefunding": {"available": [], "pending": []},
    }


def _amount(records: Iterable[Record], currency: str, status: str) -> Json:
    nets = (each.body["net"] for each in records if (each.body["currency"], each.body["status"]) == (currency, status))
    amount = sum(nets)
    return {"amount": amount, "currency": currency, "source_types": {"card": amount}}


def default_currency(account: StripeAccount) -> str:
    """The currency that the account settles in, if one is set, else US dollars."""
    return str(current(account)["settlement_currency"] or "usd")


def covers(account: StripeAccount, amount: int, currency: str) -> bool:
    """Whether the balance covers a refund of ``amount`` in ``currency`` (smallest unit).

    Pending money counts, as in Stripe's test mode, and Stripe's fees do not: a charge covers its own refund.
    """
    wanted = settled(account, amount, currency)
    return account.balances.get(wanted.currency, 0) >= wanted.amount
