"""Flask that applies each signed message exactly once: `flask --app examples/webhook_receiver.py run`.

The service has `MESSAGES_WEBHOOK_URL=http://127.0.0.1:5000/hooks/payments` and the same `MESSAGES_WEBHOOK_SECRET`. The
id of a message is stored in the transaction that changes the seat, so a message delivered twice changes it once.
"""

import base64
import hashlib
import hmac
import os
import sqlite3
import time
from collections.abc import Mapping
from contextlib import closing

from flask import Flask, Response, request

STATUSES = {"booking.confirmed": "sold", "booking.canceled": "free", "booking.expired": "free"}
TABLES = """
CREATE TABLE IF NOT EXISTS messages (id TEXT PRIMARY KEY, booking_id TEXT NOT NULL, sequence INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS seats (name TEXT PRIMARY KEY, status TEXT NOT NULL);
"""

app = Flask(__name__)
app.config.from_mapping(
    MAX_CONTENT_LENGTH=1_000_000,
    SEATS="seats.sqlite3",
    SECRET=os.environ.get("MESSAGES_WEBHOOK_SECRET", ""),
)


def is_genuine(secret: str, headers: Mapping[str, str], body: bytes) -> bool:
    """Return whether the message was signed with the secret within the last five minutes."""
    id_, at, signatures = (headers.get(f"webhook-{name}", "") for name in ("id", "timestamp", "signature"))
    if not (secret and at.isdecimal() and len(at) < 12 and abs(time.time() - int(at)) <= 300 and signatures.isascii()):
        return False
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = f"{id_}.{at}.".encode() + body
    expected = "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    return any(hmac.compare_digest(expected, each) for each in signatures.split())


@app.post("/hooks/payments")
def receive() -> Response:
    if not is_genuine(app.config["SECRET"], request.headers, request.get_data()):
        return Response("the signature is wrong", 401)
    message = request.get_json()
    with closing(sqlite3.connect(app.config["SEATS"])) as books, books:
        books.executescript(TABLES)
        change(books, message["id"], message["type"], message["booking_id"], message["sequence"], message["data"])
    return Response(status=204)


def change(
    books: sqlite3.Connection, id_: str, type_: str, booking_id: str, sequence: int, data: Mapping[str, str]
) -> None:
    """Change the seat, unless this message or a newer one of its booking was applied already.

    A message may arrive after a newer one if it was a dead letter that was replayed. Of other types only the id is
    stored.
    """
    row = (id_, booking_id, sequence)
    new = books.execute("INSERT INTO messages VALUES (?, ?, ?) ON CONFLICT (id) DO NOTHING", row).rowcount
    newest = books.execute("SELECT max(sequence) FROM messages WHERE booking_id = ?", (booking_id,)).fetchone()[0]
    if new and sequence == newest and type_ in STATUSES:
        seat = (data["booking_reference"], STATUSES[type_])
        books.execute("INSERT INTO seats VALUES (?, ?) ON CONFLICT DO UPDATE SET status = excluded.status", seat)
