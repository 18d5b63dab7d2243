"""SetupIntents: a customer's method is authenticated and kept for later payments, without a charge."""

from typing import Any, Final

from booking_payments.sandbox.emulator import method_types, objects, payment_methods
from booking_payments.sandbox.emulator.answers import Json, copy_json
from booking_payments.sandbox.emulator.cards import Authentication
from booking_payments.sandbox.emulator.charging import script_action
from booking_payments.sandbox.emulator.common_intents import (
    automatic_methods,
    check_secret,
    named_method,
    require,
    require_for,
)
from booking_payments.sandbox.emulator.errors import card_error, error_body, invalid
from booking_payments.sandbox.emulator.events import emit
from booking_payments.sandbox.emulator.intent_params import MANDATE_DATA, OLD_TYPE_FIELD, TYPE_FIELDS
from booking_payments.sandbox.emulator.intent_types import check_types, configuration
from booking_payments.sandbox.emulator.intents import check_free, check_redirects, check_references
from booking_payments.sandbox.emulator.params import (
    Fields,
    boolean,
    choice,
    expand,
    id_text,
    mapping,
    merged_metadata,
    metadata,
    new_metadata,
    not_modelled,
    text,
    unsettable,
    web_address,
)
from booking_payments.sandbox.emulator.records import Record, StripeAccount

KIND: Final = "setup_intent"

_SAVEABLE: Final = ("card", "sepa_debit", "us_bank_account")
"""The types of the emulator whose methods can be kept without a payment."""

_OPTIONS: Final = mapping(
    {
        "card": mapping(
            {
                "request_three_d_secure": choice("any", "automatic", "challenge"),
                **not_modelled("mandate_options", "moto", "network", "setup_credential_usage", "three_d_secure"),
            }
        ),
        "sepa_debit": mapping(not_modelled("mandate_options")),
        "us_bank_account": mapping(
            {
                "verification_method": choice("automatic", "instant"),
                **not_modelled("financial_connections", "mandate_options", "networks"),
            }
        ),
        **not_modelled(
            "acss_debit",
            "amazon_pay",
            "bacs_debit",
            "bizum",
            "blik",
            "card_present",
            "klarna",
            "link",
            "paypal",
            "payto",
            "pix",
            "upi",
        ),
    }
)
_COMMON: Final[Fields] = {
    **TYPE_FIELDS,
    **OLD_TYPE_FIELD,
    "customer": id_text(),
    "description": text(),
    "metadata": metadata(),
    "payment_method": id_text(),
    "payment_method_data": mapping(payment_methods.DATA_FIELDS),
    "payment_method_options": _OPTIONS,
    **not_modelled("attach_to_self", "customer_account", "flow_directions"),
    "expand": expand(),
}
_CONFIRMATION: Final[Fields] = {
    "mandate_data": MANDATE_DATA,
    "return_url": web_address(),
    "use_stripe_sdk": boolean(),
    **not_modelled("confirmation_token"),
}
CREATE_FIELDS: Final[Fields] = {
    **_COMMON,
    **_CONFIRMATION,
    "automatic_payment_methods": mapping({"enabled": boolean(), "allow_redirects": choice("always", "never")}),
    "confirm": boolean(),
    "usage": choice("off_session", "on_session"),
    **not_modelled("on_behalf_of", "single_use"),
}
UPDATE_FIELDS: Final[Fields] = {
    **_COMMON,
    "allowed_payment_method_types": unsettable(TYPE_FIELDS["allowed_payment_method_types"]),
}
CONFIRM_FIELDS: Final[Fields] = {
    **_CONFIRMATION,
    "allowed_payment_method_types": TYPE_FIELDS["allowed_payment_method_types"],
    **{name: _COMMON[name] for name in ("payment_method", "payment_method_data", "payment_method_options", "expand")},
    "client_secret": text(),
}
CANCEL_FIELDS: Final[Fields] = {
    "cancellation_reason": choice("abandoned", "duplicate", "requested_by_customer"),
    "expand": expand(),
}
RETRIEVE_FIELDS: Final[Fields] = {"client_secret": text(), "expand": expand()}


def create(account: StripeAccount, params: Json, _: str) -> Json:
    """``POST /v1/setup_intents``."""
    check_types(account, params)
    check_references(account, params)
    automatic = automatic_methods(params)
    if params.get("confirm"):
        check_redirects(automatic, params.get("return_url"))
    id_ = account.new_id(KIND, "seti")
    types = _types(params)
    body = objects.setup_intent(
        account,
        id_,
        automatic_payment_methods=automatic,
        payment_method_types=types,
        payment_method_options=_answered_options(types, params.get("payment_method_options") or {}),
        payment_method_configuration_details=configuration(params),
        metadata=new_metadata(params),
        **{name: params[name] for name in _KEPT if name in params},
    )
    method = named_method(account, params)
    if method is not None:
        _check_usable(body, method)
    intent = account.add(KIND, id_, body)
    if method is not None:
        account.update(intent, payment_method=method.id, status="requires_confirmation")
    emit(account, "setup_intent.created", intent.body)
    if params.get("confirm"):
        _confirm(account, intent, params)
    return intent.body


_KEPT: Final = ("allowed_payment_method_types", "customer", "description", "excluded_payment_method_types", "usage")


def _types(params: Json) -> list[str]:
    asked = params.get("payment_method_types") or params.get("allowed_payment_method_types") or _SAVEABLE
    excluded = params.get("excluded_payment_method_types") or ()
    return [type_ for type_ in asked if type_ in _SAVEABLE and type_ not in excluded]


def _answered_options(types: list[str], given: Json) -> Json:
    options = method_types.answered_options(types, given)
    if "card" in options:
        del options["card"]["installments"]
    return options


def _check_usable(intent: Json, method: Record) -> None:
    if method.body["type"] not in intent["payment_method_types"]:
        message = (
            f"The PaymentMethod provided ({method.body['type']}) is not allowed for this SetupIntent. Please attach a "
            f"PaymentMethod of one of the following types: {', '.join(intent['payment_method_types'])}."
        )
        raise invalid(message, param="payment_method", executed=True)
    check_free(intent["customer"], method, "SetupIntent")


def update(account: StripeAccount, params: Json, id_: str) -> Json:
    """``POST /v1/setup_intents/{id}``."""
    intent = require(account, KIND, id_)
    check_types(account, params)
    check_references(account, params)
    _require_open(intent, "update")
    fields: Json = {name: params[name] for name in _KEPT if name in params}
    if "metadata" in params:
        fields["metadata"] = merged_metadata(intent.body["metadata"], params["metadata"])
    if params.get("payment_method_configuration"):
        fields["payment_method_configuration_details"] = configuration(params)
    account.update(intent, **fields)
    method = named_method(account, params)
    if method is not None:
        _check_usable(intent.body, method)
        account.update(intent, payment_method=method.id, status="requires_confirmation", next_action=None)
    return intent.body


def _require_open(intent: Record, verb: str) -> None:
    status = intent.body["status"]
    if status in ("succeeded", "canceled", "processing"):
        message = f"You cannot {verb} this SetupIntent because it has a status of {status}."
        raise invalid(message, code="setup_intent_unexpected_state", executed=True, setup_intent=intent.body)


def confirm(account: StripeAccount, params: Json, id_: str) -> Json:
    """``POST /v1/setup_intents/{id}/confirm`` with the secret key."""
    intent = require_for(account, KIND, id_, params)
    check_types(account, params)
    check_references(account, params)
    _require_open(intent, "confirm")
    check_redirects(intent.body["automatic_payment_methods"], params.get("return_url"))
    _confirm(account, intent, params)
    return intent.body


def confirm_in_browser(account: StripeAccount, params: Json, id_: str) -> Json:
    """The same with the publishable key and the client secret; Stripe.js handles the next action."""
    intent = require(account, KIND, id_)
    check_secret(intent, params.get("client_secret"))
    check_references(account, params)
    _require_open(intent, "confirm")
    _confirm(account, intent, {**params, "use_stripe_sdk": True, "typed": True})
    return intent.body


def _confirm(account: StripeAccount, intent: Record, params: Json) -> None:
    method = named_method(account, params) if "confirm" not in params else None
    if method is not None:
        _check_usable(intent.body, method)
        account.update(intent, payment_method=method.id)
    if intent.body["payment_method"] is None:
        message = "You cannot confirm this SetupIntent because it's missing a payment method."
        raise invalid(message, code="setup_intent_unexpected_state", executed=True, setup_intent=intent.body)
    method = account.get("payment_method", intent.body["payment_method"])
    _check_mandate(method, params)
    does = payment_methods.behaviour_of(method)
    if not does.attachable and does.decline is not None:
        raise card_error({**_fail(account, intent, method, _declined(method)), "setup_intent": intent.body})
    asked = (params.get("payment_method_options") or {}).get("card") or intent.body["payment_method_options"].get(
        "card"
    )
    wanted = (asked or {}).get("request_three_d_secure") in ("any", "challenge") and does.three_d_secure
    if wanted or does.authentication is not Authentication.NEVER:
        url = params.get("return_url")
        action = script_action(account)
        if url is not None and not params.get("use_stripe_sdk"):
            page = f"https://hooks.stripe.com/3d_secure_2/hosted?setup_intent={intent.id}"
            action = {"type": "redirect_to_url", "redirect_to_url": {"return_url": url, "url": page}}
        account.update(intent, status="requires_action", next_action=action)
        emit(account, "setup_intent.requires_action", intent.body)
    else:
        _succeed(account, intent, method)


def _check_mandate(method: Record, params: Json) -> None:
    if method.body["type"] == "sepa_debit" and not (params.get("mandate_data") or params.get("typed")):
        message = "You must provide `mandate_data` when you confirm a SetupIntent of the type sepa_debit."
        raise invalid(message, code="parameter_missing", param="mandate_data", executed=True)


def _declined(method: Record) -> Json:
    decline: Any = payment_methods.behaviour_of(method).decline
    return error_body(
        "card_error",
        decline.message,
        code=decline.code,
        decline_code=decline.decline_code,
        advice_code=decline.advice_code,
        param=decline.param,
    )


def _fail(account: StripeAccount, intent: Record, method: Record, error: Json) -> Json:
    error = {**error, "payment_method": copy_json(method.body)}
    account.update(
        intent, status="requires_payment_method", payment_method=None, next_action=None, last_setup_error=error
    )
    emit(account, "setup_intent.setup_failed", intent.body)
    return error


def _succeed(account: StripeAccount, intent: Record, method: Record) -> None:
    if intent.body["customer"] is not None:
        payment_methods.give_to(account, method, intent.body["customer"])
    mandate = None
    if method.body["type"] != "card":
        mandate = f"mandate_{account.token()}"
        account.note(method, mandate=mandate)
    account.note(method, set_up=intent.body["usage"] == "off_session")
    account.update(intent, status="succeeded", next_action=None, last_setup_error=None, mandate=mandate)
    emit(account, "setup_intent.succeeded", intent.body)


def authenticate(account: StripeAccount, id_: str, client_secret: str, outcome: str) -> Json:
    """The customer leaves the bank's 3-D Secure window with ``succeeded`` or ``failed``."""
    intent = require(account, KIND, id_)
    check_secret(intent, client_secret)
    if outcome not in ("succeeded", "failed"):
        raise invalid("Invalid outcome: must be one of succeeded, failed", param="outcome")
    if intent.body["status"] != "requires_action":
        message = f"This SetupIntent waits for no action: it has a status of {intent.body['status']}."
        raise invalid(message, code="setup_intent_unexpected_state", executed=True, setup_intent=intent.body)
    method = account.get("payment_method", intent.body["payment_method"])
    if outcome == "succeeded":
        _succeed(account, intent, method)
    else:
        message = "We are unable to authenticate your payment method. Please choose a different payment method."
        error = error_body("invalid_request_error", message, code="setup_intent_authentication_failure")
        _fail(account, intent, method, error)
    return intent.body


def cancel(account: StripeAccount, params: Json, id_: str) -> Json:
    """``POST /v1/setup_intents/{id}/cancel``."""
    intent = require(account, KIND, id_)
    _require_open(intent, "cancel")
    reason = params.get("cancellation_reason")
    account.update(intent, status="canceled", cancellation_reason=reason, next_action=None)
    emit(account, "setup_intent.canceled", intent.body)
    return intent.body
