"""Payment methods: made from tokens, IBANs and the shared test ids; and their owners.

A method belongs to one customer at most. Without a customer it pays once and cannot be used again
(docs.stripe.com/payments/payment-methods#compatibility).
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from booking_payments.sandbox.emulator import method_types, objects
from booking_payments.sandbox.emulator.answers import Json
from booking_payments.sandbox.emulator.cards import (
    ACCOUNT_NUMBERS,
    BAD_NUMBER,
    LIVE_CARD,
    Behaviour,
    CardDecline,
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
from booking_payments.sandbox.emulator.events import emit
from booking_payments.sandbox.emulator.params import (
    Field,
    Fields,
    address,
    choice,
    email,
    expand,
    id_text,
    integer,
    mapping,
    merged_metadata,
    metadata,
    new_metadata,
    not_modelled,
    text,
    unsettable,
)
from booking_payments.sandbox.emulator.records import Record, StripeAccount

_MADE_BY_SERVERS: Final = ("card", "sepa_debit", "us_bank_account", *sorted(method_types.VOUCHERS))
"""Types whose methods a secret key can make; those that redirect are made in the customer's browser only."""

BILLING_DETAILS: Final = mapping(
    {"address": unsettable(address()), "email": email(), "name": text(), "phone": text(), "tax_id": text()}
)


def _type() -> Field:
    def read(value: Any, param: str) -> str:
        if isinstance(value, str) and value in method_types.KNOWN and value not in _MADE_BY_SERVERS:
            raise invalid(f"Invalid {param}: {value} is not modelled by this sandbox.", param=param)
        return str(choice(*_MADE_BY_SERVERS).read(value, param))

    return Field(read, required=True)


DATA_FIELDS: Final[Fields] = {
    **not_modelled(*method_types.OTHER_TYPES, "radar_options"),
    **dict.fromkeys(("konbini", "multibanco", "oxxo"), mapping({})),
    "type": _type(),
    "bancontact": mapping({}),
    "boleto": mapping({"tax_id": text(required=True)}),
    "card": mapping(
        {
            "token": text(),
            "number": text(),
            "exp_month": integer(minimum=1, maximum=12),
            "exp_year": integer(minimum=0, maximum=9999),
            "cvc": text(longest=4),
            **not_modelled("networks"),
        }
    ),
    "ideal": mapping(not_modelled("bank")),
    "klarna": mapping(not_modelled("dob")),
    "paypal": mapping({}),
    "sepa_debit": mapping({"iban": text(required=True)}),
    "us_bank_account": mapping(
        {
            "account_holder_type": choice("company", "individual"),
            "account_number": text(),
            "account_type": choice("checking", "savings"),
            "routing_number": text(),
            **not_modelled("financial_connections_account"),
        }
    ),
    "billing_details": BILLING_DETAILS,
    "allow_redisplay": choice("always", "limited", "unspecified"),
    "metadata": metadata(),
}
"""``payment_method_data``, and with the following the parameters of create."""

CREATE_FIELDS: Final[Fields] = {
    **DATA_FIELDS,
    **not_modelled("custom", "customer", "payment_method"),
    "expand": expand(),
}

UPDATE_FIELDS: Final[Fields] = {
    "allow_redisplay": choice("always", "limited", "unspecified"),
    "billing_details": BILLING_DETAILS,
    "card": mapping({"exp_month": integer(minimum=1, maximum=12), "exp_year": integer(), **not_modelled("networks")}),
    "metadata": metadata(),
    **not_modelled("us_bank_account"),
    "expand": expand(),
}
ATTACH_FIELDS: Final[Fields] = {
    "customer": id_text(required=True),
    **not_modelled("customer_account"),
    "expand": expand(),
}
DETACH_FIELDS: Final[Fields] = {"expand": expand()}

_HINT: Final = (
    "; It's possible this PaymentMethod exists on one of your connected accounts, in which case "
    "you should retry this "
    "request on that connected account. Learn more at https://stripe.com/docs/connect/authentication"
)


def create(account: StripeAccount, params: Json, _: str) -> Json:
    """``POST /v1/payment_methods``."""
    return from_data(account, params).body


def from_data(account: StripeAccount, data: Json, *, typed: bool = False) -> Record:
    """A new method as described by ``payment_method_data``.

    ``typed``: a customer typed it into Stripe's own form, so card numbers and types that redirect are taken.
    """
    details = objects.billing_details(data.get("billing_details", {}))
    shown = {"allow_redisplay": data["allow_redisplay"]} if "allow_redisplay" in data else {}
    given = {"billing_details": details, "metadata": new_metadata(data), **shown}
    name = _NAMERS[data["type"]](data, typed)
    method = add(account, name, **given)
    _keep_details(account, method, data)
    return method


def _keep_details(account: StripeAccount, method: Record, data: Json) -> None:
    """Write the request's data about the method into its details."""
    type_ = method.body["type"]
    given = data.get(type_) or {}
    kept = {name: given[name] for name in _DETAILS_KEPT.get(type_, ()) if given.get(name) is not None}
    if type_ == "sepa_debit":
        iban = given["iban"].replace(" ", "").upper()
        kept |= {"country": iban[:2], "last4": iban[-4:]}
    if kept:
        account.update(method, **{type_: method.body[type_] | kept})


_DETAILS_KEPT: Final[Mapping[str, tuple[str, ...]]] = {
    "boleto": ("tax_id",),
    "card": ("exp_month", "exp_year"),
    "us_bank_account": ("account_holder_type", "account_type", "routing_number"),
}


def add(account: StripeAccount, name: str, **given: object) -> Record:
    """A new method that behaves like the row ``name`` of the table."""
    id_ = account.new_id("payment_method", "pm")
    body = objects.payment_method(account, id_, behaviour(name), **given)
    return account.add("payment_method", id_, body, behaviour=name, set_up=False)


def _name_by_card(data: Json, typed: bool) -> str:
    card = data.get("card")
    if card is None:
        raise parameter_missing("card")
    if card.get("number"):
        if not typed:
            raise _raw_number()
        return _name_by_number(card["number"])
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


def _name_by_iban(data: Json, _: bool) -> str:
    if "sepa_debit" not in data:
        raise parameter_missing("sepa_debit")
    iban = data["sepa_debit"]["iban"].replace(" ", "").upper()
    name = name_of_iban(iban)
    if name is None:
        message = "The IBAN you provided is invalid."
        raise invalid(message, code="invalid_bank_account_iban", param="sepa_debit[iban]")
    return name


def _name_by_account(data: Json, _: bool) -> str:
    """The method of a test account number (docs.stripe.com/payments/ach-direct-debit/accept-a-payment)."""
    number = (data.get("us_bank_account") or {}).get("account_number")
    if number is None:
        return "usBankAccount_success"
    if number not in ACCOUNT_NUMBERS:
        message = "You must use a test bank account number in test mode. Try 000123456789."
        raise invalid(message, code="account_number_invalid", param="us_bank_account[account_number]")
    return ACCOUNT_NUMBERS[number]


def _name_by_tax_id(data: Json, _: bool) -> str:
    if not data.get("boleto"):
        raise parameter_missing("boleto[tax_id]")
    return "boleto"


_NAMERS: Final[Mapping[str, Callable[[Json, bool], str]]] = {
    **{type_: lambda data, _: str(data["type"]) for type_ in (*method_types.REDIRECTS, *method_types.VOUCHERS)},
    "boleto": _name_by_tax_id,
    "card": _name_by_card,
    "sepa_debit": _name_by_iban,
    "us_bank_account": _name_by_account,
}


def update(account: StripeAccount, params: Json, id_: str) -> Json:
    """``POST /v1/payment_methods/{id}``."""
    method = account.require("payment_method", id_, param="payment_method")
    fields: Json = {"allow_redisplay": params["allow_redisplay"]} if "allow_redisplay" in params else {}
    if "billing_details" in params:
        fields["billing_details"] = objects.billing_details(method.body["billing_details"] | params["billing_details"])
    if "card" in params:
        if method.body["type"] != "card":
            raise invalid("Only a PaymentMethod of the type card has card details.", param="card", executed=True)
        fields["card"] = method.body["card"] | params["card"]
    if "metadata" in params:
        fields["metadata"] = merged_metadata(method.body["metadata"], params["metadata"])
    previous = account.update(method, **fields)
    if previous:
        emit(account, "payment_method.updated", method.body, previous)
    return method.body


# --- owners


def attach(account: StripeAccount, params: Json, id_: str) -> Json:
    """``POST /v1/payment_methods/{id}/attach``: a customer keeps the method for later payments."""
    customer = account.require("customer", params["customer"], param="customer", status=400)
    check_exists(account, id_)
    method = resolve(account, id_)
    owner = method.body["customer"]
    if owner is not None and owner != customer.id:
        message = "The payment method you provided has already been attached to a customer."
        raise invalid(message, code="payment_method_already_attached", executed=True)
    if owner is None and method.private.get("used"):
        raise invalid(_NOT_AGAIN, executed=True)
    check_attachable(method)
    give_to(account, method, customer.id)
    return method.body


def detach(account: StripeAccount, _: Json, id_: str) -> Json:
    """``POST /v1/payment_methods/{id}/detach``: the method cannot be used again."""
    method = account.require("payment_method", id_, param="payment_method")
    if method.body["customer"] is None:
        message = "The payment method you provided is not attached to a customer so detachment is impossible."
        raise invalid(message, executed=True)
    previous = account.update(method, customer=None)
    account.note(method, used=True)
    emit(account, "payment_method.detached", method.body, previous)
    return method.body


_NOT_AGAIN: Final = (
    "This PaymentMethod was previously used without being attached to a Customer or was detached from a Customer, and "
    "may not be used again."
)


def give_to(account: StripeAccount, method: Record, customer_id: str) -> None:
    """Make a customer the owner of a method, unless it is one already."""
    if method.body["customer"] != customer_id:
        account.update(method, customer=customer_id)
        emit(account, "payment_method.attached", method.body)


def check_attachable(method: Record) -> None:
    """Raises 402 for a card that declines when it is attached."""
    does = behaviour_of(method)
    if not does.attachable and does.decline is not None:
        raise card_error(_card_error_body(does.decline))


def resolve(account: StripeAccount, id_: str) -> Record:
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


def check_exists(account: StripeAccount, id_: str) -> None:
    """Refuse an unknown method without making one."""
    if name_of(id_) is None or not id_.startswith("pm_"):
        resolve(account, id_)


def typed_in(account: StripeAccount, number: str) -> Record:
    """A method from a card number that a customer typed into Stripe's own form; raises 402 for a bad one."""
    return add(account, _name_by_number(number))


def _name_by_number(number: str) -> str:
    digits = number.replace(" ", "")
    name = name_of_number(digits)
    if name is None:
        well_formed = digits.isascii() and digits.isdigit() and passes_luhn(digits)
        raise card_error(_card_error_body(LIVE_CARD if well_formed else BAD_NUMBER))
    return name


def _card_error_body(decline: CardDecline) -> Json:
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
