"""PaymentIntents: create, change, confirm, capture, cancel, and the customer's own part in the browser."""

import re
from collections.abc import Collection, Mapping, Sequence
from hmac import compare_digest
from typing import Any, Final
from urllib.parse import urlencode

from booking_payments.sandbox.emulator import objects, payment_methods
from booking_payments.sandbox.emulator.answers import Json
from booking_payments.sandbox.emulator.cards import REDIRECTS
from booking_payments.sandbox.emulator.charging import (
    Circumstances,
    attempt,
    charge_now,
    close_as_canceled,
    fail_authentication,
    finish,
    take,
    wait_for_bank,
)
from booking_payments.sandbox.emulator.currencies import CURRENCIES
from booking_payments.sandbox.emulator.errors import (
    Refusal,
    card_error,
    invalid,
    no_such,
    parameter_missing,
    parameter_unknown,
    unexpected_state,
)
from booking_payments.sandbox.emulator.events import emit
from booking_payments.sandbox.emulator.params import (
    Field,
    Fields,
    boolean,
    choice,
    id_text,
    integer,
    mapping,
    merged_metadata,
    metadata,
    new_metadata,
    opaque,
    shipping,
    strings,
    text,
    unsettable,
)
from booking_payments.sandbox.emulator.records import Account, Record
from booking_payments.sandbox.emulator.refunds import release

KIND: Final = "payment_intent"


def _off_session() -> Field:
    def read(value: Any, param: str) -> bool:
        return True if value in ("one_off", "recurring") else bool(boolean().read(value, param))

    return Field(read)


_DESCRIPTORS: Final = ("statement_descriptor", "statement_descriptor_suffix")
_PLAIN: Final = ("description", "receipt_email", *_DESCRIPTORS)
"""Text that is kept and answered, nothing more."""

# Parameters that Stripe knows and this model has no use for, by where they are taken.
# fmt: off
_ALWAYS: Final = ["amount_details", "expand", "hooks"]
_PRICING: Final = ["application_fee_amount", "transfer_data"]
_METHODS: Final = ["payment_method_options"]
_CONFIRMING: Final = ["confirmation_token", "mandate", "mandate_data", "radar_options"]
_OF_CREATE: Final = [
    *_ALWAYS, *_PRICING, *_METHODS, *_CONFIRMING, "customer_account", "on_behalf_of",
    "payment_method_configuration",
]
_OF_UPDATE: Final = [
    *_ALWAYS, *_PRICING, *_METHODS, "customer_account", "payment_method_configuration",
]
_OF_CONFIRM: Final = [
    *_ALWAYS, *_METHODS, *_CONFIRMING, "amount_to_confirm",
]
_OF_CAPTURE: Final = [*_ALWAYS, *_PRICING]
# fmt: on


def _unused(names: Sequence[str]) -> Fields:
    return dict.fromkeys(names, opaque())


_DETAILS: Final = {"payment_details": mapping({"customer_reference": text(), "order_reference": text()})}
_METHOD: Final = {
    "payment_method": id_text(),
    "payment_method_data": mapping(payment_methods.DATA_FIELDS),
    "allowed_payment_method_types": strings(),
    "excluded_payment_method_types": strings(),
    "payment_method_types": strings(),
    "setup_future_usage": choice("off_session", "on_session"),
    "capture_method": choice("automatic", "automatic_async", "manual"),
}

_CONFIRMATION: Final = {
    "error_on_requires_action": boolean(),
    "off_session": _off_session(),
    "return_url": text(),
    "use_stripe_sdk": boolean(),
}

_CONTENT: Final = {name: text() for name in (*_PLAIN, "transfer_group")} | {
    "customer": id_text(),
    "metadata": metadata(),
    "shipping": shipping(),
}

CREATE_FIELDS: Final = {
    **_DETAILS,
    **_unused(_OF_CREATE),
    **_METHOD,
    **_CONFIRMATION,
    **_CONTENT,
    "amount": integer(minimum=1, required=True),
    "currency": text(required=True),
    "confirm": boolean(),
    "confirmation_method": choice("automatic", "manual"),
    "automatic_payment_methods": mapping(
        {"enabled": boolean(), "allow_redirects": choice("always", "never")},
    ),
}
_UNSETTABLE: Final = {
    "setup_future_usage": unsettable(_METHOD["setup_future_usage"]),
    "shipping": unsettable(shipping()),
}
UPDATE_FIELDS: Final = {
    **_DETAILS,
    **_unused(_OF_UPDATE),
    **_METHOD,
    **_CONTENT,
    **_UNSETTABLE,
    "amount": integer(minimum=1),
    "currency": text(),
}
CONFIRM_FIELDS: Final = {
    **_DETAILS,
    **_unused(_OF_CONFIRM),
    **_METHOD,
    **_CONFIRMATION,
    **_UNSETTABLE,
    "receipt_email": text(),
    "client_secret": text(),
}
CAPTURE_FIELDS: Final = {
    **_DETAILS,
    **_unused(_OF_CAPTURE),
    "amount_to_capture": integer(minimum=1),
    "final_capture": boolean(),
    "metadata": metadata(),
    "statement_descriptor": text(),
    "statement_descriptor_suffix": text(),
}
CANCEL_FIELDS: Final = {
    "cancellation_reason": choice("duplicate", "fraudulent", "requested_by_customer", "abandoned"),
    "expand": opaque(),
}
RETRIEVE_FIELDS: Final = {"client_secret": text(), "expand": opaque()}

_UNCONFIRMED: Final = ("requires_payment_method", "requires_confirmation", "requires_action")
LEGAL: Final[Mapping[str, tuple[str, ...]]] = {
    "updated": _UNCONFIRMED,
    "confirmed": _UNCONFIRMED,
    "captured": ("requires_capture",),
    "canceled": ("requires_payment_method", "requires_capture", "requires_confirmation", "requires_action"),
}
"""Statuses in which a PaymentIntent may be so changed (docs.stripe.com/payments/paymentintents/lifecycle)."""

_VERBS: Final = {"updated": "update", "confirmed": "confirm", "captured": "capture", "canceled": "cancel"}

_DEBIT_CURRENCIES: Final = {"eur": "sepa_debit", "usd": "us_bank_account"}

_REDIRECTS: Final = (
    "This PaymentIntent is configured to accept payment methods enabled in your Dashboard. Because "
    "some of these payment "
    "methods might redirect your customer off of your page, you must provide a `return_url`. If "
    "you don't want to accept "
    "redirect-based payment methods, set `automatic_payment_methods[enabled]` to `true` and "
    "`automatic_payment_methods[allow_redirects]` to `never` when creating Setup Intents and Payment Intents."
)


# --- create


def create(account: Account, params: Json, _: str) -> Json:
    """``POST /v1/payment_intents``. A refused confirmation leaves the intent behind, as with Stripe."""
    currency = _currency(params["currency"])
    _check_amount(account, params["amount"], currency)
    _check_only_with_confirm(params)
    _check_types(account, params)
    _check_descriptors(params)
    _check_references(account, params)
    fields = _new_fields(params, currency)
    if params.get("confirm"):
        _check_redirects(fields["automatic_payment_methods"], params.get("return_url"))
    intent = _add(account, params, fields)
    emit(account, "payment_intent.created", intent.body)
    if params.get("confirm"):
        _confirm(account, intent, params)
    return intent.body


def _currency(given: str) -> str:
    code = given.lower()
    if code not in CURRENCIES:
        supported = ", ".join(sorted(CURRENCIES))
        raise invalid(
            f"Invalid currency: {code}. Stripe currently supports these currencies: {supported}",
            param="currency",
        )
    return code


def _check_amount(account: Account, amount: int, currency: str) -> None:
    rules = CURRENCIES[currency]
    least, most = rules.minimum, rules.maximum(account.amount_digits)
    if amount < least:
        raise _bad_amount("amount_too_small", f"Amount must be at least {least} {currency}")
    if amount > most:
        raise _bad_amount("amount_too_large", f"Amount must be no more than {most} {currency}")
    if amount % rules.multiple:
        raise _bad_amount("invalid_charge_amount", f"Amounts in {currency} must be multiples of {rules.multiple}")


def _bad_amount(code: str, message: str) -> Refusal:
    return invalid(message, code=code, param="amount")


def _check_only_with_confirm(params: Json) -> None:
    for name in ("error_on_requires_action", "off_session", "return_url"):
        if params.get(name) and not params.get("confirm"):
            message = f"The parameter `{name}` needs `confirm` to be set to true."
            raise invalid(message, code="payment_intent_invalid_parameter", param=name)


def _check_references(account: Account, params: Json) -> None:
    if params.get("customer"):
        account.require("customer", params["customer"], param="customer", status=400)
    if params.get("payment_method"):
        payment_methods.check_exists(account, params["payment_method"])


def _check_descriptors(params: Json) -> None:
    """What may stand on a statement (docs.stripe.com/get-started/account/statement-descriptors)."""
    suffix = params.get("statement_descriptor_suffix")
    if suffix and (len(suffix) > 22 or set(suffix) & set("<>\\'\"*") or not re.search("[A-Za-z]", suffix)):
        message = "The statement descriptor suffix must have 22 characters at most, a letter, and none of <>\\'\"*."
        raise invalid(message, param="statement_descriptor_suffix")


def _check_types(account: Account, params: Json) -> None:
    """Which parameters name types of methods depends on the version (docs.stripe.com/changelog)."""
    version = (account.request.version or account.api_version)[: len(_TYPES_GONE)]
    if "payment_method_types" in params and version >= _TYPES_GONE:
        message = (
            "The `payment_method_types` parameter is no longer supported. Use `allowed_payment_method_types`, "
            "`excluded_payment_method_types` or `payment_method_configuration`."
        )
        code = "payment_method_types_no_longer_supported"
        raise invalid(message, code=code, param="payment_method_types")
    if "allowed_payment_method_types" in params and version < _ALLOWED_CAME:
        raise parameter_unknown("allowed_payment_method_types")
    for name in ("allowed_payment_method_types", "excluded_payment_method_types"):
        for type_ in params.get(name) or ():
            if type_ not in payment_methods.KNOWN_TYPES:
                raise invalid(f"Invalid {name}: {type_} is no type of payment method.", param=name)
    others = [name for name in _NOT_WITH_ALLOWED if name in params]
    if "allowed_payment_method_types" in params and others:
        names = ", ".join(["allowed_payment_method_types", *others])
        raise invalid(f"You may only specify one of these parameters: {names}.")


_ALLOWED_CAME: Final = "2026-07-29"
_TYPES_GONE: Final = "2026-09-30"
_NOT_WITH_ALLOWED: Final = (
    "automatic_payment_methods",
    "excluded_payment_method_types",
    "payment_method_configuration",
    "payment_method_types",
)


def _new_fields(params: Json, currency: str) -> Json:
    automatic = _automatic(params)
    offered = ["card", *filter(None, [_DEBIT_CURRENCIES.get(currency)])]
    redirects = [type_ for type_, currencies in REDIRECTS.items() if currency in currencies]
    # Only where redirects are asked for by name: what leaves it open has cards and debits, as it always had here.
    if params.get("automatic_payment_methods", {}).get("allow_redirects") == "always":
        offered += redirects
    types = params.get("payment_method_types") or ["card"]
    if automatic is not None:
        types = [type_ for type_ in offered if type_ not in (params.get("excluded_payment_method_types") or ())]
    if params.get("allowed_payment_method_types"):
        types = [type_ for type_ in params["allowed_payment_method_types"] if type_ in (*offered, *redirects)]
    kept: Json = {name: params[name] for name in (*_KEPT, *_PLAIN) if name in params}
    method = params.get("confirmation_method", "automatic")
    if "payment_details" in params:
        kept["payment_details"] = {"customer_reference": None, "order_reference": None} | params["payment_details"]
    return kept | {
        "amount": params["amount"],
        "currency": currency,
        "automatic_payment_methods": automatic,
        "allowed_payment_method_types": params.get("allowed_payment_method_types"),
        "confirmation_method": method,
        "excluded_payment_method_types": params.get("excluded_payment_method_types"),
        "metadata": new_metadata(params),
        "payment_method_types": types,
    }


# fmt: off
_KEPT: Final = (
    "capture_method", "customer", "metadata", "payment_method_types", "setup_future_usage", "shipping",
    "transfer_group",
)
# fmt: on


def _automatic(params: Json) -> Json | None:
    """On by default, unless the types are listed (docs.stripe.com/upgrades, 2023-08-16)."""
    given = params.get("automatic_payment_methods")
    if given is None:
        listed = params.get("payment_method_types") or params.get("allowed_payment_method_types")
        return None if listed else {"allow_redirects": "always", "enabled": True}
    if params.get("payment_method_types"):
        message = "You may only specify one of these parameters: automatic_payment_methods, payment_method_types."
        raise invalid(message)
    return (
        {"allow_redirects": given.get("allow_redirects", "always"), "enabled": True} if given.get("enabled") else None
    )


def _check_redirects(automatic: Json | None, return_url: str | None) -> None:
    if automatic is not None and automatic["allow_redirects"] == "always" and not return_url:
        raise invalid(_REDIRECTS)


def _add(account: Account, params: Json, fields: Json) -> Record:
    id_ = account.new_id(KIND, "pi")
    body = objects.payment_intent(account, id_, **fields)
    method = _named_method(account, params)
    if method is not None:
        _check_usable(body, method)
    intent = account.add(KIND, id_, body, charges=[], authenticated=False)
    if method is not None:
        _attach(account, intent, method)
    return intent


def _named_method(account: Account, params: Json) -> Record | None:
    if params.get("payment_method_data"):
        return payment_methods.from_data(account, params["payment_method_data"])
    if params.get("payment_method"):
        return payment_methods.resolve(account, params["payment_method"])
    return None


def _check_usable(intent: Json, method: Record) -> None:
    allowed, type_ = _usable_types(intent), method.body["type"]
    if type_ not in allowed:
        message = (
            f"The PaymentMethod provided ({type_}) is not allowed for this PaymentIntent. "
            f"Please attach a PaymentMethod of one of the following types: {', '.join(allowed)}."
        )
        code = "payment_intent_incompatible_payment_method"
        raise invalid(message, code=code, param="payment_method", executed=True)
    _check_free(intent, method)


def _check_free(intent: Json, method: Record) -> None:
    """Refuse a method that a payment has used up, or that is another customer's."""
    customer = method.body["customer"]
    if customer is None and method.private.get("used"):
        raise invalid(_USED, param="payment_method", executed=True)
    if customer is not None and intent["customer"] is None:
        message = (
            f"The PaymentMethod {method.id} belongs to the Customer {customer}. Please include the Customer in the "
            "`customer` parameter on the PaymentIntent."
        )
        raise invalid(message, param="payment_method", executed=True)
    if customer is not None and intent["customer"] != customer:
        message = f"The PaymentMethod {method.id} does not belong to the Customer that you supplied."
        code = "payment_method_customer_mismatch"
        raise invalid(message, code=code, param="payment_method", executed=True)


_USED: Final = (
    "The provided PaymentMethod was previously used with a PaymentIntent without Customer attachment, shared with a "
    "connected account without Customer attachment, or was detached from a Customer. It may not be used again. To use "
    "a PaymentMethod multiple times, you must attach it to a Customer first."
)


def _usable_types(intent: Json) -> list[str]:
    """Bank debits cannot be held, so they do not go with manual capture."""
    types: list[str] = intent["payment_method_types"]
    return [type_ for type_ in types if type_ == "card"] if intent["capture_method"] == "manual" else types


def _attach(account: Account, intent: Record, method: Record) -> None:
    _check_usable(intent.body, method)
    account.update(intent, payment_method=method.id, status="requires_confirmation", next_action=None)
    account.note(intent, authenticated=False)


# --- read and change


def retrieve(account: Account, params: Json, id_: str) -> Json:
    """``GET /v1/payment_intents/{id}``."""
    intent = _require(account, id_)
    if "client_secret" in params:
        check_secret(intent, params["client_secret"])
    return intent.body


def _require(account: Account, id_: str) -> Record:
    return account.require(KIND, id_, param="intent")


def update(account: Account, params: Json, id_: str) -> Json:
    """``POST /v1/payment_intents/{id}``: money and method only before confirmation succeeded."""
    intent = _require(account, id_)
    _check_types(account, params)
    _check_references(account, params)
    if set(params) - {"metadata", "description", "receipt_email", "expand"}:
        _require_status(intent, "updated", account.refused_in_action)
    fields: Json = {name: params[name] for name in (*_KEPT, *_PLAIN) if name in params}
    if "amount" in params or "currency" in params:
        if not account.amount_in_action and intent.body["status"] == "requires_action":
            _require_status(intent, "updated", ("updated",))
        fields |= _new_price(account, intent, params)
    if "metadata" in params:
        fields["metadata"] = merged_metadata(intent.body["metadata"], params["metadata"])
    account.update(intent, **fields)
    method = _named_method(account, params)
    if method is not None:
        _attach(account, intent, method)
    return intent.body


def _new_price(account: Account, intent: Record, params: Json) -> Json:
    currency = _currency(params.get("currency") or intent.body["currency"])
    amount: int = params["amount"] if "amount" in params else intent.body["amount"]
    _check_amount(account, amount, currency)
    return {"amount": amount, "currency": currency}


def _require_status(intent: Record, change: str, refused_in_action: Collection[str] = ()) -> None:
    status = intent.body["status"]
    legal = [each for each in LEGAL[change] if each != "requires_action" or change not in refused_in_action]
    if status not in legal:
        message = (
            f"You cannot {_VERBS[change]} this PaymentIntent because it has a status of {status}. "
            "Only a PaymentIntent with "
            f"one of the following statuses may be {change}: {', '.join(legal)}."
        )
        raise unexpected_state(message, intent.body)


# --- confirm


def confirm(account: Account, params: Json, id_: str) -> Json:
    """``POST /v1/payment_intents/{id}/confirm`` with the secret key."""
    intent = _require(account, id_)
    _check_types(account, params)
    _require_status(intent, "confirmed", account.refused_in_action)
    if params.get("payment_method"):
        payment_methods.check_exists(account, params["payment_method"])
    _check_redirects(intent.body["automatic_payment_methods"], params.get("return_url"))
    _confirm(account, intent, params)
    return intent.body


def _confirm(account: Account, intent: Record, params: Json) -> None:
    _keep_confirmation(account, intent, params)
    method = _named_method(account, params) if intent.body["payment_method"] is None or _renames(params) else None
    if method is not None:
        _attach(account, intent, method)
    if intent.body["payment_method"] is None:
        message = (
            "You cannot confirm this PaymentIntent because it's missing a payment method. You can "
            "either update the "
            "PaymentIntent with a payment method and then confirm it again, or confirm it again "
            "directly with a payment "
            "method or ConfirmationToken."
        )
        raise unexpected_state(message, intent.body)
    used = account.get("payment_method", intent.body["payment_method"])
    error = attempt(account, intent, used, _circumstances(params))
    if error is not None:
        raise card_error({**error, "payment_intent": intent.body})


def _renames(params: Json) -> bool:
    """Whether a confirm call names a method; the method of create+confirm is attached by then."""
    return "confirm" not in params and bool(params.get("payment_method") or params.get("payment_method_data"))


def _keep_confirmation(account: Account, intent: Record, params: Json) -> None:
    if "confirm" in params:
        return
    names = ("capture_method", "setup_future_usage", "receipt_email", "shipping", "payment_method_types")
    account.update(intent, **{name: params[name] for name in names if name in params})


def _circumstances(params: Json) -> Circumstances:
    return Circumstances(
        off_session=bool(params.get("off_session")),
        error_on_requires_action=bool(params.get("error_on_requires_action")),
        return_url=params.get("return_url"),
        use_stripe_sdk=bool(params.get("use_stripe_sdk")),
    )


# --- capture and cancel


def capture(account: Account, params: Json, id_: str) -> Json:
    """``POST /v1/payment_intents/{id}/capture``: all by default; a part releases the rest."""
    intent = _require(account, id_)
    _require_status(intent, "captured")
    held: int = intent.body["amount_capturable"]
    amount: int = params.get("amount_to_capture", held)
    if amount > held:
        message = f"The amount_to_capture ({amount}) must not exceed the amount that can be captured ({held})."
        raise invalid(message, code="amount_too_large", param="amount_to_capture", executed=True)
    if params.get("final_capture") is False:
        raise invalid("Your account does not have multicapture enabled.", param="final_capture", executed=True)
    _capture(account, intent, amount, params)
    return intent.body


def _capture(account: Account, intent: Record, amount: int, params: Json) -> None:
    if "metadata" in params:
        account.update(intent, metadata=merged_metadata(intent.body["metadata"], params["metadata"]))
    charge = account.get("charge", intent.body["latest_charge"])
    descriptors = {name: params[name] for name in _DESCRIPTORS if name in params}
    account.update(intent, **descriptors)
    account.update(charge, **descriptors)
    take(account, charge, amount)
    emit(account, "charge.captured", charge.body)
    release(account, charge, charge.body["amount"] - amount)
    finish(account, intent, charge)


def cancel(account: Account, params: Json, id_: str) -> Json:
    """``POST /v1/payment_intents/{id}/cancel``."""
    intent = _require(account, id_)
    _require_status(intent, "canceled")
    close_as_canceled(account, intent, params.get("cancellation_reason"))
    return intent.body


# --- the customer's browser


def check_secret(intent: Record, client_secret: str) -> None:
    """Only who holds the client secret may act for the customer; raises 400."""
    if client_secret != intent.body["client_secret"]:
        message = "The client_secret provided does not match any associated PaymentIntent on this account."
        raise invalid(message, code="payment_intent_invalid_parameter", param="client_secret", executed=True)


def confirm_in_browser(
    account: Account, id_: str, client_secret: str, method: str, return_url: str | None = None
) -> Json:
    """The customer pays with a method id, a typed card number, or a type that redirects (``ideal``), with the
    publishable key."""
    intent = _require(account, id_)
    check_secret(intent, client_secret)
    _require_status(intent, "confirmed")
    how: Json = {"use_stripe_sdk": True, **({"return_url": return_url} if return_url else {})}
    if method in REDIRECTS:
        if not return_url:
            raise parameter_missing("return_url")
        _confirm(account, intent, {"payment_method_data": {"type": method}, **how})
        return intent.body
    number = method.replace(" ", "")
    if number.isdigit():
        method = payment_methods.typed_in(account, number).id
    else:
        payment_methods.check_exists(account, method)
    _confirm(account, intent, {"payment_method": method, **how})
    return intent.body


def authenticate(account: Account, id_: str, client_secret: str, outcome: str) -> Json:
    """The customer leaves the bank's window or page with ``succeeded`` or ``failed``; with ``processing`` has a bank
    consented that takes its time, for methods that redirect."""
    intent = _require(account, id_)
    check_secret(intent, client_secret)
    _leave_bank(account, intent, outcome)
    return intent.body


def _leave_bank(account: Account, intent: Record, outcome: str) -> None:
    if outcome not in ("succeeded", "failed", "processing"):
        raise invalid("Invalid outcome: must be one of succeeded, failed, processing", param="outcome")
    if intent.body["status"] != "requires_action":
        message = f"This PaymentIntent waits for no action: it has a status of {intent.body['status']}."
        raise unexpected_state(message, intent.body)
    method = account.get("payment_method", intent.body["payment_method"])
    if outcome == "processing" and method.body["type"] not in REDIRECTS:
        raise invalid("Invalid outcome: a card's bank decides at once", param="outcome")
    if outcome == "failed":
        fail_authentication(account, intent)
    elif outcome == "processing":
        account.update(intent, next_action=None)
        wait_for_bank(account, intent, method)
    else:
        _authenticated(account, intent)


def at_bank(account: Account, id_: str, key: str) -> Json:
    """What a bank's page asks consent for: amount, currency, and whether it ``may_wait`` with its answer.

    Raises 404 for another ``key`` than that of its address.
    """
    intent = _at_bank(account, id_, key).body
    method = account.find("payment_method", intent["payment_method"] or "")
    waits = method is not None and method.body["type"] in REDIRECTS
    return {"amount": intent["amount"], "currency": intent["currency"], "may_wait": waits}


def leave_bank_page(account: Account, id_: str, key: str, outcome: str) -> Json:
    """The customer leaves the bank's page; ``url`` is where the browser is sent back to. Sent twice it does nothing
    more."""
    intent = _at_bank(account, id_, key)
    action = intent.body["next_action"]
    if action is not None:
        account.note(intent, bank_returns_to=action["redirect_to_url"]["return_url"])
        _leave_bank(account, intent, outcome)
    status = {"succeeded": "succeeded", "requires_capture": "succeeded", "processing": "pending"}
    fields = {
        "payment_intent": intent.id,
        "payment_intent_client_secret": intent.body["client_secret"],
        "redirect_status": status.get(intent.body["status"], "failed"),
    }
    address = str(intent.private["bank_returns_to"])
    return {"url": f"{address}{'&' if '?' in address else '?'}{urlencode(fields)}"}


def _at_bank(account: Account, id_: str, key: str) -> Record:
    intent = account.find(KIND, id_)
    expected = str(intent.private.get("bank_key", "")) if intent is not None else ""
    if intent is None or not expected or not compare_digest(expected.encode(), key.encode()):
        raise no_such(KIND, id_, param="intent")
    return intent


def _authenticated(account: Account, intent: Record) -> None:
    account.note(intent, authenticated=True)
    account.update(intent, next_action=None)
    method = account.get("payment_method", intent.body["payment_method"])
    if intent.body["setup_future_usage"] == "off_session":
        account.note(method, set_up=True)
    if intent.body["confirmation_method"] == "manual":
        account.update(intent, status="requires_confirmation")
    else:
        charge_now(account, intent, method)
