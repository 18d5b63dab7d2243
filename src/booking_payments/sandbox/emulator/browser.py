"""What a customer's browser may do with the publishable key, and the client secret of an intent."""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from attrs import evolve

from booking_payments.sandbox.emulator import customer_actions, intents, payment_methods, setup_intents
from booking_payments.sandbox.emulator.answers import Json
from booking_payments.sandbox.emulator.common_intents import retrieving
from booking_payments.sandbox.emulator.errors import unauthorized
from booking_payments.sandbox.emulator.expansion import expanded, expansions
from booking_payments.sandbox.emulator.intent_params import CONFIRM_FIELDS, RETRIEVE_FIELDS
from booking_payments.sandbox.emulator.method_types import MODELLED
from booking_payments.sandbox.emulator.params import Fields, choice, mapping, read_params, text
from booking_payments.sandbox.emulator.records import StripeAccount

# fmt: off
ABOUT_THE_BROWSER: Final = frozenset((
    "client_attribution_metadata", "expected_payment_method_type", "guid", "muid", "pasted_fields",
    "payment_user_agent", "radar_options", "referrer", "sid", "time_on_page",
))
# fmt: on
"""What Stripe's scripts send about the browser, for Radar. It has no effect here."""

DATA_FIELDS: Final[Fields] = {
    **payment_methods.DATA_FIELDS,
    "type": evolve(choice(*MODELLED), required=True),
}
"""``payment_method_data`` of a browser, which can also be of a type that redirects."""

_SECRET: Final = {"client_secret": text(required=True)}
_CONFIRMED: Final = (
    "expand",
    "mandate_data",
    "payment_method",
    "payment_method_options",
    "receipt_email",
    "return_url",
    "setup_future_usage",
    "shipping",
    "use_stripe_sdk",
)
_CONFIRM: Final[Fields] = {
    **{name: CONFIRM_FIELDS[name] for name in _CONFIRMED},
    **_SECRET,
    "payment_method_data": mapping(DATA_FIELDS),
}
_CONFIRM_SETUP: Final[Fields] = {
    **{name: field for name, field in setup_intents.CONFIRM_FIELDS.items() if name in _CONFIRMED},
    **_SECRET,
    "payment_method_data": mapping(DATA_FIELDS),
}
_RETRIEVE: Final[Fields] = {**RETRIEVE_FIELDS, **_SECRET}


def _create_method(account: StripeAccount, params: Json, _: str) -> Json:
    return payment_methods.from_data(account, params, typed=True).body


_ROUTES: Final[Mapping[str, tuple[str, Fields, Callable[[StripeAccount, Json, str], Json]]]] = {
    "GET /v1/payment_intents/([^/]+)": ("payment_intent", _RETRIEVE, retrieving(intents.KIND)),
    "POST /v1/payment_intents/([^/]+)/confirm": ("payment_intent", _CONFIRM, customer_actions.confirm),
    "GET /v1/setup_intents/([^/]+)": ("setup_intent", _RETRIEVE, retrieving(setup_intents.KIND)),
    "POST /v1/setup_intents/([^/]+)/confirm": ("setup_intent", _CONFIRM_SETUP, setup_intents.confirm_in_browser),
    "POST /v1/payment_methods": ("payment_method", DATA_FIELDS, _create_method),
}


_PATTERNS: Final = {line: re.compile(line.partition(" ")[2]) for line in _ROUTES}


def is_for_browsers(method: str, path: str) -> bool:
    """Whether a publishable key may ask for this."""
    return _find(method, path) is not None


def is_open_to_pages(path: str) -> bool:
    """Whether pages of other origins may read the answer from ``path``."""
    return any(pattern.fullmatch(path) for pattern in _PATTERNS.values())


def _find(method: str, path: str) -> tuple[str, str] | None:
    """The line of ``_ROUTES`` for a request, and the id in the path (empty without one)."""
    for line, pattern in _PATTERNS.items():
        match = pattern.fullmatch(path)
        if match and line.startswith(f"{method} "):
            return line, "".join(match.groups())
    return None


def execute(account: StripeAccount, method: str, path: str, params: Mapping[str, Any]) -> Json:
    """Do what a browser asks for; its answer. Raises ``Refusal``, 401 for what needs the secret key."""
    found = _find(method, path)
    if found is None:
        raise unauthorized(
            "This API call cannot be made with a publishable API key. Please use a secret API key.",
            code="secret_key_required",
        )
    line, id_ = found
    kind, fields, handler = _ROUTES[line]
    values = read_params(_without_noise(params), fields)
    paths = expansions(values, kind, in_list=False)
    return expanded(account, handler(account, values, id_), paths)


def _without_noise(params: Mapping[str, Any]) -> Json:
    kept = {name: value for name, value in params.items() if name not in ABOUT_THE_BROWSER}
    data = kept.get("payment_method_data")
    if isinstance(data, Mapping):
        kept["payment_method_data"] = _without_noise(data)
    return kept
