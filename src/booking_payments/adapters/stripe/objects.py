"""Stripe's objects in our words: decoded JSON in, reports out.

Enums are open and fields come and go with API versions, so everything is read leniently: a status that we do not
know becomes None, and only a missing id, amount or currency makes an object unreadable (``UnreadableObject``).
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from enum import Enum
from typing import Any, Final, TypeVar

from booking_payments.adapters.stripe.amounts import AmountNotRepresentable, from_stripe
from booking_payments.domain.declines import GENERIC_TEXT, Decline
from booking_payments.domain.disputes import DisputeMovement
from booking_payments.domain.errors import InvalidInput
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

Object = Mapping[str, Any]
Known = TypeVar("Known", bound=Enum)


class UnreadableObject(ValueError):  # noqa: N818 - named like the errors of the ports
    """The object lacks what makes it an object of its kind, or has it in a wrong type."""


def intent_report(body: Object, *, replayed: bool = False) -> IntentReport:
    """A PaymentIntent (docs.stripe.com/api/payment_intents/object)."""
    amount = _money(body, "amount")
    status = _known(PaymentStatus, body.get("status"))
    return IntentReport(
        id=_text(body, "id"),
        status=None if status is PaymentStatus.FAILED else status,
        amount=amount,
        amount_received=_money(body, "amount_received"),
        amount_capturable=_money(body, "amount_capturable", default=0),
        charge_id=id_of(body.get("latest_charge")),
        method=charge_method(_mapping(body.get("latest_charge"))),
        capture_before=_capture_before(_mapping(body.get("latest_charge"))),
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
    """What a charge was made with (docs.stripe.com/api/charges/object); None of one that is an id alone."""
    details = _mapping(charge.get("payment_method_details"))
    type_ = _optional_text(details.get("type"))
    if type_ is None:
        return None
    its = _mapping(details.get(type_))
    return MethodDetails(
        type=type_,
        brand=_optional_text(its.get("brand")),
        last4=_optional_text(its.get("last4")),
        wallet=_optional_text(_mapping(its.get("wallet")).get("type")),
    )


def _capture_before(charge: Object) -> datetime | None:
    details = _mapping(charge.get("payment_method_details"))
    return time_of(_mapping(details.get(str(details.get("type")))).get("capture_before"))


def charge_report(body: Object) -> IntentReport:
    """A charge that went through, as a report of its intent: only what it was made with, and until when it can be
    captured. Its intent's own events say the rest."""
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
        metadata=_metadata(body),
        created_at=time_of(body.get("created")),
    )


def refund_report(body: Object, *, replayed: bool = False) -> RefundReport:
    """A refund (docs.stripe.com/api/refunds/object)."""
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
    """A dispute (docs.stripe.com/api/disputes/object), with its transactions on our balance, oldest first."""
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
    """An error object, of a 402 or of ``last_payment_error``."""
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
    """What is stored of an object: the fields that this module reads, and no other.

    No client secret and no ``next_action``, which let their holder go on with a payment; of whoever paid neither names
    nor addresses; of ``metadata`` what we have put there. Texts that are longer than any of ours are cut.
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
    """What is stored of what a charge was made with: kind, brand, last digits, wallet, and until when it is held."""
    method = charge_method(charge)
    if method is None:
        return {}
    its = _mapping(_mapping(charge.get("payment_method_details")).get(method.type))
    kept = {name: plain_value(its[name]) for name in ("brand", "last4", "capture_before") if name in its}
    wallet = {"wallet": {"type": method.wallet}} if method.wallet else {}
    return {"payment_method_details": {"type": method.type, method.type: {**kept, **wallet}}}


_PLAIN_FIELDS: Final = (
    *("id", "object", "status", "amount", "currency", "amount_received", "amount_capturable", "created"),
    *("reason", "failure_reason", "is_charge_refundable", "captured", "amount_captured"),
)
_MOVED_FIELDS: Final = ("amount", "currency", "created", "exchange_rate")
_ID_FIELDS: Final = ("latest_charge", "payment_method", "payment_intent", "charge")
_PARTS: Final[Mapping[str, frozenset[str]]] = {
    "last_payment_error": frozenset({"code", "message", "decline_code", "advice_code"}),
    "evidence_details": frozenset({"due_by"}),
    "metadata": frozenset(
        {
            *("payment_id", "booking_id", "booking_reference", "refund_id", "correlation_id"),
            *("installation_id", "customer_key"),
        }
    ),
}
_LARGEST: Final = 2**63
_LAST_SECOND: Final = int(datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC).timestamp())
_LONGEST: Final = 500
"""Characters of a text that is stored; a value in metadata has at most as many."""


def plain_value(value: object) -> str | int | float | bool | None:
    """The value where it is none that others could hide in."""
    if isinstance(value, str):
        return value[:_LONGEST]
    fits = isinstance(value, float) or (isinstance(value, int) and abs(value) < _LARGEST)
    return value if fits else None  # type: ignore[return-value] # looked at just now


def unreadable(body: object, problem: Exception) -> Unreadable | None:
    """What can be told of an object that can't be read for ``problem``; None of what is no object, without an id."""
    found = _mapping(body)
    id_ = id_of(found)
    if id_ is None:
        return None
    text = str(problem) if isinstance(problem, UnreadableObject) else type(problem).__name__
    return Unreadable(id=id_, intent_id=id_of(found.get("payment_intent")), problem=text, metadata=_metadata(found))


def id_of(value: object) -> str | None:
    """The id of a field that may be expanded to the whole object."""
    if isinstance(value, Mapping):
        value = value.get("id")
    return value if isinstance(value, str) and value else None


def _failure(error: object) -> Failure | None:
    return failure_report(error) if isinstance(error, Mapping) and error else None


def _movements(body: Object) -> tuple[DisputeMovement, ...]:
    """The balance transactions of a dispute in order of ``created``; fees are fields of their own there."""
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


def from_minor(amount: int, currency: Currency) -> Money:
    """Stripe's amount as Money; raises ``UnreadableObject`` for one that our currency can't express."""
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
    return value if isinstance(value, Mapping) else {}


def _metadata(body: Object) -> dict[str, str]:
    found = _mapping(body.get("metadata"))
    return {key: value for key, value in found.items() if isinstance(value, str)}


def _known(kind: type[Known], value: object) -> Known | None:
    try:
        return kind(value)
    except ValueError:
        return None


def time_of(value: object) -> datetime | None:
    """A time of Stripe's, in whole seconds; None for what is none, or lies beyond the last that we can write."""
    if type(value) is not int or not 0 <= value <= _LAST_SECOND:
        return None
    return datetime.fromtimestamp(value, UTC)
