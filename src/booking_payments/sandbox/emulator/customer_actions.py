"""What customers do with a PaymentIntent: confirm it in the browser, pass 3-D Secure, pay at a bank, pay a voucher."""

from hmac import compare_digest
from typing import Final
from urllib.parse import urlencode, urlsplit, urlunsplit

from booking_payments.sandbox.emulator import intents, payment_methods
from booking_payments.sandbox.emulator.answers import Json
from booking_payments.sandbox.emulator.charging import (
    charge_after_action,
    expire_voucher,
    fail_authentication,
    pay_voucher,
    wait_for_bank,
)
from booking_payments.sandbox.emulator.common_intents import check_secret, require
from booking_payments.sandbox.emulator.errors import invalid, no_such, parameter_missing, unexpected_state
from booking_payments.sandbox.emulator.method_types import REDIRECTS, VOUCHERS
from booking_payments.sandbox.emulator.records import Record, StripeAccount


def confirm_in_browser(
    account: StripeAccount, id_: str, client_secret: str, method: str, return_url: str | None = None
) -> Json:
    """The customer pays with a method id, a typed card number, or a type that redirects (``ideal``), with the
    publishable key."""
    number = method.replace(" ", "")
    given: Json = {"return_url": return_url} if return_url else {}
    if method in REDIRECTS:
        given["payment_method_data"] = {"type": method}
    elif number.isdigit():
        given["payment_method_data"] = {"type": "card", "card": {"number": number}}
    else:
        given["payment_method"] = method
    return confirm(account, {"client_secret": client_secret, **given}, id_)


def confirm(account: StripeAccount, params: Json, id_: str) -> Json:
    """``POST /v1/payment_intents/{id}/confirm`` with the publishable key and the client secret.

    Stripe.js handles the next action, and shows the mandate of a bank debit.
    """
    intent = require(account, intents.KIND, id_)
    check_secret(intent, params.get("client_secret"))
    intents.require_status(intent, "confirmed")
    if params.get("payment_method"):
        payment_methods.check_exists(account, params["payment_method"])
    type_ = params.get("payment_method_data", {}).get("type")
    if type_ in REDIRECTS and not params.get("return_url"):
        raise parameter_missing("return_url")
    intents.confirm_now(account, intent, {**params, "use_stripe_sdk": True, "typed": True})
    return intent.body


def authenticate(account: StripeAccount, id_: str, client_secret: str, outcome: str) -> Json:
    """The customer leaves the bank's window or page with ``succeeded`` or ``failed``; ``processing``: the bank of a
    method that redirects has the customer's consent and takes its time."""
    intent = require(account, intents.KIND, id_)
    check_secret(intent, client_secret)
    _leave_bank(account, intent, outcome)
    return intent.body


def _leave_bank(account: StripeAccount, intent: Record, outcome: str) -> None:
    if outcome not in ("succeeded", "failed", "processing"):
        raise invalid("Invalid outcome: must be one of succeeded, failed, processing", param="outcome")
    method = _waiting_method(account, intent)
    if method.body["type"] in VOUCHERS:
        raise invalid("Invalid outcome: a voucher is paid or expires, it is not authenticated", param="outcome")
    if outcome == "processing" and method.body["type"] not in REDIRECTS:
        raise invalid("Invalid outcome: a card's bank decides at once", param="outcome")
    if outcome == "failed":
        fail_authentication(account, intent)
    elif outcome == "processing":
        account.update(intent, next_action=None)
        wait_for_bank(account, intent, method)
    else:
        charge_after_action(account, intent, method)


def _waiting_method(account: StripeAccount, intent: Record) -> Record:
    if intent.body["status"] != "requires_action":
        message = f"This PaymentIntent waits for no action: it has a status of {intent.body['status']}."
        raise unexpected_state(message, intent.body)
    return account.get("payment_method", intent.body["payment_method"])


def end_voucher(account: StripeAccount, id_: str, outcome: str) -> Json:
    """The customer pays the voucher that an intent shows (``paid``), or lets it expire (``expired``)."""
    intent = require(account, intents.KIND, id_)
    if outcome not in _VOUCHER_OUTCOMES:
        raise invalid(f"Invalid outcome: must be one of {', '.join(_VOUCHER_OUTCOMES)}", param="outcome")
    method = _waiting_method(account, intent)
    if method.body["type"] not in VOUCHERS:
        message = f"This PaymentIntent shows no voucher: it is paid with {method.body['type']}."
        raise invalid(message, executed=True)
    if outcome == "paid":
        pay_voucher(account, intent, method)
    else:
        expire_voucher(account, intent)
    return intent.body


_VOUCHER_OUTCOMES: Final = ("paid", "expired")


def at_bank(account: StripeAccount, id_: str, key: str) -> Json:
    """What a bank's page asks consent for: amount, currency, and whether it ``may_wait`` with its answer.

    Raises 404 for another ``key`` than that of its address.
    """
    intent = _at_bank(account, id_, key).body
    method = account.find("payment_method", intent["payment_method"] or "")
    waits = method is not None and method.body["type"] in REDIRECTS
    return {"amount": intent["amount"], "currency": intent["currency"], "may_wait": waits}


def leave_bank_page(account: StripeAccount, id_: str, key: str, outcome: str) -> Json:
    """The customer leaves the bank's page; ``url`` is where the browser is sent back to. A second call with the same
    outcome changes nothing."""
    intent = _at_bank(account, id_, key)
    action = intent.body["next_action"]
    # An old page may be left after the customer has begun to pay otherwise: that changes nothing.
    if action is not None and action["type"] == "redirect_to_url":
        _leave_bank(account, intent, outcome)
    status = {"succeeded": "succeeded", "requires_capture": "succeeded", "processing": "pending"}
    fields = {
        "payment_intent": intent.id,
        "payment_intent_client_secret": intent.body["client_secret"],
        "redirect_status": status.get(intent.body["status"], "failed"),
    }
    address = urlsplit(str(intent.private["bank_returns_to"]))
    query = "&".join(filter(None, (address.query, urlencode(fields))))
    return {"url": urlunsplit(address._replace(query=query))}


def _at_bank(account: StripeAccount, id_: str, key: str) -> Record:
    intent = account.find(intents.KIND, id_)
    expected = str(intent.private.get("bank_key", "")) if intent is not None else ""
    if intent is None or not expected or not compare_digest(expected.encode(), key.encode()):
        raise no_such(intents.KIND, id_, param="intent")
    return intent
