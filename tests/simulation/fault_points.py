"""Exactly one fault at a time, at every point: each use case runs once to count the boundaries that it crosses, and
then once for every boundary and every fault that is possible there.

After the fault the caller repeats the request, or the resolver runs, and the result must be the same as without it: one
charge, one refund, nothing lost and nothing in flight.
"""

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from functools import cache
from random import Random
from typing import Any, Final

import attrs
from attrs import define, frozen

from booking_payments.application.callers import Caller
from booking_payments.application.payments import BookingPayments
from booking_payments.application.views import NewBooking, PaymentView, RefundOnCancel
from booking_payments.domain.amendments import BookingChange
from booking_payments.domain.errors import AlreadyUnderWay, PaymentError, TryAgainLater
from booking_payments.domain.instructions import CaptureMethod
from booking_payments.domain.money import Currency, Money
from booking_payments.domain.payment import Payment
from booking_payments.ports.storage import StorageConflict
from tests.simulation.actors import ALL, Repairs, Resolver, RunProfile, WebhookCarrier
from tests.simulation.faults import CRASHES, FAULTS_AT, BoundaryKind, InjectedFault, NextCall, NoFaults, OneFault, Point
from tests.simulation.scheduler import alone
from tests.simulation.settling import Settling
from tests.simulation.world import NOW, ProcessDied, ServiceProcess, Setup, SimulatedWorld, StorageGone

BEFORE: Final = Caller.customer("ann", "an earlier request")
ANN: Final = Caller.customer("ann", "the request")
OLGA: Final = Caller.operator_of("olga", "the request")

CLIENT: Final = Repairs(webhooks=False, resolver=False)
RESOLVER: Final = Repairs(client=False, webhooks=False)


Outcome = tuple[tuple[tuple[str, int], ...], tuple[int, ...], tuple[str, ...], tuple[str, ...]]


@define(eq=False)
class UseCaseRun:
    """A world with one booking, on which the use cases are tried."""

    world: SimulatedWorld
    booking_id: str = ""
    event: Mapping[str, Any] | None = None

    @property
    def process(self) -> ServiceProcess:
        return self.world.processes[0]

    @property
    def payments(self) -> BookingPayments:
        return self.process.payments

    def do(self, work: Awaitable[Any]) -> Any:
        return alone(work, self.world.time)

    def book(self, expires_in: timedelta = timedelta(days=30)) -> None:
        new = NewBooking(
            reference="R-1",
            customer_id="ann",
            amount=Money.parse("100.00", Currency.USD),
            event_starts_at=NOW + timedelta(days=30),
            expires_at=NOW + expires_in,
        )
        self.booking_id = self.do(self.payments.register_booking(new)).booking.id
        self.world.booking_ids.append(self.booking_id)

    def pay(self, method: str = "pm_card_visa", capture: CaptureMethod = CaptureMethod.AUTOMATIC) -> PaymentView:
        view: PaymentView = self.do(
            self.payments.start_payment(
                self.booking_id, BEFORE, payment_method_id=method, confirm_immediately=True, capture_method=capture
            )
        )
        return view

    def authenticate(self, view: PaymentView) -> None:
        secret = view.client_action.client_secret if view.client_action else None
        answer = self.world.stripe.authenticate(view.payment.intent_id or "", secret or "", "succeeded")
        assert answer.ok


@frozen(kw_only=True)
class UseCase:
    """A use case: ``before`` prepares it without faults, ``request`` is the request under test."""

    name: str
    before: Callable[[UseCaseRun], None]
    request: Callable[[UseCaseRun, Caller], Awaitable[object]]
    repairs: tuple[Repairs, ...] = (CLIENT, RESOLVER)
    caller: Caller = ANN
    refused_in_action: tuple[str, ...] = ()
    replaces: bool = False
    """The payment is canceled for a new one, whose intent a later request makes where this one could not."""


def _booked(run: UseCaseRun) -> None:
    run.book()


def _in_the_window(run: UseCaseRun) -> None:
    run.book()
    run.authenticate(run.pay("pm_card_authenticationRequired"))


def _waits(run: UseCaseRun) -> None:
    run.book()
    run.pay("pm_card_authenticationRequired")


def _attached(run: UseCaseRun) -> None:
    run.book()
    run.do(run.payments.start_payment(run.booking_id, BEFORE, payment_method_id="pm_card_visa"))


def _declined(run: UseCaseRun) -> None:
    run.book()
    try:
        run.pay("pm_card_chargeDeclined")
    except PaymentError:
        return


def _held(run: UseCaseRun) -> None:
    run.book()
    run.pay(capture=CaptureMethod.MANUAL)


def _started(run: UseCaseRun) -> None:
    run.book()
    run.do(run.payments.start_payment(run.booking_id, BEFORE))


def _paid(run: UseCaseRun) -> None:
    run.book()
    run.pay()


def _overdue(run: UseCaseRun) -> None:
    run.book(expires_in=timedelta(minutes=5))
    run.do(run.payments.start_payment(run.booking_id, BEFORE))
    run.world.time.advance(timedelta(minutes=6))


def _paid_in_browser(run: UseCaseRun) -> None:
    run.book()
    view = run.do(run.payments.start_payment(run.booking_id, BEFORE))
    run.world.stripe.confirm_as_customer(view.payment.intent_id, view.client_action.client_secret, "pm_card_visa")
    run.event = run.world.theirs.deliveries()[-1].event


def _declined_in_browser(run: UseCaseRun) -> None:
    run.book()
    view = run.do(run.payments.start_payment(run.booking_id, BEFORE))
    method = "pm_card_chargeDeclined"
    run.world.stripe.confirm_as_customer(view.payment.intent_id, view.client_action.client_secret, method)
    run.event = run.world.theirs.deliveries()[-1].event


def _refunded_in_dashboard(run: UseCaseRun) -> None:
    _paid(run)
    intent_id = next(iter(run.world.theirs.records["payment_intent"]))
    run.world.stripe.refund_in_dashboard(intent_id, 2500)
    run.event = run.world.theirs.deliveries()[-2].event


def _left_in_flight(run: UseCaseRun) -> None:
    """The process died in front of its call; its lease is over."""
    run.book()
    with run.world.faults.instead(NextCall(InjectedFault.CRASH_BEFORE)):
        _swallow(run, lambda: run.pay())
    run.world.time.advance(timedelta(minutes=2))


def _left_unknown(run: UseCaseRun) -> None:
    """The charge was made, and the answer got lost."""
    run.book()
    with run.world.faults.instead(NextCall(InjectedFault.TIMEOUT_AFTER, times=3)):
        _swallow(run, lambda: run.pay())
    run.world.time.advance(timedelta(minutes=2))


def _refund_left_unknown(run: UseCaseRun) -> None:
    _paid(run)
    with run.world.faults.instead(NextCall(InjectedFault.TIMEOUT_AFTER, times=3, label="POST")):
        _swallow(run, lambda: run.do(run.payments.refund_payment(run.booking_id, BEFORE, amount="30.00")))
    run.world.time.advance(timedelta(minutes=2))


def _swallow(run: UseCaseRun, work: Callable[[], object]) -> None:
    try:
        work()
    except (PaymentError, ProcessDied):
        return


async def _pay(run: UseCaseRun, caller: Caller) -> object:
    return await run.payments.start_payment(
        run.booking_id, caller, payment_method_id="pm_card_visa", confirm_immediately=True
    )


async def _pay_with_3ds(run: UseCaseRun, caller: Caller) -> object:
    method = "pm_card_authenticationRequired"
    return await run.payments.start_payment(run.booking_id, caller, payment_method_id=method, confirm_immediately=True)


async def _look(run: UseCaseRun, caller: Caller) -> object:
    return await run.payments.confirm_payment(run.booking_id, caller)


async def _retry(run: UseCaseRun, caller: Caller) -> object:
    return await run.payments.retry_payment(run.booking_id, caller, payment_method_id="pm_card_visa")


async def _choose_another(run: UseCaseRun, caller: Caller) -> object:
    return await run.payments.start_payment(run.booking_id, caller, payment_method_id="pm_card_mastercard")


async def _capture(run: UseCaseRun, caller: Caller) -> object:
    return await run.payments.capture_payment(run.booking_id, caller, amount="60.00")


async def _cancel(run: UseCaseRun, caller: Caller) -> object:
    return await run.payments.cancel_payment(run.booking_id, caller)


async def _cancel_booking(run: UseCaseRun, caller: Caller) -> object:
    return await run.payments.cancel_booking(run.booking_id, caller, refund=RefundOnCancel.FULL)


async def _amend_cheaper(run: UseCaseRun, caller: Caller) -> object:
    change = BookingChange(amount=Money.parse("80.00", Currency.USD))
    return await run.payments.amend_booking(run.booking_id, change, caller, refund=RefundOnCancel.FULL)


async def _amend_dearer(run: UseCaseRun, caller: Caller) -> object:
    change = BookingChange(amount=Money.parse("120.00", Currency.USD))
    return await run.payments.amend_booking(run.booking_id, change, caller)


async def _refund(run: UseCaseRun, caller: Caller) -> object:
    return await run.payments.refund_payment(run.booking_id, caller)


async def _refund_part(run: UseCaseRun, caller: Caller) -> object:
    return await run.payments.refund_payment(run.booking_id, caller, amount="30.00")


async def _webhook(run: UseCaseRun, caller: Caller) -> object:
    webhook_sender = WebhookCarrier(run.world, PROFILE, Random(1), "webhook sender")
    assert run.event is not None
    return await webhook_sender.deliver(run.event)


async def _round(run: UseCaseRun, caller: Caller) -> object:
    return await Resolver(run.world, PROFILE, Random(1), "resolver").round()


PROFILE: Final = RunProfile(
    methods=("pm_card_visa",), capture=CaptureMethod.AUTOMATIC, patience_s=1.0, actions={"pay": 1.0}, repairs=ALL
)

WEBHOOK: Final = (Repairs(client=False, resolver=False),)

USE_CASES: Final = (
    UseCase(name="pay", before=_booked, request=_pay),
    UseCase(name="pay with 3-D Secure", before=_booked, request=_pay_with_3ds),
    UseCase(name="confirm after 3-D Secure", before=_in_the_window, request=_look),
    UseCase(name="pay again after a decline", before=_declined, request=_retry),
    UseCase(name="another method in action", before=_waits, request=_retry),
    UseCase(
        name="another method, refused in action",
        before=_waits,
        request=_retry,
        refused_in_action=("updated", "confirmed"),
    ),
    UseCase(name="choose another method", before=_attached, request=_choose_another),
    UseCase(name="capture", before=_held, request=_capture, caller=OLGA),
    UseCase(name="cancel", before=_started, request=_cancel),
    UseCase(name="cancel an authorization", before=_held, request=_cancel),
    UseCase(name="cancel the booking", before=_started, request=_cancel_booking, caller=OLGA),
    UseCase(name="cancel the paid booking", before=_paid, request=_cancel_booking, caller=OLGA),
    UseCase(name="amend to a lower price", before=_started, request=_amend_cheaper, caller=OLGA),
    UseCase(name="amend to a higher price", before=_started, request=_amend_dearer, caller=OLGA, replaces=True),
    UseCase(name="amend the paid booking", before=_paid, request=_amend_cheaper, caller=OLGA),
    UseCase(name="refund all", before=_paid, request=_refund),
    UseCase(name="refund a part", before=_paid, request=_refund_part),
    UseCase(name="webhook of a success", before=_paid_in_browser, request=_webhook, repairs=WEBHOOK),
    UseCase(name="webhook of a decline", before=_declined_in_browser, request=_webhook, repairs=WEBHOOK),
    UseCase(name="webhook of a refund", before=_refunded_in_dashboard, request=_webhook, repairs=WEBHOOK),
    UseCase(name="resolver: left in flight", before=_left_in_flight, request=_round, repairs=(RESOLVER,)),
    UseCase(name="resolver: left unknown", before=_left_unknown, request=_round, repairs=(RESOLVER,)),
    UseCase(name="resolver: refund unknown", before=_refund_left_unknown, request=_round, repairs=(RESOLVER,)),
    UseCase(name="outbox", before=_paid, request=_round, repairs=(RESOLVER,)),
    UseCase(name="expiry", before=_overdue, request=_round, repairs=(RESOLVER,)),
)


# --- running them ----------------------------------------------------------------------------------------------


@cache
def points(case: UseCase, *, sql: bool = False) -> tuple[Point, ...]:
    """The boundaries that the use case crosses when nothing goes wrong."""
    run = _prepared(case, sql)
    run.world.faults.keep = True
    _ask(run, case, case.caller)
    return tuple(run.world.faults.seen)


def faults_for(point: Point) -> Iterator[OneFault]:
    """Everything that can go wrong at a point. What the gateway does to one try it may do to all of them."""
    for fault in FAULTS_AT[point.kind]:
        if fault is not InjectedFault.ARRIVES_LATE:
            yield OneFault(point.number, fault)
        if point.kind is BoundaryKind.GATEWAY and fault not in (
            *CRASHES,
            InjectedFault.SLOW,
            InjectedFault.DECLINE,
            InjectedFault.ARRIVES_LATE,
        ):
            yield OneFault(point.number, fault, times=3)


def play(case: UseCase, fault: OneFault | None, repairs: Repairs, *, sql: bool = False) -> SimulatedWorld:
    """Run the use case with one fault, then the repairs until everything is settled; returns the world, whose
    invariants have recorded violations."""
    run = _prepared(case, sql)
    with run.world.faults.instead(fault or NoFaults()):
        _ask(run, case, case.caller)
    if repairs.client:
        saved = fault is not None and fault.fault is InjectedFault.ERROR_BEFORE
        _ask_until_settled(run, case, A_DAY if saved else A_WHILE)
    if any(_is_sent_by_the_system(payment) for payment in run.world.ours.payments.values()):
        repairs = attrs.evolve(repairs, resolver=True)
    settling = Settling(run.world, attrs.evolve(PROFILE, repairs=repairs), Random(1))
    settling.go()
    for each in settling.left():
        run.world.invariants.require(False, each)
    return run.world


def _is_sent_by_the_system(payment: Payment) -> bool:
    """Whether a refund is promised that no client can have sent: it is deferred, or belongs to a cancellation."""
    of_itself = (each for each in payment.refunds if each.requested_by is None and each.gateway_refund_id is None)
    return bool(payment.deferred) or any(each.status.is_pending for each in of_itself)


def untouched(case: UseCase, *, sql: bool = False) -> set[Outcome]:
    """Return the outcomes of a request that had no effect; only its client could repeat it. Where the client may retry,
    a payment without an intent may remain."""
    before = outcome(_prepared(case, sql).world)
    intents, refunds, statuses, bookings = before
    found = {before, (intents, refunds, statuses or ("requires_payment_method",), bookings)}
    if case.request is _retry and statuses == ("requires_action",):  # the new method is there, and was not charged
        attached = ("requires_confirmation",)
        found.add((((*attached, 0),), refunds, attached, bookings))
    if case.refused_in_action:  # room was made, and the new payment has not reached the gateway
        found.add(((("canceled", 0),), refunds, ("canceled", "requires_payment_method"), bookings))
    return found


def replaced(case: UseCase) -> set[Outcome]:
    """Return the outcomes of a use case whose new payment has not reached the gateway, or was lost on its way."""
    statuses = (("canceled", "requires_payment_method"), ("canceled",))
    return {((("canceled", 0),), (), each, ("pending",)) for each in statuses} if case.replaces else set()


def _prepared(case: UseCase, sql: bool) -> UseCaseRun:
    setup = Setup(sql=sql, skews=(timedelta(0),), refused_in_action=case.refused_in_action)
    run = UseCaseRun(SimulatedWorld(setup))
    case.before(run)
    return run


def _ask(run: UseCaseRun, case: UseCase, caller: Caller) -> bool:
    """Whether the answer was definite."""
    try:
        run.do(case.request(run, caller))
    except (ProcessDied, StorageGone, StorageConflict):
        return False
    except PaymentError as error:
        return not isinstance(error, TryAgainLater | AlreadyUnderWay)
    return True


A_WHILE: Final = (timedelta(minutes=1),) * 40
A_DAY: Final = (*A_WHILE, *(timedelta(hours=1),) * 25)
"""Pauses of a client between its repetitions. When Stripe has stored a 500 under the key and done nothing, every
repetition gets that 500, until the operation is abandoned."""


def _ask_until_settled(run: UseCaseRun, case: UseCase, waits: Sequence[timedelta]) -> None:
    """Repeat the request until its outcome is definite."""
    again = attrs.evolve(case.caller, resumed=True)
    for wait in waits:
        run.world.time.advance(wait)
        if _ask(run, case, again):
            return


def outcome(world: SimulatedWorld) -> Outcome:
    """What a use case has led to: intents and refunds at the gateway, payments and bookings in our books."""
    theirs, ours = world.theirs.records, world.ours
    return (
        tuple((each["status"], each["amount_received"]) for each in theirs["payment_intent"].values()),
        tuple(sorted(each["amount"] for each in theirs["refund"].values())),
        tuple(sorted(payment.status.value for payment in ours.payments.values())),
        tuple(sorted(status.value for status in ours.bookings.values())),
    )
