"""Decoding of Stripe's objects: JSON in, reports out.

Enums are open, and API versions add and remove fields, so decoding is lenient: an unknown status becomes None, and only
a missing id, amount or currency makes an object unreadable (``UnreadableObject``).
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from enum import Enum
from typing import Any, Final, TypeVar

from booking_payments.adapters.gateways.stripe.amounts import AmountNotRepresentable, exponent, from_stripe
from booking_payments.domain import metadata_keys
from booking_payments.domain.declines import GENERIC_TEXT, Decline
from booking_payments.domain.disputes import DisputeMovement
from booking_payments.domain.errors import InvalidInput, UnknownCurrency
from booking_payments.domain.lifecycle import DisputeStatus, PaymentStatus, RefundStatus
from booking_payments.domain.money import Currency, Money
from booking_payments.domain.reports import (
    DisputeReport,
    Failure,
    IntentReport,
    MethodDetails,
    RefundReport,
    Unreadable,
)
from booking_payments.domain.texts import require_web_address

Object = Mapping[str, Any]
Known = TypeVar("Known", bound=Enum)


class UnreadableObject(ValueError):  # noqa: N818 - named like the errors of the ports
    """The object lacks a required field, or has it with a wrong type."""


def intent_report(body: Object, *, replayed: bool = False) -> IntentReport:
    """Decode a PaymentIntent (docs.stripe.com/api/payment_intents/object)."""
    amount = _money(body, "amount")
    status = _known(PaymentStatus, body.get("status"))
    charge = _mapping(body.get("latest_charge"))
    return IntentReport(
        id=_text(body, "id"),
        status=None if status is PaymentStatus.FAILED else status,
        amount=amount,
        amount_received=_money(body, "amount_received"),
        amount_capturable=_money(body, "amount_capturable", default=0),
        charge_id=id_of(body.get("latest_charge")),
        method=charge_method(charge),
        capture_before=_capture_before(charge),
        receipt_url=_receipt_url(charge),
        payment_method_id=id_of(body.get("payment_method")),
        failure=_failure(body.get("last_payment_error")),
        client_secret=_optional_text(body.get("client_secret")),
        next_action=_mapping(body.get("next_action")) or None,
        method_types=_texts(body.get("payment_method_types")),
        metadata=_metadata(body),
        created_at=time_of(body.get("created")),
        replayed=replayed,
    )


def charge_method(charge: Object) -> MethodDetails | None:
    """Return the method of a charge (docs.stripe.com/api/charges/object); None for an id that was not expanded."""
    details = charge.get("payment_method_details")
    type_ = _optional_text(details.get("type")) if isinstance(details, Mapping) else None
    if type_ is None or not isinstance(details, Mapping):
        return None
    its = _mapping(details.get(type_))
    return MethodDetails(
        type=type_,
        brand=_optional_text(its.get("brand")),
        last4=_optional_text(its.get("last4")),
        wallet=_optional_text(_mapping(its.get("wallet")).get("type")),
    )


def _capture_before(charge: Object) -> datetime | None:
    details = charge.get("payment_method_details")
    if not isinstance(details, Mapping):
        return None
    return time_of(_mapping(details.get(str(details.get("type")))).get("capture_before"))


def _receipt_url(charge: Object) -> str | None:
    """Return the address of the charge's receipt; None without one, and for one that is not an https address."""
    url = _optional_text(charge.get("receipt_url"))
    try:
        return url if url and require_web_address(url, "receipt_url").startswith("https://") else None
    except InvalidInput:
        return None


def charge_report(body: Object) -> IntentReport:
    """Decode a successful charge as a report of its intent: only the method and the capture deadline.

    Everything else follows from the intent's own events.
    """
    amount = _money(body, "amount")
    intent_id = id_of(body.get("payment_intent"))
    if intent_id is None:
        raise UnreadableObject("payment_intent is missing")
    return IntentReport(
        id=intent_id,
        status=PaymentStatus.SUCCEEDED if body.get("captured") is True else PaymentStatus.REQUIRES_CAPTURE,
        amount=amount,
        amount_received=_money(body, "amount_captured", default=0),
        amount_capturable=Money.zero(amount.currency),
        charge_id=_text(body, "id"),
        method=charge_method(body),
        capture_before=_capture_before(body),
        receipt_url=_receipt_url(body),
        metadata=_metadata(body),
        created_at=time_of(body.get("created")),
    )


def refund_report(body: Object, *, replayed: bool = False) -> RefundReport:
    """Decode a refund (docs.stripe.com/api/refunds/object)."""
    return RefundReport(
        id=_text(body, "id"),
        intent_id=id_of(body.get("payment_intent")),
        charge_id=id_of(body.get("charge")),
        amount=_money(body, "amount"),
        status=_known(RefundStatus, body.get("status")),
        reason=_optional_text(body.get("reason")),
        failure_reason=_optional_text(body.get("failure_reason")),
        metadata=_metadata(body),
        created_at=time_of(body.get("created")),
        replayed=replayed,
    )


def dispute_report(body: Object) -> DisputeReport:
    """Decode a dispute (docs.stripe.com/api/disputes/object) with its balance transactions, oldest first."""
    refundable = body.get("is_charge_refundable")
    return DisputeReport(
        id=_text(body, "id"),
        intent_id=id_of(body.get("payment_intent")),
        charge_id=id_of(body.get("charge")),
        amount=_money(body, "amount"),
        status=_known(DisputeStatus, body.get("status")) or DisputeStatus.UNKNOWN,
        status_text=_optional_text(body.get("status")) or "",
        reason=_optional_text(body.get("reason")) or "general",
        movements=_movements(body),
        charge_refundable=refundable if isinstance(refundable, bool) else None,
        evidence_due_by=time_of(_mapping(body.get("evidence_details")).get("due_by")),
        created_at=time_of(body.get("created")),
    )


def failure_report(error: Object) -> Failure:
    """Decode an error object, from a 402 response or from ``last_payment_error``."""
    decline = Decline(
        code=_optional_text(error.get("code")) or "card_declined",
        message=_optional_text(error.get("message")) or GENERIC_TEXT,
        decline_code=_optional_text(error.get("decline_code")),
        advice_code=_optional_text(error.get("advice_code")),
    )
    return Failure(
        decline=decline,
        charge_id=id_of(error.get("charge")),
        payment_method_id=id_of(error.get("payment_method")),
    )


def kept_of(body: Object) -> dict[str, Any]:
    """Return the part of an object that is stored: only the fields that this module reads.

    The client secret and ``next_action`` are left out, since they let their holder continue the payment; so are names
    and addresses of customers, and metadata that this service did not write. Texts are cut at ``_LONGEST`` characters.
    """
    kept: dict[str, Any] = {name: plain_value(body[name]) for name in _PLAIN_FIELDS if name in body}
    kept |= {name: plain_value(id_of(body[name])) for name in _ID_FIELDS if name in body}
    for name, fields in _PARTS.items():
        if isinstance(body.get(name), Mapping):
            kept[name] = {each: plain_value(value) for each, value in body[name].items() if each in fields}
    error = body.get("last_payment_error")
    if isinstance(error, Mapping):
        kept["last_payment_error"] |= {name: plain_value(id_of(error[name])) for name in _ID_FIELDS if name in error}
    moved = body.get("balance_transactions")
    if isinstance(moved, list):
        entries = [entry for entry in moved if isinstance(entry, Mapping)]
        kept["balance_transactions"] = [
            {name: plain_value(entry[name]) for name in _MOVED_FIELDS if name in entry} for entry in entries
        ]
    types = body.get("payment_method_types")
    if isinstance(types, list):
        kept["payment_method_types"] = [plain_value(each) for each in types]
    charge = body.get("latest_charge")
    if isinstance(charge, Mapping):
        kept["latest_charge"] = {"id": plain_value(charge.get("id")), **_kept_method(charge)}
    return kept | _kept_method(body)


def _kept_method(charge: Object) -> dict[str, Any]:
    """Return the stored part of a charge: its method's type, brand, last digits and wallet, its capture deadline, and
    its receipt.
    """
    method = charge_method(charge)
    if method is None:
        return {}
    its = _mapping(_mapping(charge.get("payment_method_details")).get(method.type))
    kept = {name: plain_value(its[name]) for name in ("brand", "last4", "capture_before") if name in its}
    wallet = {"wallet": {"type": method.wallet}} if method.wallet else {}
    url = _receipt_url(charge)
    receipt = {"receipt_url": url} if url else {}
    return {"payment_method_details": {"type": method.type, method.type: {**kept, **wallet}}, **receipt}


_PLAIN_FIELDS: Final = (
    *("id", "object", "status", "amount", "currency", "amount_received", "amount_capturable", "created"),
    *("reason", "failure_reason", "is_charge_refundable", "captured", "amount_captured"),
)
_MOVED_FIELDS: Final = ("amount", "currency", "created", "exchange_rate")
_ID_FIELDS: Final = ("latest_charge", "payment_method", "payment_intent", "charge")
_PARTS: Final[Mapping[str, frozenset[str]]] = {
    "last_payment_error": frozenset({"code", "message", "decline_code", "advice_code"}),
    "evidence_details": frozenset({"due_by"}),
    "metadata": metadata_keys.OWN - {metadata_keys.IDEMPOTENCY_KEY},
}
_LARGEST: Final = 2**63
_LAST_SECOND: Final = int(datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC).timestamp())
_LONGEST: Final = 500
"""Largest length of a stored text, in characters; the limit of a metadata value as well."""


def plain_value(value: object) -> str | int | float | bool | None:
    """Return the value if it is a scalar, with a limited size; None for any other value."""
    match value:
        case str():
            return value[:_LONGEST]
        case float():
            return value
        case int() if -_LARGEST < value < _LARGEST:
            return value
        case _:
            return None


def unreadable(body: object, problem: Exception) -> Unreadable | None:
    """Return the ids and the metadata of an object that could not be decoded; None without an id.

    ``problem`` is the error of the attempt.
    """
    found = _mapping(body)
    id_ = id_of(found)
    if id_ is None:
        return None
    text = str(problem) if isinstance(problem, UnreadableObject) else type(problem).__name__
    return Unreadable(id=id_, intent_id=id_of(found.get("payment_intent")), problem=text, metadata=_metadata(found))


def id_of(value: object) -> str | None:
    """Return the id in a field that may be expanded to the whole object; None without one."""
    if value is not None and not isinstance(value, str):
        value = value.get("id") if isinstance(value, Mapping) else None
    return value if isinstance(value, str) and value else None


def _failure(error: object) -> Failure | None:
    return failure_report(error) if isinstance(error, Mapping) and error else None


def _movements(body: Object) -> tuple[DisputeMovement, ...]:
    """Return the balance transactions of a dispute, ordered by ``created``.

    Fees are separate fields of a transaction.
    """
    found = [each for each in body.get("balance_transactions") or () if isinstance(each, Mapping)]
    readable = [each for each in found if type(each.get("amount")) is int]
    ordered = sorted(readable, key=lambda each: each["created"] if type(each.get("created")) is int else 0)
    return tuple(
        DisputeMovement(
            amount=each["amount"],
            currency=_optional_text(each.get("currency")) or "",
            exchange_rate=_rate(each.get("exchange_rate")),
        )
        for each in ordered
    )


def _rate(value: object) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        rate = Decimal(str(value))
    except InvalidOperation:
        return None
    return rate if rate.is_finite() and rate > 0 else None


def balances(body: Object) -> Mapping[Currency, Money]:
    """Return the available amounts of a balance by currency; those in unknown currencies are left out.

    Stripe keeps decimals that some currencies do not have; such amounts are rounded down.
    """
    found = {}
    for each in body["available"]:
        try:
            currency = Currency.of(each["currency"])
        except UnknownCurrency:
            continue
        amount, decimals = each["amount"], exponent(currency.code) - currency.exponent
        amount -= amount % 10**decimals if decimals > 0 else 0
        found[currency] = Money.sum_of(from_stripe(amount, currency.exponent, currency.code), currency)
    return found


def from_minor(amount: int, currency: Currency) -> Money:
    """Return Stripe's amount as Money. Raises ``UnreadableObject`` for one that the currency cannot express."""
    try:
        return Money(from_stripe(amount, currency.exponent, currency.code), currency)
    except (AmountNotRepresentable, InvalidInput) as error:
        raise UnreadableObject(f"amount {amount} {currency.code}") from error


def _money(body: Object, name: str, *, default: int | None = None) -> Money:
    amount, code = body.get(name, default), body.get("currency")
    if type(amount) is not int or not isinstance(code, str):
        raise UnreadableObject(f"{name} or currency is missing")
    try:
        currency = Currency.of(code.lower())
    except InvalidInput as error:
        raise UnreadableObject(f"currency {code}") from error
    return from_minor(amount, currency)


def _text(body: Object, name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= 255:
        raise UnreadableObject(f"{name} is missing")
    return value


def _optional_text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _texts(value: object) -> tuple[str, ...] | None:
    return tuple(each for each in value if isinstance(each, str)) if isinstance(value, list) else None


def _mapping(value: object) -> Mapping[str, Any]:
    return value if value is not None and not isinstance(value, str) and isinstance(value, Mapping) else {}


def _metadata(body: Object) -> dict[str, str]:
    found = _mapping(body.get("metadata"))
    return {key: value for key, value in found.items() if isinstance(value, str)}


def _known(kind: type[Known], value: object) -> Known | None:
    try:
        return kind(value)
    except ValueError:
        return None


def time_of(value: object) -> datetime | None:
    """Return a Unix time in whole seconds as a datetime; None for any other value, or beyond the year 9999."""
    if type(value) is not int or not 0 <= value <= _LAST_SECOND:
        return None
    return datetime.fromtimestamp(value, UTC)
