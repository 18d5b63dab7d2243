"""The HTTP/1.1 protocol of the server: input that is not HTTP is refused with a problem, as in the API."""

import asyncio
from http import HTTPStatus
from typing import Any, Final, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from booking_payments.entrypoints.http.middleware import SECURITY_HEADERS, headers_too_large, target_too_long
from booking_payments.entrypoints.http.parsing import TARGET_LIMIT
from booking_payments.entrypoints.http.problems import EncodedResponse, bad_request

HEAD_LIMIT: Final = 65_536
"""Bytes of the request line and the headers together; the parser itself would keep any number of them."""

FRAMING_LIMIT: Final = 1_048_576
"""Bytes of a request that are neither: sizes and extensions of chunks, and trailers."""


CLOSE_DELAY_S: Final = 1.0
"""How long after a refusal the rest of a request is thrown away, so that the refusal is not lost with it."""


class _Lingering:
    """A transport that, closed in the middle of a request, listens a little longer: with bytes unread the kernel would
    reset the connection, and the client would see that instead of the answer."""

    def __init__(self, transport: asyncio.Transport, protocol: "StrictHttpProtocol") -> None:
        self._transport, self._protocol = transport, protocol

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def close(self) -> None:
        if not self._protocol.mid_request or not self._transport.can_write_eof() or self.is_closing():
            self._transport.close()
            return
        self._protocol.turned_away = True
        self._transport.write_eof()
        self._transport.resume_reading()
        self._protocol.loop.call_later(CLOSE_DELAY_S, self._transport.close)

    def is_closing(self) -> bool:
        return self._protocol.turned_away or self._transport.is_closing()


class StrictHttpProtocol(HttpToolsProtocol):
    """uvicorn's HTTP/1.1 that takes no endless headers, and whose own refusals are problem details (RFC 9457)."""

    def __init__(self, *given: Any, **options: Any) -> None:
        super().__init__(*given, **options)
        self.url = b""
        self._in_head = True
        self._not_body = 0
        self.mid_request = False
        self.turned_away = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn has it
        super().connection_made(cast(asyncio.Transport, _Lingering(transport, self)))

    def data_received(self, data: bytes) -> None:
        if self.turned_away:
            return
        self.mid_request = True
        self._not_body += len(data)
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self._in_head and len(self.url) > TARGET_LIMIT:
            self._refuse(target_too_long().response)
        elif self._in_head and self._not_body > HEAD_LIMIT:
            self._refuse(headers_too_large().response)
        elif self._not_body > FRAMING_LIMIT:
            self.send_400_response("")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head = self.mid_request = True

    def on_headers_complete(self) -> None:
        hosts = sum(name == b"host" for name, _ in self.headers)
        if hosts > 1 or (hosts == 0 and self.parser.get_http_version() == "1.1"):
            raise ValueError("a request needs exactly one Host (RFC 9112, 3.2)")  # what a callback raises is a refusal
        super().on_headers_complete()
        self._in_head = False

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_head:  # trailers mean nothing to us
            super().on_header(name, value)

    def on_body(self, body: bytes) -> None:
        self._not_body -= len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._in_head, self._not_body, self.mid_request = True, 0, False

    def send_400_response(self, msg: str) -> None:
        if self._in_head and len(self.url) > TARGET_LIMIT:  # longer still, the parser itself gives up
            self._refuse(target_too_long().response)
            return
        self._refuse(bad_request("this is no HTTP request that can be understood", "bad_request").response)

    def _refuse(self, response: EncodedResponse) -> None:
        """Answer and hang up; where an answer is under way, only hang up."""
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is None or cycle.response_complete or not cycle.response_started:
            self.transport.write(_answer(response))
        self.transport.close()


def _answer(response: EncodedResponse) -> bytes:
    headers = {
        **SECURITY_HEADERS,
        **response.headers,
        "Content-Type": response.media_type,
        "Content-Length": str(len(response.body)),
        "Connection": "close",
    }
    lines = [
        f"HTTP/1.1 {response.status} {HTTPStatus(response.status).phrase}",
        *(f"{k}: {v}" for k, v in headers.items()),
    ]
    return "\r\n".join([*lines, "", ""]).encode() + response.body
