"""The tables, with the constraints that hold our promises whatever the code does.

- one booking per reference that is neither canceled nor expired;
- one payment per intent, one operation per idempotency key;
- at most one payment that holds its booking (``bp_payments_one_holds_booking``);
- amounts in range, refunds never above what was captured;
- rows of journal, postings and audit are never changed or deleted (triggers in the migration);
- a column holds its type only, on SQLite too (``sqlite_strict``).

All names of tables and indexes begin with ``bp_``: SQLite has no schemas, and its file may be another application's
with tables of the same names. On PostgreSQL the same names are in a schema of our own; a connection that has lost its
search path finds nothing then, rather than somebody else's table.

A payment is one row: key columns for queries and constraints, and its nested values as JSON text, so that it is
loaded by one SELECT and stored by one UPDATE.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from enum import Enum
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    TextClause,
    TypeDecorator,
    UniqueConstraint,
    text,
)
from sqlalchemy.types import TypeEngine

from booking_payments.domain.booking import BookingStatus, EndReason
from booking_payments.domain.ledger import MONEY_KINDS
from booking_payments.domain.lifecycle import PaymentStatus
from booking_payments.domain.money import MAX_DIGITS
from booking_payments.ports.audit import AuditOutcome
from booking_payments.ports.inbox import InboxStatus


class UtcTime(TypeDecorator[datetime]):
    """A moment: ``timestamptz`` on PostgreSQL, sortable text of fixed width in UTC on SQLite."""

    impl = String
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[datetime] | TypeEngine[str]:
        if dialect.name == "postgresql":
            return dialect.type_descriptor(DateTime(timezone=True))
        return dialect.type_descriptor(Text())

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | str | None:
        if value is None or dialect.name == "postgresql":
            return value
        return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")

    def process_result_value(self, value: datetime | str | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return datetime.fromisoformat(value) if isinstance(value, str) else value.astimezone(UTC)


BigInt: Final = BigInteger().with_variant(Integer(), "sqlite")
"""64 bits on both databases."""

_LIMIT: Final = 10**MAX_DIGITS
_CURRENCY: Final = "length(currency) = 3 AND currency = lower(currency)"

metadata = MetaData(
    naming_convention={
        "ix": "%(table_name)s_%(column_0_N_name)s",
        "uq": "%(table_name)s_%(column_0_N_name)s_key",
        "ck": "%(table_name)s_%(constraint_name)s",
        "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
        "pk": "%(table_name)s_pkey",
    }
)


def one_of(column: str, values: Iterable[Enum]) -> str:
    """Return the condition, as SQL, that ``column`` has one of ``values``."""
    return f"{column} IN ({', '.join(repr(value.value) for value in values)})"


def _only(condition: TextClause) -> dict[str, Any]:
    """A partial index: only rows that fulfil the condition."""
    return {"postgresql_where": condition, "sqlite_where": condition}


IS_FIXED: Final = "is_fixed"
_FIXED: Final = {IS_FIXED: True}
"""Marks a column that is written once, with its row. All other columns are written whenever the row changes."""

LIVE: Final = tuple(status for status in BookingStatus if status.is_live)
"""The statuses of bookings that keep their reference to themselves."""

NOT_CONFIRMED: Final = text("status <> 'confirmed'")
"""The bookings that are listed by their status from an index: most bookings are confirmed, and are found without."""

bookings = Table(
    "bp_bookings",
    metadata,
    Column("id", Text, primary_key=True),
    Column("reference", Text, nullable=False, info=_FIXED),
    Column("customer_id", Text, nullable=False, info=_FIXED),
    Column("amount_minor", BigInt, nullable=False),
    Column("currency", Text, nullable=False, info=_FIXED),
    Column("event_starts_at", UtcTime, nullable=False),
    Column("expires_at", UtcTime, nullable=False),
    Column("status", Text, nullable=False),
    Column("refund_policy", Text, info=_FIXED),
    Column("created_at", UtcTime, nullable=False, info=_FIXED),
    Column("payments_begun", Integer, nullable=False, server_default="0"),
    Column("details", Text),
    Column("end_reason", Text),
    Column("event_id", Text, info=_FIXED),
    Column("version", Integer, nullable=False, server_default="1"),
    Column("content", Text),
    Column("search_text", Text, nullable=False),
    Column("search_email", Text),
    CheckConstraint(f"amount_minor >= 0 AND amount_minor < {_LIMIT}", name="amount_in_range"),
    CheckConstraint(_CURRENCY, name="currency"),
    CheckConstraint(one_of("status", BookingStatus), name="status"),
    CheckConstraint("expires_at <= event_starts_at", name="expires_by_start"),
    CheckConstraint(f"end_reason IS NULL OR {one_of('end_reason', EndReason)}", name="end_reason"),
    Index("bp_bookings_live_reference", "reference", unique=True, **_only(text(one_of("status", LIVE)))),
    Index("bp_bookings_reference", "reference", "created_at", "id"),
    Index("bp_bookings_page", "created_at", "id"),
    Index("bp_bookings_status", "status", "created_at", "id", **_only(NOT_CONFIRMED)),
    Index("bp_bookings_event", "event_id", "created_at", "id", **_only(text("event_id IS NOT NULL"))),
    Index("bp_bookings_upcoming", "event_starts_at", "event_id", **_only(text("event_id IS NOT NULL"))),
    Index("bp_bookings_live_event", "event_id", **_only(text(f"event_id IS NOT NULL AND {one_of('status', LIVE)}"))),
    Index("bp_bookings_customer", "customer_id", "created_at", "id"),
    Index(
        "bp_bookings_pending_expires_at",
        "expires_at",
        **_only(text("status = 'pending'")),
    ),
    Index(
        "bp_bookings_pending_customer",
        "customer_id",
        "expires_at",
        **_only(text("status = 'pending'")),
    ),
    sqlite_strict=True,
)

_SOME: Final = "refunded_minor + 0 > 0"
"""As a sum, so that no planner takes the index of all refunds for one of its parts."""

payments = Table(
    "bp_payments",
    metadata,
    Column("id", Text, primary_key=True),
    Column("booking_id", Text, ForeignKey("bp_bookings.id"), nullable=False, info=_FIXED),
    Column("reference", Text, nullable=False, info=_FIXED),
    Column("customer_id", Text, nullable=False, info=_FIXED),
    Column("gateway", Text, nullable=False, info=_FIXED),
    Column("status", Text, nullable=False),
    Column("intent_id", Text, unique=True),
    Column("amount_minor", BigInt, nullable=False),
    Column("currency", Text, nullable=False, info=_FIXED),
    Column("captured_minor", BigInt, nullable=False),
    Column("refunded_minor", BigInt, nullable=False),
    Column("refund_pending_minor", BigInt, nullable=False),
    Column("owed_minor", BigInt, nullable=False, server_default="0"),
    Column("holds_booking", Integer, nullable=False),
    Column("version", Integer, nullable=False),
    Column("created_at", UtcTime, nullable=False, info=_FIXED),
    Column("updated_at", UtcTime, nullable=False),
    Column("terms", Text, nullable=False, info=_FIXED),
    Column("state", Text, nullable=False),
    Column("next_check_at", UtcTime),
    Column("checks", Integer, nullable=False, server_default="0"),
    Column("lease_until", UtcTime),
    Column("lease_holder", Text),
    Column("client_secret", Text),
    Column("next_action", Text),
    Column("last4", Text),
    Column("disputed", Integer, nullable=False),
    CheckConstraint(f"amount_minor >= 0 AND amount_minor < {_LIMIT}", name="amount_in_range"),
    CheckConstraint("captured_minor >= 0 AND captured_minor <= amount_minor", name="captured_in_range"),
    CheckConstraint(
        "refunded_minor >= 0 AND refund_pending_minor >= 0 AND owed_minor >= 0", name="refunds_not_negative"
    ),
    # The sum may exceed the captured amount: a refund in the gateway's dashboard may be larger than allowed here.
    CheckConstraint("holds_booking IN (0, 1)", name="holds_booking"),
    CheckConstraint("disputed IN (0, 1)", name="disputed"),
    CheckConstraint(_CURRENCY, name="currency"),
    CheckConstraint(one_of("status", PaymentStatus), name="status"),
    Index("bp_payments_booking_id", "booking_id", "created_at"),
    Index(
        "bp_payments_one_holds_booking",
        "booking_id",
        unique=True,
        **_only(text("holds_booking = 1")),
    ),
    Index("bp_payments_page", "created_at", "id"),
    Index("bp_payments_customer", "customer_id", "created_at", "id"),
    Index("bp_payments_reference", "reference"),
    Index("bp_payments_status", "status", "created_at", "id"),
    Index("bp_payments_last4", "last4", "created_at", "id", **_only(text("last4 IS NOT NULL"))),
    Index("bp_payments_amount", "amount_minor", "created_at", "id"),
    Index("bp_payments_refunded", "created_at", "id", **_only(text("refunded_minor > 0"))),
    Index(
        "bp_payments_partly_refunded", "created_at", "id", **_only(text(f"{_SOME} AND refunded_minor < captured_minor"))
    ),
    Index(
        "bp_payments_fully_refunded", "created_at", "id", **_only(text(f"{_SOME} AND refunded_minor >= captured_minor"))
    ),
    Index("bp_payments_disputed", "created_at", "id", **_only(text("disputed = 1"))),
    Index(
        "bp_payments_due",
        "next_check_at",
        **_only(text("next_check_at IS NOT NULL")),
    ),
    sqlite_strict=True,
)

event_jobs = Table(
    "bp_event_jobs",
    metadata,
    Column("id", Text, primary_key=True),
    Column("event_id", Text, nullable=False, info=_FIXED),
    Column("kind", Text, nullable=False, info=_FIXED),
    Column("actor", Text, nullable=False, info=_FIXED),
    Column("cause", Text, nullable=False, info=_FIXED),
    Column("created_at", UtcTime, nullable=False, info=_FIXED),
    Column("refund", Text, nullable=False, info=_FIXED),
    Column("reason", Text, info=_FIXED),
    Column("event_starts_at", UtcTime, info=_FIXED),
    Column("refund_grace_until", UtcTime, info=_FIXED),
    Column("state", Text, nullable=False),
    Column("finished_at", UtcTime),
    Column("lease_until", UtcTime),
    Column("holder", Text),
    Column("taken_up_at", UtcTime),
    CheckConstraint("(kind = 'reschedule') = (event_starts_at IS NOT NULL)", name="date"),
    Index("bp_event_jobs_event", "event_id", "created_at", "id"),
    Index("bp_event_jobs_one_runs", "event_id", unique=True, **_only(text("state = 'running'"))),
    sqlite_strict=True,
)
"""Jobs that cancel or move an event. A cancellation is never removed: its event takes no new bookings."""

event_results = Table(
    "bp_event_results",
    metadata,
    Column("job_id", Text, ForeignKey("bp_event_jobs.id"), nullable=False),
    Column("booking_id", Text, ForeignKey("bp_bookings.id"), nullable=False),
    Column("outcome", Text, nullable=False),
    Column("reason", Text),
    Column("at", UtcTime, nullable=False),
    PrimaryKeyConstraint("job_id", "booking_id"),
    Index("bp_event_results_outcome", "job_id", "outcome", "booking_id"),
    sqlite_strict=True,
)

gateway_ids = Table(
    "bp_gateway_ids",
    metadata,
    Column("gateway_id", Text, primary_key=True),
    Column("payment_id", Text, ForeignKey("bp_payments.id"), nullable=False),
    sqlite_strict=True,
)

operation_keys = Table(
    "bp_operation_keys",
    metadata,
    Column("idempotency_key", Text, primary_key=True),
    Column("payment_id", Text, ForeignKey("bp_payments.id"), nullable=False),
    sqlite_strict=True,
)

RARE: Final = text("type IN ('attempt_refused', 'refund_requested', 'refund_moved', 'dispute_opened', 'drift_found')")
"""The kinds of events that are looked up across payments."""

UNFINISHED: Final = text("status IN ('received', 'failed')")
"""Webhooks that are still to be worked on."""

journal = Table(
    "bp_journal",
    metadata,
    Column("payment_id", Text, ForeignKey("bp_payments.id"), nullable=False),
    Column("sequence", Integer, nullable=False),
    Column("type", Text, nullable=False),
    Column("at", UtcTime, nullable=False),
    Column("actor", Text, nullable=False),
    Column("cause", Text, nullable=False),
    Column("data", Text, nullable=False),
    PrimaryKeyConstraint("payment_id", "sequence"),
    Index("bp_journal_rare", "type", "at", **_only(RARE)),
    sqlite_strict=True,
)

MONEY: Final = text(one_of("kind", sorted(MONEY_KINDS, key=lambda kind: kind.value)))
"""The postings that change what the gateway holds: those that reports add up."""

postings = Table(
    "bp_postings",
    metadata,
    Column("payment_id", Text, ForeignKey("bp_payments.id"), nullable=False),
    Column("sequence", Integer, nullable=False),
    Column("kind", Text, nullable=False),
    Column("at", UtcTime, nullable=False),
    Column("subject", Text, nullable=False),
    Column("currency", Text, nullable=False),
    Column("debit", Text, nullable=False),
    Column("credit", Text, nullable=False),
    Column("amount_minor", BigInt, nullable=False),
    PrimaryKeyConstraint("payment_id", "sequence"),
    CheckConstraint("debit <> credit", name="two_accounts"),
    Index("bp_postings_money", "kind", "currency", "at", "amount_minor", **_only(MONEY)),
    sqlite_strict=True,
)
"""One row is a balanced posting of two lines: ``amount_minor`` to ``debit``, the same out of ``credit``."""

inbox = Table(
    "bp_inbox",
    metadata,
    Column("id", BigInt, primary_key=True, autoincrement=True),
    Column("event_id", Text, nullable=False),
    Column("type", Text, nullable=False),
    Column("gateway", Text, nullable=False, info=_FIXED),
    Column("status", Text, nullable=False),
    Column("object_id", Text),
    Column("received_at", UtcTime, nullable=False),
    Column("processed_at", UtcTime),
    Column("reason", Text),
    Column("tries", Integer, nullable=False),
    Column("body", Text, nullable=False),
    Column("created_at", UtcTime),
    Column("delivered_at", UtcTime),
    # The event id comes first: entries are read by it alone.
    UniqueConstraint("event_id", "gateway", "type"),
    CheckConstraint(one_of("status", InboxStatus), name="status"),
    Index(
        "bp_inbox_unfinished",
        "received_at",
        **_only(UNFINISHED),
    ),
    Index("bp_inbox_created_at", "gateway", "created_at"),
    Index("bp_inbox_delivered_at", "gateway", "delivered_at"),
    sqlite_strict=True,
)

refused_deliveries = Table(
    "bp_refused_deliveries",
    metadata,
    Column("gateway", Text, primary_key=True),
    Column("hour", UtcTime, primary_key=True),
    Column("deliveries", BigInt, nullable=False),
    sqlite_strict=True,
)
"""How many webhooks were refused for their signature, by gateway and hour: one row for each, however many are sent."""

installation = Table(
    "bp_installation",
    metadata,
    Column("id", Text, primary_key=True),
    sqlite_strict=True,
)
"""One row, written by the migration: the id that tells this installation from others on the same gateway account."""

answers = Table(
    "bp_answers",
    metadata,
    Column("caller", Text, nullable=False),
    Column("route", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("fingerprint", Text, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Column("locked_until", UtcTime, nullable=False),
    Column("status", Integer),
    Column("media_type", Text),
    Column("body", LargeBinary),
    PrimaryKeyConstraint("caller", "route", "key"),
    Index("bp_answers_created_at", "created_at"),
    sqlite_strict=True,
)

_WAITS: Final = "delivered_at IS NULL AND discarded_at IS NULL"

outbox = Table(
    "bp_outbox",
    metadata,
    Column("position", BigInt, primary_key=True, autoincrement=True),
    Column("id", Text, nullable=False, unique=True),
    Column("booking_id", Text, ForeignKey("bp_bookings.id"), nullable=False),
    Column("sequence", Integer, nullable=False),
    Column("payment_id", Text),
    Column("type", Text, nullable=False),
    Column("at", UtcTime, nullable=False),
    Column("data", Text, nullable=False),
    Column("unassigned", Integer, nullable=False, server_default="0"),
    UniqueConstraint("booking_id", "sequence"),
    Index("bp_outbox_unassigned", "position", **_only(text("unassigned = 1"))),
    sqlite_strict=True,
)
"""Messages. ``unassigned`` is 1 while a message that was written when no channel was recorded waits for the first."""

message_channels = Table(
    "bp_message_channels",
    metadata,
    Column("name", Text, primary_key=True),
    Column("added_at", UtcTime, nullable=False),
    Column("last_alive_at", UtcTime),
    Column("worker_alive_at", UtcTime),
    sqlite_strict=True,
)

message_deliveries = Table(
    "bp_message_deliveries",
    metadata,
    Column("channel", Text, nullable=False),
    Column("position", BigInt, nullable=False),
    Column("booking_id", Text, nullable=False),
    Column("sequence", Integer, nullable=False),
    Column("number", BigInt),
    Column("delivered_at", UtcTime),
    Column("discarded_at", UtcTime),
    Column("discarded_by", Text),
    Column("tries", Integer, nullable=False, server_default="0"),
    Column("next_try_at", UtcTime),
    Column("dead_at", UtcTime),
    Column("error", Text),
    PrimaryKeyConstraint("channel", "position"),
    UniqueConstraint("channel", "booking_id", "sequence"),
    CheckConstraint("delivered_at IS NULL OR discarded_at IS NULL", name="one_end"),
    CheckConstraint("(discarded_at IS NULL) = (discarded_by IS NULL)", name="discarded_by_somebody"),
    Index("bp_message_deliveries_untried", "channel", "position", **_only(text(f"{_WAITS} AND next_try_at IS NULL"))),
    Index(
        "bp_message_deliveries_due", "channel", "next_try_at", **_only(text(f"{_WAITS} AND next_try_at IS NOT NULL"))
    ),
    Index("bp_message_deliveries_waiting", "position", "channel", **_only(text(_WAITS))),
    Index("bp_message_deliveries_dead", "channel", "position", **_only(text(f"{_WAITS} AND dead_at IS NOT NULL"))),
    Index("bp_message_deliveries_discarded", "channel", **_only(text("discarded_at IS NOT NULL"))),
    Index("bp_message_deliveries_number", "channel", "number", unique=True, **_only(text("number IS NOT NULL"))),
    Index("bp_message_deliveries_unread", "channel", "number", **_only(text(f"{_WAITS} AND number IS NOT NULL"))),
    sqlite_strict=True,
)
"""The delivery of each message on each channel that was recorded when the message was written. ``number`` orders the
messages of a channel that is read with a cursor. No foreign keys: a row is written with its message, in the same
statement or the next one, messages are never deleted, and the history of a removed channel is kept."""

audit = Table(
    "bp_audit",
    metadata,
    Column("id", BigInt, primary_key=True, autoincrement=True),
    Column("at", UtcTime, nullable=False),
    Column("operation", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("cause", Text, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("code", Text),
    Column("request_id", Text),
    Column("idempotency_key", Text),
    Column("booking_id", Text),
    Column("payment_id", Text),
    Column("asked", Text, nullable=False),
    CheckConstraint(one_of("outcome", AuditOutcome), name="outcome"),
    Index("bp_audit_booking_id", "booking_id", "id"),
    sqlite_strict=True,
)
"""No foreign keys: a request for a booking that does not exist is recorded, too."""

drift_reports = Table(
    "bp_drift_reports",
    metadata,
    Column("id", BigInt, primary_key=True, autoincrement=True),
    Column("at", UtcTime, nullable=False),
    Column("actor", Text, nullable=False),
    Column("content", Text, nullable=False),
    sqlite_strict=True,
)

console_sessions = Table(
    "bp_console_sessions",
    metadata,
    Column("id", Text, primary_key=True),
    Column("way", Text, nullable=False),
    Column("issuer", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("name", Text),
    Column("email", Text),
    Column("may_act", Integer, nullable=False),
    Column("device", Text, nullable=False),
    Column("started_at", UtcTime, nullable=False),
    Column("last_used_at", UtcTime, nullable=False),
    Column("check_at", UtcTime),
    Column("ends_at", UtcTime, nullable=False),
    Column("form_seed", Text, nullable=False),
    Column("sealed_id_token", Text),
    Index("bp_console_sessions_operator", "way", "issuer", "subject"),
    sqlite_strict=True,
)
"""Who is logged in to the console. ``id`` is the hash of the session's secret, which only the cookie holds."""
