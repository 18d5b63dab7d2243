"""Histories of one paid booking: all orders of cancellations, refunds, disputes and the event's start, up to a length.

A history is a word over ``STEPS``. After each step the webhooks are delivered and the background work runs, so every
prefix of a history is a history, and all of them are walked as one tree: after a step and its continuations the state
before it is restored. After each step the database is compared with the gateway's objects and with ``Expected``, which
implements the rules of ``docs/guides/refund-policy.md`` in plain integers and shares no code with the domain.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from random import Random
from typing import Final

from attrs import define, evolve, field, frozen

from booking_payments.adapters.memory.stores import MemoryStorage
from booking_payments.application.dependencies import PaymentConfig
from booking_payments.application.differences import refund_owed, refund_waiting
from booking_payments.application.findings import Finding
from booking_payments.application.views import RefundOnCancel
from booking_payments.domain.errors import (
    NotPossibleNow,
    OutcomeUnknown,
    RefundRefused,
    RefusedByRule,
    TryAgainLater,
)
from booking_payments.domain.events import Settlement
from booking_payments.domain.fees import FeeOnRefund, FeePayer, FeePolicy
from booking_payments.domain.money import Currency
from booking_payments.domain.payment import Payment
from booking_payments.domain.refunds import Deferral, RefundPolicy, RefundTier
from booking_payments.ports.storage import Storage
from booking_payments.sandbox.emulator.records import Record
from booking_payments.testing.kit import ANN, OPERATOR, PaymentsTestKit
from tests.simulation.invariants import Json, taken_by

POLICY: Final = (RefundTier(hours_before=48, percent=Decimal(50)),)
UNTIL_THE_START: Final = timedelta(days=30)


@frozen(kw_only=True)
class Setting:
    """What a history is lived with. Amounts are in the currency's smallest unit."""

    currency: Currency = Currency.USD
    amount: str = "100.00"
    payer: FeePayer = FeePayer.ORGANIZER
    fee: FeeOnRefund = FeeOnRefund.KEPT
    settles: str | None = None
    """The currency that the gateway settles in, at another rate with each step; None: the payment's own."""

    @property
    def name(self) -> str:
        settles = f"-in-{self.settles}" if self.settles else ""
        return f"{self.currency.code}-{self.payer.value}-{self.fee.value}{settles}"


@define
class Expected:
    """What the rules say, in plain integers of the smallest unit."""

    gross: int
    returnable: int
    promised: int = 0
    beside: int = 0
    settled: int = 0
    """What an operator has paid outside the gateway: it is never paid again."""
    started: bool = False
    canceled: bool = False
    """Whether the booking was canceled, after which only what failed is given again without an override."""
    in_full: bool = False
    """Whether the organizer has given everything back, fee included, with nothing taken off that since."""
    unacknowledged: dict[int, datetime] = field(factory=dict)
    """Amounts of refunds with an unknown outcome, and the times of their requests."""

    def copy(self) -> "Expected":
        """The same, to go on from."""
        return evolve(self, unacknowledged=dict(self.unacknowledged))

    def is_repetition(self, asked: int, now: datetime) -> bool:
        """Whether an equal request would be the one whose outcome is not known to its caller."""
        return asked in self.unacknowledged and now - self.unacknowledged[asked] < timedelta(hours=24)

    def ceiling(self) -> int:
        """What the policy gives back in all."""
        return 0 if self.started else self.returnable // 2

    def cancel(self, ceiling: int) -> None:
        """The customer is to have ``ceiling`` in all, from us or from the bank."""
        ceiling = max(ceiling - self.settled, 0)
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

    def accepts(self, asked: int, given: int, taken: int, waiting: int, held: int, *, override: bool) -> bool:
        """Whether a refund of ``asked`` is accepted: within the tier or what failed, and within the bound.

        A cancellation decides what goes back: after it only what failed is given again.
        """
        back = given + waiting + taken + self.settled
        failed = self.promised - given - waiting - max(taken, self.beside)
        by_tier = 0 if self.canceled else self.ceiling() - back
        by_rule = self.gross - back if override else max(by_tier, failed)
        return asked <= min(by_rule, self.gross - given - waiting - held - self.settled)

    def owed(self, given: int, taken: int) -> int:
        """The promised amount that was not returned yet."""
        return max(self.promised - given - max(taken, self.beside), 0)


@define
class History:
    """One history, at its end. The test kit may have others, of other bookings."""

    setting: Setting
    kit: PaymentsTestKit
    booking_id: str
    payment: Payment
    expected: Expected
    word: tuple[str, ...] = ()
    ours: frozenset[str] = frozenset()

    async def refresh(self) -> None:
        """Deliver webhooks, do the background work until nothing follows any more, and read the payment."""
        for _ in range(MOST_ROUNDS):
            before = self.payment.version
            await self.kit.deliver_webhooks()
            await self.kit.payments.work()
            self.payment = await self.read()
            if self.payment.version == before and not self._waits_for_a_look():
                return

    async def read(self) -> Payment:
        """The payment as it is in the books."""
        return (await self.kit.payments.payment_status(self.booking_id)).payment

    def _waits_for_a_look(self) -> bool:
        """Whether the gateway was silent, so that the system tries again a little later; lets that time pass."""
        silent = any(each.why is Deferral.GATEWAY_UNAVAILABLE for each in self.payment.deferred)
        waits = self.payment.operation is not None or (silent and not self.payment.refundable.blocked)
        if waits:
            self.kit.clock.advance(A_LOOK_LATER)
        return waits

    @property
    def intent_id(self) -> str:
        return self.payment.intent_id or ""

    def disputes(self, *statuses: str) -> list[Json]:
        """The gateway's disputes in one of these statuses, or all; the newest last."""
        return [each for each in self._of("dispute") if not statuses or each["status"] in statuses]

    def refunds(self) -> list[Json]:
        """The gateway's refunds, the newest last."""
        return self._of("refund")

    def _of(self, kind: str) -> list[Json]:
        records = self.kit.stripe._account.table(kind).values()
        return [record.body for record in records if record.body["payment_intent"] == self.intent_id]

    def taken(self) -> int:
        """What the bank has taken back for good."""
        return sum(taken_by(each) for each in self.disputes("lost", "prevented"))

    def held(self) -> int:
        """What disputes have taken or claim."""
        return sum(max(taken_by(each), _claimed(each)) for each in self.disputes())

    def part(self, share: Fraction) -> int:
        """A share of everything, as far as the gateway takes amounts that fine."""
        part = int(self.expected.gross * share)
        return part - part % self.payment.amount_step


MOST_ROUNDS: Final = 6
A_LOOK_LATER: Final = timedelta(minutes=15)


# --- steps -----------------------------------------------------------------------------------------------------

Step = Callable[[History], Awaitable[bool]]
"""Does the step. False, with nothing done, when it is not legal where the history stands."""

MOST_DISPUTES: Final = 3
OPEN = ("needs_response", "under_review")
ASKING = ("warning_needs_response",)
APPEALS = ("appeal_needs_response",)
LOST = ("failed", "canceled")


def _opens(status: str, share: Fraction = Fraction(1)) -> Step:
    async def step(history: History) -> bool:
        amount = history.part(share)
        known = history.disputes()
        disputed = sum(each["amount"] for each in known if each["status"] != "warning_closed")
        if disputed + amount > history.expected.gross or len(known) == MOST_DISPUTES:
            return False
        return history.kit.stripe.open_dispute(history.intent_id, status=status, amount=amount).ok

    return step


def _moves(froms: tuple[str, ...], to: str, *, half_back: bool = False) -> Step:
    async def step(history: History) -> bool:
        found = history.disputes(*froms)
        if not found:
            return False
        reinstated = taken_by(found[-1]) // 2 if half_back else None
        if half_back and not reinstated:
            return False
        return history.kit.stripe.move_dispute(found[-1]["id"], to, reinstated=reinstated).ok

    return step


def _cancels(refund: RefundOnCancel, *, fault: str | None = None) -> Step:
    async def step(history: History) -> bool:
        kit, expected = history.kit, history.expected
        again = (await kit.payments.get_booking(history.booking_id)).status.value == "canceled"
        before = sum(each["amount"] for each in history.refunds() if each["status"] not in LOST)
        if fault is not None:
            kit.stripe.faults.script("POST /v1/refunds", fault, times=3)
        with suppress(RefundRefused):
            await kit.payments.cancel_booking(history.booking_id, refund=refund)
        kit.stripe.faults.clear()
        expected.canceled = True
        if refund is RefundOnCancel.FULL:
            expected.cancel(expected.gross)
            given = sum(each["amount"] for each in history.refunds() if each["status"] not in LOST)
            expected.in_full = expected.in_full or before < expected.gross <= given
        elif refund is RefundOnCancel.POLICY and not again:
            expected.cancel(expected.ceiling())
        return True

    return step


def _asks(share: Fraction, *, fault: str | None = None, override: bool = False) -> Step:
    """A refund of a share of everything is asked for, by the customer or with ``override`` by an operator."""

    async def step(history: History) -> bool:
        kit, before = history.kit, history.payment
        asked = history.part(share)
        again = not override and history.expected.is_repetition(asked, kit.clock.now())
        if fault is not None:
            kit.stripe.faults.script("POST /v1/refunds", fault, times=3)
        told, amount, held = None, _text(history, asked), history.held()
        try:
            if override:
                view = await kit.payments.refund_payment(
                    history.booking_id, OPERATOR, amount=amount, note="as agreed", override=True
                )
            else:
                view = await kit.payments.refund_payment(history.booking_id, ANN, amount=amount)
            require(history, "replayed", view.replayed, again)
        except (RefusedByRule, NotPossibleNow, TryAgainLater, OutcomeUnknown) as error:
            told = error
        kit.stripe.faults.clear()
        if again:
            require(history, "a repetition is answered", told, None)
            history.expected.unacknowledged.pop(asked)
            return True
        given, taken, waiting = before.given_back.amount.minor, history.taken(), before.refundable.deferred.amount.minor
        accepts = history.expected.accepts(asked, given, taken, waiting, held, override=override)
        require(history, "is accepted", not isinstance(told, RefusedByRule | NotPossibleNow), accepts)
        if told is None or isinstance(told, OutcomeUnknown):
            history.expected.request(asked, given, taken, waiting)
        if isinstance(told, OutcomeUnknown):
            history.expected.unacknowledged[asked] = kit.clock.now()
        return True

    return step


async def _refunds_in_the_dashboard(history: History) -> bool:
    amount = history.part(Fraction(1, 10))
    given = sum(each["amount"] for each in history.refunds() if each["status"] not in LOST)
    if given + amount > history.expected.gross:
        return False
    return history.kit.stripe.refund_in_dashboard(history.intent_id, amount).ok


async def _settles(history: History) -> bool:
    """An operator settles the debt outside the gateway."""
    owed = history.payment.owed.amount
    if not owed or history.payment.operation is not None:
        return False
    await history.kit.payments.settle_debt(
        history.payment.id, OPERATOR, amount=owed.major(), how=Settlement.PAID_ELSEWHERE, note="by transfer"
    )
    history.expected.promised -= owed.minor
    history.expected.settled += owed.minor
    history.expected.in_full = False
    return True


async def _refund_fails_late(history: History) -> bool:
    done = [each for each in history.refunds() if each["status"] == "succeeded"]
    if not done:
        return False
    return history.kit.stripe.fail_refund(done[-1]["id"]).ok


async def _event_starts(history: History) -> bool:
    if history.expected.started:
        return False
    history.kit.clock.advance(UNTIL_THE_START + timedelta(hours=1))
    history.expected.started = True
    return True


def _text(history: History, minor: int) -> str:
    exponent = history.setting.currency.exponent
    return f"{Decimal(minor).scaleb(-exponent):.{exponent}f}"


STEPS: Final[Mapping[str, Step]] = {
    "inquiry": _opens("warning_needs_response"),
    "partial inquiry": _opens("warning_needs_response", share=Fraction(3, 10)),
    "dispute": _opens("needs_response"),
    "partial dispute": _opens("needs_response", share=Fraction(3, 10)),
    "escalated": _moves(ASKING, "needs_response"),
    "inquiry closed": _moves(ASKING, "warning_closed"),
    "prevented": _opens("prevented"),
    "appeal": _moves(("lost",), "appeal_needs_response"),
    "won": _moves((*OPEN, *APPEALS, "lost"), "won"),
    "lost": _moves((*OPEN, *APPEALS), "lost"),
    "partly lost": _moves(OPEN, "lost", half_back=True),
    "partly won": _moves((*OPEN, *APPEALS), "won", half_back=True),
    "cancel none": _cancels(RefundOnCancel.NONE),
    "cancel policy": _cancels(RefundOnCancel.POLICY),
    "cancel full": _cancels(RefundOnCancel.FULL),
    "refund": _asks(Fraction(1, 5)),
    "refund of another amount": _asks(Fraction(3, 10)),
    "override": _asks(Fraction(3, 5), override=True),
    "refund in the dashboard": _refunds_in_the_dashboard,
    "refund fails": _refund_fails_late,
    "event starts": _event_starts,
}
"""All words of these are walked."""

MORE_STEPS: Final[Mapping[str, Step]] = {
    **STEPS,
    "lost after all": _moves(("won",), "lost"),
    "refund, no answer": _asks(Fraction(1, 5), fault="reset_after"),
    "refund, saved 500": _asks(Fraction(1, 5), fault="500_after"),
    "refund, not sent": _asks(Fraction(1, 5), fault="429_limit"),
    "cancel full, not sent": _cancels(RefundOnCancel.FULL, fault="429_limit"),
    "settle": _settles,
}
"""Words of these are sampled, and walked up to a smaller length."""


# --- what must hold after each step ----------------------------------------------------------------------------


class Wrong(AssertionError):  # noqa: N818 - what a history went
    """A history that broke a rule."""


def require(history: History, rule: str, ours: object, theirs: object) -> None:
    """Raise ``Wrong`` unless both are equal."""
    if ours != theirs:
        word = " > ".join(history.word)
        raise Wrong(f"{history.setting.name}: {word}: {rule}: {ours}, expected {theirs}\n{history.payment}")


def check(history: History, *, waited: bool) -> None:
    """Compare the database with the gateway and with the expectation. Raises ``Wrong``.

    ``waited``: refunds were deferred before the last step.
    """
    payment, expected = history.payment, history.expected
    refunded = sum(each["amount"] for each in history.refunds() if each["status"] not in LOST)
    withdrawn = sum(taken_by(each) for each in history.disputes())
    given = payment.given_back.amount.minor
    taken = history.taken()
    owed = expected.owed(given, taken)
    require(history, "refunds", given, refunded)
    require(history, "withdrawn", payment.withdrawn.minor, withdrawn)
    require(history, "owed", payment.owed.amount.minor, owed)
    require(history, "the fee is not negative", payment.fee_returned.minor >= 0, True)
    require(history, "the fee is within the fee", payment.fee_returned <= payment.breakdown.fee, True)
    require(history, "what remains is the quote", _remaining(history), _quoted(history))
    require(history, "all is accounted for", given + max(taken, expected.beside) + owed >= expected.promised, True)
    foreign = any(not each["metadata"] for each in history.refunds())
    if expected.in_full and not foreign and not history.disputes() and not owed:
        require(history, "the organizer gives the whole fee back", payment.fee_returned, payment.breakdown.fee)
    asked_for = sum(each["amount"] for each in history.refunds() if each["metadata"] and each["status"] not in LOST)
    require(history, "refunds do not exceed the promise", asked_for <= expected.promised, True)
    _bound(history, refunded, waited)
    _is_listed(history, owed)
    _nothing_is_stuck(history)


def _bound(history: History, refunded: int, waited: bool) -> None:
    """Require that no refund exceeds the captured amount without what disputes hold. ``waited``: some were deferred."""
    ours = frozenset(each["id"] for each in history.refunds() if each["metadata"].get("refund_id"))
    new, history.ours = ours - history.ours, ours
    if history.word[-1] == "refund fails" and not waited:
        require(history, "what failed is not sent again", new, frozenset())
    if new:
        held = history.held()
        require(history, "within the bound", refunded + held <= history.expected.gross, True)
        if history.disputes(*ASKING) and history.word[-1] != "override":
            require(history, "a part waits for the end of an inquiry", refunded + held, history.expected.gross)


def _is_listed(history: History, owed: int) -> None:
    """Require that debts are listed, as deferred or as an operator's task."""
    payment = history.payment
    listed = {each.code for each in (*refund_owed(payment), *refund_waiting(payment))}
    require(history, "a debt is listed", bool(listed), bool(owed))
    waiting = payment.owed_waiting
    require(history, "a deferred refund is owed", waiting <= payment.owed.amount, True)
    if payment.has_open_dispute and not any(each.status.is_lost for each in payment.refunds):
        require(history, "what a dispute holds back waits", waiting, payment.owed.amount)
    may_wait = payment.has_open_dispute or bool(payment.deferred)
    require(history, "it waits for something", bool(waiting) <= may_wait, True)


def _remaining(history: History) -> int:
    return history.payment.refundable.remaining(history.kit.clock.now()).minor


def _quoted(history: History) -> int:
    quote = history.payment.refundable.quote(history.kit.clock.now(), None)
    return quote.amount.minor if quote.allowed else 0


def _nothing_is_stuck(history: History) -> None:
    """Require that a debt without an open dispute comes from a failed refund."""
    payment = history.payment
    failed = sum(each.amount.minor for each in payment.refunds if each.status.is_lost and each.gateway_refund_id)
    free = not payment.has_open_dispute and payment.operation is None
    if free and payment.owed.amount.minor > failed:
        require(history, "a debt has a cause", payment.owed.amount.minor, failed)
    if free:
        require(history, "a deferred refund is sent", payment.refundable.deferred.amount.minor, 0)
    require(history, "no operation is left", payment.operation, None)


def _claimed(dispute: Json) -> int:
    return int(dispute["amount"]) if dispute["status"] in (*OPEN, *APPEALS, "appeal_under_review") else 0


async def check_end(history: History) -> None:
    """Run an operator's checks at the end of a word: ``ledger check`` agrees, ``reconcile`` finds nothing to repair and
    lists exactly the debts. Raises ``Wrong``."""
    ledger = await history.kit.payments.check_ledger()
    require(history, "the ledger agrees", [each.text for each in ledger.faults], [])
    found = await history.kit.payments.reconcile()
    payment = await history.read()
    for_a_person, waits = payment.owed.amount - payment.owed_waiting, payment.owed_waiting
    require(history, "healed", _codes(history, found.healed), [])
    require(history, "left", _codes(history, found.left), ["refund_owed"] if for_a_person else [])
    require(history, "waiting", _codes(history, found.waiting), ["waiting"] if waits else [])


def _codes(history: History, findings: Sequence[Finding]) -> list[str]:
    return [each.code for each in findings if each.payment_id == history.payment.id]


# --- going back ------------------------------------------------------------------------------------------------


class Bookmark:
    """How everything stands at the end of a history, to go back to.

    A copy of the whole installation takes longer than a step. Rows in memory are replaced and never changed; of the
    gateway's records the fields are replaced, and never changed in depth.
    """

    def __init__(self, history: History) -> None:
        kit = history.kit
        account = kit.stripe._account
        self._history = history
        self._fields = (history.payment, history.word, history.ours)
        self._expected = history.expected.copy()
        self._books = _memory(kit)._tables.copy()
        self._now = kit.clock.now()
        self._random = kit.deps.random.getstate()
        self._agenda, self._seq = list(account.agenda), account._seq
        self._records = {
            kind: [(record, dict(record.body), dict(record.private)) for record in table.values()]
            for kind, table in account._tables.items()
        }
        self._owned = {owner: dict(records) for owner, records in account._owned.items()}
        self._first_seen = dict(kit.stripe._first_seen)
        self._published = len(kit.publisher.published)

    def go_back(self) -> None:
        """Restore the remembered state."""
        history, kit = self._history, self._history.kit
        account = kit.stripe._account
        history.payment, history.word, history.ours = self._fields
        history.expected = self._expected.copy()
        _memory(kit)._tables = self._books.copy()
        kit.clock._now = self._now
        kit.deps.random.setstate(self._random)
        account.agenda[:], account._seq = self._agenda, self._seq
        account._tables = {kind: dict(map(_restored, table)) for kind, table in self._records.items()}
        account._owned = {owner: dict(records) for owner, records in self._owned.items()}
        kit.stripe._first_seen = dict(self._first_seen)
        kit.stripe.calls.clear()
        del kit.publisher.published[self._published :]


def _restored(kept: tuple[Record, Json, Json]) -> tuple[str, Record]:
    record, body, private = kept
    record.body, record.private = dict(body), dict(private)
    return record.id, record


def _memory(kit: PaymentsTestKit) -> MemoryStorage:
    assert isinstance(kit.storage, MemoryStorage)
    return kit.storage


# --- walking ---------------------------------------------------------------------------------------------------


def kit_for(setting: Setting, storage: Storage | None = None, seed: int = 1) -> PaymentsTestKit:
    """An installation with the terms of ``setting``."""
    return PaymentsTestKit(config=PaymentConfig(fees=FeePolicy(payer=setting.payer)), storage=storage, seed=seed)


async def begin(setting: Setting, kit: PaymentsTestKit | None = None, reference: str = "R-1") -> History:
    """A paid booking with nothing else in its history; in a new in-memory test kit by default."""
    kit = kit or kit_for(setting)
    policy = RefundPolicy(tiers=POLICY, fee=setting.fee)
    _settle_at(kit, setting, 0)
    booking = await kit.book(
        setting.amount,
        currency=setting.currency,
        reference=reference,
        starts_in=UNTIL_THE_START,
        refund_policy=policy,
    )
    await kit.payments.process_booking_payment(booking, "pm_card_visa")
    await kit.deliver_webhooks()
    payment = (await kit.payments.payment_status(booking.id)).payment
    keeps = setting.payer is FeePayer.CUSTOMER and setting.fee is FeeOnRefund.KEPT
    returnable = payment.breakdown.net.minor if keeps else payment.breakdown.gross.minor
    expected = Expected(gross=payment.captured.minor, returnable=returnable)
    return History(setting=setting, kit=kit, booking_id=booking.id, payment=payment, expected=expected)


RATES: Final = ("0.92", "0.915", "0.93", "0.9", "0.925")


def _settle_at(kit: PaymentsTestKit, setting: Setting, day: int) -> None:
    """Settle at the rate of the day."""
    if setting.settles:
        kit.stripe.set_settlement(setting.settles, {setting.currency.code: RATES[day % len(RATES)]})


async def walk(
    history: History, length: int, steps: Mapping[str, Step] = STEPS, first: Collection[str] = (), one_in: int = 1
) -> AsyncIterator[History]:
    """Every legal history that goes on from this one by up to ``length`` steps, each checked after each step.

    All are the one ``history``, which goes on and back. ``first``: only those that begin with one of these. ``one_in``:
    one step in so many is tried as the last one, each after some of the histories.
    """
    here, moved = Bookmark(history), False
    for name in first or (_some(history, steps, one_in) if length == 1 else steps):
        if moved:
            here.go_back()
        moved = await extend(history, name, steps)
        if not moved:
            continue
        yield history
        if length > 1:
            async for each in walk(history, length - 1, steps, one_in=one_in):
                yield each
    here.go_back()


def _some(history: History, steps: Collection[str], one_in: int) -> Sequence[str]:
    """Return one step in ``one_in``, other ones after each step that the history may end with."""
    names = list(steps)
    begin = sum(map(names.index, history.word)) % one_in
    return names[begin::one_in]


async def extend(history: History, name: str, steps: Mapping[str, Step] = MORE_STEPS) -> bool:
    """Go on by one step, and check; False when the step is not legal there."""
    word, history.word = history.word, (*history.word, name)
    _settle_at(history.kit, history.setting, len(word))
    waited = bool(history.payment.deferred)
    if not await steps[name](history):
        history.word = word
        return False
    await history.refresh()
    check(history, waited=waited)
    return True


async def live(history: History, random: Random, length: int) -> None:
    """Go on by ``length`` steps that ``random`` chooses of those that are legal."""
    names = list(MORE_STEPS)
    while len(history.word) < length:
        await extend(history, random.choice(names))
    await check_end(history)
