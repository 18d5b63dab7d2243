"""The ASGI application: reads a whole request, has it answered, and plays the network's faults on the connection."""

from collections.abc import Awaitable, Callable, MutableMapping
from datetime import timedelta
from typing import Any, Final

import anyio
import structlog

from booking_payments.sandbox.emulator import NetworkFault
from booking_payments.sandbox.emulator.errors import Refusal, error_body, server_error, unknown_url
from booking_payments.sandbox.http import api, pages, playing
from booking_payments.sandbox.http.account import SandboxStripe
from booking_payments.sandbox.http.messages import MAX_BODY, HttpResponse, Request, reply_refusing, without_body

LONGEST_SILENCE: Final = timedelta(seconds=60)
"""How long a scripted timeout holds a connection open; clients give up earlier."""

READ_AT_MOST: Final = 64 * MAX_BODY
"""Bytes of a body that is too large, read so that the client hears the answer."""

log = structlog.get_logger("booking_payments.sandbox")

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class ClientDisconnected(Exception):  # noqa: N818 - nothing is wrong, nobody listens any more
    """The client closed the connection before its request was complete."""


class SandboxApp:
    """``abort`` ends the connection of a request without an answer; ``stopping`` is set when the server ends."""

    def __init__(self, stripe: SandboxStripe, abort: Callable[[Scope], None]) -> None:
        self._stripe = stripe
        self._abort = abort
        self.stopping = anyio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        try:
            reply = await self._reply(scope, receive)
        except NetworkFault as fault:
            await self._fail(fault, scope, receive)
        except ClientDisconnected:
            return
        else:
            await self._wait(reply.delay, receive)
            await _send(without_body(reply) if scope["method"] == "HEAD" else reply, send)

    async def _reply(self, scope: Scope, receive: Receive) -> HttpResponse:
        try:
            request = await _read_request(scope, receive)
            return self._answer(request)
        except Refusal as refusal:
            return reply_refusing(refusal)

    def _answer(self, request: Request) -> HttpResponse:
        """An error of the sandbox itself is a 500, and is logged."""
        try:
            return _department(request.path)(self._stripe, request)
        except NetworkFault:
            raise
        except Exception:
            log.exception("sandbox.request_failed", method=request.method, path=request.path)
            return reply_refusing(server_error(500))

    async def _fail(self, fault: NetworkFault, scope: Scope, receive: Receive) -> None:
        if fault.kind == "timeout":
            await self._wait(LONGEST_SILENCE, receive)
        self._abort(scope)
        while (await receive())["type"] != "http.disconnect":
            pass

    async def _wait(self, at_most: timedelta, receive: Receive) -> None:
        """Let time pass, until the client leaves or the server ends."""
        if not at_most:
            return

        async def until(done: Callable[[], Awaitable[Any]]) -> None:
            await done()
            tasks.cancel_scope.cancel()

        with anyio.move_on_after(at_most.total_seconds()):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(until, receive)
                tasks.start_soon(until, self.stopping.wait)


def _department(path: str) -> Callable[[SandboxStripe, Request], HttpResponse]:
    if path == playing.PREFIX or path.startswith(f"{playing.PREFIX}/"):
        return playing.answer
    if path.startswith("/v1/"):
        return api.answer
    return pages.answer if pages.is_page(path) else _nobody


def _nobody(_: SandboxStripe, request: Request) -> HttpResponse:
    return reply_refusing(unknown_url(request.method, request.path))


async def _read_request(scope: Scope, receive: Receive) -> Request:
    """The whole request. Raises ``ClientDisconnected``, and 413 for a body that is too large."""
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    body = await _body(receive)
    if len(body) > MAX_BODY:
        raise _too_large()
    return Request(scope["method"].upper(), scope["path"], scope["query_string"].decode("latin-1"), headers, body)


async def _body(receive: Receive) -> bytes:
    body, read = bytearray(), 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnected
        read += len(message.get("body", b""))
        if len(body) <= MAX_BODY:
            body += message.get("body", b"")
        if not message.get("more_body") or read > READ_AT_MOST:
            return bytes(body)


def _too_large() -> Refusal:
    message = f"The request's body is larger than {MAX_BODY} bytes."
    return Refusal(413, error_body("invalid_request_error", message), executed=False, headers={"Connection": "close"})


async def _send(reply: HttpResponse, send: Send) -> None:
    body = reply.body
    headers = {"Content-Type": "application/json", "Content-Length": str(len(body)), **reply.headers}
    if reply.status == 204:
        del headers["Content-Type"], headers["Content-Length"]
    raw = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": reply.status, "headers": raw})
    await send({"type": "http.response.body", "body": body})
