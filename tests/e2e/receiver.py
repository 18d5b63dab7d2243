"""The booking app's receiver: accepts signed messages, sometimes refuses one, and records their order."""

import json
import random
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from attrs import Factory, define
from standardwebhooks import Webhook, WebhookVerificationError

from tests.message_schemas import errors_of


@define
class Received:
    """The received messages: those of each booking in order of arrival, and their violations."""

    secret: str
    chance: random.Random
    refusals: float = 0.0
    messages: dict[str, list[dict[str, Any]]] = Factory(lambda: defaultdict(list))
    wrong: list[str] = Factory(list)
    lock: threading.Lock = Factory(threading.Lock)

    def take(self, body: bytes, headers: dict[str, str]) -> int:
        """The status of the answer."""
        with self.lock:
            if self.chance.random() < self.refusals:
                return 500
            try:
                Webhook(self.secret).verify(body, headers)
            except WebhookVerificationError as error:
                self.wrong.append(str(error))
                return 400
            message = json.loads(body)
            self.wrong.extend(errors_of(message))
            if message["id"] != headers["webhook-id"]:
                self.wrong.append(f"{message['id']} came as {headers['webhook-id']}")
            self.messages[message["booking_id"]].append(message)
            # Taken, and yet the sender never hears of it.
            return 500 if self.chance.random() < self.refusals / 2 else 204

    def firsts(self, booking_id: str) -> list[int]:
        """The numbers of a booking's messages in the order in which each came for the first time."""
        return list(dict.fromkeys(message["sequence"] for message in self.messages[booking_id]))


class ReceivingServer(ThreadingHTTPServer):
    """Senders may be killed in the middle of a request; that is expected."""

    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Nothing."""


@contextmanager
def receiving(received: Received) -> Iterator[str]:
    """The address where messages are taken."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            status = received.take(body, {name.lower(): value for name, value in self.headers.items()})
            self.send_response(status)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing."""

    server = ReceivingServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/hooks"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
