"""After an outage: many payments are open at once, and everything is settled; of two resolvers no two ever act on the
same thing at once."""

from collections import Counter
from datetime import timedelta
from random import Random
from typing import Final

import attrs
import pytest

from booking_payments.application.callers import Caller
from booking_payments.application.payments import BookingPayments
from booking_payments.application.resolve import RESOLVE_AT_ONCE
from booking_payments.application.views import NewBooking
from booking_payments.domain.errors import OutcomeUnknown
from booking_payments.domain.instructions import CaptureMethod
from booking_payments.domain.money import Currency, Money
from tests.simulation.actors import Repairs, Resolver, RunProfile
from tests.simulation.faults import BoundaryKind, InjectedFault, Point
from tests.simulation.invariants import differences
from tests.simulation.scheduler import Scheduler, alone
from tests.simulation.sizes import NIGHTLY
from tests.simulation.world import NOW, Setup, SimulatedWorld

OPEN: Final = 1_000 if NIGHTLY else 60
OPEN_SQL: Final = 10_000 if NIGHTLY else 12
ANN: Final = Caller.customer("ann", "before the outage")


@attrs.define
class Outage:
    """The gateway receives every request, and every response is lost."""

    def at(self, point: Point) -> InjectedFault | None:
        return InjectedFault.TIMEOUT_AFTER if point.kind is BoundaryKind.GATEWAY else None


def _after_an_outage(payments: int, *, sql: bool = False) -> SimulatedWorld:
    """Payments that were charged although every response was lost."""
    world = SimulatedWorld(Setup(sql=sql))
    for number in range(payments):
        booking_id = _started(world, number)
        with world.faults.instead(Outage()), pytest.raises(OutcomeUnknown):
            alone(_service(world).confirm_payment(booking_id, ANN, payment_method_id="pm_card_visa"), world.time)
    return world


def _started(world: SimulatedWorld, number: int) -> str:
    new = NewBooking(
        reference=f"R-{number}",
        customer_id="ann",
        amount=Money.parse("100.00", Currency.USD),
        event_starts_at=NOW + timedelta(days=30),
    )
    booking = alone(_service(world).register_booking(new), world.time).booking
    alone(_service(world).start_payment(booking.id, ANN), world.time)
    return booking.id


def _service(world: SimulatedWorld) -> BookingPayments:
    return world.processes[0].payments


def _resolvers(world: SimulatedWorld) -> list[Resolver]:
    profile = RunProfile(
        methods=("pm_card_visa",),
        capture=CaptureMethod.AUTOMATIC,
        patience_s=0.1,
        actions={"pay": 1.0},
        repairs=Repairs(client=False, webhooks=False),
    )
    return [Resolver(world, profile, Random(number), f"resolver {number}") for number in (1, 2)]


@pytest.mark.timeout(3600 if NIGHTLY else 120)
@pytest.mark.parametrize(("payments", "sql"), [(OPEN, False), (OPEN_SQL, True)], ids=["memory", "sqlite"])
def test_everything_that_an_outage_left_open_is_settled_by_two_resolvers_with_one_charge_each(
    payments: int, sql: bool
) -> None:
    world = _after_an_outage(payments, sql=sql)
    world.time.advance(timedelta(hours=1))
    resolvers = _resolvers(world)
    scheduler = Scheduler(world.time, Random(1), lambda: None)

    for _ in range(2 + payments // RESOLVE_AT_ONCE):
        for resolver in resolvers:
            scheduler.spawn(resolver.name, resolver.round())
        while scheduler.tasks:
            scheduler.step()

    assert world.invariants.broken == []
    assert Counter(payment.status.value for payment in world.ours.payments.values()) == {"succeeded": payments}
    assert list(differences(world.ours, world.theirs)) == []


def test_the_first_is_settled_within_seconds() -> None:
    world = _after_an_outage(20)
    world.time.advance(timedelta(hours=1))
    since = world.time.now

    alone(_resolvers(world)[0].round(), world.time)

    assert world.time.now - since < timedelta(seconds=5)
    assert {payment.operation for payment in world.ours.payments.values()} == {None}
