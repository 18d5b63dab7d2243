"""Group commit on PostgreSQL: concurrent requests share a transaction, with the same results as separate ones."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from datetime import timedelta
from functools import partial
from typing import Any, TypeVar

import anyio
import anyio.lowlevel
import attrs
import psycopg
import pytest
from sqlalchemy import make_url, text

from booking_payments.adapters.sql.groups.commit import GroupCommit
from booking_payments.adapters.sql.storage import SqlStorage
from booking_payments.application.payments import BookingPayments
from booking_payments.application.views import RefundOnCancel, WebhookResult
from booking_payments.domain.booking import BookingStatus
from booking_payments.domain.errors import NotPossibleNow, OutcomeUnknown
from booking_payments.domain.lifecycle import PaymentStatus
from booking_payments.domain.payment import Payment
from booking_payments.ports.audit import AuditOutcome
from booking_payments.ports.payments import ClientAction
from booking_payments.ports.storage import CommitLost, StorageConflict
from booking_payments.ports.unit_of_work import LockScope, UnitOfWork
from booking_payments.sandbox.signature import sign
from booking_payments.testing.kit import ANN, OPERATOR, SECRET, PaymentsTestKit
from tests.integration.faulty_tcp_proxy import FaultyTcpProxy
from tests.payments import pay

T = TypeVar("T")

pytestmark = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)

DEBIT = "pm_usBankAccount_success"


async def _processing(kit: PaymentsTestKit, number: int) -> tuple[str, str]:
    """The id of a booking whose debit is on its way, and its intent's."""
    booking = await kit.book(reference=f"R-{number}")
    view = await pay(kit, booking, DEBIT)
    assert view.payment.status is PaymentStatus.PROCESSING
    return booking.id, view.payment.intent_id or ""


async def _successes(kit: PaymentsTestKit, count: int) -> tuple[list[str], list[bytes]]:
    """Bookings, and the event that each was paid, not yet delivered."""
    made = [await _processing(kit, number) for number in range(count)]
    kit.clock.advance(timedelta(seconds=3))
    kit.stripe.tick()
    return [booking_id for booking_id, _ in made], [_succeeded(kit, intent_id) for _, intent_id in made]


def _succeeded(kit: PaymentsTestKit, intent_id: str) -> bytes:
    intent = kit.stripe.call("GET", f"/v1/payment_intents/{intent_id}", {}).body
    assert intent["status"] == "succeeded"
    event = {
        "id": f"evt_{intent_id}",
        "object": "event",
        "type": "payment_intent.succeeded",
        "livemode": False,
        "created": intent["created"],
        "data": {"object": intent},
    }
    return json.dumps(event).encode()


async def _together(*works: Callable[[], Awaitable[T]]) -> list[T]:
    results: dict[int, T] = {}

    async def run(place: int, work: Callable[[], Awaitable[T]]) -> None:
        results[place] = await work()

    async with anyio.create_task_group() as tasks:
        for place, work in enumerate(works):
            tasks.start_soon(run, place, work)
    return [results[place] for place in range(len(works))]


def _delivering(kit: PaymentsTestKit, body: bytes) -> Callable[[], Awaitable[WebhookResult]]:
    signature = sign(body, SECRET, kit.clock.now())
    return lambda: kit.payments.receive_webhook(body, {"Stripe-Signature": signature})


async def _ask(storage: SqlStorage, question: str) -> Any:
    async with storage.engine.connect() as connection:
        return (await connection.execute(text(question))).scalar_one()


async def _statuses(kit: PaymentsTestKit, booking_ids: list[str]) -> list[tuple[BookingStatus, PaymentStatus]]:
    async def read(uow: UnitOfWork) -> list[tuple[BookingStatus, PaymentStatus]]:
        found = []
        for booking_id in booking_ids:
            booking = await uow.bookings.get(booking_id)
            payments = await uow.payments.of_booking(booking_id)
            assert booking is not None
            found.append((booking.status, payments[-1].status))
        return found

    return await kit.storage.read(read)


PAID = (BookingStatus.CONFIRMED, PaymentStatus.SUCCEEDED)


async def test_transactions_that_arrive_together_are_committed_together(
    kit: PaymentsTestKit, storage: SqlStorage
) -> None:
    booking_ids, bodies = await _successes(kit, 12)

    results = await _together(*[_delivering(kit, body) for body in bodies])

    assert [result.outcome for result in results] == ["processed"] * 12
    assert await _statuses(kit, booking_ids) == [PAID] * 12
    assert await _ask(storage, "SELECT count(DISTINCT xmin::text) FROM bp_inbox") <= 2


async def test_payments_written_in_a_shared_transaction_are_consistent(kit: PaymentsTestKit) -> None:
    _, bodies = await _successes(kit, 8)
    await _together(*[_delivering(kit, body) for body in bodies])

    report = await kit.payments.check_ledger()

    assert report.agrees
    assert report.payments == 8


async def test_an_event_delivered_twice_concurrently_has_one_effect(kit: PaymentsTestKit, storage: SqlStorage) -> None:
    booking_ids, bodies = await _successes(kit, 2)

    results = await _together(*[_delivering(kit, body) for body in bodies * 3])

    assert sorted(result.outcome for result in results) == ["duplicate"] * 4 + ["processed"] * 2
    assert await _statuses(kit, booking_ids) == [PAID] * 2
    assert await _ask(storage, "SELECT count(*) FROM bp_inbox") == 2


async def test_a_member_that_leaves_the_group_affects_no_other_member(kit: PaymentsTestKit) -> None:
    booking_ids, bodies = await _successes(kit, 3)
    stranger = _succeeded(kit, json.loads(bodies[0])["data"]["object"]["id"]).replace(b"pi_", b"pi_else_")
    refunded = json.loads(bodies[1]) | {"id": "evt_refunded", "type": "charge.refunded"}

    results = await _together(*[_delivering(kit, body) for body in [*bodies, stranger, json.dumps(refunded).encode()]])

    assert [result.outcome for result in results[:3]] == ["processed"] * 3
    assert await _statuses(kit, booking_ids) == [PAID] * 3


async def test_a_locked_booking_is_waited_for_outside_the_group(kit: PaymentsTestKit, storage: SqlStorage) -> None:
    booking_ids, bodies = await _successes(kit, 3)
    locked, done = anyio.Event(), anyio.Event()

    async def hold(uow: UnitOfWork) -> None:
        await uow.bookings.lock(booking_ids[0])
        locked.set()
        await done.wait()

    async def others_first() -> None:
        await locked.wait()
        await _together(*[_delivering(kit, body) for body in bodies[1:]])
        assert await _statuses(kit, booking_ids[1:]) == [PAID] * 2
        done.set()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(kit.storage.transact, hold)
        tasks.start_soon(others_first)
        await locked.wait()
        tasks.start_soon(_together, _delivering(kit, bodies[0]))

    assert await _statuses(kit, booking_ids) == [PAID] * 3


async def test_a_locked_booking_does_not_change_until_the_lock_is_released(
    kit: PaymentsTestKit, storage: SqlStorage
) -> None:
    """Also where the row of the booking itself is not written, so that nothing else would wait for its lock."""
    booking = await kit.book()
    payment = (await kit.payments.start_payment(booking.id, ANN)).payment
    locked, done = anyio.Event(), anyio.Event()
    order: list[str] = []

    async def hold(uow: UnitOfWork) -> None:
        await uow.bookings.lock(booking.id)
        locked.set()
        await done.wait()
        order.append("the one who held it")

    async def write(uow: UnitOfWork) -> None:
        await uow.bookings.lock(booking.id)
        poll_state = await uow.payments.poll_state(payment.id)
        await uow.payments.save_poll_state(payment.id, attrs.evolve(poll_state, checks=poll_state.checks + 1))

    async def written() -> None:
        await storage.transact(write, LockScope(booking_id=booking.id))
        order.append("the group")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(storage.transact, hold)
        await locked.wait()
        tasks.start_soon(written)
        while not order and not await _ask(storage, WAITING_FOR_A_LOCK):
            await anyio.lowlevel.checkpoint()
        done.set()

    assert order == ["the one who held it", "the group"]


WAITING_FOR_A_LOCK = """
SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'
"""


@pytest.fixture
async def elsewhere(kit: PaymentsTestKit, database_url: str) -> AsyncIterator[BookingPayments]:
    """Another process on the same books."""
    storage = SqlStorage.open(database_url)
    yield BookingPayments(attrs.evolve(kit.deps, storage=storage))
    await storage.close()


async def test_a_payment_that_changed_meanwhile_is_decided_again(
    kit: PaymentsTestKit, storage: SqlStorage, elsewhere: BookingPayments
) -> None:
    """The booking is canceled between reading and writing, so that the payment is late and its money goes back."""
    (booking_id,), (body,) = await _successes(kit, 1)
    judged = 0

    async def work(uow: UnitOfWork) -> str:
        nonlocal judged
        judged += 1
        payment = await uow.payments.by_gateway_id(intent_id)
        assert payment is not None
        booking = await uow.bookings.lock(booking_id)
        assert booking is not None
        if judged == 1:
            await elsewhere.cancel_booking(booking_id, OPERATOR, refund=RefundOnCancel.NONE)
        await uow.payments.save_poll_state(payment.id, await uow.payments.poll_state(payment.id))
        return booking.status.value

    intent_id = json.loads(body)["data"]["object"]["id"]
    seen = await storage.transact(work, LockScope(event_id="evt_1", intent_id=intent_id))

    assert (judged, seen) == (2, "canceled")


async def test_a_late_payment_found_by_a_group_is_refunded(kit: PaymentsTestKit) -> None:
    (booking_id,), (body,) = await _successes(kit, 1)
    await kit.payments.cancel_booking(booking_id, OPERATOR, refund=RefundOnCancel.NONE)

    await _delivering(kit, body)()
    await kit.settle()

    payments = await kit.storage.read(lambda uow: uow.payments.of_booking(booking_id))
    assert [(payment.late, payment.refunded == payment.captured) for payment in payments] == [(True, True)]


async def test_a_connection_that_is_lost_is_replaced(kit: PaymentsTestKit, storage: SqlStorage) -> None:
    booking_ids, bodies = await _successes(kit, 2)
    await _delivering(kit, bodies[0])()
    await _ask(
        storage,
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()",
    )

    result = await _delivering(kit, bodies[1])()

    assert result.outcome == "processed"
    assert await _statuses(kit, booking_ids) == [PAID] * 2


async def test_jobs_are_asked_for_once_the_group_is_committed(kit: PaymentsTestKit, storage: SqlStorage) -> None:
    _, bodies = await _successes(kit, 3)
    seen: list[int] = []
    storage.on_jobs = lambda jobs: seen.append(len(jobs))

    await _together(*[_delivering(kit, body) for body in bodies])

    assert sum(seen) >= 3


async def test_without_a_subject_nothing_is_grouped(storage: SqlStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(*_: object) -> None:
        raise AssertionError("a transaction that is about nothing was grouped")

    monkeypatch.setattr(GroupCommit, "run", refuse)

    async def work(uow: UnitOfWork) -> int:
        return 7

    assert await storage.transact(work) == 7


# --- payments --------------------------------------------------------------------------------------------------


def _paying(kit: PaymentsTestKit, booking_id: str) -> Callable[[], Coroutine[Any, Any, PaymentStatus]]:
    async def charge() -> PaymentStatus:
        view = await pay(kit, booking_id)
        return view.payment.status

    return charge


async def test_payments_started_together_are_committed_together(kit: PaymentsTestKit, storage: SqlStorage) -> None:
    booking_ids = [(await kit.book(reference=f"R-{number}")).id for number in range(12)]

    results = await _together(*[_paying(kit, each) for each in booking_ids])

    assert results == [PaymentStatus.SUCCEEDED] * 12
    assert await _statuses(kit, booking_ids) == [PAID] * 12
    assert await _ask(storage, "SELECT count(DISTINCT xmin::text) FROM bp_operation_keys") <= 2
    assert await _ask(storage, "SELECT count(*) FROM bp_audit WHERE operation = 'start_payment'") == 12
    assert (await kit.payments.check_ledger()).agrees


@pytest.mark.parametrize("alone", [False, True])
async def test_a_payment_started_in_another_process_during_the_decision_is_the_only_one(
    kit: PaymentsTestKit, storage: SqlStorage, elsewhere: BookingPayments, monkeypatch: pytest.MonkeyPatch, alone: bool
) -> None:
    """The other transaction has ended by then; only its committed change stands in the way."""
    booking = await kit.book()
    if alone:
        monkeypatch.setattr(elsewhere._deps.storage, "_groups", None)
    seen: list[int] = []

    async def work(uow: UnitOfWork) -> None:
        await uow.bookings.lock(booking.id)
        seen.append(len(await uow.payments.of_booking(booking.id)))
        if len(seen) == 1:
            await elsewhere.start_payment(booking.id, ANN)
            await elsewhere.cancel_payment(booking.id, ANN)
        await uow.bookings.save(booking)

    await storage.transact(work, LockScope(booking_id=booking.id))

    assert seen == [0, 1]


async def test_a_lease_that_was_taken_while_we_judged_is_not_overwritten(
    kit: PaymentsTestKit, storage: SqlStorage, elsewhere: BookingPayments
) -> None:
    """A process that resumes an operation takes the lease, and the payment's version does not change."""
    booking = await kit.book()
    kit.stripe.faults.script("POST /v1/payment_intents", "timeout_before", times=9)
    with pytest.raises(OutcomeUnknown):
        await _paying(kit, booking.id)()
    payment = (await kit.payments.payment_status(booking.id, ANN)).payment
    judged = 0

    async def work(uow: UnitOfWork) -> str | None:
        nonlocal judged
        judged += 1
        await uow.bookings.lock(booking.id)
        poll_state = await uow.payments.poll_state(payment.id)
        if judged == 1:
            await _take_lease(elsewhere, booking.id, payment.id, "somebody else")
        await uow.payments.save_poll_state(payment.id, attrs.evolve(poll_state, checks=poll_state.checks + 1))
        return poll_state.holder

    holder = await storage.transact(work, LockScope(booking_id=booking.id))

    assert (judged, holder) == (2, "somebody else")


async def _take_lease(elsewhere: BookingPayments, booking_id: str, payment_id: str, holder: str) -> None:
    async def work(uow: UnitOfWork) -> None:
        await uow.bookings.lock(booking_id)
        poll_state = await uow.payments.poll_state(payment_id)
        await uow.payments.save_poll_state(payment_id, attrs.evolve(poll_state, holder=holder))

    await elsewhere._deps.storage.transact(work)


async def test_an_error_in_a_group_is_raised_only_for_its_own_member(kit: PaymentsTestKit) -> None:
    first, paid = await kit.book(reference="R-1"), await kit.book(reference="R-2")
    await _paying(kit, paid.id)()

    async def pay_again() -> str:
        with pytest.raises(NotPossibleNow) as refused:
            await _paying(kit, paid.id)()
        return refused.value.code

    results = await _together(_paying(kit, first.id), pay_again)

    assert results == [PaymentStatus.SUCCEEDED, "already_paid"]


# --- when something breaks -------------------------------------------------------------------------------------


@pytest.fixture
async def proxied(database_url: str) -> AsyncIterator[tuple[FaultyTcpProxy, SqlStorage]]:
    """A proxy in front of PostgreSQL, and a storage that is connected through it."""
    url = make_url(database_url)
    proxy = FaultyTcpProxy(url.port or 5432)
    async with proxy.listening() as port:
        storage = SqlStorage.open(url.set(port=port).render_as_string(hide_password=False))
        yield proxy, storage
        await storage.close()


async def test_a_commit_without_a_response_raises_commit_lost_and_is_not_repeated(
    kit: PaymentsTestKit, proxied: tuple[FaultyTcpProxy, SqlStorage]
) -> None:
    """Tried again, it would find its own operation under way and say that nothing was done; the same request would
    then be free to refund a second time."""
    booking = await kit.book()
    await _paying(kit, booking.id)()
    proxy, storage = proxied
    far = BookingPayments(attrs.evolve(kit.deps, storage=storage))
    proxy.cut_after = b"refund_requested"

    with pytest.raises(CommitLost):
        await far.refund_payment(booking.id, OPERATOR, amount="10.00")

    payment = (await kit.payments.payment_status(booking.id, ANN)).payment
    assert proxy.cuts == 1
    assert [refund.amount.minor for refund in payment.refunds] == [1000], "it was committed, once"
    record = (await kit.payments.audit_trail(booking.id))[0]
    assert (record.outcome, record.code) == (AuditOutcome.UNKNOWN, "CommitLost")


async def test_an_audit_record_without_a_response_does_not_undo_the_command(
    kit: PaymentsTestKit, proxied: tuple[FaultyTcpProxy, SqlStorage]
) -> None:
    booking = await kit.book()
    proxy, storage = proxied
    far = BookingPayments(attrs.evolve(kit.deps, storage=storage))
    proxy.cut_after = b'"operation":"cancel_booking"'

    view = await far.cancel_booking(booking.id, OPERATOR)

    records = await kit.payments.audit_trail(booking.id)
    assert (proxy.cuts, view.status) == (1, BookingStatus.CANCELED)
    assert [record.operation for record in records].count("cancel_booking") == 1


async def test_an_ordinary_commit_without_a_response_raises_commit_lost(
    kit: PaymentsTestKit, proxied: tuple[FaultyTcpProxy, SqlStorage]
) -> None:
    proxy, storage = proxied
    booking = await kit.book()

    async def cancel(uow: UnitOfWork) -> None:
        found = await uow.bookings.lock(booking.id)
        assert found is not None
        await uow.bookings.save(attrs.evolve(found, status=BookingStatus.CANCELED))
        proxy.cut_after = b"COMMIT"

    with pytest.raises(CommitLost):
        await storage.transact(cancel)

    assert (await kit.payments.get_booking(booking.id)).status is BookingStatus.CANCELED


async def test_a_locked_row_delays_its_own_booking_only(kit: PaymentsTestKit, database_url: str) -> None:
    """For example an operator's open transaction, which does not lock the booking first."""
    booking_ids = [(await kit.book(reference=f"R-{number}")).id for number in range(4)]
    await _together(*[_paying(kit, each) for each in booking_ids])
    held, *others = [_refunding(kit, each) for each in booking_ids]

    async with await psycopg.AsyncConnection.connect(database_url.replace("+psycopg", "")) as keeper:
        await keeper.execute("UPDATE bp_payments SET checks = checks WHERE booking_id = %s", (booking_ids[0],))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(held)
            assert await _together(*others) == [100] * 3
            await keeper.rollback()

    assert [len(payment.refunds) for payment in await _payments_of(kit, booking_ids)] == [1] * 4


def _refunding(kit: PaymentsTestKit, booking_id: str) -> Callable[[], Coroutine[Any, Any, int]]:
    async def refund() -> int:
        view = await kit.payments.refund_payment(booking_id, OPERATOR, amount="1.00")
        return view.refund.amount.minor

    return refund


async def _payments_of(kit: PaymentsTestKit, booking_ids: list[str]) -> list[Payment]:
    return [(await kit.payments.payment_status(each, ANN)).payment for each in booking_ids]


COMMITS_OF_OTHERS = """
SELECT count(DISTINCT bp_operation_keys.xmin::text)
FROM bp_operation_keys JOIN bp_payments ON bp_payments.id = payment_id
WHERE reference <> 'R-0'
"""


@pytest.mark.parametrize("spoiled", ["its row", "its booking's id", "its cause"])
async def test_a_read_or_write_error_affects_only_its_member(
    kit: PaymentsTestKit, storage: SqlStorage, spoiled: str
) -> None:
    booking_ids = [(await kit.book(reference=f"R-{number}")).id for number in range(5)]
    bad, others = booking_ids[0], booking_ids[1:]
    caller = ANN
    if spoiled == "its row":
        await _paying(kit, bad)()
        async with storage.engine.begin() as connection:
            await connection.execute(
                text("""UPDATE bp_payments SET state = replace(state, '"attempts":', '"trials":')""")
            )
    elif spoiled == "its booking's id":
        bad = "bk_\ud800"
    else:
        caller = attrs.evolve(ANN, cause="\ud800")

    async def spoil() -> None:
        with pytest.raises(Exception, match=r".") as met:
            await kit.payments.start_payment(bad, caller, payment_method_id="pm_card_visa")
        assert not isinstance(met.value, StorageConflict | CommitLost)

    results = await _together(
        *[_paying(kit, each) for each in others[:2]], spoil, *[_paying(kit, each) for each in others[2:]]
    )

    assert [each for each in results if each] == [PaymentStatus.SUCCEEDED] * 4
    assert await _ask(storage, COMMITS_OF_OTHERS) <= 3


async def test_a_canceled_task_cancels_no_other_member(kit: PaymentsTestKit) -> None:
    """The leader's task is canceled by asyncio, against which anyio's shields do not help."""
    booking_ids = [(await kit.book(reference=f"R-{number}")).id for number in range(6)]
    tasks = [asyncio.create_task(_paying(kit, each)()) for each in booking_ids]
    await anyio.lowlevel.checkpoint()

    tasks[0].cancel()
    await asyncio.wait(tasks)

    assert tasks[0].cancelled()
    assert [task.result() for task in tasks[1:]] == [PaymentStatus.SUCCEEDED] * 5


async def test_who_is_gone_is_not_served_a_second_time(
    kit: PaymentsTestKit, storage: SqlStorage, elsewhere: BookingPayments
) -> None:
    """The first write fails because of a newer change; a member that was canceled meanwhile is not in the second."""
    mine, theirs = await kit.book(reference="R-1"), await kit.book(reference="R-2")
    served: list[str] = []
    overtaken = anyio.Event()

    async def of(booking_id: str, uow: UnitOfWork) -> None:
        await uow.bookings.lock(booking_id)
        served.append(booking_id)
        if booking_id == theirs.id and not overtaken.is_set():
            task.cancel()
            await elsewhere.cancel_booking(theirs.id, OPERATOR, refund=RefundOnCancel.NONE)
            overtaken.set()

    # The first member is served alone, and the other two together after it.
    first = asyncio.create_task(storage.transact(partial(of, mine.id), LockScope(booking_id=mine.id)))
    await anyio.lowlevel.checkpoint()
    task = asyncio.create_task(storage.transact(partial(of, mine.id), LockScope(booking_id=mine.id)))
    other = asyncio.create_task(storage.transact(partial(of, theirs.id), LockScope(booking_id=theirs.id)))
    await asyncio.wait({first, task, other})

    assert task.cancelled()
    assert served == [mine.id, mine.id, theirs.id, theirs.id]


async def test_a_change_outside_the_journal_is_read_again_and_kept(
    kit: PaymentsTestKit, storage: SqlStorage, elsewhere: BookingPayments
) -> None:
    """A new place for 3-D Secure, say: neither the payment's version nor its lease says that it came."""
    booking = await kit.book()
    payment = (await kit.payments.start_payment(booking.id, ANN)).payment
    seen: list[str | None] = []
    there = ClientAction(client_secret="new", next_action={"type": "redirect_to_url"})

    async def work(uow: UnitOfWork) -> None:
        await uow.bookings.lock(booking.id)
        client_action = await uow.payments.client_action(payment.id)
        seen.append(client_action.client_secret if client_action else None)
        if len(seen) == 1:
            await elsewhere._deps.storage.transact(lambda theirs: theirs.payments.save_client_action(payment.id, there))
        await uow.payments.save_poll_state(payment.id, await uow.payments.poll_state(payment.id))

    await storage.transact(work, LockScope(booking_id=booking.id))

    assert seen[1:] == ["new"]
    assert await storage.read(lambda uow: uow.payments.client_action(payment.id)) == there
