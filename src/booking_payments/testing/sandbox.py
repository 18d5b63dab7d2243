"""A server with Stripe's HTTP interface inside the test process: real sockets, for any SDK, without an account.

    with Sandbox() as sandbox:  # in a thread: for synchronous tests, and clients that block
        client = stripe.StripeClient("sk_test_any", base_addresses={"api": sandbox.url})

    async with Sandbox() as sandbox:  # on the test's own event loop: for asynchronous clients
        ...

It starts in a few milliseconds on a free loopback port. Tests may use the model behind it while the server runs.
"""

import json
from contextlib import AsyncExitStack, ExitStack
from datetime import timedelta
from types import TracebackType
from typing import Any

from anyio.from_thread import start_blocking_portal

from booking_payments.sandbox.emulator.currencies import DEFAULT_DIGITS
from booking_payments.sandbox.http import playing
from booking_payments.sandbox.http.account import SandboxStripe
from booking_payments.sandbox.http.messages import Request
from booking_payments.sandbox.http.server import serving


class Sandbox:
    """A running server, as a context manager, with or without ``async``.

    Args:
        delay: the time until delayed events: refunds arrive, debits settle, disputes change.
        port: the port to listen on; 0: a free port.
        amount_digits: digits of the largest charge, in Stripe's smallest units.

    Attributes:
        url: the server's address; empty before it is started.
        stripe: the emulator behind the server.
    """

    def __init__(
        self, *, delay: timedelta = timedelta(seconds=2), port: int = 0, amount_digits: int = DEFAULT_DIGITS
    ) -> None:
        self.stripe = SandboxStripe(delay, amount_digits=amount_digits)
        self.url = ""
        self._port = port
        self._stack = ExitStack()
        self._tasks = AsyncExitStack()

    def __enter__(self) -> "Sandbox":
        portal = self._stack.enter_context(start_blocking_portal())
        server = portal.wrap_async_context_manager(serving(self.stripe, port=self._port))
        try:
            self.url = self._stack.enter_context(server)
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    async def __aenter__(self) -> "Sandbox":
        self.url = await self._tasks.enter_async_context(serving(self.stripe, port=self._port))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._tasks.aclose()

    def advance(self, by: timedelta) -> None:
        """Advance Stripe's clock and run everything that becomes due."""
        self.stripe.advance(by)

    def play(self, path: str, **body: Any) -> dict[str, Any]:
        """Do the same as a request ``POST /_sandbox{path}`` with this body, and return its response.

        For example ``play("/faults", match="POST /v1/refunds", fault="503")``. Raises ``ValueError`` with the reason
        when it is refused.
        """
        headers = {"content-type": "application/json"}
        reply = playing.answer(
            self.stripe, Request("POST", f"{playing.PREFIX}{path}", headers=headers, body=json.dumps(body).encode())
        )
        answer: dict[str, Any] = json.loads(reply.body)
        if reply.status >= 400:
            raise ValueError(answer["error"]["message"])
        return answer
