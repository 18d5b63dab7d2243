"""Messages over a broker: Kombu's own transport over files, which two connections share as they would a server."""

import importlib
import json
import socket
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest

from booking_payments.adapters.memory.publisher import WithTimeout
from booking_payments.adapters.messages.broker import BrokerPublisher
from booking_payments.ports.publisher import DeliveryFailed
from tests.integration.messages.amqp_server import rabbitmq_that_falls_silent
from tests.integration.messages.test_webhook import MESSAGE

TIMEOUT_S = 10
kombu: Any = importlib.import_module("kombu")


def _options(folder: Path) -> dict[str, str]:
    return {"data_folder_in": str(folder), "data_folder_out": str(folder), "control_folder": str(folder / "control")}


def _in_queue(folder: Path) -> list[Any]:
    """What a consumer finds."""
    found: list[Any] = []
    with kombu.Connection("filesystem://", transport_options=_options(folder)) as connection:
        queue = connection.SimpleQueue("bookings")
        while queue.qsize():
            message = queue.get(block=False)
            message.ack()
            found.append(message)
        queue.close()
    return found


async def test_a_message_in_the_broker_has_its_ordering_headers(tmp_path: Path) -> None:
    publisher = BrokerPublisher("filesystem://", "bookings", _options(tmp_path))
    await publisher.publish(MESSAGE)
    await publisher.close()

    (found,) = _in_queue(tmp_path)
    assert found.content_type == "application/json"
    assert found.headers == {"booking_id": "bk_1", "sequence": 3}
    assert json.loads(found.body)["id"] == "msg_1"


async def test_a_broker_that_is_not_there_takes_nothing() -> None:
    publisher = BrokerPublisher("pyamqp://guest:guest@127.0.0.1:1//", "bookings")

    with pytest.raises(DeliveryFailed, match="the broker did not accept the message"):
        await publisher.publish(MESSAGE)
    await publisher.close()


async def test_after_a_failure_a_new_connection_is_opened(tmp_path: Path) -> None:
    folder = tmp_path / "later"
    publisher = BrokerPublisher("filesystem://", "bookings", _options(folder))
    folder.write_text("in the way")
    with pytest.raises(DeliveryFailed):
        await publisher.publish(MESSAGE)
    folder.unlink()
    folder.mkdir()

    await publisher.publish(MESSAGE)
    await publisher.close()

    assert len(_in_queue(folder)) == 1


async def test_the_connection_to_a_silent_broker_is_dropped_without_a_close_handshake() -> None:
    with rabbitmq_that_falls_silent() as url, anyio.fail_after(TIMEOUT_S):
        publisher = BrokerPublisher(url, "bookings", timeout=timedelta(seconds=0.5))
        await publisher.publish(MESSAGE)

        with pytest.raises(DeliveryFailed, match="the broker did not accept the message"):
            await publisher.publish(MESSAGE)
        await publisher.publish(MESSAGE)  # on a new connection
        await publisher.close()


async def test_a_publisher_has_a_time_limit_for_each_message() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent, anyio.fail_after(TIMEOUT_S):
        broker = BrokerPublisher(f"amqp://guest:guest@127.0.0.1:{silent.getsockname()[1]}//", "bookings")

        with pytest.raises(DeliveryFailed, match=r"not taken within 0\.05 s"):
            await WithTimeout(broker, timedelta(milliseconds=50)).publish(MESSAGE)
        await broker.close()
