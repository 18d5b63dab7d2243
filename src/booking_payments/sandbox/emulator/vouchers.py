"""Vouchers: boleto, Konbini, Multibanco and OXXO. The customer pays them in a shop or at a bank until they expire."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Final

from booking_payments.sandbox.emulator.answers import Json
from booking_payments.sandbox.emulator.method_types import MODELLED
from booking_payments.sandbox.emulator.records import StripeAccount

_DAY: Final = timedelta(days=1)
_ZONES: Final = {"boleto": -3, "konbini": 9, "oxxo": -6}
"""Hours from UTC. A voucher of these types expires at the end of a day there; one of Multibanco to the second."""


def new(account: StripeAccount, type_: str, options: Json) -> Json:
    """A voucher's numbers, and ``expires_at`` in Unix seconds."""
    digits = [str(account.random.randrange(10)) for _ in range(47)]
    number = "".join(digits)
    return {"number": number, "expires_at": options.get("expires_at") or _expires_at(account, type_, options)}


def _expires_at(account: StripeAccount, type_: str, options: Json) -> int:
    days = options.get("expires_after_days")
    lasts = MODELLED[type_].lasts_days if days is None else int(days)
    if type_ not in _ZONES:
        return account.now() + lasts * int(_DAY.total_seconds())
    offset = _ZONES[type_] * 3600
    today = (account.now() + offset) // 86400
    return (today + lasts + 1) * 86400 - 1 - offset


def next_action(voucher: Json, type_: str) -> Json:
    """What the intent says that the customer has to do."""
    name = f"{type_}_display_details"
    url = f"https://payments.stripe.com/{type_}/voucher/test_{voucher['number'][:12]}"
    return {"type": name, name: {"hosted_voucher_url": url, **_DETAILS[type_](voucher, url)}}


def _boleto(voucher: Json, url: str) -> Json:
    return {"expires_at": voucher["expires_at"], "number": voucher["number"], "pdf": f"{url}/pdf"}


def _konbini(voucher: Json, _: str) -> Json:
    store = {"confirmation_number": voucher["number"][:11], "payment_code": voucher["number"][11:17]}
    stores = {name: dict(store) for name in ("familymart", "lawson", "ministop", "seicomart")}
    return {"expires_at": voucher["expires_at"], "stores": stores}


def _multibanco(voucher: Json, _: str) -> Json:
    return {"expires_at": voucher["expires_at"], **_reference(voucher)}


def _reference(voucher: Json) -> Json:
    return {"entity": voucher["number"][:5], "reference": voucher["number"][5:14]}


def _oxxo(voucher: Json, _: str) -> Json:
    return {"expires_after": voucher["expires_at"], "number": voucher["number"][:14]}


_DETAILS: Final[Mapping[str, Callable[[Json, str], Json]]] = {
    "boleto": _boleto,
    "konbini": _konbini,
    "multibanco": _multibanco,
    "oxxo": _oxxo,
}


def paid_details(voucher: Json, type_: str) -> Json:
    """What the charge of a paid voucher says about it; empty for other types."""
    if not voucher or type_ not in _DETAILS:
        return {}
    paid: Json = {
        "konbini": {"store": {"chain": "lawson"}},
        "multibanco": _reference(voucher),
        "oxxo": {"number": voucher["number"][:14]},
    }
    return dict(paid.get(type_, {}))
