"""What every reader of webhooks has to keep: the contract of ``ports.webhooks.WebhookReader`` as tests.

Subclass ``WebhookReaderContract`` in a test module and give it a ``sender`` fixture: the reader, and its gateway, which
signs. A gateway that sends no webhooks subclasses ``NoWebhooksContract``, with a ``reader`` fixture.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

import anyio
import pytest

from booking_payments.ports.webhooks import (
    GatewayEvent,
    WebhookReader,
    WebhookRefused,
    WebhookRequest,
    WebhooksNotTaken,
)

NOW: Final = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
LONG: Final = timedelta(days=2)
"""Longer than any signature is valid, and longer than any clock is wrong."""


class WebhookSender(Protocol):
    """A gateway that sends webhooks."""

    @property
    def reader(self) -> WebhookReader:
        """The reader under test."""
        ...

    def event(self, event_id: str) -> bytes:
        """The body of an event that the reader acts on, with this id."""
        ...

    def sign(self, body: bytes, at: datetime) -> Mapping[str, str]:
        """All headers that belong to the signature of ``body``, sent at that time."""
        ...


def delivery(body: bytes, headers: Mapping[str, str], received_at: datetime = NOW) -> WebhookRequest:
    """A delivery, among headers that have nothing to do with its signature."""
    others = {"Host": "hooks.example", "Content-Type": "application/json", "User-Agent": "a gateway"}
    return WebhookRequest(body=body, headers={**others, **headers}, received_at=received_at)


async def refusal_of(reader: WebhookReader, request: WebhookRequest) -> str:
    """The code with which ``reader`` refuses the delivery."""
    with pytest.raises(WebhookRefused) as refused:
        await reader.read(request)
    return refused.value.code


class WebhookReaderContract:
    """What holds for every gateway that sends webhooks, whichever headers it signs in."""

    async def test_a_genuine_event_is_read(self, sender: WebhookSender) -> None:
        body = sender.event("evt_1")

        event = await sender.reader.read(delivery(body, sender.sign(body, NOW)))

        assert (event.id, event.kind is not None, event.object_id is not None) == ("evt_1", True, True)

    @pytest.mark.parametrize("write", [str.lower, str.upper, str.title])
    async def test_names_of_headers_may_be_in_any_case(self, sender: WebhookSender, write: type[str]) -> None:
        body = sender.event("evt_1")
        headers = {write(name): value for name, value in sender.sign(body, NOW).items()}

        assert (await sender.reader.read(delivery(body, headers))).id == "evt_1"

    async def test_without_one_of_its_headers_a_delivery_is_refused_for_its_signature(
        self, sender: WebhookSender
    ) -> None:
        body = sender.event("evt_1")
        signed = sender.sign(body, NOW)

        for left_out in signed:
            headers = {name: value for name, value in signed.items() if name != left_out}
            assert (await refusal_of(sender.reader, delivery(body, headers))).startswith("signature_"), left_out

    async def test_with_one_of_its_headers_empty_a_delivery_is_refused_for_its_signature(
        self, sender: WebhookSender
    ) -> None:
        body = sender.event("evt_1")
        signed = sender.sign(body, NOW)

        for emptied in signed:
            headers = {**signed, emptied: ""}
            assert (await refusal_of(sender.reader, delivery(body, headers))).startswith("signature_"), emptied

    async def test_with_a_header_of_another_delivery_it_is_refused_for_its_signature(
        self, sender: WebhookSender
    ) -> None:
        first, second = sender.event("evt_1"), sender.event("evt_2")
        others = sender.sign(second, NOW - timedelta(seconds=1))

        headers = {**sender.sign(first, NOW), **others}

        assert (await refusal_of(sender.reader, delivery(first, headers))).startswith("signature_")

    async def test_the_signature_is_over_the_raw_bytes(self, sender: WebhookSender) -> None:
        body = sender.event("evt_1")
        headers = sender.sign(body, NOW)

        for changed in (body + b" ", body.replace(b"evt_1", b"evt_2"), b" " + body):
            assert (await refusal_of(sender.reader, delivery(changed, headers))).startswith("signature_")

    async def test_the_signature_is_checked_before_the_body_is_parsed(self, sender: WebhookSender) -> None:
        headers = sender.sign(sender.event("evt_1"), NOW)

        for body in (b"", b"{", b"\xff\xfe", b"[" * 100_000):
            assert (await refusal_of(sender.reader, delivery(body, headers))).startswith("signature_")

    @pytest.mark.parametrize("off", [-LONG, LONG], ids=["long ago", "in the future"])
    async def test_a_delivery_of_another_time_is_refused_for_its_signature(
        self, sender: WebhookSender, off: timedelta
    ) -> None:
        body = sender.event("evt_1")

        headers = sender.sign(body, NOW + off)

        assert (await refusal_of(sender.reader, delivery(body, headers))).startswith("signature_")

    async def test_a_signed_body_without_an_event_is_refused_for_its_content(self, sender: WebhookSender) -> None:
        for body in (b"", b"{", b"[]", b"null", b"{}", b'"text"', b"\xff\xfe", b"[" * 100_000):
            code = await refusal_of(sender.reader, delivery(body, sender.sign(body, NOW)))
            assert not code.startswith("signature_"), body[:10]

    async def test_the_body_that_is_kept_is_read_again(self, sender: WebhookSender) -> None:
        body = sender.event("evt_1")
        event = await sender.reader.read(delivery(body, sender.sign(body, NOW)))

        again = sender.reader.read_again(event.body)

        assert (again.id, again.type, again.object_id) == (event.id, event.type, event.object_id)

    async def test_deliveries_at_the_same_time_are_not_mixed_up(self, sender: WebhookSender) -> None:
        read: dict[str, GatewayEvent] = {}

        async def take(event_id: str) -> None:
            body = sender.event(event_id)
            read[event_id] = await sender.reader.read(delivery(body, sender.sign(body, NOW)))

        async with anyio.create_task_group() as tasks:
            for number in range(10):
                tasks.start_soon(take, f"evt_{number}")

        assert {event_id: event.id for event_id, event in read.items()} == {f"evt_{n}": f"evt_{n}" for n in range(10)}


class NoWebhooksContract:
    """What holds for a gateway that sends no webhooks."""

    async def test_every_body_is_refused(self, reader: WebhookReader) -> None:
        for body in (b"", b"{}", b'{"id": "evt_1"}'):
            with pytest.raises(WebhooksNotTaken):
                await reader.read(delivery(body, {}))
