"""Every message that the code under test writes in this process is held against the schema of its type."""

import json
from functools import cache
from typing import Any

import attrs
import jsonschema_rs

from booking_payments.adapters.messages.payload import payload
from booking_payments.application.message_schemas import MESSAGE_TYPES, message_schema
from booking_payments.application.recording import Recorder
from booking_payments.ports.publisher import Message

wrong: list[str] = []
"""The schema errors of all messages written since the last call."""


@cache
def _validator(kind: str) -> Any:
    return jsonschema_rs.Draft202012Validator(message_schema(kind), validate_formats=True)


def errors_of(body: dict[str, Any]) -> list[str]:
    """Return the violations of its schema by a message as it is sent."""
    if body["type"] not in MESSAGE_TYPES:
        return [f"there is no type {body['type']}"]
    return [f"{body['type']}: {error}" for error in _validator(body["type"]).iter_errors(body)]


def install() -> None:
    """Look at every message from now on."""
    complete = Recorder._complete

    def checked(self: Recorder, draft: Any) -> Message:
        made = complete(self, draft)
        wrong.extend(errors_of(json.loads(payload(attrs.evolve(made, sequence=1)))))  # the storage numbers it later
        return made

    Recorder._complete = checked  # type: ignore[method-assign]  # tests look on, and change nothing
