"""What a database holds already can be read: journal entries and payments as they were written before a change.

``tests/data/stored`` is written by hand or copied from a database, never by the code under test. A new kind of event
gets a line there. A line changes only when a decision says how stored rows are converted.
"""

import json
from datetime import datetime
from pathlib import Path
from typing import Any, Final, get_args

import attrs
import pytest

from booking_payments.adapters.sql import rows
from booking_payments.adapters.sql.codec import EVENTS, INSTRUCTIONS, event_from_json
from booking_payments.adapters.sql.tables import payments
from booking_payments.application.message_schemas import MESSAGE_TYPES, message_schema
from booking_payments.application.messages import message_for
from booking_payments.domain.events import Event
from booking_payments.testing import storage_samples as samples

FOLDER: Final = Path(__file__).resolve().parents[1] / "data" / "stored"
Json = dict[str, Any]


def lines_of(name: str) -> list[Json]:
    return [json.loads(line) for line in (FOLDER / name).read_text(encoding="utf-8").splitlines()]


JOURNAL: Final = lines_of("journal.jsonl")
TIMES: Final = ("created_at", "updated_at")


def required(kind: type) -> set[str]:
    return {each.name for each in attrs.fields(kind) if each.default is attrs.NOTHING}


@pytest.mark.parametrize("entry", JOURNAL, ids=lambda entry: entry["type"])
def test_a_stored_journal_entry_can_be_read(entry: Json) -> None:
    lacking = required(EVENTS[entry["type"]]) - entry["data"].keys()

    assert not lacking, f"stored journals lack {lacking}: give the new field of the event a default"
    assert isinstance(event_from_json(entry["type"], json.dumps(entry["data"])), get_args(Event))


def test_each_kind_of_event_has_a_stored_entry() -> None:
    missing = EVENTS.keys() - {entry["type"] for entry in JOURNAL}

    assert not missing, f"add a line for {missing} to tests/data/stored/journal.jsonl"


def test_each_kind_of_instruction_has_a_stored_entry() -> None:
    stored = {entry["data"]["instruction"]["kind"] for entry in JOURNAL if "instruction" in entry["data"]}

    assert stored == INSTRUCTIONS.keys()


@pytest.mark.parametrize("row", lines_of("payments.jsonl"), ids=lambda row: row["status"])
def test_a_stored_payment_can_be_read(row: Json) -> None:
    added_later = dict.fromkeys(each.name for each in payments.columns if each.nullable)  # NULL in rows of before
    payment = rows.payment_from({**added_later, **row, **{name: datetime.fromisoformat(row[name]) for name in TIMES}})

    assert payment.id == row["id"]


def test_every_message_that_an_event_causes_has_a_schema() -> None:
    causes = [event_from_json(entry["type"], json.dumps(entry["data"])) for entry in JOURNAL]
    made = [message_for(event, samples.PAYMENT, samples.BOOKING) for event in causes]
    messages = {kind: content for kind, content in filter(None, made)}

    assert {"payment.succeeded", "dispute.opened"} <= messages.keys()
    assert not messages.keys() - set(MESSAGE_TYPES), "add these types to application/message_schemas.py"
    for kind, content in messages.items():
        assert content.keys() <= message_schema(kind)["properties"]["data"]["properties"].keys()
