"""Every parameter that the types of Stripe's SDK declare is implemented, or refused by its name."""

import importlib
import inspect
import re
from collections.abc import Iterator
from typing import Any, ForwardRef, get_args, get_origin

import pytest
import stripe

from booking_payments.sandbox.emulator.endpoints import ENDPOINTS
from booking_payments.sandbox.emulator.expansion import EXPANDABLE
from booking_payments.sandbox.emulator.method_types import KNOWN
from booking_payments.sandbox.emulator.params import Fields
from booking_payments.sandbox.emulator.published import API_VERSIONS, EVENT_TYPES
from tests.integration.sandbox.emulator.stripe_account import StripeAccountClient, error

BY_NAME = {f"{each.method} {each.path}": each for each in ENDPOINTS}

VERBS = {"GET": "Retrieve", "POST": "Update", "DELETE": "Delete"}
IRREGULAR = {
    "GET /v1/account": "AccountRetrieveCurrentParams",
    "GET /v1/balance": "BalanceRetrieveParams",
    "GET /v1/customers/{id}/payment_methods": "CustomerPaymentMethodListParams",
    "GET /v1/customers/{id}/payment_methods/{method}": "CustomerPaymentMethodRetrieveParams",
    "GET /v1/radar/early_fraud_warnings": "radar.EarlyFraudWarningListParams",
    "GET /v1/radar/early_fraud_warnings/{id}": "radar.EarlyFraudWarningRetrieveParams",
}

NOT_DECLARED = {
    "POST /v1/payment_intents": {"payment_method_types", "payment_method_data[card]"},
    "POST /v1/payment_intents/{id}": {"payment_method_types", "payment_method_data[card]"},
    "POST /v1/payment_intents/{id}/confirm": {"payment_method_types", "payment_method_data[card]", "client_secret"},
    "POST /v1/setup_intents": {"payment_method_types", "payment_method_data[card]"},
    "POST /v1/setup_intents/{id}": {"payment_method_types", "payment_method_data[card]"},
    "POST /v1/setup_intents/{id}/confirm": {"payment_method_data[card]", "client_secret"},
}
"""Parameters that the SDK does not declare: those of older versions and of browsers, and cards by their tokens."""


def _name(line: str) -> str:
    """The SDK's name of an endpoint's parameters."""
    if line in IRREGULAR:
        return IRREGULAR[line]
    method, path = line.split()
    _, _, resource, *rest = path.split("/")
    noun = "".join(word.capitalize() for word in resource.removesuffix("s").split("_"))
    if rest and not rest[-1].startswith("{"):
        return f"{noun}{rest[-1].capitalize()}Params"
    if not rest:
        return f"{noun}{'List' if method == 'GET' else 'Create'}Params"
    return f"{noun}{VERBS[method]}Params"


def _declared(line: str) -> type:
    package, _, name = _name(line).rpartition(".")
    words = re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()
    module = importlib.import_module(".".join(filter(None, ["stripe.params", package, f"_{words}"])))
    return getattr(module, name)  # type: ignore[no-any-return]


def _names(cls: type) -> dict[str, Any]:
    return {
        name: hint for name, hint in cls.__annotations__.items() if name not in stripe.RequestOptions.__annotations__
    }


def _inner(hint: Any, module: Any) -> type | None:
    """The declared object inside of a parameter, if it has one."""
    text = str(hint)
    for name in re.findall(r"\w+Params\w+", text):
        found = getattr(module, name, None)
        if inspect.isclass(found) and "List[" not in text.partition(name)[0]:
            return found
    return None


def _missing(cls: type, fields: Fields, inside: str = "") -> Iterator[str]:
    """Declared parameters that the table does not have."""
    module = importlib.import_module(cls.__module__)
    for name, hint in _names(cls).items():
        path = f"{inside}[{name}]" if inside else name
        if name not in fields:
            yield path
        elif fields[name].inside is not None and (inner := _inner(hint, module)) is not None:
            yield from _missing(inner, fields[name].inside or {}, path)


def _invented(cls: type, fields: Fields, inside: str = "") -> Iterator[str]:
    """Parameters of the table that are not declared."""
    module, declared = importlib.import_module(cls.__module__), _names(cls)
    for name, field in fields.items():
        path = f"{inside}[{name}]" if inside else name
        if name not in declared:
            yield path
        elif field.inside is not None and (inner := _inner(declared[name], module)) is not None:
            yield from _invented(inner, field.inside, path)


@pytest.mark.parametrize("line", sorted(BY_NAME))
def test_the_parameters_are_stripes(line: str) -> None:
    cls, fields = _declared(line), BY_NAME[line].fields

    assert list(_missing(cls, fields)) == []
    assert set(_invented(cls, fields)) <= NOT_DECLARED.get(line, set())


def _refused(fields: Fields, inside: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, field in fields.items():
        if not field.modelled:
            yield (*inside, name)
        elif field.inside is not None:
            yield from _refused(field.inside, (*inside, name))


REQUIRED: dict[str, dict[str, Any]] = {
    "POST /v1/payment_intents": {"amount": 1000, "currency": "eur"},
    "POST /v1/payment_methods": {"type": "card"},
    "POST /v1/payment_methods/{id}/attach": {"customer": "cus_1"},
    "POST /v1/webhook_endpoints": {"url": "https://example.com/", "enabled_events": ["*"]},
}


def _params(line: str, path: tuple[str, ...]) -> dict[str, Any]:
    inner: Any = {"any": "thing"}
    for name in reversed(path):
        inner = {name: inner}
    if path[0] == "payment_method_data":
        inner["payment_method_data"]["type"] = "card"
    return REQUIRED.get(line, {}) | dict(inner)


@pytest.mark.parametrize("line", [line for line in sorted(BY_NAME) if list(_refused(BY_NAME[line].fields))])
def test_a_parameter_that_is_not_modelled_is_refused_by_its_name(account: StripeAccountClient, line: str) -> None:
    method, place = line.split()
    for path in _refused(BY_NAME[line].fields):
        answer = account.stripe.call(method, place.replace("{id}", "x_1"), _params(line, path))

        refused = error(answer)
        assert (answer.status, refused["param"]) == (400, path[0] + "".join(f"[{name}]" for name in path[1:]))
        assert "not modelled" in refused["message"]


def _literals(hint: Any) -> set[str]:
    if isinstance(hint, str):
        return set(re.findall(r"'([^']*)'", hint))
    if getattr(hint, "__forward_arg__", None):
        return _literals(hint.__forward_arg__)
    if get_origin(hint) is not None and str(get_origin(hint)).endswith("Literal"):
        return {str(each) for each in get_args(hint)}
    return {word for each in get_args(hint) for word in _literals(each)}


def test_versions_and_event_types_are_those_of_the_sdk() -> None:
    declared = _declared("POST /v1/webhook_endpoints").__annotations__

    assert _literals(declared["api_version"]) == API_VERSIONS
    assert _literals(declared["enabled_events"]) - {"*"} == EVENT_TYPES


def test_the_types_of_methods_are_those_of_the_sdk() -> None:
    declared = _declared("POST /v1/payment_intents").__annotations__
    listed = _literals(declared["allowed_payment_method_types"]) | _literals(
        _declared("POST /v1/payment_methods").__annotations__["type"]
    )

    assert listed - KNOWN == set()


KINDS = {
    "balance_transaction": stripe.BalanceTransaction,
    "charge": stripe.Charge,
    "customer": stripe.Customer,
    "dispute": stripe.Dispute,
    "payment_intent": stripe.PaymentIntent,
    "payment_method": stripe.PaymentMethod,
    "radar.early_fraud_warning": stripe.radar.EarlyFraudWarning,
    "refund": stripe.Refund,
    "review": stripe.Review,
    "setup_intent": stripe.SetupIntent,
}
NOT_ALWAYS_THERE = {"payment_method_details.bancontact", "payment_method_details.ideal"}


def _expandable(cls: type, inside: str = "") -> Iterator[str]:
    nested = {name: each for name, each in vars(cls).items() if inspect.isclass(each)}
    for name, hint in cls.__annotations__.items():
        path = f"{inside}.{name}" if inside else name
        if _is_expandable(hint):
            yield path
        for inner in nested.values():
            if inner is hint or inner in get_args(hint):
                yield from _expandable(inner, path)


def _is_expandable(hint: Any) -> bool:
    """``ExpandableField`` is the union of an id and an object, or the name of one."""
    arguments = get_args(hint)
    if any(get_origin(each) is stripe.ListObject for each in (hint, *arguments)):
        return True
    objects = [each for each in arguments if isinstance(each, ForwardRef) or _is_object(each)]
    return str in arguments and bool(objects)


def _is_object(hint: Any) -> bool:
    return inspect.isclass(hint) and issubclass(hint, stripe.StripeObject)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_what_can_be_expanded_is_what_the_sdk_declares(kind: str) -> None:
    assert set(EXPANDABLE[kind]) == set(_expandable(KINDS[kind]))


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_each_field_can_be_expanded_and_null_stays_null(account: StripeAccountClient, kind: str) -> None:
    customer = account.post("customers").body["id"]
    paid = account.paid("pm_card_createDispute", customer=customer, capture_method="automatic")
    account.paid("pm_card_riskLevelElevated"), account.paid("pm_card_createIssuerFraudRecord")
    account.refunded(account.paid())
    account.post("payment_methods/pm_card_visa/attach", customer=customer)
    account.post("setup_intents", customer=customer, payment_method="pm_card_visa")
    assert paid["status"] == "succeeded"
    resource = f"{kind.replace('.', '/')}s"
    newest = account.get(resource).body["data"][0]
    for field in EXPANDABLE[kind]:
        answer = account.get(f"{resource}/{newest['id']}", expand=[field])
        in_list = account.get(resource, expand=[f"data.{field}"])
        assert (answer.status, in_list.status) == (200, 200), field
        plain: Any = newest
        full: Any = answer.body
        for step in field.split("."):
            plain, full = (plain or {}).get(step), (full or {}).get(step)
        if isinstance(plain, str):
            assert isinstance(full, dict), field
            assert full["id"] == plain
        elif field != "refunds":
            assert full == plain, field
