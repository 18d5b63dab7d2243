"""The smallest possible webhook handler: it verifies, decodes, and makes five round trips in a transaction.

It has no lifecycle, ledger, messages, metrics or log, and is a bound to compare the service with.
"""

import argparse
import hmac
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import asyncpg
import msgspec
import uvicorn
from litestar import Litestar, Request, Response, post
from litestar.datastructures import State
from uvicorn.supervisors import Multiprocess

SCHEMA: Final = """
DROP TABLE IF EXISTS bare_events, bare_payments, bare_audit;
CREATE TABLE bare_events (id text PRIMARY KEY, body jsonb NOT NULL, received_at timestamptz NOT NULL DEFAULT now());
CREATE TABLE bare_payments (intent_id text PRIMARY KEY, status text NOT NULL, updated_at timestamptz);
CREATE TABLE bare_audit (id bigserial PRIMARY KEY, event_id text NOT NULL, what text NOT NULL);
"""


class Intent(msgspec.Struct):
    """The fields read from an intent."""

    id: str
    status: str


class Data(msgspec.Struct):
    """The fields read from an event's data."""

    object: Intent


class Event(msgspec.Struct):
    """The fields read from an event."""

    id: str
    data: Data


_decoder = msgspec.json.Decoder(Event)


@post("/api/webhooks/stripe", status_code=200)
async def webhook(request: Request[Any, Any, State]) -> Response[bytes]:
    """Take in one event."""
    body = await request.body()
    parts = dict(part.split("=", 1) for part in request.headers["stripe-signature"].split(","))
    secret = os.environ["STRIPE_WEBHOOK_SECRET"].encode()
    signed = hmac.new(secret, parts["t"].encode() + b"." + body, "sha256").hexdigest()
    if not hmac.compare_digest(signed, parts["v1"]):
        return Response(b"", status_code=400)
    event = _decoder.decode(body)
    async with request.app.state.pool.acquire() as connection, connection.transaction():
        new = await connection.fetchval(
            "INSERT INTO bare_events (id, body) VALUES ($1, $2) ON CONFLICT DO NOTHING RETURNING 1",
            event.id,
            body.decode(),
        )
        if new:
            await connection.execute(
                "UPDATE bare_payments SET status = $2, updated_at = now() WHERE intent_id = $1",
                event.data.object.id,
                event.data.object.status,
            )
            await connection.execute("INSERT INTO bare_audit (event_id, what) VALUES ($1, 'paid')", event.id)
    return Response(b"{}", media_type="application/json")


@asynccontextmanager
async def _pool(app: Litestar) -> AsyncIterator[None]:
    async with asyncpg.create_pool(os.environ["DATABASE_URL"], min_size=8, max_size=8) as pool:
        app.state.pool = pool
        yield


app = Litestar([webhook], lifespan=[_pool], openapi_config=None, logging_config=None)


def main() -> None:
    """Serve from worker processes that share a socket, whose answers the kernel does not delay."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, required=True)
    parser.add_argument("--port", type=int, required=True)
    given = parser.parse_args()
    listening = socket.create_server(("127.0.0.1", given.port), backlog=2048)
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    config = uvicorn.Config("bench.bare:app", workers=given.workers, log_level="warning", access_log=False)
    Multiprocess(config, sockets=[listening]).run()


if __name__ == "__main__":
    main()
