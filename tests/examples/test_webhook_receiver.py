"""The example that receives this service's webhooks: genuine ones take effect once, in any order; all others are
refused.
"""

import importlib.util
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from booking_payments.adapters.messages.payload import payload
from booking_payments.adapters.messages.signature import headers
from booking_payments.ports.publisher import Message
from booking_payments.ports.signing_key import signing_key
from tests.examples.test_examples import EXAMPLES

SECRET = "whsec_" + "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
OTHER = "whsec_" + "YWJjZGVmZ2hpamtsbW5vcGFiY2RlZmdoaWprbG1ub3A="
CONFIRMED, CANCELED = "booking.confirmed", "booking.canceled"


class ReceiverExample:
    """The example in this process, with its database in a folder."""

    def __init__(self, folder: Path) -> None:
        found = importlib.util.spec_from_file_location("webhook_receiver", EXAMPLES / "webhook_receiver.py")
        assert found is not None
        assert found.loader is not None
        self.module: Any = importlib.util.module_from_spec(found)
        found.loader.exec_module(self.module)
        self._books = folder / "seats.sqlite3"
        self.module.app.config.update(SECRET=SECRET, SEATS=str(self._books))
        self.client = self.module.app.test_client()

    def take(self, type_: str, sequence: int, *, secret: str = SECRET, age: timedelta = timedelta()) -> int:
        """Send the message with this number; returns the status of the response."""
        message = Message(
            id=f"msg_{sequence}",
            type=type_,
            booking_id="bk_1",
            payment_id=None,
            sequence=sequence,
            at=datetime.now(UTC),
            data={"booking_reference": "A-1"},
        )
        body = payload(message)
        signed = headers(message.id, body, [signing_key(secret)], datetime.now(UTC) - age)
        return self.send(body, signed)

    def send(self, body: bytes, signed: dict[str, str]) -> int:
        status: int = self.client.post(
            "/hooks/payments", data=body, headers={**signed, "content-type": "application/json"}
        ).status_code
        return status

    def seats(self) -> list[tuple[str, str]]:
        with closing(sqlite3.connect(self._books)) as books:
            return books.execute("SELECT name, status FROM seats").fetchall()


@pytest.fixture
def receiver(tmp_path: Path) -> ReceiverExample:
    return ReceiverExample(tmp_path)


def test_a_repeated_message_changes_the_seat_once(receiver: ReceiverExample) -> None:
    answers = [
        receiver.take(CONFIRMED, 1),
        receiver.take(CANCELED, 2),
        receiver.take(CONFIRMED, 1),  # the late repetition
    ]

    assert answers == [204, 204, 204]
    assert receiver.seats() == [("A-1", "free")]


def test_messages_in_the_wrong_order_lead_to_the_newest_state(receiver: ReceiverExample) -> None:
    assert [receiver.take(CANCELED, 2), receiver.take(CONFIRMED, 1)] == [204, 204]

    assert receiver.seats() == [("A-1", "free")]


def test_an_unknown_type_is_accepted_and_changes_nothing(receiver: ReceiverExample) -> None:
    assert [receiver.take(CONFIRMED, 1), receiver.take("booking.painted", 2)] == [204, 204]

    assert receiver.seats() == [("A-1", "sold")]


@pytest.mark.parametrize("changes", [{"secret": OTHER}, {"age": timedelta(minutes=6)}, {"age": timedelta(minutes=-6)}])
def test_a_message_without_a_valid_signature_is_refused(receiver: ReceiverExample, changes: dict[str, Any]) -> None:
    assert receiver.take(CONFIRMED, 1, **changes) == 401


@pytest.mark.parametrize(
    "signed",
    [
        {},
        {"webhook-id": "msg_1", "webhook-timestamp": "soon", "webhook-signature": "v1,x"},
        {"webhook-id": "msg_1", "webhook-timestamp": "9" * 5000, "webhook-signature": "v1,x"},
        {"webhook-id": "msg_1", "webhook-timestamp": "0", "webhook-signature": "v1,\xff"},
    ],
)
def test_malformed_headers_are_refused_without_a_server_error(
    receiver: ReceiverExample, signed: dict[str, str]
) -> None:
    assert receiver.send(b"{}", signed) == 401
    shown: dict[str, Any] = {}
    page = (EXAMPLES.parent / "docs" / "messages.md").read_text()
    code = page[page.index("import base64, hashlib") :]
    exec(code[: code.index("```")], shown)  # noqa: S102 - our own page
    assert not shown["is_genuine"](SECRET, signed, b"{}")


def test_without_a_secret_every_message_is_refused(receiver: ReceiverExample) -> None:
    receiver.module.app.config["SECRET"] = ""

    assert receiver.take(CONFIRMED, 1) == 401
