"""Customers: create, change, delete, and their methods."""

from typing import Final

from booking_payments.sandbox.emulator import objects, payment_methods
from booking_payments.sandbox.emulator.answers import Json
from booking_payments.sandbox.emulator.errors import invalid, no_such
from booking_payments.sandbox.emulator.events import emit
from booking_payments.sandbox.emulator.listing import page
from booking_payments.sandbox.emulator.params import (
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
    shipping,
    strings,
    text,
    unsettable,
)
from booking_payments.sandbox.emulator.records import Record, StripeAccount

KIND: Final = "customer"

_TEXTS: Final = ("business_name", "description", "individual_name", "name", "phone")
_KEPT: Final = (
    *_TEXTS,
    "address",
    "balance",
    "email",
    "next_invoice_sequence",
    "preferred_locales",
    "shipping",
    "tax_exempt",
)
UPDATE_FIELDS: Final[Fields] = {
    **{name: text() for name in _TEXTS},
    "address": unsettable(address()),
    "balance": integer(),
    "email": email(),
    "invoice_settings": mapping(
        {"default_payment_method": id_text(), **not_modelled("custom_fields", "footer", "rendering_options")}
    ),
    "metadata": metadata(),
    "next_invoice_sequence": integer(minimum=1),
    "preferred_locales": strings(),
    "shipping": unsettable(shipping(tracked=False)),
    "tax_exempt": unsettable(choice("exempt", "none", "reverse")),
    **not_modelled("cash_balance", "default_source", "invoice_prefix", "source", "tax", "validate"),
    "expand": expand(),
}
CREATE_FIELDS: Final[Fields] = {
    **{name: field for name, field in UPDATE_FIELDS.items() if name != "default_source"},
    **not_modelled("tax_id_data", "test_clock"),
    "payment_method": id_text(),
}


def create(account: StripeAccount, params: Json, _: str) -> Json:
    """``POST /v1/customers``, with a method to attach if one is named."""
    method = None
    if params.get("payment_method"):
        payment_methods.check_exists(account, params["payment_method"])
        method = payment_methods.resolve(account, params["payment_method"])
        payment_methods.check_attachable(method)
    id_ = account.new_id(KIND, "cus")
    given = {name: params[name] for name in _KEPT if params.get(name) is not None}
    customer = account.add(KIND, id_, objects.customer(account, id_, **(given | {"metadata": new_metadata(params)})))
    if method is not None:
        payment_methods.attach(account, {"customer": id_}, method.id)
    _set_default(account, customer, params)
    emit(account, "customer.created", customer.body)
    return customer.body


def update(account: StripeAccount, params: Json, id_: str) -> Json:
    """``POST /v1/customers/{id}``."""
    customer = account.require(KIND, id_)
    fields: Json = {name: params[name] for name in _KEPT if name in params}
    if "metadata" in params:
        fields["metadata"] = merged_metadata(customer.body["metadata"], params["metadata"])
    unset = [name for name in ("business_name", "individual_name") if name in fields and fields[name] is None]
    previous = account.drop(customer, *unset)
    previous |= account.update(customer, **{name: value for name, value in fields.items() if name not in unset})
    previous |= _set_default(account, customer, params)
    if previous:
        emit(account, "customer.updated", customer.body, previous)
    return customer.body


def _set_default(account: StripeAccount, customer: Record, params: Json) -> Json:
    """Write ``invoice_settings[default_payment_method]``; raises 400 for a method that is not the customer's."""
    given = params.get("invoice_settings") or {}
    if "default_payment_method" not in given:
        return {}
    method_id = given["default_payment_method"]
    method = account.find("payment_method", method_id)
    if method_id and (method is None or method.body["customer"] != customer.id):
        message = (
            f"The customer does not have a payment method with the ID {method_id}. The payment method must be attached "
            "to the customer."
        )
        raise invalid(message, code="resource_missing", param="invoice_settings[default_payment_method]", executed=True)
    settings = customer.body["invoice_settings"] | {"default_payment_method": method_id}
    return account.update(customer, invoice_settings=settings)


def delete(account: StripeAccount, _: Json, id_: str) -> Json:
    """``DELETE /v1/customers/{id}``: its methods are detached, and no payment can name it any more."""
    customer = account.require(KIND, id_)
    for method in list(account.table("payment_method").values()):
        if method.body["customer"] == id_:
            account.update(method, customer=None)
            account.note(method, used=True)
    account.remove(customer)
    account.add(DELETED, id_, {"id": id_, "object": "customer", "deleted": True})
    emit(account, "customer.deleted", customer.body)
    return {"id": id_, "object": "customer", "deleted": True}


DELETED: Final = "deleted_customer"


def retrieve(account: StripeAccount, _: Json, id_: str) -> Json:
    """``GET /v1/customers/{id}``; a deleted one is still known as such."""
    deleted = account.find(DELETED, id_)
    return deleted.body if deleted is not None else account.require(KIND, id_).body


def payment_methods_of(account: StripeAccount, params: Json, id_: str) -> Json:
    """``GET /v1/customers/{id}/payment_methods``."""
    account.require(KIND, id_)
    url = f"/v1/customers/{id_}/payment_methods"
    return page(account, "payment_method", {**params, "customer": id_}, url)


def payment_method_of(account: StripeAccount, _: Json, ids: str) -> Json:
    """``GET /v1/customers/{id}/payment_methods/{method}``."""
    customer_id, method_id = ids.split("/")
    account.require(KIND, customer_id)
    method = account.require("payment_method", method_id, param="payment_method")
    if method.body["customer"] != customer_id:
        raise no_such("PaymentMethod", method_id, param="payment_method")
    return method.body
