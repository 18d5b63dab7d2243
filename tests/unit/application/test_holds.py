"""Holds: how payments are captured, how many bookings a customer may hold unpaid, and when a booking ends by itself."""

from collections.abc import AsyncIterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import anyio
import attrs
import pytest

from booking_payments.adapters.sql.storage import SqlStorage
from booking_payments.application.callers import Caller
from booking_payments.application.dependencies import PaymentConfig
from booking_payments.application.payments import BookingPayments
from booking_payments.application.views import NewBooking, RefundOnCancel
from booking_payments.domain import events as ev
from booking_payments.domain.booking import Booking, BookingDetails, BookingStatus, EndReason, ItemCount
from booking_payments.domain.errors import CardDeclined, NotFound, NotPossibleNow, OutcomeUnknown, RefusedByRule
from booking_payments.domain.fees import FeePayer, FeePolicy
from booking_payments.domain.instructions import CaptureMethod
from booking_payments.domain.lifecycle import PaymentStatus
from booking_payments.domain.money import Currency, Money
from booking_payments.ports.bookings import BookingFilter
from booking_payments.ports.publisher import Message
from booking_payments.ports.storage import Storage
from booking_payments.testing.kit import ANN, NOW, OPERATOR, PaymentsTestKit
from tests.payments import VISA, authorize, pay, pay_in_browser, payment_of, start

AUTOMATIC, MANUAL = CaptureMethod.AUTOMATIC, CaptureMethod.MANUAL
DECLINED = "pm_card_chargeDeclinedInsufficientFunds"
CANCEL = "POST /v1/payment_intents/{id}/cancel"


@pytest.fixture
def strict(storage: Storage) -> PaymentsTestKit:
    """An installation with the default configuration, in which customers cannot choose the capture method."""
    return PaymentsTestKit(storage=storage, config=PaymentConfig())


async def _told(kit: PaymentsTestKit) -> list[Message]:
    await kit.payments.deliver_messages()
    return list(kit.publisher.published)


async def _status(kit: PaymentsTestKit, booking: Booking) -> BookingStatus:
    return (await kit.payments.get_booking(booking.id)).status


async def _exhausted(kit: PaymentsTestKit, **booking: Any) -> Booking:
    """A booking whose attempts were all declined."""
    registered = await kit.book(**booking)
    for _ in range(kit.deps.config.max_attempts):
        with pytest.raises(CardDeclined):
            await pay(kit, registered, DECLINED)
    return await kit.payments.get_booking(registered.id)


# --- who chooses the capture method --- ------------------------------------------------------------------------


@pytest.mark.parametrize(("registered", "asked"), [(None, MANUAL), (AUTOMATIC, MANUAL), (MANUAL, AUTOMATIC)], ids=str)
async def test_a_customer_may_not_choose_the_capture_method(
    strict: PaymentsTestKit, registered: CaptureMethod | None, asked: CaptureMethod
) -> None:
    booking = await strict.book(capture_method=registered)

    with pytest.raises(RefusedByRule) as refused:
        await pay(strict, booking, capture_method=asked)

    assert refused.value.code == "capture_method_not_allowed"
    with pytest.raises(NotFound):
        await strict.payments.payment_status(booking.id)


async def test_a_customer_may_not_change_the_capture_method_of_an_open_payment(strict: PaymentsTestKit) -> None:
    view = await start(strict)

    with pytest.raises(RefusedByRule) as refused:
        await pay(strict, view.payment.booking_id, capture_method=MANUAL)

    assert refused.value.code == "capture_method_not_allowed"
    assert (await payment_of(strict, view)).attempts == ()


@pytest.mark.parametrize("asked", [None, MANUAL], ids=str)
async def test_a_booking_that_was_registered_as_manual_is_only_authorized(
    strict: PaymentsTestKit, asked: CaptureMethod | None
) -> None:
    booking = await strict.book(capture_method=MANUAL)

    view = await pay(strict, booking, capture_method=asked)

    assert view.payment.status is PaymentStatus.REQUIRES_CAPTURE


async def test_the_default_capture_method_applies_to_a_booking_without_one(storage: Storage) -> None:
    kit = PaymentsTestKit(storage=storage, config=PaymentConfig(capture_method=MANUAL))
    booking = await kit.book()

    assert booking.details.capture_method is MANUAL
    assert (await pay(kit, booking, capture_method=MANUAL)).payment.status is PaymentStatus.REQUIRES_CAPTURE


async def test_a_backend_may_choose_the_capture_method(strict: PaymentsTestKit) -> None:
    backend = Caller.service("backend", "test")

    view = await pay(strict, await strict.book(), caller=backend, capture_method=MANUAL)

    assert view.payment.status is PaymentStatus.REQUIRES_CAPTURE


@pytest.mark.parametrize(("registered", "asked"), [(AUTOMATIC, MANUAL), (MANUAL, AUTOMATIC)], ids=str)
async def test_customers_may_choose_the_capture_method_if_the_configuration_allows_it(
    storage: Storage, registered: CaptureMethod, asked: CaptureMethod
) -> None:
    kit = PaymentsTestKit(storage=storage, config=PaymentConfig(capture_by_customer=True))

    view = await pay(kit, await kit.book(capture_method=registered), capture_method=asked)

    assert view.payment.capture_method is asked


async def test_the_capture_method_is_part_of_the_registration(strict: PaymentsTestKit) -> None:
    booking = await strict.book()
    assert (await strict.book(capture_method=AUTOMATIC)).id == booking.id

    with pytest.raises(NotPossibleNow) as refused:
        await strict.book(capture_method=MANUAL)

    assert refused.value.code == "reference_taken"


# --- how many bookings a customer holds ------------------------------------------------------------------------


@pytest.fixture
def narrow(storage: Storage) -> PaymentsTestKit:
    """An installation with a limit of one unpaid booking."""
    return PaymentsTestKit(storage=storage, config=PaymentConfig(max_unpaid_bookings=1, capture_by_customer=True))


async def _require_full(kit: PaymentsTestKit) -> None:
    with pytest.raises(RefusedByRule) as refused:
        await kit.book(reference="R-more")
    assert refused.value.code == "too_many_unpaid_bookings"


async def test_an_authorized_booking_counts_as_unpaid(narrow: PaymentsTestKit) -> None:
    view = await authorize(narrow, expires_in=timedelta(hours=1))
    narrow.clock.advance(timedelta(hours=2))
    await narrow.payments.work()

    await _require_full(narrow)
    await narrow.payments.capture_payment(view.payment.booking_id, OPERATOR)

    assert (await narrow.book(reference="R-more")).status is BookingStatus.PENDING


async def test_an_overdue_booking_counts_as_unpaid_until_it_has_expired(narrow: PaymentsTestKit) -> None:
    await narrow.book(expires_in=timedelta(hours=1))
    narrow.clock.advance(timedelta(hours=2))

    await _require_full(narrow)
    await narrow.payments.work()

    assert (await narrow.book(reference="R-more")).status is BookingStatus.PENDING


async def test_a_booking_with_a_processing_payment_counts_as_unpaid(narrow: PaymentsTestKit) -> None:
    view = await pay(narrow, await narrow.book(), "pm_usBankAccount_success")
    assert view.payment.status is PaymentStatus.PROCESSING

    await _require_full(narrow)


async def test_a_repeated_registration_succeeds_at_the_limit(narrow: PaymentsTestKit) -> None:
    booking = await narrow.book()

    assert (await narrow.book()).id == booking.id


async def test_a_free_booking_does_not_count_as_unpaid(narrow: PaymentsTestKit) -> None:
    await narrow.book()

    free = await narrow.book("0.00", reference="R-free")

    assert free.status is BookingStatus.CONFIRMED


@pytest.fixture
async def installations(kit: PaymentsTestKit, database_url: str | None) -> AsyncIterator[list[BookingPayments]]:
    """Two processes on one database, with a limit of ten unpaid bookings per customer."""
    second = SqlStorage.open(database_url) if database_url else None
    worlds = [attrs.evolve(kit.deps, storage=storage, config=PaymentConfig(max_unpaid_bookings=10)) for storage in (
        kit.storage, second or kit.storage
    )]  # fmt: skip
    yield [BookingPayments(deps) for deps in worlds]
    if second is not None:
        await second.close()


async def test_concurrent_registrations_succeed_up_to_the_limit(
    kit: PaymentsTestKit, installations: list[BookingPayments]
) -> None:
    done: list[str] = []

    async def register(number: int) -> None:
        new = NewBooking(
            reference=f"R-{number}",
            customer_id="ann",
            amount=Money.parse("100.00", Currency.USD),
            event_starts_at=NOW + timedelta(days=30),
        )
        try:
            registered = await installations[number % 2].register_booking(new)
            done.append("created" if registered.created else "found")
        except RefusedByRule as refused:
            done.append(refused.code)

    async with anyio.create_task_group() as tasks:
        for number in range(20):
            tasks.start_soon(register, number)

    held = (await kit.payments.list_bookings(BookingFilter(customer_id="ann"), cursor=None, limit=100)).items
    assert sorted(done) == ["created"] * 10 + ["too_many_unpaid_bookings"] * 10
    assert len(held) == 10


async def test_concurrent_registrations_of_one_reference_create_one_booking(
    kit: PaymentsTestKit, installations: list[BookingPayments]
) -> None:
    ended = await _exhausted(kit)
    found: list[str] = []

    async def register(number: int) -> None:
        new = NewBooking(
            reference="R-1",
            customer_id="ann",
            amount=Money.parse("100.00", Currency.USD),
            event_starts_at=NOW + timedelta(days=30),
        )
        found.append((await installations[number % 2].register_booking(new)).booking.id)

    async with anyio.create_task_group() as tasks:
        for number in range(20):
            tasks.start_soon(register, number)

    assert len(found) == 20
    assert len({ended.id, *found}) == 2


# --- when the attempts are used up -----------------------------------------------------------------------------


async def test_after_the_last_attempt_the_booking_expires_and_its_intent_is_canceled(kit: PaymentsTestKit) -> None:
    booking = await _exhausted(kit)

    payment = await payment_of(kit, booking)
    intent = kit.stripe.call("GET", f"/v1/payment_intents/{payment.intent_id}").body
    assert (booking.status, booking.end_reason) == (BookingStatus.EXPIRED, EndReason.ATTEMPTS_EXHAUSTED)
    assert (payment.status, intent["status"]) == (PaymentStatus.FAILED, "canceled")
    last = (await kit.payments.journal(booking.id))[-1].event
    assert last == ev.BookingReleased(status="expired", reason="attempts_exhausted")


async def test_the_message_of_an_expired_booking_has_the_reason(kit: PaymentsTestKit) -> None:
    await _exhausted(kit)

    told = await _told(kit)

    assert [each.type for each in told] == ["payment.failed", "booking.expired"]
    assert (told[1].data["reason"], told[1].data["booking_status"]) == ("attempts_exhausted", "expired")


async def test_a_booking_that_expires_at_its_deadline_has_the_default_reason(kit: PaymentsTestKit) -> None:
    booking = await kit.book(expires_in=timedelta(hours=1))
    kit.clock.advance(timedelta(hours=2))
    await kit.payments.work()

    ended, told = await kit.payments.get_booking(booking.id), await _told(kit)

    assert (ended.status, ended.end_reason) == (BookingStatus.EXPIRED, None)
    assert (told[0].type, "reason" in told[0].data, told[0].data["amount"]) == ("booking.expired", False, "100.00")


async def test_no_payment_can_start_after_the_last_attempt(kit: PaymentsTestKit) -> None:
    booking = await _exhausted(kit)

    with pytest.raises(RefusedByRule) as refused:
        await pay(kit, booking)

    assert refused.value.code == "attempts_exhausted"
    assert len(await kit.storage.read(lambda uow: uow.payments.of_booking(booking.id))) == 1


async def test_the_booking_stays_pending_until_the_gateway_confirms_the_cancellation(kit: PaymentsTestKit) -> None:
    booking = await kit.book()
    for _ in range(2):
        with pytest.raises(CardDeclined):
            await pay(kit, booking, DECLINED)
    kit.stripe.faults.script(CANCEL, "timeout_after", times=3)
    with pytest.raises(CardDeclined):
        await pay(kit, booking, DECLINED)
    before = await _status(kit, booking)

    await kit.settle()

    assert (before, await _status(kit, booking)) == (BookingStatus.PENDING, BookingStatus.EXPIRED)


async def test_a_decline_in_the_browser_can_be_the_last_attempt(kit: PaymentsTestKit) -> None:
    view = await start(kit)
    for _ in range(3):
        pay_in_browser(kit, view, DECLINED)
        await kit.settle()

    booking = await kit.payments.get_booking(view.payment.booking_id)

    assert (booking.status, booking.end_reason) == (BookingStatus.EXPIRED, EndReason.ATTEMPTS_EXHAUSTED)


# --- references of bookings that have ended --------------------------------------------------------------------


@pytest.mark.parametrize("amount", ["100.00", "50.00"])
@pytest.mark.parametrize("end", ["exhausted", "expired", "canceled"])
async def test_the_reference_of_a_booking_that_has_ended_may_be_used_again(
    kit: PaymentsTestKit, end: str, amount: str
) -> None:
    if end == "exhausted":
        old = await _exhausted(kit)
    else:
        old = await kit.book(expires_in=timedelta(hours=1))
    if end == "canceled":
        await kit.payments.cancel_booking(old.id)
    kit.clock.advance(timedelta(hours=2))
    await kit.payments.work()

    new = await kit.book(amount)
    found = await kit.book(amount, starts_in=new.event_starts_at - kit.clock.now())
    await pay(kit, new)

    page = await kit.payments.list_bookings(BookingFilter(reference="R-1"), cursor=None, limit=10)
    assert (found.id, new.status) == (new.id, BookingStatus.PENDING)
    assert [each.id for each in page.items] == [new.id, old.id]
    assert page.items[0].status is BookingStatus.CONFIRMED


@pytest.mark.parametrize("paying", [False, True], ids=["nothing begun", "payment open"])
async def test_an_overdue_booking_is_closed_when_its_reference_is_registered_again(
    kit: PaymentsTestKit, paying: bool
) -> None:
    old = await kit.book(expires_in=timedelta(hours=1))
    if paying:
        await kit.payments.start_payment(old.id, ANN)
    kit.clock.advance(timedelta(hours=2))

    new = await kit.book()

    assert (await _status(kit, old), new.status) == (BookingStatus.EXPIRED, BookingStatus.PENDING)
    assert new.id != old.id


@pytest.mark.parametrize("silent", [False, True], ids=["authorized", "gateway silent"])
async def test_an_overdue_booking_that_cannot_be_closed_keeps_its_reference(kit: PaymentsTestKit, silent: bool) -> None:
    old = await kit.book(expires_in=timedelta(hours=1))
    await kit.payments.start_payment(
        old.id, ANN, payment_method_id=None if silent else VISA, confirm_immediately=not silent, capture_method=MANUAL
    )
    kit.clock.advance(timedelta(hours=2))
    if silent:
        kit.stripe.faults.script(CANCEL, "timeout_before", times=3)

    with pytest.raises(NotPossibleNow) as refused:
        await kit.book()

    assert (refused.value.code, await _status(kit, old)) == ("reference_taken", BookingStatus.PENDING)


async def test_the_reference_of_an_open_booking_cannot_be_used_again(kit: PaymentsTestKit) -> None:
    await pay(kit, await kit.book())

    with pytest.raises(NotPossibleNow) as refused:
        await kit.book("50.00")

    assert refused.value.code == "reference_taken"


# --- a customer cancels their own booking ----------------------------------------------------------------------


async def test_a_customer_may_cancel_a_booking_without_a_payment(kit: PaymentsTestKit) -> None:
    booking = await kit.payments.cancel_booking((await kit.book()).id, ANN, reason="ill")

    told = await _told(kit)
    assert booking.status is BookingStatus.CANCELED
    assert (told[0].type, told[0].data["actor"]) == ("booking.canceled", "customer")


async def test_a_customer_may_cancel_a_booking_with_an_open_payment(kit: PaymentsTestKit) -> None:
    view = await start(kit)

    booking = await kit.payments.cancel_booking(view.payment.booking_id, ANN)

    payment = await payment_of(kit, booking)
    assert (booking.status, payment.status) == (BookingStatus.CANCELED, PaymentStatus.CANCELED)


async def test_a_customer_may_cancel_an_authorized_booking(kit: PaymentsTestKit) -> None:
    view = await authorize(kit)

    booking = await kit.payments.cancel_booking(view.payment.booking_id, ANN)

    payment = await payment_of(kit, booking)
    assert (booking.status, payment.status) == (BookingStatus.CANCELED, PaymentStatus.CANCELED)


async def test_a_customer_may_not_cancel_a_paid_booking_and_is_referred_to_the_refund(kit: PaymentsTestKit) -> None:
    booking = await kit.book()
    await pay(kit, booking)

    with pytest.raises(NotPossibleNow) as refused:
        await kit.payments.cancel_booking(booking.id, ANN)

    assert (refused.value.code, "refund" in refused.value.message) == ("already_paid", True)
    assert await _status(kit, booking) is BookingStatus.CONFIRMED


async def test_a_customers_cancellation_that_finds_the_booking_paid_is_refused(kit: PaymentsTestKit) -> None:
    view = await start(kit)
    pay_in_browser(kit, view)  # its webhook has not arrived

    with pytest.raises(NotPossibleNow) as refused:
        await kit.payments.cancel_booking(view.payment.booking_id, ANN)

    payment = await payment_of(kit, view)
    assert (refused.value.code, payment.status) == ("already_paid", PaymentStatus.SUCCEEDED)
    assert not payment.refunds


@pytest.mark.parametrize("refund", list(RefundOnCancel))
async def test_a_customer_may_not_choose_the_refund_of_a_cancellation(
    kit: PaymentsTestKit, refund: RefundOnCancel
) -> None:
    booking = await kit.book()

    with pytest.raises(RefusedByRule) as refused:
        await kit.payments.cancel_booking(booking.id, ANN, refund=refund)

    assert (refused.value.code, await _status(kit, booking)) == ("refund_not_allowed", BookingStatus.PENDING)


async def test_canceling_a_canceled_booking_changes_nothing(kit: PaymentsTestKit) -> None:
    booking = await kit.book()
    await pay(kit, booking)
    await kit.payments.cancel_booking(booking.id, OPERATOR, refund=RefundOnCancel.NONE)

    again = await kit.payments.cancel_booking(booking.id, ANN)

    assert (again.status, (await payment_of(kit, booking)).refunds) == (BookingStatus.CANCELED, ())


async def test_a_customer_may_not_cancel_the_booking_of_another(kit: PaymentsTestKit) -> None:
    booking = await kit.book()

    with pytest.raises(NotFound):
        await kit.payments.cancel_booking(booking.id, Caller.customer("bob", "test"))


async def test_a_customers_cancellation_with_an_unknown_outcome_is_completed_later(
    kit: PaymentsTestKit,
) -> None:
    view = await start(kit)
    kit.stripe.faults.script(CANCEL, "timeout_after", times=3)
    with pytest.raises(OutcomeUnknown):
        await kit.payments.cancel_booking(view.payment.booking_id, ANN)

    await kit.settle()

    booking = await kit.payments.get_booking(view.payment.booking_id)
    assert booking.status is BookingStatus.CANCELED


# --- bookings that cost nothing --------------------------------------------------------------------------------

FEES = FeePolicy(fixed=Decimal("0.30"), minimum=Decimal("1.00"), payer=FeePayer.CUSTOMER)


@pytest.mark.parametrize("fees", [FeePolicy(), FEES, attrs.evolve(FEES, payer=FeePayer.ORGANIZER)], ids=range(3))
async def test_a_booking_that_costs_nothing_is_confirmed_at_once(storage: Storage, fees: FeePolicy) -> None:
    kit = PaymentsTestKit(storage=storage, config=PaymentConfig(fees=fees))

    booking = await kit.book("0.00")
    again = await kit.book("0.00")

    told = await _told(kit)
    assert (booking.status, booking.free, again) == (BookingStatus.CONFIRMED, True, booking)
    assert await kit.payments.get_booking(booking.id) == booking
    assert [each.type for each in told] == ["booking.confirmed"]
    said = {name: told[0].data[name] for name in ("amount", "currency", "booking_status", "remaining_refundable")}
    assert said == {"amount": "0.00", "currency": "usd", "booking_status": "confirmed", "remaining_refundable": "0.00"}
    assert (await kit.payments.checkout(booking.id, ANN)).price.gross.minor == 0


async def test_a_free_booking_cannot_be_paid(kit: PaymentsTestKit) -> None:
    booking = await kit.book("0.00")

    with pytest.raises(NotPossibleNow) as refused:
        await pay(kit, booking)

    assert refused.value.code == "nothing_to_pay"
    assert kit.stripe.call("GET", "/v1/payment_intents").body["data"] == []


async def test_a_free_booking_does_not_expire(kit: PaymentsTestKit) -> None:
    booking = await kit.book("0.00", expires_in=timedelta(hours=1))
    kit.clock.advance(timedelta(days=40))

    await kit.payments.work()

    assert await _status(kit, booking) is BookingStatus.CONFIRMED


@pytest.mark.parametrize("caller", [ANN, OPERATOR], ids=["customer", "operator"])
async def test_a_free_booking_may_be_canceled(kit: PaymentsTestKit, caller: Caller) -> None:
    booking = await kit.payments.cancel_booking((await kit.book("0.00")).id, caller)

    view = await kit.payments.describe_booking(booking.id)
    told = await _told(kit)
    assert (booking.status, view.refund_owed.minor) == (BookingStatus.CANCELED, 0)
    assert [each.type for each in told] == ["booking.confirmed", "booking.canceled"]


async def test_a_customer_may_not_cancel_a_free_booking_after_its_event_started(kit: PaymentsTestKit) -> None:
    booking = await kit.book("0.00", starts_in=timedelta(hours=1))
    kit.clock.advance(timedelta(hours=1))

    with pytest.raises(RefusedByRule) as refused:
        await kit.payments.cancel_booking(booking.id, ANN)

    assert refused.value.code == "event_started"


async def test_a_free_booking_of_an_event_in_the_past_is_refused(kit: PaymentsTestKit) -> None:
    with pytest.raises(RefusedByRule) as refused:
        await kit.book("0.00", starts_in=timedelta(0))

    assert refused.value.code == "event_in_past"


# --- amounts that no gateway takes -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("amount", "currency", "code"),
    [
        ("0.20", Currency.USD, "amount_too_small"),
        ("0.49", Currency.USD, "amount_too_small"),
        ("1000000.00", Currency.USD, "amount_too_large"),
        ("1.005", Currency.of("kwd"), "amount_not_chargeable"),
        ("100", Currency.of("irr"), "currency_not_supported"),
    ],
)
async def test_a_booking_with_an_amount_that_cannot_be_charged_is_refused(
    kit: PaymentsTestKit, amount: str, currency: Currency, code: str
) -> None:
    with pytest.raises(RefusedByRule) as refused:
        await kit.book(amount, currency=currency)

    page = await kit.payments.list_bookings(BookingFilter(), cursor=None, limit=10)
    assert (refused.value.code, page.items) == (code, ())


@pytest.mark.parametrize(("amount", "taken"), [("0.20", True), ("0.19", False), ("999999.80", False)])
async def test_the_amount_limits_apply_to_the_charge_including_the_fee(
    storage: Storage, amount: str, taken: bool
) -> None:
    fees = FeePolicy(rate=Decimal(0), fixed=Decimal("0.30"), payer=FeePayer.CUSTOMER)
    kit = PaymentsTestKit(storage=storage, config=PaymentConfig(fees=fees))

    try:
        booking = await kit.book(amount)
    except RefusedByRule:
        assert not taken
    else:
        assert taken
        assert (await pay(kit, booking, VISA)).payment.status is PaymentStatus.SUCCEEDED


async def test_a_repeated_registration_succeeds_after_its_amount_has_left_the_limits(kit: PaymentsTestKit) -> None:
    booking = await kit.book()
    dearer = attrs.evolve(
        kit.deps, config=PaymentConfig(fees=FeePolicy(fixed=Decimal(999_999), payer=FeePayer.CUSTOMER))
    )
    new = NewBooking(
        reference=booking.reference,
        customer_id=booking.customer_id,
        amount=booking.amount,
        event_starts_at=booking.event_starts_at,
        details=BookingDetails(),
    )

    registered = await BookingPayments(dearer).register_booking(new)

    assert (registered.booking, registered.created) == (booking, False)


# --- held money after the start --------------------------------------------------------------------------------


async def _gives_up(kit: PaymentsTestKit, booking_id: str, what: str, caller: Caller) -> None:
    if what == "payment":
        await kit.payments.cancel_payment(booking_id, caller)
    else:
        items = [ItemCount(id="seat", quantity=1)] if what == "items" else []
        await kit.payments.cancel_booking(booking_id, caller, items=items)


@pytest.mark.parametrize("what", ["booking", "items", "payment"])
async def test_customers_give_held_money_up_only_before_the_event_starts(kit: PaymentsTestKit, what: str) -> None:
    view = await authorize(kit, items={"seat": (2, "50.00")}, starts_in=timedelta(days=2))
    booking_id = view.payment.booking_id
    kit.clock.advance(timedelta(days=2))

    with pytest.raises(RefusedByRule) as refused:
        await _gives_up(kit, booking_id, what, ANN)

    assert refused.value.code == "event_started"
    assert (await payment_of(kit, booking_id)).status is PaymentStatus.REQUIRES_CAPTURE
    await _gives_up(kit, booking_id, what, OPERATOR)
