"""Many at once: one key is one execution, one booking is one charge, and refunds never exceed the payment.

``RACE_ROUNDS`` says how often each race is run on each database.
"""

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from functools import partial
from itertools import count
from typing import Any

import anyio
import attrs
import httpx2
import pytest

from booking_payments.application.resolve import resolve_if_due
from booking_payments.domain.amendments import BookingChange
from booking_payments.domain.money import Currency, Money, total
from booking_payments.domain.payment import Payment
from booking_payments.entrypoints.http.app import create_app
from booking_payments.ports.payments import PollState
from booking_payments.ports.unit_of_work import UnitOfWork
from booking_payments.testing.kit import ANN as CUSTOMER
from booking_payments.testing.kit import OPERATOR, PaymentsTestKit
from tests.integration.http.api import ANN, services_of
from tests.unit.application.failing_gateway import Overtaken

ROUNDS = int(os.environ.get("RACE_ROUNDS", "1"))
CARD = {"payment_method_id": "pm_card_visa", "confirm_immediately": True}
NUMBERS = count(1)


@pytest.fixture
async def client(kit: PaymentsTestKit) -> AsyncIterator[httpx2.AsyncClient]:
    transport = httpx2.ASGITransport(create_app(services_of(kit)))  # type: ignore[arg-type]  # named otherwise
    async with httpx2.AsyncClient(transport=transport, base_url="http://service") as client:
        yield client


async def _all_at_once(client: httpx2.AsyncClient, requests: list[httpx2.Request]) -> list[httpx2.Response]:
    answers: list[httpx2.Response] = []

    async def send(request: httpx2.Request) -> None:
        answers.append(await client.send(request))

    async with anyio.create_task_group() as tasks:
        for request in requests:
            tasks.start_soon(send, request)
    return answers


def _post(client: httpx2.AsyncClient, path: str, body: dict[str, Any], key: str | None = None) -> httpx2.Request:
    return client.build_request("POST", path, json=body, headers={**ANN, **({"Idempotency-Key": key} if key else {})})


async def _book(kit: PaymentsTestKit) -> str:
    return (await kit.book(reference=f"R-{next(NUMBERS)}")).id


def _path(booking: str, what: str) -> str:
    return f"/api/bookings/{booking}/payment/{what}/"


async def _charges(kit: PaymentsTestKit, booking: str) -> int:
    """Successful charges at the gateway, over all intents that name the booking."""
    intents = kit.stripe.call("GET", "/v1/payment_intents", {"limit": 100}).body["data"]
    own = [intent["id"] for intent in intents if intent["metadata"].get("booking_id") == booking]
    return sum(kit.stripe.successful_charges(intent) for intent in own)


async def test_one_key_of_32_clients_is_one_execution(kit: PaymentsTestKit, client: httpx2.AsyncClient) -> None:
    for number in range(ROUNDS):
        booking, key = await _book(kit), f"one-key-for-all-{number:04}"
        answers = await _all_at_once(client, [_post(client, _path(booking, "intent"), CARD, key) for _ in range(32)])
        later = await client.send(_post(client, _path(booking, "intent"), CARD, key))

        bodies = {answer.content for answer in answers if answer.status_code == 200}
        assert {answer.status_code for answer in answers} <= {200, 409}
        assert bodies == {later.content}
        assert later.headers["Idempotent-Replayed"] == "true"
        assert await _charges(kit, booking) == 1


async def test_one_booking_of_50_clients_is_one_charge(kit: PaymentsTestKit, client: httpx2.AsyncClient) -> None:
    for _ in range(ROUNDS):
        booking = await _book(kit)

        answers = await _all_at_once(client, [_post(client, _path(booking, "intent"), CARD) for _ in range(50)])

        assert Counter(answer.status_code for answer in answers) == {200: 1, 409: 49}
        assert await _charges(kit, booking) == 1


async def test_refunds_of_10_clients_never_exceed_the_payment(kit: PaymentsTestKit, client: httpx2.AsyncClient) -> None:
    for _ in range(ROUNDS):
        booking = await _book(kit)
        intent = (await client.send(_post(client, _path(booking, "intent"), CARD))).json()["payment_intent_id"]

        wanted = [_post(client, _path(booking, "refund"), {"amount": "30.00"}) for _ in range(10)]
        answers = await _all_at_once(client, wanted)

        made = kit.stripe.call("GET", "/v1/refunds", {"payment_intent": intent, "limit": 100}).body["data"]
        assert {answer.status_code for answer in answers} <= {200, 409, 422}
        assert len(made) == Counter(answer.status_code for answer in answers)[200]
        assert 0 < sum(refund["amount"] for refund in made) <= 10000


async def test_postponing_a_payment_waits_for_a_transaction_that_claims_it(kit: PaymentsTestKit) -> None:
    payment = (await kit.payments.start_payment(await _book(kit), CUSTOMER)).payment
    lease = kit.clock.now() + timedelta(hours=1)
    taken = PollState(next_check_at=lease, lease_until=lease, holder="somebody else")
    taking, broken = anyio.Event(), anyio.Event()

    async def take(uow: UnitOfWork) -> None:
        await uow.bookings.lock(payment.booking_id)
        await uow.payments.save_poll_state(payment.id, taken)
        taking.set()
        await broken.wait()
        await anyio.sleep(0.1)  # by now the other one waits

    async def somebody_else() -> None:
        await kit.storage.transact(take)

    async def look() -> None:
        tasks.start_soon(somebody_else)
        await taking.wait()
        broken.set()

    async with anyio.create_task_group() as tasks:
        kit.clock.advance(timedelta(minutes=11))
        with pytest.raises(RuntimeError):
            await resolve_if_due(attrs.evolve(kit.deps, gateway=Overtaken(kit, look)), payment.id)

    assert await kit.storage.read(lambda uow: uow.payments.poll_state(payment.id)) == taken


async def test_a_price_amended_meanwhile_is_not_charged_without_being_shown(kit: PaymentsTestKit) -> None:
    shown, dearer = Money(10000, Currency.USD), Money(12000, Currency.USD)
    ends = Counter[str]()
    for _ in range(ROUNDS * 4):
        booking = await _book(kit)
        amend = kit.payments.amend_booking(booking, BookingChange(amount=dearer), OPERATOR)
        pay = kit.payments.start_payment(
            booking, CUSTOMER, payment_method_id="pm_card_visa", confirm_immediately=True, expected_price=shown
        )
        first, second = (amend, pay) if ends.total() % 2 else (pay, amend)
        await asyncio.gather(first, second, return_exceptions=True)
        payments = await kit.storage.read(partial(_payments_of, booking))
        captured = total((each.captured for each in payments), Currency.USD)
        assert captured in (Money(0, Currency.USD), shown)
        ends[captured.major()] += 1
    print(f"captured: {dict(ends)}")


async def _payments_of(booking: str, uow: UnitOfWork) -> Sequence[Payment]:
    return await uow.payments.of_booking(booking)
