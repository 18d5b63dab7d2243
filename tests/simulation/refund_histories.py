"""Histories of one paid booking: every order of cancellations, refunds, disputes and the event's start, up to a length.

A history is a word over ``STEPS``. After each step the webhooks are delivered and the background work is done, so every
prefix of a history is a history too, and all are walked as one tree: a step is done on a copy of what the history
before it left. After each step the books are compared with the gateway's own objects and with ``Expected``, which
follows the rules of ``docs/guides/refund-policy.md`` in plain integers and shares no code with the domain.
"""

import copy
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import suppress
from datetime import timedelta
from decimal import Decimal
from typing import Any, Final

import attrs
from attrs import define, field, frozen

from booking_payments.application.views import RefundOnCancel
from booking_payments.application.world import Terms
from booking_payments.domain.errors import NotPossibleNow, RefundRefused, RefusedByRule
from booking_payments.domain.fees import FeeOnRefund, FeePayer, FeePolicy
from booking_payments.domain.money import Currency
from booking_payments.domain.payment import Payment
from booking_payments.domain.refunds import RefundPolicy, RefundTier
from booking_payments.testing.house import ANN, House

POLICY: Final = (RefundTier(hours_before=48, percent=Decimal(50)),)
UNTIL_THE_START: Final = timedelta(days=30)


@frozen(kw_only=True)
class Setting:
    """What a history is lived with. Amounts are in the currency's smallest unit."""

    currency: Currency = Currency.USD
    amount: str = "100.00"
    payer: FeePayer = FeePayer.ORGANIZER
    fee: FeeOnRefund = FeeOnRefund.KEPT

    @property
    def name(self) -> str:
        return f"{self.currency.code}-{self.payer.value}-{self.fee.value}"


@define
class Expected:
    """What the rules say, in plain integers of the smallest unit."""

    gross: int
    returnable: int
    promised: int = 0
    beside: int = 0
    started: bool = False

    def ceiling(self) -> int:
        """What the policy gives back in all."""
        return 0 if self.started else self.returnable // 2

    def cancel(self, ceiling: int) -> None:
        """The customer is to have ``ceiling`` in all, from us or from the bank."""
        self.beside = min(self.beside, max(self.promised - ceiling, 0))
        self.promised = max(self.promised, ceiling)

    def request(self, asked: int, given: int, taken: int, waiting: int) -> None:
        """A refund of ``asked`` was accepted: it pays what failed first, and is promised on top of the rest."""
        bank = max(taken, self.beside)
        if self.promised >= given + bank:
            failed = self.promised - given - bank - waiting
            self.promised += max(asked - failed, 0)
        else:
            self.promised, self.beside = given + bank + asked, bank

    def owed(self, given: int, taken: int) -> int:
        """What was promised and has not gone back."""
        return max(self.promised - given - max(taken, self.beside), 0)


@define
class History:
    """One history, at its end."""

    setting: Setting
    house: House
    booking_id: str
    payment: Payment
    expected: Expected
    word: tuple[str, ...] = ()
    disputes: dict[str, str] = field(factory=dict)

    async def refresh(self) -> None:
        """Deliver webhooks, do the background work, and read the payment."""
        for _ in range(3):
            await self.house.deliver_webhooks()
            await self.house.payments.work()
        self.payment = (await self.house.payments.payment_status(self.booking_id)).payment

    @property
    def intent_id(self) -> str:
        return self.payment.intent_id or ""

    def open_dispute(self, *kinds: str) -> str | None:
        """The id of the newest dispute in one of these statuses."""
        found = [each for each, status in self.disputes.items() if status in kinds]
        return found[-1] if found else None


# --- steps -----------------------------------------------------------------------------------------------------

Step = Callable[[History], Awaitable[bool]]
"""Does the step; False when it is not legal where the history stands."""

MOST_DISPUTES: Final = 3
OPEN = ("needs_response", "under_review")
ASKING = ("warning_needs_response",)
APPEALS = ("appeal_needs_response",)


def _opens(status: str, share: int = 1) -> Step:
    async def step(history: History) -> bool:
        amount = history.expected.gross * 3 // 10 if share != 1 else history.expected.gross
        disputed = sum(each.amount.minor for each in history.payment.disputes if each.status.value != "warning_closed")
        if disputed + amount > history.expected.gross or len(history.disputes) == MOST_DISPUTES:
            return False
        answer = history.house.stripe.open_dispute(history.intent_id, status=status, amount=amount)
        if answer.ok:
            history.disputes[answer.body["id"]] = status
        return answer.ok

    return step


def _moves(froms: tuple[str, ...], to: str, *, half_back: bool = False) -> Step:
    async def step(history: History) -> bool:
        dispute = history.open_dispute(*froms)
        if dispute is None:
            return False
        known = history.payment.dispute_by_id(dispute)
        reinstated = known.withdrawn.minor // 2 if half_back and known else None
        if half_back and not reinstated:
            return False
        answer = history.house.stripe.move_dispute(dispute, to, reinstated=reinstated)
        history.disputes[dispute] = to
        return answer.ok

    return step


def _cancels(refund: RefundOnCancel) -> Step:
    async def step(history: History) -> bool:
        house, expected = history.house, history.expected
        again = (await house.payments.get_booking(history.booking_id)).status.value == "canceled"
        with suppress(RefundRefused):
            await house.payments.cancel_booking(history.booking_id, refund=refund)
        if refund is RefundOnCancel.FULL:
            expected.cancel(expected.gross)
        elif refund is RefundOnCancel.POLICY and not again:
            expected.cancel(expected.ceiling())
        return True

    return step


async def _asks_for_a_refund(history: History) -> bool:
    asked = history.expected.gross // 5
    before = history.payment
    try:
        await history.house.payments.refund_payment(history.booking_id, ANN, amount=_text(history, asked))
    except (RefusedByRule, NotPossibleNow):
        return True
    given, taken = before.given_back.amount.minor, before.taken_by_disputes.minor
    history.expected.request(asked, given, taken, before.refundable.deferred.amount.minor)
    return True


async def _refund_fails_late(history: History) -> bool:
    done = [each for each in history.payment.refunds if each.status.value == "succeeded"]
    if not done:
        return False
    return history.house.stripe.fail_refund(done[-1].gateway_refund_id or "").ok


async def _event_starts(history: History) -> bool:
    if history.expected.started:
        return False
    history.house.clock.advance(UNTIL_THE_START + timedelta(hours=1))
    history.expected.started = True
    return True


def _text(history: History, minor: int) -> str:
    exponent = history.setting.currency.exponent
    return f"{Decimal(minor).scaleb(-exponent):.{exponent}f}"


STEPS: Final[Mapping[str, Step]] = {
    "inquiry": _opens("warning_needs_response"),
    "dispute": _opens("needs_response"),
    "partial dispute": _opens("needs_response", share=3),
    "escalated": _moves(ASKING, "needs_response"),
    "inquiry closed": _moves(ASKING, "warning_closed"),
    "prevented": _opens("prevented"),
    "appeal": _moves(("lost",), "appeal_needs_response"),
    "won": _moves((*OPEN, *APPEALS, "lost"), "won"),
    "lost": _moves((*OPEN, *APPEALS), "lost"),
    "partly lost": _moves(OPEN, "lost", half_back=True),
    "cancel none": _cancels(RefundOnCancel.NONE),
    "cancel policy": _cancels(RefundOnCancel.POLICY),
    "cancel full": _cancels(RefundOnCancel.FULL),
    "refund": _asks_for_a_refund,
    "refund fails": _refund_fails_late,
    "event starts": _event_starts,
}


# --- what must hold after each step ----------------------------------------------------------------------------


class Wrong(AssertionError):  # noqa: N818 - what a history went
    """A history that broke a rule."""


async def check(history: History) -> None:
    """Compare the books with the gateway and with what is expected. Raises ``Wrong``."""
    payment, expected = history.payment, history.expected
    there = await _at_the_gateway(history)
    given = payment.given_back.amount.minor
    owed = expected.owed(given, payment.taken_by_disputes.minor)
    rules = {
        "refunds": (given, there["refunds"]),
        "withdrawn": (payment.withdrawn.minor, there["withdrawn"]),
        "owed": (payment.owed.amount.minor, owed),
        "fee not negative": (payment.fee_returned.minor >= 0, True),
        "fee within the fee": (payment.fee_returned <= payment.breakdown.fee, True),
        "remaining is the quote": (_remaining(history), _quoted(history)),
    }
    for rule, (ours, theirs) in rules.items():
        if ours != theirs:
            raise Wrong(f"{' > '.join(history.word)}: {rule}: {ours}, expected {theirs}\n{payment}")
    _nothing_is_stuck(history)


def _remaining(history: History) -> int:
    return history.payment.refundable.remaining(history.house.clock.now()).minor


def _quoted(history: History) -> int:
    quote = history.payment.refundable.quote(history.house.clock.now(), None)
    return quote.amount.minor if quote.allowed else 0


def _nothing_is_stuck(history: History) -> None:
    """With no dispute open, what is owed is owed because a refund of it failed."""
    payment = history.payment
    failed = sum(each.amount.minor for each in payment.refunds if each.status.is_lost)
    free = not payment.has_open_dispute and payment.operation is None
    if free and payment.owed.amount.minor > failed:
        raise Wrong(f"{' > '.join(history.word)}: {payment.owed.amount} is owed, and nothing sends it\n{payment}")
    if free and payment.refundable.deferred.amount:
        raise Wrong(f"{' > '.join(history.word)}: {payment.deferred} are not sent\n{payment}")


async def _at_the_gateway(history: History) -> dict[str, int]:
    gateway = history.house.world.gateway
    refunds = await gateway.list_refunds(history.intent_id)
    disputes = await gateway.list_disputes(history.intent_id)
    return {
        "refunds": sum(each.amount.minor for each in refunds if each.status and not each.status.is_lost),
        "withdrawn": sum(_withdrawn(each) for each in disputes),
    }


def _withdrawn(dispute: Any) -> int:
    """Settled in the payment's own currency the sum of its transactions says it."""
    return int(max(-sum(movement.amount for movement in dispute.movements), 0))


# --- the tree --------------------------------------------------------------------------------------------------


async def begin(setting: Setting) -> History:
    """A paid booking, before anything happened to it."""
    fees = FeePolicy(payer=setting.payer)
    house = House(terms=Terms(fees=fees))
    policy = RefundPolicy(tiers=POLICY, fee=setting.fee)
    booking = await house.book(
        setting.amount, currency=setting.currency, starts_in=UNTIL_THE_START, refund_policy=policy
    )
    await house.payments.process_booking_payment(booking, "pm_card_visa")
    await house.deliver_webhooks()
    payment = (await house.payments.payment_status(booking.id)).payment
    keeps = setting.payer is FeePayer.CUSTOMER and setting.fee is FeeOnRefund.KEPT
    returnable = payment.breakdown.net.minor if keeps else payment.breakdown.gross.minor
    expected = Expected(gross=payment.captured.minor, returnable=returnable)
    return History(setting=setting, house=house, booking_id=booking.id, payment=payment, expected=expected)


async def walk(history: History, length: int, first: str | None = None) -> AsyncIterator[History]:
    """Every legal history that goes on from this one by up to ``length`` steps, each checked after each step."""
    for name in [first] if first else STEPS:
        longer = await extend(history, name)
        if longer is None:
            continue
        yield longer
        if length > 1:
            async for each in walk(longer, length - 1):
                yield each


def _share_values() -> None:
    """Have ``deepcopy`` share what cannot change: the frozen values of the domain and the ports. Most of a copy's time
    would go into them."""
    modules = [module for name, module in sys.modules.items() if name.startswith(_OF_VALUES)]
    for kind in {each for module in modules for each in vars(module).values() if isinstance(each, type)}:
        if attrs.has(kind) and kind.__module__.startswith(_OF_VALUES) and kind.__setattr__ is not object.__setattr__:
            kind.__deepcopy__ = lambda self, memo: self  # type: ignore[attr-defined]


_OF_VALUES: Final = (
    "booking_payments.domain.",
    "booking_payments.ports.",
    "booking_payments.adapters.fake_stripe.model",
)
_share_values()


async def extend(history: History, name: str) -> History | None:
    """The history after one more step, checked; None when the step is not legal there."""
    longer = copy.deepcopy(history)
    longer.word = (*history.word, name)
    if not await STEPS[name](longer):
        return None
    await longer.refresh()
    await check(longer)
    return longer
