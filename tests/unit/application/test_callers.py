"""Who asks: what stands in journal and audit trail, and whose bookings there are for whom."""

import pytest

from booking_payments.application.callers import Caller
from booking_payments.domain.errors import NotFound
from booking_payments.testing.storage_contract import booking

ANN = Caller.customer("ann", "req_1")
EVERYBODY_ELSE = [
    Caller.operator_of("olga", "req_1"),
    Caller.service("app", "req_1"),
    Caller.gateway("evt_1"),
    Caller.system("resolve"),
]


@pytest.mark.parametrize(
    ("caller", "expected"),
    [
        (ANN, ("customer:ann", "req_1", "ann", False, False)),
        (EVERYBODY_ELSE[0], ("operator:olga", "req_1", None, True, False)),
        (EVERYBODY_ELSE[1], ("service:app", "req_1", None, False, False)),
        (EVERYBODY_ELSE[2], ("gateway", "evt_1", None, False, True)),
        (EVERYBODY_ELSE[3], ("system", "resolve", None, False, True)),
    ],
    ids=["customer", "operator", "service", "gateway", "system"],
)
def test_a_caller_is_named_by_its_role(caller: Caller, expected: tuple[object, ...]) -> None:
    assert (caller.actor, caller.cause, caller.customer_id, caller.operator, caller.by_itself) == expected


def test_a_customer_sees_own_bookings() -> None:
    assert ANN.require(booking()) == booking()


def test_for_a_customer_there_are_no_others() -> None:
    with pytest.raises(NotFound) as foreign:
        ANN.require(booking(customer_id="bob"))
    with pytest.raises(NotFound) as missing:
        ANN.require(None)

    assert (foreign.value.code, str(foreign.value)) == (missing.value.code, str(missing.value))


@pytest.mark.parametrize("caller", EVERYBODY_ELSE, ids=lambda each: each.actor)
def test_the_house_sees_everything_that_there_is(caller: Caller) -> None:
    assert caller.require(booking(customer_id="bob")).customer_id == "bob"
    with pytest.raises(NotFound):
        caller.require(None)
