"""Charges: what merchants can change about them afterwards."""

from typing import Final

from booking_payments.sandbox.emulator.answers import Json
from booking_payments.sandbox.emulator.errors import invalid
from booking_payments.sandbox.emulator.events import emit
from booking_payments.sandbox.emulator.params import (
    Fields,
    choice,
    email,
    expand,
    id_text,
    mapping,
    merged_metadata,
    metadata,
    shipping,
    text,
    unsettable,
)
from booking_payments.sandbox.emulator.records import StripeAccount

UPDATE_FIELDS: Final[Fields] = {
    "customer": id_text(),
    "description": text(),
    "fraud_details": mapping({"user_report": unsettable(choice("fraudulent", "safe"))}),
    "metadata": metadata(),
    "receipt_email": email(),
    "shipping": shipping(),
    "transfer_group": text(),
    "expand": expand(),
}

_KEPT: Final = ("customer", "description", "receipt_email", "shipping", "transfer_group")


def update(account: StripeAccount, params: Json, id_: str) -> Json:
    """``POST /v1/charges/{id}``."""
    charge = account.require("charge", id_)
    if params.get("customer"):
        account.require("customer", params["customer"], param="customer", status=400)
        if charge.body["customer"] not in (None, params["customer"]):
            message = "You cannot change the customer of a charge that belongs to a customer."
            raise invalid(message, param="customer", executed=True)
    fields: Json = {name: params[name] for name in _KEPT if name in params}
    if "fraud_details" in params:
        report = params["fraud_details"].get("user_report")
        fields["fraud_details"] = {"user_report": report} if report else {}
    if "metadata" in params:
        fields["metadata"] = merged_metadata(charge.body["metadata"], params["metadata"])
    previous = account.update(charge, **fields)
    if previous:
        emit(account, "charge.updated", charge.body, previous)
    return charge.body
