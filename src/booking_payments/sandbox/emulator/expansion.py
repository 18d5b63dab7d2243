"""``expand``: objects in place of their ids (docs.stripe.com/expand).

What can be expanded is what the types of the official SDK call expandable. A field of an object that the emulator does
not have, such as ``application``, is null, and stays null when it is expanded.
"""

from collections.abc import Mapping
from typing import Final

from booking_payments.sandbox.emulator.answers import Json, copy_json
from booking_payments.sandbox.emulator.errors import Refusal, invalid
from booking_payments.sandbox.emulator.params import strings
from booking_payments.sandbox.emulator.records import Record, StripeAccount

_ABSENT: Final = ()
"""Kinds that the emulator has no objects of."""

_CHARGE: Final = ("charge",)
_CUSTOMER: Final = ("customer",)
_INTENT: Final = ("payment_intent",)
_METHOD: Final = ("payment_method",)
_MOVED: Final = ("balance_transaction",)

EXPANDABLE: Final[Mapping[str, Mapping[str, tuple[str, ...]]]] = {
    "balance_transaction": {"source": ("charge", "refund", "dispute")},
    "charge": {
        "application": _ABSENT,
        "application_fee": _ABSENT,
        "balance_transaction": _MOVED,
        "customer": _CUSTOMER,
        "failure_balance_transaction": _MOVED,
        "on_behalf_of": _ABSENT,
        "outcome.rule": _ABSENT,
        "payment_intent": _INTENT,
        "payment_method_details.bancontact.generated_sepa_debit": _METHOD,
        "payment_method_details.bancontact.generated_sepa_debit_mandate": _ABSENT,
        "payment_method_details.card.mandate": _ABSENT,
        "payment_method_details.ideal.generated_sepa_debit": _METHOD,
        "payment_method_details.ideal.generated_sepa_debit_mandate": _ABSENT,
        "payment_method_details.sofort.generated_sepa_debit": _METHOD,
        "payment_method_details.sofort.generated_sepa_debit_mandate": _ABSENT,
        "payment_method_details.us_bank_account.mandate": _ABSENT,
        "refunds": ("refund",),
        "review": ("review",),
        "source_transfer": _ABSENT,
        "transfer": _ABSENT,
        "transfer_data.destination": _ABSENT,
    },
    "customer": {
        "default_source": _ABSENT,
        "invoice_settings.default_payment_method": _METHOD,
        "sources": _ABSENT,
        "subscriptions": _ABSENT,
        "tax_ids": _ABSENT,
        "test_clock": _ABSENT,
    },
    "dispute": {
        "charge": _CHARGE,
        "evidence.cancellation_policy": _ABSENT,
        "evidence.customer_communication": _ABSENT,
        "evidence.customer_signature": _ABSENT,
        "evidence.duplicate_charge_documentation": _ABSENT,
        "evidence.receipt": _ABSENT,
        "evidence.refund_policy": _ABSENT,
        "evidence.service_documentation": _ABSENT,
        "evidence.shipping_documentation": _ABSENT,
        "evidence.uncategorized_file": _ABSENT,
        "payment_intent": _INTENT,
    },
    "payment_intent": {
        "amount_details.line_items": _ABSENT,
        "application": _ABSENT,
        "customer": _CUSTOMER,
        "latest_charge": _CHARGE,
        "on_behalf_of": _ABSENT,
        "payment_method": _METHOD,
        "payment_record": _ABSENT,
        "review": ("review",),
        "source": _ABSENT,
        "transfer_data.destination": _ABSENT,
    },
    "payment_method": {
        "card.generated_from.setup_attempt": _ABSENT,
        "customer": _CUSTOMER,
        "sepa_debit.generated_from.charge": _CHARGE,
        "sepa_debit.generated_from.setup_attempt": _ABSENT,
    },
    "radar.early_fraud_warning": {"charge": _CHARGE, "payment_intent": _INTENT},
    "refund": {
        "balance_transaction": _MOVED,
        "charge": _CHARGE,
        "customer": _CUSTOMER,
        "failure_balance_transaction": _MOVED,
        "payment_intent": _INTENT,
        "payment_method": _METHOD,
        "source_transfer_reversal": _ABSENT,
        "transfer_reversal": _ABSENT,
    },
    "review": {"charge": _CHARGE, "payment_intent": _INTENT},
    "setup_intent": {
        "application": _ABSENT,
        "customer": _CUSTOMER,
        "latest_attempt": _ABSENT,
        "mandate": _ABSENT,
        "on_behalf_of": _ABSENT,
        "payment_method": _METHOD,
        "single_use_mandate": _ABSENT,
    },
}
"""Each kind's expandable fields, and the kinds of their objects."""

_LISTS: Final = {"refunds": "refund"}
_DEEPEST: Final = 4


def expansions(params: Json, kind: str | None, *, in_list: bool) -> list[list[str]]:
    """The paths of ``expand``, checked; raises 400 for what cannot be expanded.

    Args:
        params: The request's parameters.
        kind: The kind of the objects that the endpoint answers with; ``None`` for kinds without expandable fields.
        in_list: Whether they are in a list, below ``data``.
    """
    paths = [path.split(".") for path in strings().read(params.get("expand") or [], "expand")]
    for path in paths:
        if len(path) > _DEEPEST:
            raise invalid(f"You cannot expand more than {_DEEPEST} levels of a property. Property: {'.'.join(path)}")
        inner = path[1:] if in_list and path[0] == "data" else path
        if (in_list and (path[0] != "data" or not inner)) or not _may_expand(kind, inner):
            raise _not_expandable(path)
    return paths


def _may_expand(kind: str | None, path: list[str]) -> bool:
    """Whether a path leads over expandable fields only."""
    if not path:
        return True
    for field, kinds in EXPANDABLE.get(kind or "", {}).items():
        steps = field.split(".")
        if path[: len(steps)] != steps:
            continue
        rest = path[len(steps) :]
        if field in _LISTS and rest[:1] == ["data"]:
            rest = rest[1:]
        if not rest or any(_may_expand(each, rest) for each in kinds):
            return True
    return False


def _not_expandable(path: list[str]) -> Refusal:
    return invalid(f"This property cannot be expanded ({'.'.join(path)}).")


def expanded(account: StripeAccount, body: Json, paths: list[list[str]]) -> Json:
    """A snapshot of an object with the objects that it names put in place of their ids."""
    snapshot: Json = copy_json(body)
    for path in paths:
        _expand(account, snapshot, path)
    return snapshot


def _expand(account: StripeAccount, body: Json, path: list[str], inside: str = "") -> None:
    """Follow ``path`` into ``body``. ``inside``: where ``body`` is in its object, dotted, empty at the top."""
    if not path:
        return
    name, rest = path[0], path[1:]
    kind = body.get("object") if not inside else inside.partition(":")[0]
    field = name if not inside else f"{inside.partition(':')[2]}.{name}"
    kinds = EXPANDABLE.get(str(kind), {}).get(field)
    if kinds and field in _LISTS and name not in body:
        body[name] = _refunds_of(account, body["id"])
    elif kinds and isinstance(body.get(name), str):
        record = _named(account, kinds, body[name])
        if record is not None:
            body[name] = copy_json(record.body)
    value = body.get(name)
    for child in value if isinstance(value, list) else [value]:
        if isinstance(child, dict):
            _expand(account, child, rest, "" if "object" in child else f"{kind}:{field}")


def _named(account: StripeAccount, kinds: tuple[str, ...], id_: str) -> Record | None:
    return next((record for kind in kinds if (record := account.find(kind, id_)) is not None), None)


def _refunds_of(account: StripeAccount, charge_id: str) -> Json:
    ids = account.get("charge", charge_id).private["refunds"]
    data = [copy_json(account.get("refund", id_).body) for id_ in reversed(ids)]
    return {"object": "list", "data": data, "has_more": False, "url": f"/v1/charges/{charge_id}/refunds"}
