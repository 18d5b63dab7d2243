"""Actions of the scenarios about amendments, items and events: operators who change bookings, give single items back,
and cancel or move the event, while the customers of the other actors pay, refund and are disputed."""

from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from random import Random
from typing import Any, Final

from booking_payments.application.payments import BookingPayments
from booking_payments.application.views import NewBooking, RefundOnCancel
from booking_payments.domain.amendments import BookingChange
from booking_payments.domain.booking import Booking, Item, ItemCount
from booking_payments.domain.money import Currency, Money
from booking_payments.ports.event_jobs import EventJob
from tests.simulation.actors import PASSING, CustomerActor
from tests.simulation.amendment_watch import EVENT, AmendmentWatch
from tests.simulation.faults import NoFaults
from tests.simulation.scheduler import alone
from tests.simulation.world import NOW, SimulatedWorld

FAR: Final = timedelta(days=30)
"""Longer than any run, with its time of repairs: a policy without tiers gives everything back until then."""

_UNITS: Final = (("adult", 2, 2500), ("child", 4, 1250))


def _usd(minor: int) -> Money:
    return Money(minor, Currency.USD)


def _watch(self: CustomerActor) -> AmendmentWatch:
    watch = self.world.watch
    assert watch is not None
    return watch


def _booking(self: CustomerActor) -> Booking:
    return _watch(self).bookings[self.booking_id]


# --- (a) amendments


async def _amend(self: CustomerActor) -> None:
    """Change a booking: its price, its date or its title, by what the operator has read, which may be old by now."""
    booking, random = _booking(self), self.random
    change = _change(booking, random)
    refund = random.choice((None, None, RefundOnCancel.FULL, RefundOnCancel.POLICY, RefundOnCancel.NONE))
    if refund is RefundOnCancel.NONE:
        _watch(self).inexact.add(booking.id)
    expected = random.choice((None, booking.version, booking.version, booking.version - 1))
    if random.random() < 0.5:
        await self.wait()  # the operator decides
    known = _booking(self).version
    result = await self.ask(
        f"amend {_words(change)} of version {expected}, refund {refund.value if refund else 'as usual'}",
        self.operator(),
        lambda payments, caller: payments.amend_booking(
            booking.id, change, caller, expected_version=expected, refund=refund
        ),
    )
    stale = expected is not None and expected < known
    what = f"{booking.id} was amended for version {expected}, and had {known}"
    self.world.invariants.require(not (stale and result is not None), what)


def _change(booking: Booking, random: Random) -> BookingChange:
    """Cheaper, dearer, free, another date, or another title."""
    kind = random.choice(("cheaper", "cheaper", "dearer", "free", "date", "title"))
    if kind == "date" and booking.event_id is None:
        return BookingChange(event_starts_at=booking.event_starts_at + timedelta(days=random.randint(1, 9)))
    if kind in ("date", "title"):
        return BookingChange(title=f"Evening {random.randint(1, 99)}")
    if kind == "free":
        price = 0
    elif kind == "dearer":
        price = booking.amount.minor + random.randint(1, 5000)
    else:
        price = random.randint(min(100, booking.amount.minor), booking.amount.minor)
    if booking.items:
        return BookingChange(items=(Item(id="table", label="Table", quantity=1, unit_amount=_usd(price)),))
    return BookingChange(amount=_usd(price))


def _words(change: BookingChange) -> str:
    if isinstance(change.amount, Money):
        return f"to {change.amount}"
    if isinstance(change.title, str):
        return "the title"
    return "the date" if not isinstance(change.items, tuple) else f"to a table for {change.items[0].unit_amount}"


async def _pay_on_an_old_page(self: CustomerActor) -> None:
    """The customer pays in the browser whatever it still shows: any intent that the booking has had."""
    intent = self.intent()
    if intent is not None:
        method = self.method()
        answer = self.world.stripe.confirm_as_customer(intent["id"], intent["client_secret"], method)
        self.world.tell(self.name, f"pays {intent['id']} in the browser with {method}: {answer.status}")


async def _hesitate(self: CustomerActor) -> None:
    """The customer opens the page, hesitates, and pays: at most what the page shows, whatever has changed meanwhile."""
    view = await self.ask(
        "start", self.customer(), lambda payments, caller: payments.start_payment(self.booking_id, caller)
    )
    if view is None or view.client_action is None:
        return
    await self.wait(5)
    intent_id, method, shown = view.payment.intent_id or "", self.method(), view.payment.asked.minor
    answer = self.world.stripe.confirm_as_customer(intent_id, view.client_action.client_secret or "", method)
    self.world.tell(self.name, f"pays {intent_id} in the browser with {method}: {answer.status}")
    if answer.status == 200:
        asked = answer.body["amount"]
        self.world.invariants.require(asked <= shown, f"{intent_id} asks for {asked}, and its page showed {shown}")


# --- (b) single items


def _some(self: CustomerActor) -> ItemCount | None:
    items = _booking(self).items
    if not items:
        return None
    item = self.random.choice(items)
    quantity = self.random.randint(1, min(2, item.quantity))
    _watch(self).asked[self.booking_id, item.id] += quantity
    return ItemCount(id=item.id, quantity=quantity)


async def _cancel_items(self: CustomerActor) -> None:
    """The customer gives up a seat of an unpaid booking, or an operator one of any booking."""
    some = _some(self)
    if some is None:
        return
    by_customer = self.random.random() < 0.3
    refund = None if by_customer else self.random.choice((None, RefundOnCancel.FULL, RefundOnCancel.NONE))
    if refund is RefundOnCancel.NONE:
        _watch(self).inexact.add(self.booking_id)
    result = await self.ask(
        f"cancel {some.quantity} of {some.id}, refund {refund.value if refund else 'as usual'}",
        self.customer() if by_customer else self.operator(),
        lambda payments, caller: payments.cancel_booking(self.booking_id, caller, items=[some], refund=refund),
    )
    if result is not None:
        _watch(self).gave_back(self.booking_id, some.id, "cancel", some.quantity or 0)


async def _refund_items(self: CustomerActor) -> None:
    """The customer or an operator has the money of a seat refunded."""
    some = _some(self)
    if some is None:
        return
    result = await self.ask(
        f"refund {some.quantity} of {some.id}",
        self.customer() if self.random.random() < 0.5 else self.operator(),
        lambda payments, caller: payments.refund_payment(self.booking_id, caller, items=[some]),
    )
    if result is not None:
        _watch(self).gave_back(self.booking_id, some.id, "refund", some.quantity or 0)


# --- (c) events


async def _cancel_event(self: CustomerActor) -> None:
    refund = self.random.choice((None, None, RefundOnCancel.POLICY, RefundOnCancel.NONE))
    job = await self.ask(
        f"cancel the event, refund {refund.value if refund else 'everything'}",
        self.operator(),
        lambda payments, caller: payments.cancel_event(EVENT, caller, refund=refund),
    )
    await _run(self, job)


async def _move_event(self: CustomerActor) -> None:
    starts_at = NOW + FAR + timedelta(days=self.random.randint(1, 9))
    grace = NOW + timedelta(days=5) if self.random.random() < 0.5 else None
    job = await self.ask(
        "move the event",
        self.operator(),
        lambda payments, caller: payments.reschedule_event(
            EVENT, caller, event_starts_at=starts_at, refund_grace_until=grace
        ),
    )
    await _run(self, job)


async def _run(self: CustomerActor, job: EventJob | None) -> None:
    """Some organizers run the job by the command, and the others leave it to background work."""
    if job is None:
        return
    _watch(self).jobs.append(job)
    if self.random.random() < 0.5:
        await self.ask("run the event job", self.operator(), lambda payments, caller: _running(payments, job))


async def _running(payments: BookingPayments, job: EventJob) -> object:
    try:
        return await payments.run_event_job(job)
    except ExceptionGroup as broken:
        _, rest = broken.split(PASSING)
        if rest is not None:
            raise
        return None


async def _register_another(self: CustomerActor) -> None:
    """Somebody books while the event is canceled or moved."""
    canceled = any(job.kind.value == "cancel" for job in _watch(self).jobs)
    self.asked += 1
    new = NewBooking(
        reference=f"R-{self.name}-{self.asked}",
        customer_id="ann",
        amount=_usd(5000),
        event_starts_at=NOW + FAR,
        event_id=EVENT,
    )
    result = await self.ask(
        "register another booking",
        self.operator(),
        lambda payments, caller: payments.register_booking(new, caller),
    )
    what = "a booking was registered for a canceled event"
    self.world.invariants.require(not (canceled and result is not None), what)
    if result is not None and result.booking.id not in self.world.booking_ids:
        self.world.booking_ids.append(result.booking.id)


AMENDMENTS: Final[Mapping[str, Callable[[CustomerActor], Awaitable[None]]]] = {
    "amend": _amend,
    "hesitate": _hesitate,
    "pay old page": _pay_on_an_old_page,
    "cancel items": _cancel_items,
    "refund items": _refund_items,
    "cancel event": _cancel_event,
    "move event": _move_event,
    "register another": _register_another,
}
"""Additional actions of the scenarios about amendments, items and events."""


def register_amendable(world: SimulatedWorld, random: Random, number: int, *, of_event: bool, items: bool) -> str:
    """A booking with or without items, of an event or not; returns its id."""
    far = of_event or random.random() < 0.8
    starts_in = FAR if far else timedelta(days=2)
    expires_in = random.choice((None, None, timedelta(hours=1), timedelta(minutes=5)))
    with_items = items or random.random() < 0.4
    more: dict[str, Any] = {"amount": Money.parse("100.00", Currency.USD)}
    if with_items:
        units = [Item(id=id_, label=id_, quantity=number, unit_amount=_usd(price)) for id_, number, price in _UNITS]
        more = {"items": tuple(units)}
    new = NewBooking(
        reference=f"R-{number}",
        customer_id="ann",
        event_starts_at=NOW + starts_in,
        expires_at=None if expires_in is None else NOW + expires_in,
        event_id=EVENT if of_event else None,
        **more,
    )
    with world.faults.instead(NoFaults()):
        booking = alone(world.processes[0].payments.register_booking(new), world.time).booking
    world.booking_ids.append(booking.id)
    if world.watch is not None:
        world.watch.bookings[booking.id] = booking
        world.watch.quantities.update({(booking.id, item.id): item.quantity for item in booking.items})
        if far:
            world.watch.whole.add(booking.id)
    return booking.id
