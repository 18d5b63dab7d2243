"""PaymentIntents: create, change, confirm, capture, cancel. ``customer_actions.py`` has what customers do with them."""

from collections.abc import Collection, Mapping
from typing import Final

from booking_payments.sandbox.emulator import method_types, objects, payment_methods
from booking_payments.sandbox.emulator.answers import Json
from booking_payments.sandbox.emulator.charging import (
    Circumstances,
    attempt,
    close_as_canceled,
    finish,
    take,
)
from booking_payments.sandbox.emulator.common_intents import automatic_methods, named_method, require, require_for
from booking_payments.sandbox.emulator.currencies import CURRENCIES
from booking_payments.sandbox.emulator.errors import (
    Refusal,
    card_error,
    invalid,
    unexpected_state,
)
from booking_payments.sandbox.emulator.events import emit
from booking_payments.sandbox.emulator.intent_types import check_details, check_types, choose_types, configuration
from booking_payments.sandbox.emulator.params import merged_metadata, new_metadata
from booking_payments.sandbox.emulator.records import Record, StripeAccount
from booking_payments.sandbox.emulator.refunds import release

KIND: Final = "payment_intent"

_UNCONFIRMED: Final = ("requires_payment_method", "requires_confirmation", "requires_action")
LEGAL: Final[Mapping[str, tuple[str, ...]]] = {
    "updated": _UNCONFIRMED,
    "confirmed": _UNCONFIRMED,
    "captured": ("requires_capture",),
    "canceled": ("requires_payment_method", "requires_capture", "requires_confirmation", "requires_action"),
}
"""Statuses in which a PaymentIntent may be so changed (docs.stripe.com/payments/paymentintents/lifecycle)."""

_VERBS: Final = {"updated": "update", "confirmed": "confirm", "captured": "capture", "canceled": "cancel"}

_REDIRECTS: Final = (
    "This PaymentIntent is configured to accept payment methods enabled in your Dashboard. Because "
    "some of these payment "
    "methods might redirect your customer off of your page, you must provide a `return_url`. If "
    "you don't want to accept "
    "redirect-based payment methods, set `automatic_payment_methods[enabled]` to `true` and "
    "`automatic_payment_methods[allow_redirects]` to `never` when creating Setup Intents and Payment Intents."
)


# --- create


def create(account: StripeAccount, params: Json, _: str) -> Json:
    """``POST /v1/payment_intents``. A refused confirmation leaves the intent behind, as with Stripe."""
    currency = _currency(params["currency"])
    check_amount(account, params["amount"], currency)
    _check_only_with_confirm(params)
    check_types(account, params)
    check_references(account, params)
    fields = _new_fields(params, currency)
    _check_descriptor(fields, fields["payment_method_types"])
    if params.get("confirm"):
        check_redirects(fields["automatic_payment_methods"], params.get("return_url"))
    intent = _add(account, params, fields)
    emit(account, "payment_intent.created", intent.body)
    if params.get("confirm"):
        confirm_now(account, intent, params)
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


def check_amount(account: StripeAccount, amount: int, currency: str) -> None:
    """Raises 400 for a charge under the currency's minimum, over the account's maximum, or off the currency's step."""
    rules = CURRENCIES[currency]
    least, most = rules.minimum, rules.maximum(account.amount_digits)
    if amount < least:
        raise _bad_amount("amount_too_small", f"Amount must be at least {least} {currency}")
    if amount > most:
        raise _bad_amount("amount_too_large", f"Amount must be no more than {most} {currency}")
    check_step(amount, currency, "amount")


def check_step(amount: int, currency: str, param: str, *, executed: bool = False) -> None:
    """Raises 400 for an amount that is no multiple of the currency's smallest step."""
    step = CURRENCIES[currency].multiple
    if amount % step:
        message = f"Amounts in {currency} must be multiples of {step}"
        raise invalid(message, code="invalid_charge_amount", param=param, executed=executed)


def _bad_amount(code: str, message: str) -> Refusal:
    return invalid(message, code=code, param="amount")


def _check_only_with_confirm(params: Json) -> None:
    for name in ("error_on_requires_action", "mandate_data", "off_session", "return_url"):
        if params.get(name) and not params.get("confirm"):
            message = f"The parameter `{name}` needs `confirm` to be set to true."
            raise invalid(message, code="payment_intent_invalid_parameter", param=name)


def check_references(account: StripeAccount, params: Json) -> None:
    """Raises 400 for a customer or a method that the account does not have."""
    if params.get("customer"):
        account.require("customer", params["customer"], param="customer", status=400)
    if params.get("payment_method"):
        payment_methods.check_exists(account, params["payment_method"])


def _check_descriptor(intent: Json, types: Collection[str]) -> None:
    """A full descriptor is for other methods than cards (docs.stripe.com/get-started/account/statement-descriptors)."""
    if intent.get("statement_descriptor") and set(types) == {"card"}:
        message = (
            "The `statement_descriptor` parameter is not supported for the card payment method type. Use "
            "`statement_descriptor_suffix` instead."
        )
        raise invalid(message, param="statement_descriptor")


def _new_fields(params: Json, currency: str) -> Json:
    """The fields of a new intent, and ``redirects_asked``, which ``_add`` takes out."""
    automatic = automatic_methods(params)
    kept: Json = {name: params[name] for name in _KEPT if name in params}
    fields = kept | {
        "amount": params["amount"],
        "currency": currency,
        "automatic_payment_methods": automatic,
        "allowed_payment_method_types": params.get("allowed_payment_method_types"),
        "confirmation_method": params.get("confirmation_method", "automatic"),
        "excluded_payment_method_types": params.get("excluded_payment_method_types"),
        "metadata": new_metadata(params),
        "payment_method_configuration_details": configuration(params),
        # Redirects are offered only where they are asked for by name; other requests get cards and debits.
        "redirects_asked": params.get("automatic_payment_methods", {}).get("allow_redirects") == "always",
    }
    types = choose_types(fields, params.get("payment_method_types"), currency)
    fields["payment_method_types"] = types
    fields["payment_method_options"] = method_types.answered_options(types, params.get("payment_method_options") or {})
    if params.get("payment_details"):
        fields["payment_details"] = {"customer_reference": None, "order_reference": None} | params["payment_details"]
    return fields


# fmt: off
_KEPT: Final = (
    "capture_method", "customer", "description", "receipt_email", "setup_future_usage", "shipping",
    "statement_descriptor", "statement_descriptor_suffix", "transfer_group",
)
# fmt: on


def check_redirects(automatic: Json | None, return_url: str | None) -> None:
    """Raises 400 for a server's confirmation that may redirect and does not say where to."""
    if automatic is not None and automatic["allow_redirects"] == "always" and not return_url:
        raise invalid(_REDIRECTS)


def _add(account: StripeAccount, params: Json, fields: Json) -> Record:
    asked = fields.pop("redirects_asked")
    id_ = account.new_id(KIND, "pi")
    body = objects.payment_intent(account, id_, **fields)
    method = named_method(account, params)
    if method is not None:
        _check_usable(body, method)
    listed = params.get("payment_method_types")
    options = params.get("payment_method_options") or {}
    intent = account.add(
        KIND, id_, body, charges=[], authenticated=False, redirects_asked=asked, listed=listed, options=options
    )
    if method is not None:
        attach(account, intent, method)
    return intent


def _check_usable(intent: Json, method: Record) -> None:
    allowed, type_ = _usable_types(intent), method.body["type"]
    if type_ not in allowed:
        message = (
            f"The PaymentMethod provided ({type_}) is not allowed for this PaymentIntent. "
            f"Please attach a PaymentMethod of one of the following types: {', '.join(allowed)}."
        )
        code = "payment_intent_incompatible_payment_method"
        raise invalid(message, code=code, param="payment_method", executed=True)
    check_free(intent["customer"], method, "PaymentIntent")


def check_free(customer: str | None, method: Record, what: str) -> None:
    """Refuse a method that a payment has used up, or that is another customer's.

    ``customer``: the one of the intent; ``what``: the intent's kind, for the message.
    """
    owner = method.body["customer"]
    if owner is None and method.private.get("used"):
        raise invalid(_USED, param="payment_method", executed=True)
    if owner is not None and customer is None:
        message = (
            f"The PaymentMethod {method.id} belongs to the Customer {owner}. Please include the Customer in the "
            f"`customer` parameter on the {what}."
        )
        raise invalid(message, param="payment_method", executed=True)
    if owner is not None and customer != owner:
        message = f"The PaymentMethod {method.id} does not belong to the Customer that you supplied."
        code = "payment_method_customer_mismatch"
        raise invalid(message, code=code, param="payment_method", executed=True)


_USED: Final = (
    "The provided PaymentMethod was previously used with a PaymentIntent without Customer attachment, shared with a "
    "connected account without Customer attachment, or was detached from a Customer. It may not be used again. To use "
    "a PaymentMethod multiple times, you must attach it to a Customer first."
)


def _usable_types(intent: Json) -> list[str]:
    """Only cards can be held, so the other types do not go with manual capture."""
    types: list[str] = intent["payment_method_types"]
    return [type_ for type_ in types if type_ == "card"] if intent["capture_method"] == "manual" else types


def attach(account: StripeAccount, intent: Record, method: Record) -> None:
    """Pay this intent with ``method`` when it is confirmed; raises 400 for one that it does not accept."""
    _check_usable(intent.body, method)
    account.update(intent, payment_method=method.id, status="requires_confirmation", next_action=None)
    account.note(intent, authenticated=False)


# --- change


def update(account: StripeAccount, params: Json, id_: str) -> Json:
    """``POST /v1/payment_intents/{id}``: money and method only before confirmation succeeded."""
    intent = require(account, KIND, id_)
    check_types(account, params)
    check_references(account, params)
    if set(params) - {"metadata", "description", "receipt_email", "expand"}:
        require_status(intent, "updated", account.refused_in_action)
    fields: Json = {name: params[name] for name in _KEPT if name in params}
    if "amount" in params or "currency" in params:
        if not account.amount_in_action and intent.body["status"] == "requires_action":
            require_status(intent, "updated", ("updated",))
        fields |= _new_price(account, intent, params)
    if "metadata" in params:
        fields["metadata"] = merged_metadata(intent.body["metadata"], params["metadata"])
    if "payment_details" in params:
        fields["payment_details"] = _payment_details(intent, params["payment_details"])
    _check_descriptor(intent.body | fields, intent.body["payment_method_types"])
    account.update(intent, **fields)
    apply_choice(account, intent, params)
    method = named_method(account, params)
    if method is not None:
        attach(account, intent, method)
    return intent.body


def _payment_details(intent: Record, given: Json | None) -> Json:
    before = intent.body.get("payment_details") or {"customer_reference": None, "order_reference": None}
    return dict.fromkeys(before) if given is None else before | given


def apply_choice(account: StripeAccount, intent: Record, params: Json) -> None:
    """Write which types the intent accepts from now on, and their options, where ``params`` change them."""
    fields: Json = {}
    if params.get("allowed_payment_method_types"):
        fields |= {"allowed_payment_method_types": params["allowed_payment_method_types"]}
        fields |= {"automatic_payment_methods": None, "excluded_payment_method_types": None}
    elif "excluded_payment_method_types" in params:
        fields |= {"excluded_payment_method_types": params["excluded_payment_method_types"] or None}
    if params.get("payment_method_configuration"):
        fields["payment_method_configuration_details"] = configuration(params)
    if params.get("payment_method_types"):
        account.note(intent, listed=params["payment_method_types"])
        fields |= {"automatic_payment_methods": None}
    options = params.get("payment_method_options") or {}
    if options:
        merged = {**intent.private["options"]}
        for type_, given in options.items():
            merged[type_] = {} if given is None else {**(merged.get(type_) or {}), **given}
        account.note(intent, options=merged)
    if not (fields or options or "currency" in params):
        return
    asked = {"redirects_asked": intent.private["redirects_asked"]}
    types = choose_types(intent.body | fields | asked, intent.private["listed"], intent.body["currency"])
    answered = method_types.answered_options(types, intent.private["options"])
    account.update(intent, **fields, payment_method_types=types, payment_method_options=answered)


def _new_price(account: StripeAccount, intent: Record, params: Json) -> Json:
    currency = _currency(params.get("currency") or intent.body["currency"])
    amount: int = params["amount"] if "amount" in params else intent.body["amount"]
    check_amount(account, amount, currency)
    return {"amount": amount, "currency": currency}


def require_status(intent: Record, change: str, refused_in_action: Collection[str] = ()) -> None:
    """Raises 400 ``payment_intent_unexpected_state`` where ``change`` (of ``LEGAL``) does not fit the status."""
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


def confirm(account: StripeAccount, params: Json, id_: str) -> Json:
    """``POST /v1/payment_intents/{id}/confirm`` with the secret key."""
    intent = require_for(account, KIND, id_, params)
    check_types(account, params)
    require_status(intent, "confirmed", account.refused_in_action)
    if params.get("payment_method"):
        payment_methods.check_exists(account, params["payment_method"])
    check_redirects(intent.body["automatic_payment_methods"], params.get("return_url"))
    confirm_now(account, intent, params)
    return intent.body


def confirm_now(account: StripeAccount, intent: Record, params: Json) -> None:
    """Confirm an intent; raises 402 for a declined attempt, 400 for an impossible one."""
    _keep_confirmation(account, intent, params)
    method = named_method(account, params) if intent.body["payment_method"] is None or _renames(params) else None
    if method is not None:
        attach(account, intent, method)
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
    _check_usable(intent.body, used)
    _check_descriptor(intent.body, [used.body["type"]])
    check_details(used, params)
    error = attempt(account, intent, used, _circumstances(params))
    if error is not None:
        raise card_error({**error, "payment_intent": intent.body})


def _renames(params: Json) -> bool:
    """Whether a confirm call names a method; the method of create+confirm is attached by then."""
    return "confirm" not in params and bool(params.get("payment_method") or params.get("payment_method_data"))


def _keep_confirmation(account: StripeAccount, intent: Record, params: Json) -> None:
    if "confirm" in params:
        return
    names = ("capture_method", "setup_future_usage", "receipt_email", "shipping")
    account.update(intent, **{name: params[name] for name in names if name in params})
    if "payment_details" in params:
        account.update(intent, payment_details=_payment_details(intent, params["payment_details"]))
    apply_choice(account, intent, params)


def _circumstances(params: Json) -> Circumstances:
    return Circumstances(
        off_session=bool(params.get("off_session")),
        error_on_requires_action=bool(params.get("error_on_requires_action")),
        return_url=params.get("return_url"),
        use_stripe_sdk=bool(params.get("use_stripe_sdk")),
    )


# --- capture and cancel


def capture(account: StripeAccount, params: Json, id_: str) -> Json:
    """``POST /v1/payment_intents/{id}/capture``: all by default; a part releases the rest."""
    intent = require(account, KIND, id_)
    require_status(intent, "captured")
    _check_descriptor(params, ["card"])
    held: int = intent.body["amount_capturable"]
    amount: int = params.get("amount_to_capture", held)
    if amount > held:
        message = f"The amount_to_capture ({amount}) must not exceed the amount that can be captured ({held})."
        raise invalid(message, code="amount_too_large", param="amount_to_capture", executed=True)
    check_step(amount, intent.body["currency"], "amount_to_capture", executed=True)
    if params.get("final_capture") is False:
        raise invalid("Your account does not have multicapture enabled.", param="final_capture", executed=True)
    _capture(account, intent, amount, params)
    return intent.body


def _capture(account: StripeAccount, intent: Record, amount: int, params: Json) -> None:
    if "metadata" in params:
        account.update(intent, metadata=merged_metadata(intent.body["metadata"], params["metadata"]))
    if "payment_details" in params:
        account.update(intent, payment_details=_payment_details(intent, params["payment_details"]))
    charge = account.get("charge", intent.body["latest_charge"])
    descriptors = {name: params[name] for name in ("statement_descriptor_suffix",) if name in params}
    account.update(intent, **descriptors)
    account.update(charge, **descriptors)
    take(account, charge, amount)
    emit(account, "charge.captured", charge.body)
    release(account, charge, charge.body["amount"] - amount)
    finish(account, intent, charge)


def cancel(account: StripeAccount, params: Json, id_: str) -> Json:
    """``POST /v1/payment_intents/{id}/cancel``."""
    intent = require(account, KIND, id_)
    require_status(intent, "canceled")
    close_as_canceled(account, intent, params.get("cancellation_reason"))
    return intent.body
