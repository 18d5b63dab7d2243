"""HTTP as it comes off the wire: what is no HTTP at all is refused with a problem, like everything else."""

import sys
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from booking_payments.entrypoints.http.frame import SECURITY_HEADERS, headers_too_large
from booking_payments.entrypoints.http.problems import Reply, bad_request

TOO_LARGE = 431
"""What h11 would say of headers without end."""


class StrictHttp(H11Protocol):
    """uvicorn's HTTP/1.1, whose own refusals are problem details (RFC 9457) instead of plain text."""

    def send_400_response(self, msg: str) -> None:
        self._refuse(_refusal(sys.exception()))

    def _refuse(self, reply: Reply) -> None:
        given = {**SECURITY_HEADERS, **reply.headers, "Content-Type": reply.media_type, "Connection": "close"}
        headers = [(name.encode(), value.encode()) for name, value in given.items()]
        answer: list[Any] = [
            h11.Response(status_code=reply.status, headers=headers),
            h11.Data(data=reply.body),
            h11.EndOfMessage(),
        ]
        for event in answer:
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()


def _refusal(error: BaseException | None) -> Reply:
    if isinstance(error, h11.RemoteProtocolError) and error.error_status_hint == TOO_LARGE:
        return headers_too_large().reply
    return bad_request("this is no HTTP request that can be understood", "bad_request").reply
