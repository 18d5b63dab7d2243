"""The endpoints of this model: method, path, parameters, and who answers."""

import re
from collections.abc import Callable, Mapping
from typing import Final

from attrs import frozen

from booking_payments.sandbox.emulator import (
    balance,
    charges,
    customers,
    disputes,
    intent_params,
    intents,
    objects,
    payment_methods,
    refunds,
    reviews,
    setup_intents,
    webhook_endpoints,
)
from booking_payments.sandbox.emulator import search as searching
from booking_payments.sandbox.emulator.answers import Json
from booking_payments.sandbox.emulator.cards import behaviour, name_of
from booking_payments.sandbox.emulator.common_intents import retrieving
from booking_payments.sandbox.emulator.errors import not_modelled_url, unknown_url
from booking_payments.sandbox.emulator.listing import list_fields, page
from booking_payments.sandbox.emulator.params import Fields, expand
from booking_payments.sandbox.emulator.records import StripeAccount

Handler = Callable[[StripeAccount, Json, str], Json]
"""Answers a request from the account, its parameters and the id in its path (empty without one)."""


@frozen
class Endpoint:
    """One row of the table below, ready to match.

    Attributes:
        kind: The kind of the objects in its answer; ``None`` where nothing can be expanded.
        in_list: Whether they are in a list.
    """

    method: str
    path: str
    pattern: re.Pattern[str]
    kind: str | None
    in_list: bool
    fields: Fields
    handler: Handler


def find_endpoint(method: str, path: str) -> tuple[Endpoint, str]:
    """The endpoint for a request, and the id in the path.

    Raises 404 for a URL that Stripe does not have, and one that it has and the emulator has not.
    """
    for endpoint in ENDPOINTS:
        match = endpoint.pattern.fullmatch(path)
        if match and endpoint.method == method:
            return endpoint, "/".join(match.groups())
    if _NOT_MODELLED.match(path):
        raise not_modelled_url(method, path)
    raise unknown_url(method, path)


_NOT_MODELLED: Final = re.compile(
    r"/v1/(accounts|account_links|account_sessions|application_fees|apps|balance_settings|billing|billing_portal"
    r"|checkout|climate|confirmation_tokens|country_specs|coupons|credit_notes|customer_sessions|entitlements"
    r"|ephemeral_keys|exchange_rates|external_accounts|file_links|files|financial_connections|forwarding|identity"
    r"|invoice_payments|invoice_rendering_templates|invoiceitems|invoices|issuing|mandates|payment_attempt_records"
    r"|payment_links|payment_method_configurations|payment_method_domains|payment_records|payouts|plans|prices"
    r"|products|promotion_codes|quotes|radar|reporting|setup_attempts|shipping_rates|sigma|sources"
    r"|subscription_items|subscription_schedules|subscriptions|tax|tax_codes|tax_ids|tax_rates|terminal"
    r"|test_helpers|tokens|topups|transfers|treasury|(charges|customers|payment_intents|payment_methods"
    r"|setup_intents|disputes|refunds|events|reviews|balance|account))(/|$)"
)
"""Paths of Stripe's, as the resources of the official SDK name them."""


def _endpoint(line: str, kind: str | None, fields: Fields, handler: Handler) -> Endpoint:
    method, path = line.split()
    pattern = re.compile(re.sub(r"\{\w+\}", "([^/]+)", path))
    in_list = method == "GET" and not path.endswith("}") and path not in _SINGLETONS
    return Endpoint(method, path, pattern, kind, in_list, fields, handler)


_SINGLETONS: Final = ("/v1/account", "/v1/balance")


def _retrieve(kind: str) -> Handler:
    return lambda account, _, id_: account.require(kind, id_).body


def _list(kind: str, url: str) -> Handler:
    return lambda account, params, _: page(account, kind, params, url)


def _search(kind: str) -> Handler:
    return lambda account, params, _: searching.search(account, kind, params, f"/v1/{kind}s/search")


def _retrieve_payment_method(account: StripeAccount, _: Json, id_: str) -> Json:
    """A shared test id can be read, too, though no account owns it."""
    if name_of(id_) is not None and id_.startswith("pm_"):
        return objects.payment_method(account, id_, behaviour(name_of(id_) or ""))
    return account.require("payment_method", id_, param="payment_method").body


def _balance_transactions(account: StripeAccount, params: Json, _: str) -> Json:
    balance.update_statuses(account)
    return page(account, balance.KIND, params, "/v1/balance_transactions")


def _balance_transaction(account: StripeAccount, _: Json, id_: str) -> Json:
    balance.update_statuses(account)
    return account.require(balance.KIND, id_).body


def _account(account: StripeAccount, _: Json, __: str) -> Json:
    return objects.stripe_account(account, balance.default_currency(account))


_EXPAND: Final[Fields] = {"expand": expand()}
_METHODS_OF_CUSTOMER: Final = list_fields("allow_redisplay", "type")
_WARNING: Final = "radar.early_fraud_warning"

_ROUTES: Final[Mapping[str, tuple[str | None, Fields, Handler]]] = {
    "GET /v1/account": (None, _EXPAND, _account),
    "GET /v1/balance": (None, _EXPAND, balance.retrieve),
    "GET /v1/balance_transactions": (
        "balance_transaction",
        list_fields("created", "currency", "payout", "source", "type"),
        _balance_transactions,
    ),
    "GET /v1/balance_transactions/{id}": ("balance_transaction", _EXPAND, _balance_transaction),
    "GET /v1/charges": (
        "charge",
        list_fields("created", "customer", "payment_intent", "transfer_group"),
        _list("charge", "/v1/charges"),
    ),
    "GET /v1/charges/search": ("charge", searching.FIELDS, _search("charge")),
    "GET /v1/charges/{id}": ("charge", _EXPAND, _retrieve("charge")),
    "POST /v1/charges/{id}": ("charge", charges.UPDATE_FIELDS, charges.update),
    "POST /v1/customers": ("customer", customers.CREATE_FIELDS, customers.create),
    "GET /v1/customers": (
        "customer",
        list_fields("created", "email", "test_clock"),
        _list("customer", "/v1/customers"),
    ),
    "GET /v1/customers/search": ("customer", searching.FIELDS, _search("customer")),
    "GET /v1/customers/{id}": ("customer", _EXPAND, customers.retrieve),
    "POST /v1/customers/{id}": ("customer", customers.UPDATE_FIELDS, customers.update),
    "DELETE /v1/customers/{id}": (None, {}, customers.delete),
    "GET /v1/customers/{id}/payment_methods": (
        "payment_method",
        _METHODS_OF_CUSTOMER,
        customers.payment_methods_of,
    ),
    "GET /v1/customers/{id}/payment_methods/{method}": ("payment_method", _EXPAND, customers.payment_method_of),
    "GET /v1/disputes": (
        "dispute",
        list_fields("charge", "created", "payment_intent"),
        _list("dispute", "/v1/disputes"),
    ),
    "GET /v1/disputes/{id}": ("dispute", _EXPAND, _retrieve("dispute")),
    "POST /v1/disputes/{id}": ("dispute", disputes.UPDATE_FIELDS, disputes.update),
    "POST /v1/disputes/{id}/close": ("dispute", disputes.CLOSE_FIELDS, disputes.close),
    "GET /v1/events": (
        None,
        list_fields("created", "delivery_success", "type", "types"),
        _list("event", "/v1/events"),
    ),
    "GET /v1/events/{id}": (None, _EXPAND, _retrieve("event")),
    "POST /v1/payment_intents": ("payment_intent", intent_params.CREATE_FIELDS, intents.create),
    "GET /v1/payment_intents": (
        "payment_intent",
        list_fields("created", "customer", "customer_account"),
        _list("payment_intent", "/v1/payment_intents"),
    ),
    "GET /v1/payment_intents/search": ("payment_intent", searching.FIELDS, _search("payment_intent")),
    "GET /v1/payment_intents/{id}": ("payment_intent", intent_params.RETRIEVE_FIELDS, retrieving(intents.KIND)),
    "POST /v1/payment_intents/{id}": ("payment_intent", intent_params.UPDATE_FIELDS, intents.update),
    "POST /v1/payment_intents/{id}/confirm": ("payment_intent", intent_params.CONFIRM_FIELDS, intents.confirm),
    "POST /v1/payment_intents/{id}/capture": ("payment_intent", intent_params.CAPTURE_FIELDS, intents.capture),
    "POST /v1/payment_intents/{id}/cancel": ("payment_intent", intent_params.CANCEL_FIELDS, intents.cancel),
    "POST /v1/payment_methods": ("payment_method", payment_methods.CREATE_FIELDS, payment_methods.create),
    "GET /v1/payment_methods": (
        "payment_method",
        list_fields("allow_redisplay", "customer", "customer_account", "type"),
        _list("payment_method", "/v1/payment_methods"),
    ),
    "GET /v1/payment_methods/{id}": ("payment_method", _EXPAND, _retrieve_payment_method),
    "POST /v1/payment_methods/{id}": ("payment_method", payment_methods.UPDATE_FIELDS, payment_methods.update),
    "POST /v1/payment_methods/{id}/attach": ("payment_method", payment_methods.ATTACH_FIELDS, payment_methods.attach),
    "POST /v1/payment_methods/{id}/detach": ("payment_method", payment_methods.DETACH_FIELDS, payment_methods.detach),
    "GET /v1/radar/early_fraud_warnings": (
        _WARNING,
        list_fields("charge", "created", "payment_intent"),
        _list(_WARNING, "/v1/radar/early_fraud_warnings"),
    ),
    "GET /v1/radar/early_fraud_warnings/{id}": (_WARNING, _EXPAND, _retrieve(_WARNING)),
    "POST /v1/refunds": ("refund", refunds.CREATE_FIELDS, refunds.create),
    "GET /v1/refunds": ("refund", list_fields("charge", "created", "payment_intent"), _list("refund", "/v1/refunds")),
    "GET /v1/refunds/{id}": ("refund", _EXPAND, _retrieve("refund")),
    "POST /v1/refunds/{id}": ("refund", refunds.UPDATE_FIELDS, refunds.update),
    "POST /v1/refunds/{id}/cancel": ("refund", refunds.CANCEL_FIELDS, refunds.cancel),
    "GET /v1/reviews": ("review", list_fields("created"), _list("review", "/v1/reviews")),
    "GET /v1/reviews/{id}": ("review", _EXPAND, _retrieve("review")),
    "POST /v1/reviews/{id}/approve": ("review", reviews.APPROVE_FIELDS, reviews.approve),
    "POST /v1/setup_intents": ("setup_intent", setup_intents.CREATE_FIELDS, setup_intents.create),
    "GET /v1/setup_intents": (
        "setup_intent",
        list_fields("attach_to_self", "created", "customer", "customer_account", "payment_method"),
        _list("setup_intent", "/v1/setup_intents"),
    ),
    "GET /v1/setup_intents/{id}": ("setup_intent", setup_intents.RETRIEVE_FIELDS, retrieving(setup_intents.KIND)),
    "POST /v1/setup_intents/{id}": ("setup_intent", setup_intents.UPDATE_FIELDS, setup_intents.update),
    "POST /v1/setup_intents/{id}/confirm": ("setup_intent", setup_intents.CONFIRM_FIELDS, setup_intents.confirm),
    "POST /v1/setup_intents/{id}/cancel": ("setup_intent", setup_intents.CANCEL_FIELDS, setup_intents.cancel),
    "POST /v1/webhook_endpoints": (None, webhook_endpoints.CREATE_FIELDS, webhook_endpoints.create),
    "GET /v1/webhook_endpoints": (None, list_fields(), _list("webhook_endpoint", "/v1/webhook_endpoints")),
    "GET /v1/webhook_endpoints/{id}": (None, _EXPAND, _retrieve("webhook_endpoint")),
    "POST /v1/webhook_endpoints/{id}": (None, webhook_endpoints.UPDATE_FIELDS, webhook_endpoints.update),
    "DELETE /v1/webhook_endpoints/{id}": (None, {}, webhook_endpoints.delete),
}

ENDPOINTS: Final = tuple(_endpoint(line, *row) for line, row in _ROUTES.items())
