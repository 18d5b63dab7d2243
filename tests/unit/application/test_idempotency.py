"""``idempotency_key=`` of the library: a command repeated with the same key runs once and returns the same result."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from inspect import signature
from typing import Any

import anyio
import attrs
import pytest

from booking_payments.adapters.gateways.fake.gateway import FakeGateway
from booking_payments.application.callers import Caller, KeyMark
from booking_payments.application.idempotency import Fate, amount_asked, fate_of, library_request
from booking_payments.application.payments import BACKEND, BookingPayments
from booking_payments.application.resuming import require_turn
from booking_payments.application.views import NewBooking, RefundOnCancel
from booking_payments.domain.booking import BookingStatus
from booking_payments.domain.declines import Decline
from booking_payments.domain.errors import (
    AlreadyUnderWay,
    CardDeclined,
    Contradiction,
    GatewayRefusedUs,
    InvalidAmount,
    InvalidInput,
    NotFound,
    NotPossibleNow,
    OutcomeUnknown,
    PaymentError,
    RefundRefused,
    RefusedByRule,
    TryAgainLater,
)
from booking_payments.domain.instructions import CaptureMethod
from booking_payments.domain.lifecycle import PaymentStatus
from booking_payments.domain.money import Currency, Money
from booking_payments.domain.refunds import RefundPolicy, RefundReason
from booking_payments.domain.reports import IntentReport
from booking_payments.ports.idempotency import ANSWER_LIFETIME
from booking_payments.ports.payments import PollState
from booking_payments.ports.storage import CommitLost, StorageConflict
from booking_payments.ports.unit_of_work import UnitOfWork
from booking_payments.testing.kit import ANN, PaymentsTestKit
from tests.unit.application.failing_gateway import PowerCut

KEY = "order-4711-the-first-time"
OTHER_KEY = "order-4711-the-second-time"
LEASE = timedelta(seconds=60)
Call = Callable[..., Awaitable[Any]]


async def _paid(kit: PaymentsTestKit, capture_method: CaptureMethod | None = None) -> str:
    booking = await kit.book()
    await kit.payments.start_payment(
        booking.id, payment_method_id="pm_card_visa", confirm_immediately=True, capture_method=capture_method
    )
    return booking.id


async def _refunded(kit: PaymentsTestKit, booking_id: str) -> int:
    return (await kit.payments.payment_status(booking_id)).payment.refunded.minor


def _sent(kit: PaymentsTestKit) -> int:
    """Return the number of requests to the gateway that change something there."""
    return sum(call.method == "POST" for call in kit.stripe.calls)


# --- every command


COMMANDS = [
    "register_booking",
    "cancel_booking",
    "start_payment",
    "confirm_payment",
    "retry_payment",
    "capture_payment",
    "cancel_payment",
    "refund_payment",
    "process_booking_payment",
    "retry_booking_payment",
    "process_booking_refund",
]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_takes_a_key(command: str) -> None:
    parameter = signature(getattr(BookingPayments, command)).parameters["idempotency_key"]

    assert (parameter.kind, parameter.default) == (parameter.KEYWORD_ONLY, None)


def _new() -> NewBooking:
    starts = datetime(2026, 4, 1, tzinfo=UTC)
    return NewBooking(reference="R-9", customer_id="ann", amount=Money(5000, Currency.USD), event_starts_at=starts)


async def _started(kit: PaymentsTestKit) -> str:
    booking = await kit.book()
    await kit.payments.start_payment(booking.id)
    return booking.id


async def _declined(kit: PaymentsTestKit) -> str:
    booking = await kit.book()
    await kit.payments.process_booking_payment(booking, "pm_card_chargeDeclined")
    return booking.id


async def _held(kit: PaymentsTestKit) -> str:
    return await _paid(kit, CaptureMethod.MANUAL)


async def _new_booking(kit: PaymentsTestKit) -> str:
    return (await kit.book()).id


CASES: dict[
    str, tuple[Callable[[PaymentsTestKit], Awaitable[str]], Callable[[PaymentsTestKit, str], Call], dict[str, Any]]
] = {
    "cancel_booking": (_paid, lambda h, _: h.payments.cancel_booking, {"refund": RefundOnCancel.FULL}),
    "start_payment": (
        _new_booking,
        lambda h, _: h.payments.start_payment,
        {"payment_method_id": "pm_card_visa", "confirm_immediately": True},
    ),
    "confirm_payment": (_started, lambda h, _: h.payments.confirm_payment, {"payment_method_id": "pm_card_visa"}),
    "retry_payment": (_declined, lambda h, _: h.payments.retry_payment, {"payment_method_id": "pm_card_visa"}),
    "capture_payment": (_held, lambda h, _: h.payments.capture_payment, {"amount": "60.00"}),
    "cancel_payment": (_started, lambda h, _: h.payments.cancel_payment, {}),
    "refund_payment": (_paid, lambda h, _: h.payments.refund_payment, {"amount": "20.00"}),
    "process_booking_payment": (
        _new_booking,
        lambda h, _: h.payments.process_booking_payment,
        {"payment_method_id": "pm_card_visa"},
    ),
    "retry_booking_payment": (
        _declined,
        lambda h, _: h.payments.retry_booking_payment,
        {"payment_method_id": "pm_card_visa"},
    ),
    "process_booking_refund": (_paid, lambda h, _: h.payments.process_booking_refund, {"refund_amount": "20.00"}),
}


@pytest.mark.parametrize("case", CASES)
async def test_a_repeated_command_runs_once_and_returns_the_same_result(kit: PaymentsTestKit, case: str) -> None:
    prepare, method, given = CASES[case]
    booking_id = await prepare(kit)
    call = method(kit, booking_id)
    first = await call(booking_id, **given, idempotency_key=KEY)
    sent, records = _sent(kit), len(await kit.payments.audit_trail())

    again = await call(booking_id, **given, idempotency_key=KEY)

    assert again == first
    assert (_sent(kit), len(await kit.payments.audit_trail())) == (sent, records)


@pytest.mark.parametrize("case", CASES)
async def test_the_audit_trail_names_the_key(kit: PaymentsTestKit, case: str) -> None:
    prepare, method, given = CASES[case]
    booking_id = await prepare(kit)

    await method(kit, booking_id)(booking_id, **given, idempotency_key=KEY)

    assert (await kit.payments.audit_trail())[0].key == KEY


@pytest.mark.parametrize("case", sorted(set(CASES) - {"cancel_payment"}))
async def test_a_key_with_other_arguments_is_refused(kit: PaymentsTestKit, case: str) -> None:
    prepare, method, given = CASES[case]
    booking_id = await prepare(kit)
    call = method(kit, booking_id)
    await call(booking_id, **given, idempotency_key=KEY)
    other = {
        "refund": RefundOnCancel.NONE,
        "payment_method_id": "pm_card_mastercard",
        "amount": "60.01",
        "refund_amount": "20.01",
    }
    name = next(name for name in given if name in other)
    sent = _sent(kit)

    code = await _code_of(call(booking_id, **given | {name: other[name]}, idempotency_key=KEY), RefusedByRule)

    assert (code, _sent(kit)) == ("idempotency_key_reused", sent)


async def _code_of(call: Awaitable[Any], kind: type[PaymentError]) -> str:
    """Return the code of the error that a command raises, or has in its result when it returns results."""
    try:
        result = await call
    except kind as error:
        return error.code
    assert result.success is False
    return str(result.error_code)


async def test_a_booking_is_registered_once(kit: PaymentsTestKit) -> None:
    first = await kit.payments.register_booking(_new(), idempotency_key=KEY)

    assert await kit.payments.register_booking(_new(), idempotency_key=KEY) == first
    assert first.created
    with pytest.raises(RefusedByRule) as reused:
        await kit.payments.register_booking(attrs.evolve(_new(), reference="R-10"), idempotency_key=KEY)
    assert reused.value.code == "idempotency_key_reused"


async def test_the_same_key_for_another_booking_is_a_new_request(kit: PaymentsTestKit) -> None:
    booking_id = await _paid(kit)
    other = await kit.book(reference="R-2")
    await kit.payments.refund_payment(booking_id, amount="20.00", idempotency_key=KEY)

    with pytest.raises(RefusedByRule) as reused:
        await kit.payments.refund_payment(other.id, amount="20.00", idempotency_key=KEY)

    assert reused.value.code == "idempotency_key_reused"


async def test_callers_and_commands_do_not_share_keys(kit: PaymentsTestKit) -> None:
    booking_id = await _paid(kit)

    await kit.payments.refund_payment(booking_id, amount="20.00", idempotency_key=KEY)
    await kit.payments.refund_payment(booking_id, ANN, amount="20.00", idempotency_key=KEY)
    await kit.payments.cancel_booking(booking_id, refund=RefundOnCancel.NONE, idempotency_key=KEY)

    assert await _refunded(kit, booking_id) == 4000


async def test_another_key_is_a_new_request(kit: PaymentsTestKit) -> None:
    booking_id = await _paid(kit)

    for key in (KEY, OTHER_KEY, None, None):
        await kit.payments.refund_payment(booking_id, amount="20.00", idempotency_key=key)

    assert await _refunded(kit, booking_id) == 8000


async def test_a_key_expires_after_72_hours(kit: PaymentsTestKit) -> None:
    booking_id = await _paid(kit)
    for wait in (timedelta(0), ANSWER_LIFETIME - timedelta(microseconds=1), timedelta(microseconds=1)):
        kit.clock.advance(wait)
        await kit.payments.refund_payment(booking_id, amount="20.00", idempotency_key=KEY)

    assert await _refunded(kit, booking_id) == 4000


@pytest.mark.parametrize("key", ["", "short-of-sixteen", "x" * 255, " " * 16])
async def test_a_key_of_16_to_255_printable_characters_is_accepted(kit: PaymentsTestKit, key: str) -> None:
    booking = await kit.book()

    if len(key) < 16:
        with pytest.raises(InvalidInput):
            await kit.payments.start_payment(booking.id, idempotency_key=key)
    else:
        view = await kit.payments.start_payment(booking.id, idempotency_key=key)
        assert view.payment.booking_id == booking.id


@pytest.mark.parametrize(
    "key", ["", "x" * 15, "x" * 256, "k\u00e4se-of-some-length", "two\nlines-of-length", 4711, b"x" * 20]
)
async def test_an_invalid_key_is_refused_and_nothing_runs(kit: PaymentsTestKit, key: Any) -> None:
    booking = await kit.book()

    with pytest.raises(InvalidInput) as invalid:
        await kit.payments.start_payment(booking.id, idempotency_key=key)
    result = await kit.payments.process_booking_payment(booking, "pm_card_visa", idempotency_key=key)

    assert (invalid.value.code, result.error_code) == ("idempotency_key_invalid", "idempotency_key_invalid")
    assert _sent(kit) == 0


# --- repeated results


async def test_a_repeated_result_has_the_current_state(kit: PaymentsTestKit) -> None:
    booking_id = await _paid(kit)
    first = await kit.payments.refund_payment(booking_id, amount="20.00", idempotency_key=KEY)
    await kit.payments.refund_payment(booking_id, amount="30.00")

    again = await kit.payments.refund_payment(booking_id, amount="20.00", idempotency_key=KEY)

    assert (again.refund, again.payment.refunded.minor) == (first.refund, 5000)


async def test_a_repeated_result_has_the_payment_of_the_first_call_and_not_the_latest(kit: PaymentsTestKit) -> None:
    booking = await kit.book()
    first = await kit.payments.start_payment(booking.id, idempotency_key=KEY)
    await kit.payments.cancel_payment(booking.id)
    await kit.payments.process_booking_payment(booking, "pm_card_visa")

    again = await kit.payments.start_payment(booking.id, idempotency_key=KEY)

    assert (again.payment.id, again.payment.status) == (first.payment.id, PaymentStatus.CANCELED)


@pytest.mark.parametrize("card", ["pm_card_chargeDeclined", "pm_card_chargeDeclinedStolenCard"])
async def test_a_decline_is_raised_again(kit: PaymentsTestKit, card: str) -> None:
    booking = await kit.book()
    declines = []
    for _ in range(2):
        with pytest.raises(CardDeclined) as declined:
            await kit.payments.start_payment(
                booking.id, payment_method_id=card, confirm_immediately=True, idempotency_key=KEY
            )
        declines.append((declined.value.decline, declined.value.code, declined.value.message))
    result = await kit.payments.process_booking_payment(booking, card, idempotency_key=KEY)

    assert declines[0] == declines[1]
    assert (result.success, result.error_code) == (False, declines[0][1])
    assert (await kit.payments.payment_status(booking.id)).payment.attempts_made == 1


async def test_a_refusal_by_a_rule_is_raised_again(kit: PaymentsTestKit) -> None:
    booking_id = await _held(kit)
    told = []
    for _ in range(2):
        with pytest.raises(RefusedByRule) as refused:
            await kit.payments.capture_payment(booking_id, amount="100.01", idempotency_key=KEY)
        told.append((refused.value.code, refused.value.message))

    assert told[0] == told[1]


async def test_not_found_is_raised_again(kit: PaymentsTestKit) -> None:
    stranger = Caller.customer("bob", "test")
    booking = await kit.book()
    for _ in range(2):
        with pytest.raises(NotFound):
            await kit.payments.start_payment(booking.id, stranger, idempotency_key=KEY)


async def test_a_command_without_effect_frees_its_key(kit: PaymentsTestKit) -> None:
    booking_id = await _paid(kit)
    with pytest.raises(InvalidAmount):
        await kit.payments.refund_payment(booking_id, amount="twenty", idempotency_key=KEY)

    await kit.payments.refund_payment(booking_id, amount="20.00", idempotency_key=KEY)

    assert await _refunded(kit, booking_id) == 2000


@pytest.mark.parametrize(
    ("error", "fate"),
    [
        (CardDeclined(Decline(code="card_declined", message="no")), Fate.KEPT),
        (NotFound(), Fate.KEPT),
        (RefusedByRule("no"), Fate.KEPT),
        (InvalidInput("no"), Fate.FORGOTTEN),
        (NotPossibleNow("no"), Fate.FORGOTTEN),
        (AlreadyUnderWay(), Fate.FORGOTTEN),
        (TryAgainLater(), Fate.LAPSED),
        (OutcomeUnknown(), Fate.LAPSED),
        (GatewayRefusedUs(), Fate.LAPSED),
        (RefundRefused(), Fate.LAPSED),
        (Contradiction("no"), Fate.LAPSED),
        (StorageConflict("busy"), Fate.LAPSED),
        (CommitLost("lost"), Fate.LAPSED),
        (KeyboardInterrupt(), Fate.LAPSED),
    ],
)
def test_each_kind_of_error_keeps_frees_or_expires_the_mark(error: BaseException, fate: Fate) -> None:
    assert fate_of(error) is fate


# --- interrupted


@pytest.mark.parametrize("fault", ["timeout_before", "timeout_after", "500_after", "reset_after"])
@pytest.mark.parametrize("settled", [False, True])
async def test_after_an_unknown_outcome_the_next_call_continues(
    kit: PaymentsTestKit, fault: str, settled: bool
) -> None:
    booking_id = await _paid(kit)
    kit.stripe.faults.script("POST /v1/refunds", fault, times=3)
    first = await kit.payments.process_booking_refund(booking_id, "20.00", idempotency_key=KEY)
    if settled:
        await kit.settle()

    again = await kit.payments.process_booking_refund(booking_id, "20.00", idempotency_key=KEY)

    assert (first.outcome_unknown, again.success) == (True, True)
    await kit.settle()
    assert await _refunded(kit, booking_id) == 2000


async def test_an_equal_refund_with_another_key_continues_the_refund_of_unknown_outcome(kit: PaymentsTestKit) -> None:
    booking_id = await _paid(kit)
    kit.stripe.faults.script("POST /v1/refunds", "timeout_after", times=3)
    await kit.payments.process_booking_refund(booking_id, "20.00", idempotency_key=KEY)
    await kit.settle()

    await kit.payments.process_booking_refund(booking_id, "20.00", idempotency_key=OTHER_KEY)

    assert await _refunded(kit, booking_id) == 2000


async def test_after_a_crash_the_next_call_continues_once_the_lease_has_expired(kit: PaymentsTestKit) -> None:
    booking_id = await _paid(kit)
    transact = kit.storage.transact

    async def gone(*_: object) -> None:
        raise PowerCut

    class Dying(FakeGateway):
        async def create_refund(self, *args: Any, **kwargs: Any) -> Any:
            kit.storage.transact = gone  # type: ignore[method-assign,assignment]
            raise PowerCut

    dying = BookingPayments(attrs.evolve(kit.deps, gateway=Dying(kit.stripe, kit.clock)))
    with pytest.raises(PowerCut):
        await dying.refund_payment(booking_id, amount="20.00", idempotency_key=KEY)
    kit.storage.transact = transact  # type: ignore[method-assign]

    with pytest.raises(AlreadyUnderWay) as running:
        await kit.payments.refund_payment(booking_id, amount="20.00", idempotency_key=KEY)
    kit.clock.advance(LEASE)
    view = await kit.payments.refund_payment(booking_id, amount="20.00", idempotency_key=KEY)

    assert running.value.code == "idempotency_key_in_use"
    assert (view.refund.amount.minor, len(view.payment.refunds)) == (2000, 1)


async def test_while_one_call_runs_the_next_is_refused(kit: PaymentsTestKit) -> None:
    booking_id = await _paid(kit)
    told: list[str] = []

    class SlowRefundGateway(FakeGateway):
        async def create_refund(self, *args: Any, **kwargs: Any) -> Any:
            with pytest.raises(AlreadyUnderWay) as running:
                await kit.payments.refund_payment(booking_id, amount="20.00", idempotency_key=KEY)
            told.append(running.value.code)
            return await super().create_refund(*args, **kwargs)

    slow = BookingPayments(attrs.evolve(kit.deps, gateway=SlowRefundGateway(kit.stripe, kit.clock)))
    await slow.refund_payment(booking_id, amount="20.00", idempotency_key=KEY)

    assert (told, await _refunded(kit, booking_id)) == (["idempotency_key_in_use"], 2000)


async def test_concurrent_calls_with_one_key_refund_once(kit: PaymentsTestKit) -> None:
    booking_id = await _paid(kit)
    ends: list[object] = []

    async def refund() -> None:
        try:
            view = await kit.payments.refund_payment(booking_id, amount="5.00", idempotency_key=KEY)
        except AlreadyUnderWay as running:
            ends.append(running.code)
        else:
            ends.append(view.refund.id)

    async with anyio.create_task_group() as tasks:
        for _ in range(12):
            tasks.start_soon(refund)

    assert await _refunded(kit, booking_id) == 500
    assert len(ends) == 12
    assert len(set(ends) - {"idempotency_key_in_use"}) == 1


# --- a mark that another process has changed


async def _claimed(
    kit: PaymentsTestKit, *, until: datetime, stored_until: datetime | None, status: int | None
) -> Caller:
    """A caller with a claim until ``until``, while the mark in the database has other values."""
    request = library_request("refund_payment", BACKEND, KEY, {})
    mark = request.mark("cause", kit.clock.now())
    if stored_until is not None:
        stored = attrs.evolve(mark, locked_until=stored_until, status=status)
        await kit.storage.transact(lambda uow: uow.answers.put(stored))
    named = KeyMark(caller=mark.caller, route=mark.route, key=mark.key)
    return attrs.evolve(BACKEND, cause="cause", until=until, mark=named)


@pytest.mark.parametrize(
    ("stored_for", "status", "may"),
    [
        (LEASE, None, True),
        (timedelta(0), None, False),  # ended by a process that considered this one dead
        (LEASE + timedelta(seconds=1), None, False),  # taken over
        (LEASE, 200, False),  # completed
        (None, None, False),  # deleted
    ],
)
async def test_a_run_that_lost_its_mark_starts_no_operation(
    kit: PaymentsTestKit, stored_for: timedelta | None, status: int | None, may: bool
) -> None:
    booking_id = await _paid(kit)
    now = kit.clock.now()
    stored_until = None if stored_for is None else now + stored_for
    caller = await _claimed(kit, until=now + LEASE, stored_until=stored_until, status=status)

    if may:
        await kit.payments.refund_payment(booking_id, caller, amount="20.00")
    else:
        with pytest.raises(AlreadyUnderWay):
            await kit.payments.refund_payment(booking_id, caller, amount="20.00")

    assert await _refunded(kit, booking_id) == (2000 if may else 0)


async def test_a_refund_is_made_once_when_another_process_ends_the_lease_of_a_running_call(
    kit: PaymentsTestKit,
) -> None:
    booking_id = await _paid(kit)
    kit.stripe.faults.script("POST /v1/refunds", "timeout_after", times=3)
    with pytest.raises(OutcomeUnknown):
        await kit.payments.refund_payment(booking_id, amount="10.00")

    class Interrupted(FakeGateway):
        """While it reads the intent, another process ends all leases and makes the request again."""

        async def retrieve_intent(self, intent_id: str) -> IntentReport:
            if meanwhile:
                await meanwhile.pop()()
            return await super().retrieve_intent(intent_id)

    async def again() -> None:
        await kit.storage.transact(end_all_leases)
        kit.clock.advance(LEASE / 2)
        await kit.payments.refund_payment(booking_id, amount="25.00", idempotency_key=KEY)

    async def end_all_leases(uow: UnitOfWork) -> None:
        payment_id = (await uow.payments.of_booking(booking_id))[0].id
        await uow.payments.save_poll_state(payment_id, PollState())
        request = library_request("refund_payment", BACKEND, KEY, {})
        mark = await uow.answers.get(request.caller, request.route, request.key)
        assert mark is not None
        await uow.answers.put(attrs.evolve(mark, locked_until=kit.clock.now()))

    meanwhile = [again]
    kit.clock.advance(LEASE)
    first = BookingPayments(attrs.evolve(kit.deps, gateway=Interrupted(kit.stripe, kit.clock)))

    with pytest.raises(AlreadyUnderWay):
        await first.refund_payment(booking_id, amount="25.00", idempotency_key=KEY)
    await kit.settle()

    assert await _refunded(kit, booking_id) == 3500


async def test_the_mark_is_checked_in_the_transaction_that_reads_it(kit: PaymentsTestKit) -> None:
    booking_id = await _paid(kit)
    caller = await _claimed(kit, until=kit.clock.now() + LEASE, stored_until=None, status=None)

    async def begin(uow: UnitOfWork) -> None:
        await require_turn(kit.deps, uow, booking_id, caller)

    with pytest.raises(AlreadyUnderWay):
        await kit.storage.transact(begin)


# --- what makes two requests the same

AT = datetime(2026, 5, 1, 20, 0, tzinfo=UTC)


def _print_of(value: object) -> str:
    return library_request("x", BACKEND, KEY, {"value": value}).fingerprint


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (amount_asked("20.00"), amount_asked(Decimal("20"))),
        (amount_asked("020.0"), amount_asked(Decimal("20.00"))),
        (Money(2000, Currency.USD), Money.parse("20.00", Currency.USD)),
        (AT, AT.astimezone(timezone(timedelta(hours=2)))),
        (RefundReason.DUPLICATE, RefundReason.DUPLICATE.value),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        (RefundPolicy(), RefundPolicy()),
    ],
)
def test_equal_arguments_in_another_form_have_the_same_fingerprint(one: object, other: object) -> None:
    assert _print_of(one) == _print_of(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (amount_asked("20.00"), amount_asked("20.01")),
        (amount_asked(Decimal("0.1")), amount_asked(Decimal("1"))),
        (amount_asked("1e3"), amount_asked("1000")),
        (amount_asked("Infinity"), amount_asked(None)),
        (Money(2000, Currency.USD), Money(2000, Currency.EUR)),
        (AT, AT + timedelta(microseconds=1)),
        (None, "None"),
        (True, "true"),
        (RefundReason.DUPLICATE, RefundReason.FRAUDULENT),
    ],
)
def test_different_arguments_have_different_fingerprints(one: object, other: object) -> None:
    assert _print_of(one) != _print_of(other)


def test_an_argument_of_an_unknown_type_is_refused() -> None:
    with pytest.raises(TypeError, match="object has no canonical form"):
        _print_of(object())


async def test_a_repeated_cancellation_returns_the_canceled_booking(kit: PaymentsTestKit) -> None:
    booking_id = await _paid(kit)
    await kit.payments.cancel_booking(booking_id, reason="rain", idempotency_key=KEY)

    again = await kit.payments.cancel_booking(booking_id, reason="rain", idempotency_key=KEY)

    assert again.status is BookingStatus.CANCELED
