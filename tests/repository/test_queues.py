"""Every query with a limit is listed here. For a queue, a test is named that shows that stuck entries at its head do
not stop the others.
"""

import inspect
import pkgutil
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Final

import booking_payments
from booking_payments import ports

STUCK: Final = Path(__file__).parents[1] / "unit" / "application" / "test_stuck_queues.py"
"""Its tests put 99, 100 and 300 stuck entries at the head."""

QUEUES: Final = {
    "Bookings.due_to_expire": "test_bookings_with_an_unknown_cancellation_do_not_stop_others_from_expiring",
    "Bookings.due_to_warn": "test_holds_that_cannot_be_announced_do_not_stop_others",
    "Payments.due": "test_unreadable_payments_do_not_stop_others_from_being_settled",
    "EventJobs.running": "test_event_jobs_that_do_not_end_do_not_stop_others",
    "EventJobs.next_bookings": "test_bookings_that_cannot_be_canceled_do_not_stop_others_of_the_event",
    "Outbox.claim": "test_rejected_messages_do_not_stop_others_from_being_delivered",
}
CROSSED_OFF: Final = {"Outbox.assign", "Outbox.number"}
"""Rows that it reads leave the queue in the same transaction."""
PAGES: Final = {
    *("Bookings.page", "Payments.page", "PaymentReader.ids", "Overview.received_webhooks"),
    *("Inbox.latest", "Outbox.undelivered", "AuditTrail.latest"),
    *(
        "EventJobs.results",
        "EventJobs.upcoming",
        "EventJobs.reopened",
        "Overview.webhooks",
        "Overview.declines",
        "Overview.disputed",
        "Overview.refund_times",
        "Overview.watched",
        "Overview.held",
        "Overview.reports",
    ),
}
"""Pages with a cursor, and lists for people: they are not work queues."""
UNUSED: Final = {"Inbox.unfinished"}
"""Used only by the contract of the storages. Webhooks are retried by their ids, which are read without a limit."""


def limited() -> Iterator[str]:
    """Yield the methods of the ports that have a limit."""
    for found in pkgutil.iter_modules(ports.__path__):
        module = import_module(f"{ports.__name__}.{found.name}")
        for name, port in inspect.getmembers(module, inspect.isclass):
            if port.__module__ == module.__name__:
                for verb, method in inspect.getmembers(port, inspect.isfunction):
                    if "limit" in inspect.signature(method).parameters:
                        yield f"{name}.{verb}"


def test_every_query_with_a_limit_is_listed() -> None:
    assert set(limited()) == QUEUES.keys() | CROSSED_OFF | PAGES | UNUSED


def test_every_queue_has_a_test_with_stuck_entries_at_its_head() -> None:
    source = STUCK.read_text()

    for test in (*QUEUES.values(), "test_webhooks_that_keep_failing_do_not_stop_others_from_being_retried"):
        assert re.search(rf"^async def {test}\((.|\n)*?stuck: int", source, re.MULTILINE), test


def test_no_use_case_calls_a_query_listed_as_unused() -> None:
    root = Path(str(booking_payments.__file__)).parent
    sources = [file.read_text() for folder in ("application", "entrypoints") for file in (root / folder).rglob("*.py")]
    verbs = "|".join(each.rpartition(".")[2] for each in UNUSED)

    assert [each for each in sources if re.search(rf"\.(inbox|outbox)\.({verbs})\(", each)] == []
