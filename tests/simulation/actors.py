"""Actors of the simulation: customers, operators, the bank, the dashboard, the sender of webhooks, the resolver.

Actors do not know the product's rules. They choose actions at random, in an order that the seed decides, and the
product
has to refuse what is not allowed.
"""

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from random import Random
from typing import Any, Final, TypeVar

import attrs
import msgspec
from attrs import define, field, frozen

from booking_payments.application.callers import Caller
from booking_payments.application.payments import BookingPayments
from booking_payments.application.views import NewBooking, PaymentView, RefundOnCancel
from booking_payments.domain.errors import AlreadyUnderWay, OutcomeUnknown, PaymentError, TryAgainLater
from booking_payments.domain.events import Settlement
from booking_payments.domain.instructions import CaptureMethod
from booking_payments.domain.lifecycle import PaymentStatus
from booking_payments.domain.money import Currency, Money
from booking_payments.domain.payment import DeferredRefund, Payment, Refund
from booking_payments.ports.storage import CommitLost, StorageConflict
from booking_payments.ports.webhooks import WebhookRefused
from booking_payments.sandbox.emulator.disputes import STATUSES
from tests.simulation.faults import NoFaults
from tests.simulation.scheduler import Pause, alone
from tests.simulation.world import NOW, ProcessDied, ServiceProcess, SimulatedWorld, StorageGone

T = TypeVar("T")
Call = Callable[[BookingPayments], Awaitable[T]]

METHODS: Final = (
    "pm_card_visa",
    "pm_card_mastercard",
    "pm_card_chargeDeclined",
    "pm_card_chargeDeclinedLostCard",
    "pm_card_chargeDeclinedExpiredCard",
    "pm_card_authenticationRequired",
    "pm_card_authenticationRequiredChargeDeclinedInsufficientFunds",
    "pm_card_createDispute",
    "pm_card_createDisputeInquiry",
    "pm_card_pendingRefund",
    "pm_card_refundFail",
    "pm_usBankAccount_success",
    "pm_usBankAccount_insufficientFunds",
)

UNSETTLED: Final = (
    OutcomeUnknown,
    TryAgainLater,
    AlreadyUnderWay,
    StorageConflict,
    CommitLost,
    StorageGone,
    ProcessDied,
)
"""Errors after which a client repeats its request, because it does not know the outcome."""


PASSING: Final = (PaymentError, StorageConflict, CommitLost, StorageGone)
"""What may break a round of background work: it passes."""

MOST_IDLE: Final = 1800.0
"""The longest pause in seconds of a background actor without work."""


@frozen(kw_only=True)
class Repairs:
    """The paths that may repair the effects of a fault: clients that repeat requests, the gateway's webhooks, and the
    resolver."""

    client: bool = True
    webhooks: bool = True
    resolver: bool = True


ALL: Final = Repairs()


@frozen(kw_only=True)
class RunProfile:
    """The habits of the actors in one run, chosen by the seed, so that runs differ from each other."""

    methods: tuple[str, ...]
    capture: CaptureMethod
    patience_s: float
    actions: Mapping[str, float]
    first: str = "pay"
    repairs: Repairs = ALL

    @classmethod
    def of(cls, random: Random, repairs: Repairs, actions: Sequence[str], methods: Sequence[str]) -> "RunProfile":
        usual = tuple(random.sample(methods, k=random.randint(1, 3)))
        weights = {action: random.random() ** 2 for action in actions if random.random() < 0.7}
        weights["refund"] = max(weights.get("refund", 0.0), 0.3)
        return cls(
            methods=usual,
            capture=CaptureMethod.MANUAL if random.random() < 0.3 else CaptureMethod.AUTOMATIC,
            patience_s=random.choice((0.1, 3.0, 60.0)),
            actions=weights,
            first="start" if "start" in actions and random.random() < 0.2 else "pay",
            repairs=repairs,
        )


@define(eq=False)
class Actor:
    """Somebody outside the service who sends requests to its processes. ``profile.patience_s`` is the mean pause
    between two actions."""

    world: SimulatedWorld
    profile: RunProfile
    random: Random
    name: str
    asked: int = 0

    async def ask(self, what: str, caller: Caller, call: Callable[[BookingPayments, Caller], Awaitable[T]]) -> T | None:
        """Return the result of a request; None after an error. A client repeats the request until the outcome is
        definite."""
        for again in range(4 if self.profile.repairs.client else 1):
            if again:
                await self.wait()
                caller = attrs.evolve(caller, resumed=True)
            result = await self._once(what, lambda payments, caller=caller: call(payments, caller))  # type: ignore[misc]
            if not isinstance(result, BaseException):
                return result
            if not isinstance(result, UNSETTLED):
                return None
        return None

    async def _once(self, what: str, call: Call[T]) -> T | BaseException:
        process = self.process()
        self.world.tell(self.name, f"asks {process.name}: {what}")
        try:
            result = await call(process.payments)
        except (PaymentError, WebhookRefused, StorageConflict, CommitLost, StorageGone, ProcessDied) as error:
            code = getattr(error, "code", "")
            self.world.tell(self.name, f"is told {type(error).__name__} {code}")
            return error
        self.world.tell(self.name, f"has it: {_seen(result)}")
        return result

    def process(self) -> ServiceProcess:
        """Return a random process, as a load balancer would."""
        return self.random.choice(self.world.processes)

    def customer(self) -> Caller:
        self.asked += 1
        return Caller.customer("ann", f"{self.name} {self.asked}")

    def operator(self) -> Caller:
        self.asked += 1
        return Caller.operator_of("olga", f"{self.name} {self.asked}")

    async def wait(self, times: float = 1.0) -> None:
        """Let some time pass."""
        seconds = self.random.expovariate(1) * self.profile.patience_s * times
        await Pause(self.world.time.now + timedelta(seconds=seconds))

    def method(self) -> str:
        return self.random.choice(self.profile.methods)


def _seen(result: object) -> str:
    payment = getattr(result, "payment", None)
    if payment is not None:
        return str(payment.status.value)
    outcome = getattr(result, "outcome", None) or getattr(getattr(result, "status", None), "value", None)
    return str(outcome or type(result).__name__)


# --- who wants something of a booking --------------------------------------------------------------------------


@define(eq=False)
class CustomerActor(Actor):
    """Acts on one booking: as its customer, as an operator, or from the side of the gateway."""

    booking_id: str = ""
    turns: int = 3
    alone: bool = False
    made: list[str] = field(factory=list)
    more_actions: Mapping[str, Callable[["CustomerActor"], Awaitable[None]]] = field(factory=dict)

    async def run(self) -> None:
        """Come, act, go."""
        actions, weights = zip(*self.profile.actions.items(), strict=True)
        for turn in range(self.turns):
            await self.wait()
            action = self.random.choices(actions, weights)[0] if turn else self.profile.first
            await {**ACTIONS, **OBLIGATIONS, **SECOND_METHODS, **self.more_actions}[action](self)

    def intent(self) -> Mapping[str, Any] | None:
        """One of the booking's intents, as the customer's browser and the dashboard show it."""
        found = [
            each
            for each in self.world.theirs.records["payment_intent"].values()
            if each["metadata"].get("booking_id") == self.booking_id
        ]
        return self.random.choice(found) if found else None

    def charged_with(self, payment_method_id: str) -> int:
        """How often this method was charged, with success or without."""
        charges = self.world.theirs.records["charge"].values()
        return sum(each["payment_method"] == payment_method_id for each in charges)

    def payments(self) -> list[Payment]:
        """The booking's payments, as our books have them."""
        return [each for each in self.world.ours.payments.values() if each.booking_id == self.booking_id]

    def refunds_of(self, amount: Money) -> dict[str, bool]:
        """The refunds and deferred refunds that were asked for with this amount, and whether each failed."""
        made: list[tuple[Refund | DeferredRefund, bool]]
        made = [(each, each.status.is_lost) for payment in self.payments() for each in payment.refunds]
        made += [(each, False) for payment in self.payments() for each in payment.deferred]
        return {each.id: lost for each, lost in made if each.requested_amount == amount}

    def unacknowledged(self, amount: Money) -> set[str]:
        """Those of them whose caller was not given the outcome."""
        refunds = [each for payment in self.payments() for each in payment.refunds if not each.acknowledged]
        waiting = [each for payment in self.payments() for each in payment.deferred if each.requested_by]
        both: list[Refund | DeferredRefund] = [*refunds, *waiting]
        return {each.id for each in both if each.requested_amount == amount}

    def part_of(self, amount: int) -> str | None:
        """Return an amount below the whole, or None for the whole."""
        if amount < 2 or self.random.random() < 0.4:
            return None
        return str(Money(self.random.randint(1, amount), Currency.USD).major())


async def _pay(self: CustomerActor) -> None:
    method, capture = self.method(), self.profile.capture
    view = await self.ask(
        f"pay with {method}",
        self.customer(),
        lambda payments, caller: payments.start_payment(
            self.booking_id, caller, payment_method_id=method, confirm_immediately=True, capture_method=capture
        ),
    )
    await _act_in_browser(self, view)


async def _start(self: CustomerActor) -> None:
    view = await self.ask(
        "start",
        self.customer(),
        lambda payments, caller: payments.start_payment(self.booking_id, caller, capture_method=self.profile.capture),
    )
    if view is not None and view.client_action is not None:
        await self.wait()
        method = self.method()
        secret = view.client_action.client_secret or ""
        answer = self.world.stripe.confirm_as_customer(view.payment.intent_id or "", secret, method)
        self.world.tell(self.name, f"pays in the browser with {method}: {answer.status}")


async def _confirm(self: CustomerActor) -> None:
    method = self.method() if self.random.random() < 0.7 else None
    view = await self.ask(
        f"confirm with {method}",
        self.customer(),
        lambda payments, caller: payments.confirm_payment(self.booking_id, caller, payment_method_id=method),
    )
    await _act_in_browser(self, view)


async def _act_in_browser(self: CustomerActor, view: PaymentView | None) -> None:
    """Most customers pass the bank's window, and the front end then asks for the end of it."""
    if view is None or view.payment.status is not PaymentStatus.REQUIRES_ACTION or self.random.random() < 0.1:
        return
    await self.wait()
    await _authenticate(self)
    if self.random.random() < 0.8:
        await self.ask(
            "confirm after 3-D Secure",
            self.customer(),
            lambda payments, caller: payments.confirm_payment(self.booking_id, caller),
        )


async def _authenticate(self: CustomerActor) -> None:
    intent = self.intent()
    if intent is None or intent["status"] != "requires_action":
        return
    outcome = "succeeded" if self.random.random() < 0.8 else "failed"
    answer = self.world.stripe.authenticate(intent["id"], intent["client_secret"], outcome)
    self.world.tell(self.name, f"leaves the bank's window: {outcome}, {answer.status}")


async def _cancel(self: CustomerActor) -> None:
    await self.ask(
        "cancel the payment",
        self.customer(),
        lambda payments, caller: payments.cancel_payment(self.booking_id, caller),
    )


async def _refund(self: CustomerActor) -> None:
    amount = self.part_of(5000)
    caller = self.customer() if self.random.random() < 0.7 else self.operator()
    await self.ask(
        f"refund {amount or 'all'}",
        caller,
        lambda payments, caller: payments.refund_payment(self.booking_id, caller, amount=amount),
    )


async def _capture(self: CustomerActor) -> None:
    amount = self.part_of(10000)
    await self.ask(
        f"capture {amount or 'all'}",
        self.operator(),
        lambda payments, caller: payments.capture_payment(self.booking_id, caller, amount=amount),
    )


async def _cancel_booking(self: CustomerActor) -> None:
    if self.random.random() < 0.3:
        await self.ask(
            "cancel their booking",
            self.customer(),
            lambda payments, caller: payments.cancel_booking(self.booking_id, caller),
        )
        return
    refund = self.random.choice(list(RefundOnCancel))
    await self.ask(
        f"cancel the booking, refund {refund.value}",
        self.operator(),
        lambda payments, caller: payments.cancel_booking(self.booking_id, caller, refund=refund),
    )


async def _refund_in_dashboard(self: CustomerActor) -> None:
    intent = self.intent()
    if intent is not None:
        amount = self.random.randint(1, 6000)
        answer = self.world.stripe.refund_in_dashboard(intent["id"], amount)
        self.world.tell(self.name, f"refunds {amount} in the dashboard: {answer.status}")


async def _dispute(self: CustomerActor) -> None:
    intent = self.intent()
    if intent is not None:
        inquiry = self.random.random() < 0.4
        answer = self.world.stripe.open_dispute(intent["id"], inquiry=inquiry)
        self.world.tell(self.name, f"{'asks about' if inquiry else 'disputes'} {intent['id']}: {answer.status}")


_EVIDENCE: Final = ("winning_evidence", "losing_evidence", "escalate_inquiry_evidence")


async def _evidence(self: CustomerActor) -> None:
    disputes = [each for each in self.world.theirs.records["dispute"].values()]
    if disputes:
        text = self.random.choice(_EVIDENCE)
        dispute_id = self.random.choice(disputes)["id"]
        answer = self.world.stripe.call(
            "POST", f"/v1/disputes/{dispute_id}", {"evidence": {"uncategorized_text": text}}
        )
        self.world.tell(self.name, f"sends {text} for {dispute_id}: {answer.status}")


async def _bounce(self: CustomerActor) -> None:
    refunds = list(self.world.theirs.records["refund"].values())
    if refunds:
        refund_id = self.random.choice(refunds)["id"]
        answer = self.world.stripe.move_refund(refund_id, "failed")
        self.world.tell(self.name, f"the bank sends {refund_id} back: {answer.status}")


_A_WHILE: Final = (timedelta(minutes=2), timedelta(hours=1), timedelta(hours=9), timedelta(hours=24))


async def _let_time_pass(self: CustomerActor) -> None:
    """Let time pass without an action, until every request has arrived or was lost."""
    await Pause(self.world.time.now + self.random.choice(_A_WHILE))


ACTIONS: Final[Mapping[str, Callable[[CustomerActor], Awaitable[None]]]] = {
    "pay": _pay,
    "start": _start,
    "confirm": _confirm,
    "authenticate": _authenticate,
    "cancel": _cancel,
    "refund": _refund,
    "capture": _capture,
    "cancel booking": _cancel_booking,
    "refund in dashboard": _refund_in_dashboard,
    "dispute": _dispute,
    "evidence": _evidence,
    "bounce": _bounce,
    "time": _let_time_pass,
}


# --- debts, and banks that break their own rules


async def _override(self: CustomerActor) -> None:
    amount = self.part_of(10000)
    await self.ask(
        f"refund {amount or 'all'} despite the rules",
        self.operator(),
        lambda payments, caller: payments.refund_payment(
            self.booking_id, caller, amount=amount, note="as agreed", override=True
        ),
    )


async def _settle_debt(self: CustomerActor) -> None:
    """An operator settles a debt, or a part of it, outside the gateway."""
    owed = [each for each in self.payments() if each.owed.amount]
    if not owed:
        return
    payment, how = self.random.choice(owed), self.random.choice(list(Settlement))
    minor = self.random.choice((payment.owed.amount.minor, self.random.randint(1, payment.owed.amount.minor)))
    amount = Money(minor, payment.amount.currency).major()
    await self.ask(
        f"settle {amount} of the debt",
        self.operator(),
        lambda payments, caller: payments.settle_debt(payment.id, caller, amount=amount, how=how, note="by transfer"),
    )


async def _refund_without_a_key(self: CustomerActor) -> None:
    """Repeat a request without an idempotency key until its outcome is known. No other request asks for that amount."""
    minor = self.random.randint(1, 4000)
    while minor in self.world.amounts_asked:
        minor += 1
    self.world.amounts_asked.add(minor)
    amount = Money(minor, Currency.USD)
    for _ in range(4):
        unknown, known = self.unacknowledged(amount), self.refunds_of(amount)
        result = await self._once(
            f"refund {amount} without a key",
            lambda payments: payments.refund_payment(self.booking_id, self.customer(), amount=amount.major()),
        )
        stands = unknown & {id_ for id_, lost in self.refunds_of(amount).items() if not lost}
        new = self.refunds_of(amount).keys() - known.keys()
        self.world.invariants.require(not (stands and new), f"{stands} was not acknowledged, and {new} was made")
        if not isinstance(result, UNSETTLED):
            return
        await self.wait()


async def _dispute_anyhow(self: CustomerActor) -> None:
    """The bank disputes any part, in any status, and lets refunds pass or not."""
    intent = self.intent()
    if intent is not None and intent["amount_received"]:
        status, amount = self.random.choice(sorted(STATUSES)), self.random.randint(1, intent["amount_received"])
        refundable = self.random.choice((None, None, None, True))
        answer = self.world.stripe.open_dispute(intent["id"], status=status, amount=amount, refundable=refundable)
        self.world.tell(self.name, f"disputes {amount} of {intent['id']}, {status}: {answer.status}")


async def _move_dispute(self: CustomerActor) -> None:
    """The bank moves a dispute to any status, and gives back any part of the money."""
    disputes = list(self.world.theirs.records["dispute"].values())
    if disputes:
        dispute, status = self.random.choice(disputes), self.random.choice(sorted(STATUSES))
        taken = -sum(each["amount"] for each in dispute["balance_transactions"])
        part = self.random.randint(0, taken) if taken > 0 and self.random.random() < 0.3 else None
        answer = self.world.stripe.move_dispute(dispute["id"], status, reinstated=part)
        self.world.tell(self.name, f"moves {dispute['id']} to {status}, {part} back: {answer.status}")


async def _move_rate(self: CustomerActor) -> None:
    """The gateway settles in euros from now on, at a rate of the day."""
    rate = self.random.choice(("0.9", "0.915", "0.92", "0.93", "1.01"))
    self.world.stripe.set_settlement("eur", {"usd": rate})
    self.world.tell("gateway", f"settles in eur at {rate}")


OBLIGATIONS: Final[Mapping[str, Callable[[CustomerActor], Awaitable[None]]]] = {
    "override": _override,
    "settle": _settle_debt,
    "refund without a key": _refund_without_a_key,
    "dispute anyhow": _dispute_anyhow,
    "move dispute": _move_dispute,
    "move rate": _move_rate,
}
"""Additional actions of the scenario about debts."""


# --- customers who change their minds, with methods that have ids of their own


def _own_method(self: CustomerActor) -> str:
    """A new payment method, or one that this customer has tried before."""
    if self.made and self.random.random() < 0.3:
        return self.random.choice(self.made)
    token = f"tok_{self.method().removeprefix('pm_card_')}"
    answer = self.world.stripe.call("POST", "/v1/payment_methods", {"type": "card", "card": {"token": token}})
    self.made.append(str(answer.body["id"]))
    return self.made[-1]


async def _pay_own(self: CustomerActor) -> None:
    """Each of the three calls charges the method that it names."""
    method, name = _own_method(self), self.random.choice(("start", "confirm", "retry"))

    def call(payments: BookingPayments, caller: Caller) -> Awaitable[PaymentView]:
        if name == "start":
            return payments.start_payment(self.booking_id, caller, payment_method_id=method, confirm_immediately=True)
        if name == "confirm":
            return payments.confirm_payment(self.booking_id, caller, payment_method_id=method)
        return payments.retry_payment(self.booking_id, caller, payment_method_id=method)

    view = await self.ask(f"{name} with {method}", self.customer(), call)
    if self.random.random() < 0.5:
        await _act_in_browser(self, view)


async def _browser_own(self: CustomerActor) -> None:
    """The customer tries another method in the browser, in any state of the payment."""
    intent = self.intent()
    if intent is not None:
        method = _own_method(self)
        answer = self.world.stripe.confirm_as_customer(intent["id"], intent["client_secret"], method)
        self.world.tell(self.name, f"pays in the browser with {method}: {answer.status}")


async def _choose_twice(self: CustomerActor) -> None:
    """Name one method, then another, then confirm: the first one must not be charged any more."""
    acknowledged: list[str] = []
    for _ in range(2):
        method = _own_method(self)
        view = await self.ask(
            f"choose {method}",
            self.customer(),
            lambda payments, caller, method=method: payments.start_payment(  # type: ignore[misc]
                self.booking_id, caller, payment_method_id=method
            ),
        )
        if view is not None and view.payment.status is PaymentStatus.REQUIRES_CONFIRMATION:
            acknowledged.append(method)
    before = self.charged_with(acknowledged[0]) if len(acknowledged) == 2 else 0
    await _act_in_browser(
        self,
        await self.ask(
            "confirm the chosen method",
            self.customer(),
            lambda payments, caller: payments.confirm_payment(self.booking_id, caller),
        ),
    )
    if len(set(acknowledged)) == 2 and self.alone:
        grown = self.charged_with(acknowledged[0]) - before
        self.world.invariants.require(not grown, f"{acknowledged[0]} was charged, and {acknowledged[1]} was chosen")


SECOND_METHODS: Final[Mapping[str, Callable[[CustomerActor], Awaitable[None]]]] = {
    "pay own": _pay_own,
    "browser own": _browser_own,
    "choose twice": _choose_twice,
}
"""More actions, of the scenario in which customers change their minds."""


def register(world: SimulatedWorld, random: Random, number: int) -> str:
    """A booking, as the booking app registers it; returns its id."""
    starts_in = random.choice((timedelta(hours=3), timedelta(days=2), timedelta(days=30)))
    expires_in = random.choice((timedelta(minutes=5), timedelta(hours=1), starts_in))
    new = NewBooking(
        reference=f"R-{number}",
        customer_id="ann",
        amount=Money.parse("100.00", Currency.USD),
        event_starts_at=NOW + starts_in,
        expires_at=NOW + min(expires_in, starts_in),
    )
    with world.faults.instead(NoFaults()):
        booking = alone(world.processes[0].payments.register_booking(new), world.time).booking
    world.booking_ids.append(booking.id)
    return booking.id


# --- what goes on by itself ------------------------------------------------------------------------------------


@define(eq=False)
class BackgroundActor(Actor, ABC):
    """Works round after round until ``stopped``; with nothing to do, less and less often."""

    stopped: bool = False

    async def run(self) -> None:
        idle = 1.0
        while not self.stopped:
            await self.wait(idle)
            idle = 1.0 if await self.round() else min(idle * 2, MOST_IDLE / self.profile.patience_s)

    @abstractmethod
    async def round(self) -> bool:
        """Do the work that is due. Returns whether more of it is expected soon."""


@define(eq=False)
class WebhookCarrier(BackgroundActor):
    """Carries webhooks: late, twice, out of order, and again until they are taken."""

    async def round(self) -> bool:
        """Deliver one of the waiting events, due or not; sometimes the acknowledgement is lost."""
        self.world.stripe.tick()
        waiting = self.world.theirs.deliveries()[:6]
        if not waiting:
            return False
        delivery = self.random.choice(waiting)
        taken = await self.deliver(delivery.event)
        if self.random.random() < 0.8:
            self.world.stripe.delivered(delivery.event["id"], taken, delivery.endpoint_id)
        return taken

    async def deliver(self, event: Mapping[str, Any]) -> bool:
        """Deliver one event; whether it was taken."""
        body = msgspec.json.encode(event)
        what = f"webhook {event['type']} of {event['data']['object']['id']}"
        result = await self._once(what, lambda payments: payments.receive_webhook(body, self.world.signed(body)))
        return not isinstance(result, BaseException)


@define(eq=False)
class Resolver(BackgroundActor):
    """Does the background work."""

    async def round(self) -> bool:
        """One round; what breaks in it must be something that passes."""
        before = self.world.ours.events.total()
        try:
            await self.process().payments.work()
        except ProcessDied:
            return False
        except ExceptionGroup as broken:
            _, rest = broken.split(PASSING)
            if rest is not None:
                raise
        return self.world.ours.events.total() > before
