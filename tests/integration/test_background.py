"""Background work runs in `serve` alone, or in workers if there are any; and embedded consumers."""

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta

import anyio
import psycopg
import pytest

from booking_payments import Currency, Money, NewBooking, open_payments
from booking_payments.domain.booking import Booking
from booking_payments.ports.publisher import Message
from booking_payments.runtime.composition import build
from booking_payments.runtime.maintenance import MaintenanceTasks
from booking_payments.runtime.services import Services
from booking_payments.runtime.settings import load_settings

STRIPE = {
    "STRIPE_SECRET_KEY": "sk_test_abc",
    "STRIPE_PUBLISHABLE_KEY": "pk_test_abc",
    "STRIPE_WEBHOOK_SECRET": "whsec_abc",
    "STRIPE_API_BASE": "http://127.0.0.1:9",
    "JWT_SECRET": "s" * 32,
}
BOOKING = NewBooking(
    reference="R-1",
    customer_id="ann",
    amount=Money.parse("10.00", Currency.USD),
    event_starts_at=datetime.now(UTC) + timedelta(days=1),
)
TIMEOUT_S = 10


@pytest.fixture
async def services(postgres_copy: str) -> AsyncIterator[Services]:
    async with build(load_settings({**STRIPE, "DATABASE_URL": postgres_copy}, None)) as services:
        yield services


async def _overdue(services: Services) -> str:
    """A booking that was registered an hour ago and was to be paid by now."""
    now = datetime.now(UTC)
    booking = Booking(
        id="bk_overdue",
        reference="R-1",
        customer_id="ann",
        amount=Money.parse("10.00", Currency.USD),
        event_starts_at=now + timedelta(days=1),
        expires_at=now - timedelta(minutes=1),
        created_at=now - timedelta(hours=1),
    )
    await services.storage.transact(lambda uow: uow.bookings.add(booking))
    return booking.id


async def _until(happens: Callable[[], Awaitable[bool]]) -> None:
    with anyio.fail_after(TIMEOUT_S):
        while not await happens():  # noqa: ASYNC110 - what is waited for is in a database
            await anyio.sleep(0.02)


def _heartbeat(url: str, age_s: int) -> None:
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute(
            "INSERT INTO procrastinate_workers (last_heartbeat) VALUES (now() - make_interval(secs => %s))", [age_s]
        )


async def _status(services: Services, booking_id: str) -> str:
    return (await services.payments.get_booking(booking_id)).status.value


async def test_without_workers_serve_does_the_background_work(services: Services, postgres_copy: str) -> None:
    _heartbeat(postgres_copy, age_s=60)
    booking_id = await _overdue(services)
    assert services.background is not None

    async def expired() -> bool:
        return await _status(services, booking_id) == "expired"

    async with services.background():
        await _until(expired)


async def test_while_a_worker_is_alive_serve_leaves_the_background_work_to_it(
    services: Services, postgres_copy: str
) -> None:
    _heartbeat(postgres_copy, age_s=-3600)  # not stale by the time the test ends, however slow it is
    booking_id = await _overdue(services)
    assert services.background is not None

    async with services.background():
        await anyio.wait_all_tasks_blocked()  # each round has begun, and is finished before the block ends

    assert await _status(services, booking_id) == "pending"


async def test_periodic_tasks_of_workers_find_due_work(services: Services) -> None:
    booking_id = await _overdue(services)
    maintenance = MaintenanceTasks(services.payments, services.clock)

    await services.payments.expire_bookings()
    found = (await maintenance.deliver(), await maintenance.forget_answers(), await maintenance.retry_webhooks())

    assert await _status(services, booking_id) == "expired"
    assert found == (0, 0, 0)
    assert len(await services.payments.undelivered_messages()) == 1, "it waits for a channel, which is not here"


@pytest.mark.parametrize("background", [True, False])
async def test_messages_wait_for_a_channel_with_every_kind_of_background_work(
    database_url: str, background: bool
) -> None:
    """A process that has no channel leaves them alone."""
    async with open_payments({"DATABASE_URL": database_url}, env_file=None, background=background) as payments:
        booking = (await payments.register_booking(BOOKING)).booking
        await payments.cancel_booking(booking.id)

        await payments.work()
        undelivered = await payments.undelivered_messages()

    assert [(each.message.type, each.channel) for each in undelivered] == [("booking.canceled", None)]


async def test_an_embedding_service_receives_messages_in_its_own_functions(database_url: str) -> None:
    told: list[Message] = []

    async with open_payments(
        {"DATABASE_URL": database_url}, env_file=None, background=False, consumers=[told.append]
    ) as payments:
        booking = (await payments.register_booking(BOOKING)).booking
        await payments.cancel_booking(booking.id)
        await payments.deliver_messages()

    assert [(message.type, message.sequence) for message in told] == [("booking.canceled", 1)]


async def test_a_function_that_never_returns_is_abandoned_before_the_claim_expires(database_url: str) -> None:
    async def hang(message: Message) -> None:
        await anyio.sleep_forever()

    async with open_payments(
        {"DATABASE_URL": database_url, "OPERATION_LEASE_S": "1"}, env_file=None, background=False, consumers=[hang]
    ) as payments:
        booking = (await payments.register_booking(BOOKING)).booking
        await payments.cancel_booking(booking.id)

        async def tried() -> bool:  # a round that half a second passes over before it begins leaves it to the next
            await payments.deliver_messages()
            return (await payments.undelivered_messages())[0].tries > 0

        await _until(tried)
        (waiting,) = await payments.undelivered_messages()

    assert (waiting.tries, waiting.error) == (1, "it was not taken within 0.5 s")
