"""A service that takes webhooks and keeps them."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import stripe

TIMEOUT_S = 10


class Receiver:
    """``status``: of its responses; with ``silent`` it does not answer before it ends."""

    def __init__(self, status: int = 200, *, silent: bool = False) -> None:
        self.got: list[tuple[bytes, str]] = []
        self.status = status
        self._silent = silent
        self._ended = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/hook"

    def __enter__(self) -> "Receiver":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def events(self, secret: str) -> list[stripe.Event]:
        """The received events, each checked by Stripe's own SDK."""
        return [stripe.Webhook.construct_event(body, signature, secret) for body, signature in list(self.got)]

    def types(self) -> list[str]:
        return [event["type"] for event in map(json.loads, [body for body, _ in list(self.got)])]

    def wait_for(self, count: int) -> list[str]:
        """The types of the received events, as soon as there are ``count``."""
        until = time.monotonic() + TIMEOUT_S
        while len(self.got) < count and time.monotonic() < until:
            time.sleep(0.01)
        return self.types()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.got.append((body, self.headers["Stripe-Signature"]))
                if receiver._silent:
                    receiver._ended.wait(TIMEOUT_S * 3)
                    return
                self.send_response(receiver.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                """Say nothing."""

        return Handler
