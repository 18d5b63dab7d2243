"""Callers: how they appear in the journal and audit trail, and which bookings each may see."""

import pytest

from booking_payments.application.callers import Caller
from booking_payments.domain.errors import NotFound
from booking_payments.testing.payment_builder import booking

MAKERS = {
    "customer": lambda: Caller.customer("ann", "req_1"),
    "operator": lambda: Caller.operator_of("olga", "req_1"),
    "service": lambda: Caller.service("app", "req_1"),
    "gateway": lambda: Caller.gateway("evt_1"),
    "system": lambda: Caller.system("resolve"),
}


@pytest.mark.parametrize(
    ("role", "expected"),
    [
        ("customer", ("customer:ann", "req_1", "ann", False, False)),
        ("operator", ("operator:olga", "req_1", None, True, False)),
        ("service", ("service:app", "req_1", None, False, False)),
        ("gateway", ("gateway", "evt_1", None, False, True)),
        ("system", ("system", "resolve", None, False, True)),
    ],
)
def test_a_caller_is_named_by_its_role(role: str, expected: tuple[object, ...]) -> None:
    caller = MAKERS[role]()

    assert (caller.actor, caller.cause, caller.customer_id, caller.operator, caller.by_itself) == expected


def test_a_customer_sees_own_bookings() -> None:
    assert MAKERS["customer"]().require(booking()) == booking()


def test_a_customer_does_not_see_bookings_of_others() -> None:
    with pytest.raises(NotFound) as foreign:
        MAKERS["customer"]().require(booking(customer_id="bob"))
    with pytest.raises(NotFound) as missing:
        MAKERS["customer"]().require(None)

    assert (foreign.value.code, str(foreign.value)) == (missing.value.code, str(missing.value))


@pytest.mark.parametrize("role", ["operator", "service", "gateway", "system"])
def test_operators_and_services_see_every_booking(role: str) -> None:
    caller = MAKERS[role]()

    assert caller.require(booking(customer_id="bob")).customer_id == "bob"
    with pytest.raises(NotFound):
        caller.require(None)
