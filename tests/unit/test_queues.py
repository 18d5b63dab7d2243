"""Every query with a limit is listed: those at the head of a queue with the test that nothing stuck there stops it."""

import inspect
import pkgutil
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Final

import booking_payments
from booking_payments import ports

STUCK: Final = Path(__file__).parent / "application" / "test_stuck_queues.py"
"""Its tests have 99, 100 and 300 stuck things at the head."""

QUEUES: Final = {
    "Bookings.due_to_expire": "test_bookings_with_an_unknown_cancellation_do_not_stop_others_from_expiring",
    "Bookings.due_to_warn": "test_holds_that_cannot_be_announced_do_not_stop_others",
    "Payments.due": "test_unreadable_payments_do_not_stop_others_from_being_settled",
    "EventJobs.running": "test_event_jobs_that_do_not_end_do_not_stop_others",
    "EventJobs.next_bookings": "test_bookings_that_cannot_be_canceled_do_not_stop_others_of_the_event",
    "Outbox.claim": "test_rejected_messages_do_not_stop_others_from_being_delivered",
}
CROSSED_OFF: Final = {"Outbox.assign", "Outbox.number"}
"""What it takes leaves the queue in the same transaction."""
PAGES: Final = {
    *("Bookings.page", "Payments.page", "PaymentReader.ids", "Overview.received_webhooks"),
    *("Inbox.latest", "Outbox.undelivered", "AuditTrail.latest"),
    *(
        "EventJobs.results",
        "Overview.webhooks",
        "Overview.events",
        "Overview.watched",
        "Overview.held",
        "Overview.reports",
    ),
}
"""Read on from a cursor, or shown to people: nothing is worked on at their head."""
UNUSED: Final = {"Inbox.unfinished"}
"""Asked by the contract of the storages only. Webhooks are retried by their names, of which no limit is read."""


def limited() -> Iterator[str]:
    """The methods of the ports that give at most so many."""
    for found in pkgutil.iter_modules(ports.__path__):
        module = import_module(f"{ports.__name__}.{found.name}")
        for name, port in inspect.getmembers(module, inspect.isclass):
            if port.__module__ == module.__name__:
                for verb, method in inspect.getmembers(port, inspect.isfunction):
                    if "limit" in inspect.signature(method).parameters:
                        yield f"{name}.{verb}"


def test_every_query_with_a_limit_is_listed() -> None:
    assert set(limited()) == QUEUES.keys() | CROSSED_OFF | PAGES | UNUSED


def test_every_queue_is_tried_with_stuck_things_at_its_head() -> None:
    source = STUCK.read_text()

    for test in (*QUEUES.values(), "test_webhooks_that_keep_failing_do_not_stop_others_from_being_retried"):
        assert re.search(rf"^async def {test}\((.|\n)*?stuck: int", source, re.MULTILINE), test


def test_what_is_listed_as_unused_is_asked_by_no_use_case() -> None:
    root = Path(str(booking_payments.__file__)).parent
    sources = [file.read_text() for folder in ("application", "entrypoints") for file in (root / folder).rglob("*.py")]
    verbs = "|".join(each.rpartition(".")[2] for each in UNUSED)

    assert [each for each in sources if re.search(rf"\.(inbox|outbox)\.({verbs})\(", each)] == []
