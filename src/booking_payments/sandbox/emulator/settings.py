"""Settings of the account that change how its later objects look: settlement currency, rates, older behaviour.

They are a record like any other, so a restart keeps them and a reset forgets them. Stripe settles in the currency of
the charge unless the account has a rate for it; earlier bookings stay as they are.
"""

from collections.abc import Mapping
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation
from typing import Final

from attrs import frozen

from booking_payments.sandbox.emulator.answers import Json, copy_json
from booking_payments.sandbox.emulator.currencies import CURRENCIES
from booking_payments.sandbox.emulator.records import Record, StripeAccount

EXPIRED_UNCAPTURED: Final = "expired_uncaptured_charge"
"""The reason of Stripe's own refunds over a released authorization (versions before 2025-03-31.basil)."""

HIGHEST_RATE: Final = Decimal(10) ** 9
_LONGEST_RATE: Final = 40

_KIND: Final = "account_settings"
_ID: Final = "account"
_DEFAULTS: Final[Mapping[str, object]] = {"settlement_currency": None, "rates": {}, "release_as_refund": False}


@frozen
class Settled:
    """An amount as the balance books it.

    Attributes:
        amount: In the smallest unit of ``currency``; negative when money leaves.
        currency: Lower-case code of the currency that the balance is kept in.
        exchange_rate: One unit of the original currency in ``currency``; ``None`` without a conversion.
    """

    amount: int
    currency: str
    exchange_rate: float | None = None


def current(account: StripeAccount) -> Json:
    """The settings as they are now: ``settlement_currency``, ``rates``, ``release_as_refund``."""
    found = account.find(_KIND, _ID)
    settings: Json = copy_json(dict(_DEFAULTS if found is None else found.body))
    return settings


def set_settlement(account: StripeAccount, currency: str | None, rates: Mapping[str, str] | None = None) -> None:
    """Settle in ``currency`` from now on, at these rates.

    ``currency`` ``None``: no conversion any more. ``rates``: one unit of each currency in ``currency``, as decimal
    text. Rates that are already known stay when the settlement currency stays; a change forgets them.

    Raises:
        ValueError: for a currency that Stripe does not have, rates without a settlement currency or for itself, and
            for what is no positive decimal number.
    """
    known = current(account)
    kept = known["rates"] if currency == known["settlement_currency"] else {}
    new = {_known_currency(code): _checked_rate(code, rate) for code, rate in (rates or {}).items()}
    if currency is None and new:
        raise ValueError("rates need a settlement_currency")
    if currency is not None and _known_currency(currency) in new:
        raise ValueError(f"{currency} is the settlement currency and needs no rate")
    _change(account, settlement_currency=currency, rates=kept | new)


def set_release_as_refund(account: StripeAccount, reason: bool | str) -> None:
    """Whether a released authorization is also listed as a refund, as before 2025-03-31.basil.

    ``reason``: False (today's behaviour), True (a refund without a reason), or ``expired_uncaptured_charge``.

    Raises:
        ValueError: for another text.
    """
    if not isinstance(reason, bool) and reason != EXPIRED_UNCAPTURED:
        raise ValueError(f"release_as_refund must be true, false or {EXPIRED_UNCAPTURED!r}")
    _change(account, release_as_refund=reason)


def settled(account: StripeAccount, amount: int, currency: str) -> Settled:
    """``amount`` (smallest unit of ``currency``) as the balance books it at the present rate, rounded half to even."""
    now = current(account)
    rate = now["rates"].get(currency)
    if rate is None:
        return Settled(amount, currency)
    into = now["settlement_currency"]
    shift = CURRENCIES[into].decimals - CURRENCIES[currency].decimals
    exact = (Decimal(amount) * Decimal(rate)).scaleb(shift)
    return Settled(int(exact.quantize(Decimal(1), ROUND_HALF_EVEN)), into, float(rate))


def _change(account: StripeAccount, **fields: object) -> None:
    record: Record | None = account.find(_KIND, _ID)
    if record is None:
        record = account.add(_KIND, _ID, copy_json(dict(_DEFAULTS)))
    account.update(record, **fields)


def _known_currency(code: str) -> str:
    if code not in CURRENCIES:
        raise ValueError(f"{code!r} is no currency of Stripe's; write a lower-case code such as 'eur'")
    return code


def _checked_rate(code: str, text: str) -> str:
    try:
        rate = Decimal(text) if len(text) <= _LONGEST_RATE else None
    except InvalidOperation:
        rate = None
    if rate is None or not rate.is_finite() or not 0 < rate <= HIGHEST_RATE:
        raise ValueError(f"the rate of {code} must be a positive decimal number such as '0.92', at most {HIGHEST_RATE}")
    return text
