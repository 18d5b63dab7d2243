"""Payment methods: made from tokens and IBANs, and from the test ids that everybody shares."""

from collections.abc import Callable, Mapping
from typing import Final

from booking_payments.sandbox.emulator import objects
from booking_payments.sandbox.emulator.answers import Json
from booking_payments.sandbox.emulator.cards import (
    BAD_NUMBER,
    LIVE_CARD,
    REDIRECTS,
    Behaviour,
    Decline,
    behaviour,
    name_of,
    name_of_iban,
    name_of_number,
    passes_luhn,
)
from booking_payments.sandbox.emulator.errors import (
    Refusal,
    card_error,
    error_body,
    invalid,
    no_such,
    parameter_missing,
)
from booking_payments.sandbox.emulator.params import (
    address,
    choice,
    id_text,
    mapping,
    metadata,
    new_metadata,
    opaque,
    text,
    unsettable,
)
from booking_payments.sandbox.emulator.records import Account, Record

_TYPES: Final = ("card", "sepa_debit", "us_bank_account")

# What Stripe takes besides; this model makes no methods of these kinds, and refuses their ``type``. Those that redirect
# are made in the customer's browser only.
# fmt: off
_OTHERS: Final = (
    "acss_debit", "affirm", "afterpay_clearpay", "alipay", "alma", "amazon_pay", "au_becs_debit", "bacs_debit",
    "bancontact", "billie", "bizum", "blik", "boleto", "cashapp", "crypto", "customer_balance", "eps", "fpx", "giropay",
    "grabpay", "ideal", "interac_present", "kakao_pay", "klarna", "konbini", "kr_card", "link", "mb_way", "mobilepay",
    "multibanco", "naver_pay", "nz_bank_account", "oxxo", "p24", "pay_by_bank", "payco", "paynow", "paypal", "paypay",
    "payto", "pix", "promptpay", "radar_options", "revolut_pay", "samsung_pay", "satispay", "scalapay", "sequra",
    "sofort", "sunbit", "swish", "twint", "upi", "wechat_pay", "zip",
)
# fmt: on

KNOWN_TYPES: Final = frozenset((*_TYPES, *_OTHERS)) - {"radar_options"}
"""Every type of Stripe's, modelled or not."""

DATA_FIELDS: Final = {
    **dict.fromkeys(_OTHERS, opaque()),
    "type": choice(*_TYPES, required=True),
    "card": mapping(
        {
            "token": text(),
            "number": text(),
            "exp_month": opaque(),
            "exp_year": opaque(),
            "cvc": text(),
            "networks": opaque(),
        }
    ),
    "sepa_debit": mapping({"iban": text(required=True)}),
    "us_bank_account": opaque(),
    "billing_details": mapping(
        {"address": unsettable(address()), "email": text(), "name": text(), "phone": text(), "tax_id": text()}
    ),
    "allow_redisplay": choice("always", "limited", "unspecified"),
    "metadata": metadata(),
}
"""``payment_method_data``, and with the following the parameters of create."""

CREATE_FIELDS: Final = DATA_FIELDS | {
    "custom": opaque(),
    "customer": id_text(),
    "payment_method": id_text(),
    "expand": opaque(),
}

_HINT: Final = (
    "; It's possible this PaymentMethod exists on one of your connected accounts, in which case "
    "you should retry this "
    "request on that connected account. Learn more at https://stripe.com/docs/connect/authentication"
)


def create(account: Account, params: Json, _: str) -> Json:
    """``POST /v1/payment_methods``."""
    return from_data(account, params).body


def from_data(account: Account, data: Json) -> Record:
    """A new method as described by ``payment_method_data``."""
    name = _NAMERS[data["type"]](data)
    details = objects.billing_details(data.get("billing_details", {}))
    shown = {"allow_redisplay": data["allow_redisplay"]} if "allow_redisplay" in data else {}
    return add(account, name, billing_details=details, metadata=new_metadata(data), **shown)


def add(account: Account, name: str, **given: object) -> Record:
    """A new method that behaves like the row ``name`` of the table."""
    id_ = account.new_id("payment_method", "pm")
    body = objects.payment_method(account, id_, behaviour(name), **given)
    return account.add("payment_method", id_, body, behaviour=name, set_up=False)


def _name_by_card(data: Json) -> str:
    card = data.get("card")
    if card is None:
        raise parameter_missing("card")
    if card.get("number"):
        raise _raw_number()
    if not card.get("token"):
        raise parameter_missing("card[token]")
    name = name_of(card["token"]) if card["token"].startswith("tok_") else None
    if name is None:
        raise no_such("token", card["token"], param="card[token]", status=400)
    return name


def _raw_number() -> Refusal:
    message = (
        "Sending credit card numbers directly to the Stripe API is generally unsafe. We suggest "
        "you use test tokens "
        "that map to the test card you are using, see https://stripe.com/docs/testing. To enable "
        "testing raw card data "
        "APIs, see https://support.stripe.com/questions/enabling-access-to-raw-card-data-apis."
    )
    return Refusal(402, error_body("invalid_request_error", message), executed=False)


def _name_by_iban(data: Json) -> str:
    if "sepa_debit" not in data:
        raise parameter_missing("sepa_debit")
    iban = data["sepa_debit"]["iban"].replace(" ", "").upper()
    name = name_of_iban(iban)
    if name is None:
        message = "The IBAN you provided is invalid."
        raise invalid(message, code="invalid_bank_account_iban", param="sepa_debit[iban]")
    return name


_NAMERS: Final[Mapping[str, Callable[[Json], str]]] = {
    "card": _name_by_card,
    "sepa_debit": _name_by_iban,
    "us_bank_account": lambda _: "usBankAccount_success",
    **{type_: lambda data: str(data["type"]) for type_ in REDIRECTS},
}


def resolve(account: Account, id_: str) -> Record:
    """The method that a request names; a shared test id becomes a new object, as with Stripe.

    Raises 400 ``resource_missing``.
    """
    name = name_of(id_) if id_.startswith("pm_") else None
    if name is not None:
        return add(account, name)
    record = account.find("payment_method", id_)
    if record is None:
        raise no_such("PaymentMethod", id_, param="payment_method", status=400, hint=_HINT)
    return record


def check_exists(account: Account, id_: str) -> None:
    """Refuse an unknown method without making one."""
    if name_of(id_) is None or not id_.startswith("pm_"):
        resolve(account, id_)


def typed_in(account: Account, number: str) -> Record:
    """A method from a card number that a customer typed into Stripe's own form; raises 402 for a bad one."""
    name = name_of_number(number)
    if name is None:
        decline: Decline = LIVE_CARD if passes_luhn(number) else BAD_NUMBER
        raise card_error(_typed_wrongly(decline))
    return add(account, name)


def _typed_wrongly(decline: Decline) -> Json:
    return error_body(
        "card_error",
        decline.message,
        code=decline.code,
        decline_code=decline.decline_code,
        param=decline.param,
    )


def behaviour_of(method: Record) -> Behaviour:
    """The table row that a method goes by."""
    return behaviour(method.private["behaviour"])
