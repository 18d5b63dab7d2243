"""The endpoints of this model: method, path, parameters, and who answers."""

import re
from collections.abc import Callable, Mapping
from typing import Final

from attrs import frozen

from booking_payments.sandbox.emulator import disputes, intents, objects, payment_methods, refunds
from booking_payments.sandbox.emulator.answers import Json
from booking_payments.sandbox.emulator.cards import behaviour, name_of
from booking_payments.sandbox.emulator.errors import card_error, error_body, unknown_url
from booking_payments.sandbox.emulator.events import forget_endpoint
from booking_payments.sandbox.emulator.listing import list_fields, page
from booking_payments.sandbox.emulator.params import (
    Fields,
    address,
    choice,
    id_text,
    integer,
    metadata,
    new_metadata,
    opaque,
    shipping,
    strings,
    text,
    unsettable,
)
from booking_payments.sandbox.emulator.records import Account

Handler = Callable[[Account, Json, str], Json]
"""Answers a request from the account, its parameters and the id in its path (empty without one)."""


@frozen
class Endpoint:
    """One row of the table below, ready to match."""

    method: str
    pattern: re.Pattern[str]
    fields: Fields
    handler: Handler


def find_endpoint(method: str, path: str) -> tuple[Endpoint, str]:
    """The endpoint for a request, and the id in the path; raises 404 for an unknown URL."""
    for endpoint in ENDPOINTS:
        match = endpoint.pattern.fullmatch(path)
        if match and endpoint.method == method:
            return endpoint, match.groupdict().get("id", "")
    raise unknown_url(method, path)


def _endpoint(line: str, fields: Fields, handler: Handler) -> Endpoint:
    method, path = line.split()
    return Endpoint(method, re.compile(path.replace("{id}", "(?P<id>[^/]+)")), fields, handler)


def _retrieve(kind: str) -> Handler:
    return lambda account, _, id_: account.require(kind, id_).body


def _list(kind: str, url: str) -> Handler:
    return lambda account, params, _: page(account, kind, params, url)


def _create_customer(account: Account, params: Json, _: str) -> Json:
    id_ = account.new_id("customer", "cus")
    given = {name: value for name, value in params.items() if name in _CUSTOMER_KEPT}
    method = _attachable(account, params.get("payment_method"))
    customer = account.add(
        "customer", id_, objects.customer(account, id_, **(given | {"metadata": new_metadata(params)}))
    )
    if method is not None:
        account.update(account.get("payment_method", method), customer=id_)
    return customer.body


def _attachable(account: Account, method_id: str | None) -> str | None:
    """Attaching a card that always declines is itself declined."""
    if method_id is None:
        return None
    method = payment_methods.resolve(account, method_id)
    does = payment_methods.behaviour_of(method)
    if not does.attachable and does.decline is not None:
        no = does.decline
        raise card_error(
            error_body("card_error", no.message, code=no.code, decline_code=no.decline_code, param=no.param)
        )
    return method.id


_CUSTOMER_TEXTS: Final = ("business_name", "description", "email", "individual_name", "name", "phone")
_CUSTOMER_KEPT: Final = frozenset(
    {*_CUSTOMER_TEXTS, "address", "balance", "next_invoice_sequence", "preferred_locales", "shipping", "tax_exempt"}
)
_CUSTOMER_FIELDS: Final[Fields] = {
    **dict.fromkeys(
        [
            "cash_balance",
            "invoice_prefix",
            "invoice_settings",
            "source",
            "tax_id_data",
            "test_clock",
            "validate",
            "tax",
            "expand",
        ],
        opaque(),
    ),
    **{name: text() for name in _CUSTOMER_TEXTS},
    "address": unsettable(address()),
    "balance": integer(),
    "next_invoice_sequence": integer(minimum=1),
    "preferred_locales": strings(),
    "shipping": unsettable(shipping()),
    "tax_exempt": choice("exempt", "none", "reverse"),
    "metadata": metadata(),
    "payment_method": id_text(),
}


def _create_webhook_endpoint(account: Account, params: Json, _: str) -> Json:
    id_ = account.new_id("webhook_endpoint", "we")
    given = {
        name: value for name, value in params.items() if name in ("api_version", "description", "enabled_events", "url")
    }
    endpoint = account.add(
        "webhook_endpoint", id_, objects.webhook_endpoint(account, id_, **(given | {"metadata": new_metadata(params)}))
    )
    account.note(endpoint, secret=f"whsec_{account.token(32)}")
    return endpoint.body | {"secret": endpoint.private["secret"]}


def _delete_webhook_endpoint(account: Account, _: Json, id_: str) -> Json:
    account.remove(account.require("webhook_endpoint", id_))
    forget_endpoint(account, id_)
    return {"id": id_, "object": "webhook_endpoint", "deleted": True}


_WEBHOOK_ENDPOINT_FIELDS: Final[Fields] = {
    "url": text(required=True),
    "enabled_events": strings(required=True),
    "description": text(),
    "metadata": metadata(),
    "api_version": text(),
    "connect": opaque(),
    "expand": opaque(),
}


def _retrieve_payment_method(account: Account, _: Json, id_: str) -> Json:
    """A shared test id can be read, too, though no account owns it."""
    if name_of(id_) is not None and id_.startswith("pm_"):
        return objects.payment_method(account, id_, behaviour(name_of(id_) or ""))
    return account.require("payment_method", id_, param="payment_method").body


_EXPAND: Final[Fields] = {"expand": opaque()}

_ROUTES: Final[Mapping[str, tuple[Fields, Handler]]] = {
    "POST /v1/payment_intents": (intents.CREATE_FIELDS, intents.create),
    "GET /v1/payment_intents": (
        list_fields("created", "customer", "customer_account"),
        _list("payment_intent", "/v1/payment_intents"),
    ),
    "GET /v1/payment_intents/{id}": (intents.RETRIEVE_FIELDS, intents.retrieve),
    "POST /v1/payment_intents/{id}": (intents.UPDATE_FIELDS, intents.update),
    "POST /v1/payment_intents/{id}/confirm": (intents.CONFIRM_FIELDS, intents.confirm),
    "POST /v1/payment_intents/{id}/capture": (intents.CAPTURE_FIELDS, intents.capture),
    "POST /v1/payment_intents/{id}/cancel": (intents.CANCEL_FIELDS, intents.cancel),
    "POST /v1/refunds": (refunds.CREATE_FIELDS, refunds.create),
    "GET /v1/refunds": (list_fields("charge", "created", "payment_intent"), _list("refund", "/v1/refunds")),
    "GET /v1/refunds/{id}": (_EXPAND, _retrieve("refund")),
    "POST /v1/refunds/{id}": (refunds.UPDATE_FIELDS, refunds.update),
    "POST /v1/refunds/{id}/cancel": (refunds.CANCEL_FIELDS, refunds.cancel),
    "GET /v1/charges": (
        list_fields("created", "customer", "payment_intent", "transfer_group"),
        _list("charge", "/v1/charges"),
    ),
    "GET /v1/charges/{id}": (_EXPAND, _retrieve("charge")),
    "GET /v1/disputes": (
        list_fields("charge", "created", "payment_intent"),
        _list("dispute", "/v1/disputes"),
    ),
    "GET /v1/disputes/{id}": (_EXPAND, _retrieve("dispute")),
    "POST /v1/disputes/{id}": (disputes.UPDATE_FIELDS, disputes.update),
    "POST /v1/disputes/{id}/close": (disputes.CLOSE_FIELDS, disputes.close),
    "POST /v1/payment_methods": (payment_methods.CREATE_FIELDS, payment_methods.create),
    "GET /v1/payment_methods": (
        list_fields("allow_redisplay", "customer", "customer_account", "type"),
        _list("payment_method", "/v1/payment_methods"),
    ),
    "GET /v1/payment_methods/{id}": (_EXPAND, _retrieve_payment_method),
    "POST /v1/customers": (_CUSTOMER_FIELDS, _create_customer),
    "GET /v1/customers/{id}": (_EXPAND, _retrieve("customer")),
    "GET /v1/events": (
        list_fields("created", "delivery_success", "type", "types"),
        _list("event", "/v1/events"),
    ),
    "GET /v1/events/{id}": (_EXPAND, _retrieve("event")),
    "GET /v1/balance_transactions": (
        list_fields("created", "currency", "payout", "source", "type"),
        _list("balance_transaction", "/v1/balance_transactions"),
    ),
    "GET /v1/balance_transactions/{id}": (_EXPAND, _retrieve("balance_transaction")),
    "POST /v1/webhook_endpoints": (_WEBHOOK_ENDPOINT_FIELDS, _create_webhook_endpoint),
    "GET /v1/webhook_endpoints": (list_fields(), _list("webhook_endpoint", "/v1/webhook_endpoints")),
    "GET /v1/webhook_endpoints/{id}": (_EXPAND, _retrieve("webhook_endpoint")),
    "DELETE /v1/webhook_endpoints/{id}": ({}, _delete_webhook_endpoint),
}

ENDPOINTS: Final = tuple(_endpoint(line, fields, handler) for line, (fields, handler) in _ROUTES.items())
