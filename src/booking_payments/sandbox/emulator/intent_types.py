"""Which types of payment methods an intent accepts, and what each needs to be confirmed with."""

from collections.abc import Mapping
from typing import Any, Final

from booking_payments.sandbox.emulator import method_types
from booking_payments.sandbox.emulator.answers import Json
from booking_payments.sandbox.emulator.errors import invalid, parameter_missing, parameter_unknown
from booking_payments.sandbox.emulator.records import Record, StripeAccount


def check_types(account: StripeAccount, params: Json) -> None:
    """Which parameters name types of methods depends on the version (docs.stripe.com/changelog)."""
    version = account.request.version or account.api_version
    if "payment_method_types" in params and version >= TYPES_GONE:
        message = (
            "The `payment_method_types` parameter is no longer supported. Use `allowed_payment_method_types`, "
            "`excluded_payment_method_types` or `payment_method_configuration`."
        )
        code = "payment_method_types_no_longer_supported"
        raise invalid(message, code=code, param="payment_method_types")
    if "allowed_payment_method_types" in params and version < _ALLOWED_CAME:
        raise parameter_unknown("allowed_payment_method_types")
    for given in ("allowed_payment_method_types", "payment_method_types"):
        others = [name for name in _EXCLUSIVE[given] if params.get(name)]
        if given in params and others:
            raise invalid(f"You may only specify one of these parameters: {', '.join([given, *others])}.")
    for position, type_ in enumerate(params.get("payment_method_types") or ()):
        if type_ not in method_types.MODELLED:
            param = f"payment_method_types[{position}]"
            raise invalid(f"Parameter value not modelled by this sandbox: {param}={type_}.", param=param)


_ALLOWED_CAME: Final = "2026-07-29"
TYPES_GONE: Final = "2026-09-30"
_EXCLUSIVE: Final = {
    "allowed_payment_method_types": (
        "automatic_payment_methods",
        "excluded_payment_method_types",
        "payment_method_configuration",
        "payment_method_types",
    ),
    "payment_method_types": (
        "automatic_payment_methods",
        "excluded_payment_method_types",
        "payment_method_configuration",
    ),
}


def choose_types(fields: Json, listed: list[str] | None, currency: str) -> list[str]:
    """The types that an intent accepts. Allowed ones that do not fit the currency are dropped without an error."""
    if listed:
        return listed
    allowed, excluded = fields["allowed_payment_method_types"], fields["excluded_payment_method_types"] or ()
    if allowed:
        fits = method_types.offered(currency, redirects=True, named=tuple(allowed))
        return [type_ for type_ in allowed if type_ in fits]
    automatic = fields["automatic_payment_methods"]
    if automatic is None:
        return ["card"]
    redirects = automatic["allow_redirects"] == "always" and fields["redirects_asked"]
    return [type_ for type_ in method_types.offered(currency, redirects=redirects) if type_ not in excluded]


def configuration(params: Json) -> Json | None:
    """``payment_method_configuration_details`` for the parameter of nearly the same name."""
    id_ = params.get("payment_method_configuration")
    return {"id": id_, "parent": None} if id_ else None


def check_details(method: Record, params: Json) -> None:
    """Raises 400 where a type needs billing details or a mandate that the request does not have.

    In the browser Stripe.js shows the mandate, and sends it (``typed``).
    """
    type_, billing = method.body["type"], method.body["billing_details"]
    for path in _needed_details(method):
        value: Any = billing
        for step in path:
            value = (value or {}).get(step)
        if not value:
            param = "billing_details" + "".join(f"[{step}]" for step in path)
            raise parameter_missing(param)
    mandated = params.get("mandate_data") or params.get("typed") or method.private.get("mandate")
    if type_ == "sepa_debit" and not mandated:
        message = (
            "You must provide `mandate_data` (or a mandate from an earlier payment) when you confirm with the payment "
            "method type sepa_debit and a secret key."
        )
        raise invalid(message, code="parameter_missing", param="mandate_data", executed=True)


def _needed_details(method: Record) -> list[tuple[str, ...]]:
    type_ = method.body["type"]
    needed = list(_BILLING.get(type_, ()))
    if type_ == "sepa_debit" and method.body["sepa_debit"]["country"] not in _EEA:
        needed += [("address", "line1"), ("address", "country")]
    return needed


_BILLING: Final[Mapping[str, tuple[tuple[str, ...], ...]]] = {
    "sepa_debit": (("name",), ("email",)),
    "boleto": (
        ("name",),
        ("email",),
        *(("address", line) for line in ("line1", "city", "state", "postal_code", "country")),
    ),
    "konbini": (("name",), ("email",)),
    "multibanco": (("email",),),
    "oxxo": (("name",), ("email",)),
}
"""What ``billing_details`` must have (docs.stripe.com/payments/sepa-debit, .../boleto, .../konbini, ...)."""

# fmt: off
_EEA: Final = frozenset((
    "AT", "BE", "BG", "HR", "CY", "CZ", "DK", "EE", "FI", "FR", "DE", "GR", "HU", "IE", "IT", "LV", "LT", "LU", "MT",
    "NL", "PL", "PT", "RO", "SK", "SI", "ES", "SE", "IS", "LI", "NO",
))
# fmt: on
"""Bank accounts outside the European Economic Area need an address since 2026-09-30.endive."""
