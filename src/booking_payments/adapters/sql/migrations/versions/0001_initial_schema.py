"""The initial schema: every table of the service, the triggers that make three of them append-only, and the job queue.

The statements are written out and do not read ``tables.py``: a database that a release has migrated must not depend on
what later code says. Tests compare the two (``tests/integration/test_sql_storage.py``).

Revision ID: 0001
Revises:
"""

import secrets
from pathlib import Path
from typing import Final

import sqlalchemy as sa
from alembic import op
from sqlalchemy.schema import SchemaItem

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

UTC_TIME: Final = sa.Text().with_variant(sa.DateTime(timezone=True), "postgresql")
BIG_INT: Final = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

WAITING: Final = "delivered_at IS NULL AND discarded_at IS NULL"
"""The deliveries that have neither succeeded nor been discarded."""

APPEND_ONLY: Final = ("bp_journal", "bp_postings", "bp_audit")
"""The tables whose rows the database refuses to change or delete."""

JOB_QUEUE: Final = Path(__file__).parents[1] / "procrastinate.sql"
"""Procrastinate's own schema, for PostgreSQL only: an SQLite database has one process, which needs no queue.

It can't be run twice, so a newer schema of Procrastinate's becomes a revision made of the files in its
``sql/migrations``."""

TABLES: Final = (
    "bp_bookings",
    "bp_payments",
    "bp_event_jobs",
    "bp_event_results",
    "bp_gateway_ids",
    "bp_operation_keys",
    "bp_journal",
    "bp_postings",
    "bp_inbox",
    "bp_refused_deliveries",
    "bp_outbox",
    "bp_message_channels",
    "bp_message_deliveries",
    "bp_answers",
    "bp_audit",
    "bp_drift_reports",
    "bp_installation",
    "bp_console_sessions",
    "bp_bank_transfers",
    "bp_bank_refunds",
    "bp_manual_receipts",
    "bp_manual_refunds",
)
"""All tables, each after those that its foreign keys name."""


def upgrade() -> None:
    """Create all tables and triggers, and write the installation's id."""
    _create_bookings()
    _create_payments()
    _create_event_jobs()
    _create_inbox()
    _create_outbox()
    _create_records()
    _create_console_sessions()
    _create_operator_gateway("bp_bank_transfers", "bp_bank_refunds")
    _create_operator_gateway("bp_manual_receipts", "bp_manual_refunds")
    if op.get_bind().dialect.name == "postgresql":
        _create_postgresql_triggers()
        _run_script(POSTGRESQL_SEARCH)
        _run_script(JOB_QUEUE.read_text())
    else:
        _create_sqlite_triggers()
        for statement in SQLITE_SEARCH:
            op.execute(statement)


def downgrade() -> None:
    """Drop everything that ``upgrade`` creates. Raises ``RuntimeError`` when there is a booking: undoing a release must
    not delete payments."""
    if op.get_bind().execute(sa.text("SELECT 1 FROM bp_bookings LIMIT 1")).first() is not None:
        raise RuntimeError("the database has bookings; drop the schema or the file yourself if they may be deleted")
    if op.get_bind().dialect.name == "sqlite":
        op.execute("DROP TABLE bp_search_trigrams")
    op.drop_table("bp_search_bookings")
    for table in reversed(TABLES):
        op.drop_table(table)
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION booking_payments_append_only(), bp_keep_search(), bp_trigrams(text)")
        _run_script(DROP_JOB_QUEUE)


def _index(name: str, table: str, *columns: str, unique: bool = False, where: str | None = None) -> None:
    """Create an index; with ``where`` it holds only the rows that fulfil the condition."""
    condition = None if where is None else sa.text(where)
    op.create_index(name, table, columns, unique=unique, postgresql_where=condition, sqlite_where=condition)


def _create_bookings() -> None:
    """Bookings, and the references and pages that they are found by."""
    op.create_table(
        "bp_bookings",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=False),
        sa.Column("customer_id", sa.Text(), nullable=False),
        sa.Column("amount_minor", BIG_INT, nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("event_starts_at", UTC_TIME, nullable=False),
        sa.Column("expires_at", UTC_TIME, nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("refund_policy", sa.Text(), nullable=True),
        sa.Column("created_at", UTC_TIME, nullable=False),
        sa.Column("payments_begun", sa.Integer(), server_default="0", nullable=False),
        sa.Column("details", sa.Text(), nullable=True),
        sa.Column("end_reason", sa.Text(), nullable=True),
        sa.Column("event_id", sa.Text(), nullable=True),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("content", sa.Text(), nullable=True),
        sa.Column("search_text", sa.Text(), nullable=False),
        sa.Column("search_email", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "end_reason IS NULL OR end_reason IN ('attempts_exhausted', 'refunded')",
            name=op.f("bp_bookings_end_reason"),
        ),
        sa.CheckConstraint(
            "status IN ('pending', 'confirmed', 'canceled', 'expired')", name=op.f("bp_bookings_status")
        ),
        sa.CheckConstraint(
            "amount_minor >= 0 AND amount_minor < 1000000000000", name=op.f("bp_bookings_amount_in_range")
        ),
        sa.CheckConstraint("expires_at <= event_starts_at", name=op.f("bp_bookings_expires_by_start")),
        sa.CheckConstraint("length(currency) = 3 AND currency = lower(currency)", name=op.f("bp_bookings_currency")),
        sa.PrimaryKeyConstraint("id", name=op.f("bp_bookings_pkey")),
        sqlite_strict=True,
    )
    _index("bp_bookings_customer", "bp_bookings", "customer_id", "created_at", "id")
    _index(
        "bp_bookings_live_reference",
        "bp_bookings",
        "reference",
        unique=True,
        where="status IN ('pending', 'confirmed')",
    )
    _index("bp_bookings_event", "bp_bookings", "event_id", "created_at", "id", where="event_id IS NOT NULL")
    _index("bp_bookings_upcoming", "bp_bookings", "event_starts_at", "event_id", where="event_id IS NOT NULL")
    _index(
        "bp_bookings_live_event",
        "bp_bookings",
        "event_id",
        where="event_id IS NOT NULL AND status IN ('pending', 'confirmed')",
    )
    _index("bp_bookings_page", "bp_bookings", "created_at", "id")
    _index("bp_bookings_status", "bp_bookings", "status", "created_at", "id", where="status <> 'confirmed'")
    _index("bp_bookings_pending_customer", "bp_bookings", "customer_id", "expires_at", where="status = 'pending'")
    _index("bp_bookings_pending_expires_at", "bp_bookings", "expires_at", where="status = 'pending'")
    _index("bp_bookings_reference", "bp_bookings", "reference", "created_at", "id")


def _create_payments() -> None:
    """Payments, the ids that they are found by, their journal and their postings."""
    op.create_table(
        "bp_payments",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("booking_id", sa.Text(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=False),
        sa.Column("customer_id", sa.Text(), nullable=False),
        sa.Column("gateway", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("intent_id", sa.Text(), nullable=True),
        sa.Column("amount_minor", BIG_INT, nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("captured_minor", BIG_INT, nullable=False),
        sa.Column("refunded_minor", BIG_INT, nullable=False),
        sa.Column("refund_pending_minor", BIG_INT, nullable=False),
        sa.Column("owed_minor", BIG_INT, server_default="0", nullable=False),
        sa.Column("holds_booking", sa.Integer(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", UTC_TIME, nullable=False),
        sa.Column("updated_at", UTC_TIME, nullable=False),
        sa.Column("terms", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("next_check_at", UTC_TIME, nullable=True),
        sa.Column("checks", sa.Integer(), server_default="0", nullable=False),
        sa.Column("lease_until", UTC_TIME, nullable=True),
        sa.Column("lease_holder", sa.Text(), nullable=True),
        sa.Column("client_secret", sa.Text(), nullable=True),
        sa.Column("next_action", sa.Text(), nullable=True),
        sa.Column("last4", sa.Text(), nullable=True),
        sa.Column("disputed", sa.Integer(), nullable=False),
        sa.CheckConstraint(
            "status IN ('requires_payment_method', 'requires_confirmation', 'requires_action', 'processing', "
            "'requires_capture', 'succeeded', 'canceled', 'failed')",
            name=op.f("bp_payments_status"),
        ),
        sa.CheckConstraint(
            "amount_minor >= 0 AND amount_minor < 1000000000000", name=op.f("bp_payments_amount_in_range")
        ),
        sa.CheckConstraint(
            "captured_minor >= 0 AND captured_minor <= amount_minor", name=op.f("bp_payments_captured_in_range")
        ),
        sa.CheckConstraint("holds_booking IN (0, 1)", name=op.f("bp_payments_holds_booking")),
        sa.CheckConstraint("disputed IN (0, 1)", name=op.f("bp_payments_disputed")),
        sa.CheckConstraint("length(currency) = 3 AND currency = lower(currency)", name=op.f("bp_payments_currency")),
        sa.CheckConstraint(
            "refunded_minor >= 0 AND refund_pending_minor >= 0 AND owed_minor >= 0",
            name=op.f("bp_payments_refunds_not_negative"),
        ),
        sa.ForeignKeyConstraint(["booking_id"], ["bp_bookings.id"], name=op.f("bp_payments_booking_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("bp_payments_pkey")),
        sa.UniqueConstraint("intent_id", name=op.f("bp_payments_intent_id_key")),
        sqlite_strict=True,
    )
    _index("bp_payments_amount", "bp_payments", "amount_minor", "created_at", "id")
    _index("bp_payments_booking_id", "bp_payments", "booking_id", "created_at")
    _index("bp_payments_customer", "bp_payments", "customer_id", "created_at", "id")
    _index("bp_payments_disputed", "bp_payments", "created_at", "id", where="disputed = 1")
    _index("bp_payments_due", "bp_payments", "next_check_at", where="next_check_at IS NOT NULL")
    _index("bp_payments_last4", "bp_payments", "last4", "created_at", "id", where="last4 IS NOT NULL")
    _index("bp_payments_one_holds_booking", "bp_payments", "booking_id", unique=True, where="holds_booking = 1")
    _index("bp_payments_page", "bp_payments", "created_at", "id")
    _index("bp_payments_reference", "bp_payments", "reference")
    _index("bp_payments_refunded", "bp_payments", "created_at", "id", where="refunded_minor > 0")
    _index(
        "bp_payments_partly_refunded",
        "bp_payments",
        "created_at",
        "id",
        where="refunded_minor + 0 > 0 AND refunded_minor < captured_minor",
    )
    _index(
        "bp_payments_fully_refunded",
        "bp_payments",
        "created_at",
        "id",
        where="refunded_minor + 0 > 0 AND refunded_minor >= captured_minor",
    )
    _index("bp_payments_status", "bp_payments", "status", "created_at", "id")
    op.create_table(
        "bp_gateway_ids",
        sa.Column("gateway_id", sa.Text(), nullable=False),
        sa.Column("payment_id", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["payment_id"], ["bp_payments.id"], name=op.f("bp_gateway_ids_payment_id_fkey")),
        sa.PrimaryKeyConstraint("gateway_id", name=op.f("bp_gateway_ids_pkey")),
        sqlite_strict=True,
    )
    op.create_table(
        "bp_operation_keys",
        sa.Column("idempotency_key", sa.Text(), nullable=False),
        sa.Column("payment_id", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["payment_id"], ["bp_payments.id"], name=op.f("bp_operation_keys_payment_id_fkey")),
        sa.PrimaryKeyConstraint("idempotency_key", name=op.f("bp_operation_keys_pkey")),
        sqlite_strict=True,
    )
    op.create_table(
        "bp_journal",
        sa.Column("payment_id", sa.Text(), nullable=False),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("at", UTC_TIME, nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("data", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["payment_id"], ["bp_payments.id"], name=op.f("bp_journal_payment_id_fkey")),
        sa.PrimaryKeyConstraint("payment_id", "sequence", name=op.f("bp_journal_pkey")),
        sqlite_strict=True,
    )
    _index(
        "bp_journal_rare",
        "bp_journal",
        "type",
        "at",
        where="type IN ('attempt_refused', 'refund_requested', 'refund_moved', 'dispute_opened', 'drift_found')",
    )
    op.create_table(
        "bp_postings",
        sa.Column("payment_id", sa.Text(), nullable=False),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("at", UTC_TIME, nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("debit", sa.Text(), nullable=False),
        sa.Column("credit", sa.Text(), nullable=False),
        sa.Column("amount_minor", BIG_INT, nullable=False),
        sa.CheckConstraint("debit <> credit", name=op.f("bp_postings_two_accounts")),
        sa.ForeignKeyConstraint(["payment_id"], ["bp_payments.id"], name=op.f("bp_postings_payment_id_fkey")),
        sa.PrimaryKeyConstraint("payment_id", "sequence", name=op.f("bp_postings_pkey")),
        sqlite_strict=True,
    )
    _index(
        "bp_postings_money",
        "bp_postings",
        "kind",
        "currency",
        "at",
        "amount_minor",
        where="kind IN ('charge', 'dispute_reinstated', 'dispute_withdrawn', 'refund', 'refund_given_back')",
    )


def _create_event_jobs() -> None:
    """Jobs that cancel or move an event, and their results for each booking."""
    op.create_table(
        "bp_event_jobs",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("created_at", UTC_TIME, nullable=False),
        sa.Column("refund", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("event_starts_at", UTC_TIME, nullable=True),
        sa.Column("refund_grace_until", UTC_TIME, nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("finished_at", UTC_TIME, nullable=True),
        sa.Column("lease_until", UTC_TIME, nullable=True),
        sa.Column("holder", sa.Text(), nullable=True),
        sa.Column("taken_up_at", UTC_TIME, nullable=True),
        sa.CheckConstraint("(kind = 'reschedule') = (event_starts_at IS NOT NULL)", name=op.f("bp_event_jobs_date")),
        sa.PrimaryKeyConstraint("id", name=op.f("bp_event_jobs_pkey")),
        sqlite_strict=True,
    )
    _index("bp_event_jobs_event", "bp_event_jobs", "event_id", "created_at", "id")
    _index("bp_event_jobs_one_runs", "bp_event_jobs", "event_id", unique=True, where="state = 'running'")
    op.create_table(
        "bp_event_results",
        sa.Column("job_id", sa.Text(), nullable=False),
        sa.Column("booking_id", sa.Text(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("at", UTC_TIME, nullable=False),
        sa.ForeignKeyConstraint(["booking_id"], ["bp_bookings.id"], name=op.f("bp_event_results_booking_id_fkey")),
        sa.ForeignKeyConstraint(["job_id"], ["bp_event_jobs.id"], name=op.f("bp_event_results_job_id_fkey")),
        sa.PrimaryKeyConstraint("job_id", "booking_id", name=op.f("bp_event_results_pkey")),
        sqlite_strict=True,
    )
    _index("bp_event_results_outcome", "bp_event_results", "job_id", "outcome", "booking_id")


def _create_inbox() -> None:
    """Webhooks received, and a count of those with a bad signature."""
    op.create_table(
        "bp_inbox",
        sa.Column("id", BIG_INT, autoincrement=True, nullable=False),
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("gateway", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("object_id", sa.Text(), nullable=True),
        sa.Column("received_at", UTC_TIME, nullable=False),
        sa.Column("processed_at", UTC_TIME, nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("created_at", UTC_TIME, nullable=True),
        sa.Column("delivered_at", UTC_TIME, nullable=True),
        sa.CheckConstraint("status IN ('received', 'processed', 'ignored', 'failed')", name=op.f("bp_inbox_status")),
        sa.PrimaryKeyConstraint("id", name=op.f("bp_inbox_pkey")),
        sa.UniqueConstraint("event_id", "gateway", "type", name=op.f("bp_inbox_event_id_gateway_type_key")),
        sqlite_strict=True,
    )
    _index("bp_inbox_created_at", "bp_inbox", "gateway", "created_at")
    _index("bp_inbox_delivered_at", "bp_inbox", "gateway", "delivered_at")
    _index("bp_inbox_unfinished", "bp_inbox", "received_at", where="status IN ('received', 'failed')")
    op.create_table(
        "bp_refused_deliveries",
        sa.Column("gateway", sa.Text(), nullable=False),
        sa.Column("hour", UTC_TIME, nullable=False),
        sa.Column("deliveries", BIG_INT, nullable=False),
        sa.PrimaryKeyConstraint("gateway", "hour", name=op.f("bp_refused_deliveries_pkey")),
        sqlite_strict=True,
    )


def _create_outbox() -> None:
    """Messages, the channels they are sent on, and one delivery per message and channel."""
    op.create_table(
        "bp_outbox",
        sa.Column("position", BIG_INT, autoincrement=True, nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("booking_id", sa.Text(), nullable=False),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("payment_id", sa.Text(), nullable=True),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("at", UTC_TIME, nullable=False),
        sa.Column("data", sa.Text(), nullable=False),
        sa.Column("unassigned", sa.Integer(), server_default="0", nullable=False),
        sa.ForeignKeyConstraint(["booking_id"], ["bp_bookings.id"], name=op.f("bp_outbox_booking_id_fkey")),
        sa.PrimaryKeyConstraint("position", name=op.f("bp_outbox_pkey")),
        sa.UniqueConstraint("booking_id", "sequence", name=op.f("bp_outbox_booking_id_sequence_key")),
        sa.UniqueConstraint("id", name=op.f("bp_outbox_id_key")),
        sqlite_strict=True,
    )
    _index("bp_outbox_unassigned", "bp_outbox", "position", where="unassigned = 1")
    op.create_table(
        "bp_message_channels",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("added_at", UTC_TIME, nullable=False),
        sa.Column("last_alive_at", UTC_TIME, nullable=True),
        sa.Column("worker_alive_at", UTC_TIME, nullable=True),
        sa.PrimaryKeyConstraint("name", name=op.f("bp_message_channels_pkey")),
        sqlite_strict=True,
    )
    op.create_table(
        "bp_message_deliveries",
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("position", BIG_INT, nullable=False),
        sa.Column("booking_id", sa.Text(), nullable=False),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("number", BIG_INT, nullable=True),
        sa.Column("delivered_at", UTC_TIME, nullable=True),
        sa.Column("discarded_at", UTC_TIME, nullable=True),
        sa.Column("discarded_by", sa.Text(), nullable=True),
        sa.Column("tries", sa.Integer(), server_default="0", nullable=False),
        sa.Column("next_try_at", UTC_TIME, nullable=True),
        sa.Column("dead_at", UTC_TIME, nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "(discarded_at IS NULL) = (discarded_by IS NULL)", name=op.f("bp_message_deliveries_discarded_by_somebody")
        ),
        sa.CheckConstraint("delivered_at IS NULL OR discarded_at IS NULL", name=op.f("bp_message_deliveries_one_end")),
        sa.PrimaryKeyConstraint("channel", "position", name=op.f("bp_message_deliveries_pkey")),
        sa.UniqueConstraint(
            "channel", "booking_id", "sequence", name=op.f("bp_message_deliveries_channel_booking_id_sequence_key")
        ),
        sqlite_strict=True,
    )
    _index(
        "bp_message_deliveries_dead",
        "bp_message_deliveries",
        "channel",
        "position",
        where=f"{WAITING} AND dead_at IS NOT NULL",
    )
    _index("bp_message_deliveries_discarded", "bp_message_deliveries", "channel", where="discarded_at IS NOT NULL")
    _index(
        "bp_message_deliveries_due",
        "bp_message_deliveries",
        "channel",
        "next_try_at",
        where=f"{WAITING} AND next_try_at IS NOT NULL",
    )
    _index(
        "bp_message_deliveries_number",
        "bp_message_deliveries",
        "channel",
        "number",
        unique=True,
        where="number IS NOT NULL",
    )
    _index(
        "bp_message_deliveries_unread",
        "bp_message_deliveries",
        "channel",
        "number",
        where=f"{WAITING} AND number IS NOT NULL",
    )
    _index(
        "bp_message_deliveries_untried",
        "bp_message_deliveries",
        "channel",
        "position",
        where=f"{WAITING} AND next_try_at IS NULL",
    )
    _index("bp_message_deliveries_waiting", "bp_message_deliveries", "position", "channel", where=WAITING)


def _create_records() -> None:
    """Stored HTTP responses, the audit trail, reconciliation reports and the installation id."""
    op.create_table(
        "bp_answers",
        sa.Column("caller", sa.Text(), nullable=False),
        sa.Column("route", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("created_at", UTC_TIME, nullable=False),
        sa.Column("locked_until", UTC_TIME, nullable=False),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("media_type", sa.Text(), nullable=True),
        sa.Column("body", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("caller", "route", "key", name=op.f("bp_answers_pkey")),
        sqlite_strict=True,
    )
    _index("bp_answers_created_at", "bp_answers", "created_at")
    op.create_table(
        "bp_audit",
        sa.Column("id", BIG_INT, autoincrement=True, nullable=False),
        sa.Column("at", UTC_TIME, nullable=False),
        sa.Column("operation", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("code", sa.Text(), nullable=True),
        sa.Column("request_id", sa.Text(), nullable=True),
        sa.Column("idempotency_key", sa.Text(), nullable=True),
        sa.Column("booking_id", sa.Text(), nullable=True),
        sa.Column("payment_id", sa.Text(), nullable=True),
        sa.Column("asked", sa.Text(), nullable=False),
        sa.CheckConstraint("outcome IN ('done', 'refused', 'unknown', 'failed')", name=op.f("bp_audit_outcome")),
        sa.PrimaryKeyConstraint("id", name=op.f("bp_audit_pkey")),
        sqlite_strict=True,
    )
    _index("bp_audit_booking_id", "bp_audit", "booking_id", "id")
    op.create_table(
        "bp_drift_reports",
        sa.Column("id", BIG_INT, autoincrement=True, nullable=False),
        sa.Column("at", UTC_TIME, nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("bp_drift_reports_pkey")),
        sqlite_strict=True,
    )
    installation = op.create_table(
        "bp_installation",
        sa.Column("id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("bp_installation_pkey")),
        sqlite_strict=True,
    )
    # The migration runs once, whichever process starts it, so no other id is ever made.
    op.bulk_insert(installation, [{"id": f"inst_{secrets.token_hex(10)}"}])


def _create_console_sessions() -> None:
    """The browsers in which operators are logged in to the console."""
    op.create_table(
        "bp_console_sessions",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("way", sa.Text(), nullable=False),
        sa.Column("issuer", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=True),
        sa.Column("email", sa.Text(), nullable=True),
        sa.Column("may_act", sa.Integer(), nullable=False),
        sa.Column("device", sa.Text(), nullable=False),
        sa.Column("started_at", UTC_TIME, nullable=False),
        sa.Column("last_used_at", UTC_TIME, nullable=False),
        sa.Column("check_at", UTC_TIME, nullable=True),
        sa.Column("ends_at", UTC_TIME, nullable=False),
        sa.Column("form_seed", sa.Text(), nullable=False),
        sa.Column("sealed_id_token", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("bp_console_sessions_pkey")),
        sqlite_strict=True,
    )
    _index("bp_console_sessions_operator", "bp_console_sessions", "way", "issuer", "subject")


def _create_operator_gateway(transfers: str, bank_refunds: str) -> None:
    """The two tables of a gateway that operators settle by hand: money to come, and money to give back."""
    _create_operator_table(transfers)
    _create_operator_table(
        bank_refunds,
        sa.Column("transfer_id", sa.Text(), nullable=False),
        sa.Column("failure", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["transfer_id"], [f"{transfers}.id"], name=op.f(f"{bank_refunds}_transfer_id_fkey")),
    )
    _index(f"{bank_refunds}_transfer_id", bank_refunds, "transfer_id")


def _create_operator_table(table: str, *own: SchemaItem) -> None:
    op.create_table(
        table,
        sa.Column("position", BIG_INT, autoincrement=True, nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("amount", BIG_INT, nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("metadata", sa.Text(), nullable=False),
        sa.Column("created_at", UTC_TIME, nullable=False),
        sa.Column("ended_at", UTC_TIME, nullable=True),
        *own,
        sa.CheckConstraint("amount > 0", name=op.f(f"{table}_amount")),
        sa.PrimaryKeyConstraint("position", name=op.f(f"{table}_pkey")),
        sa.UniqueConstraint("id", name=op.f(f"{table}_id_key")),
        sqlite_strict=True,
    )
    _index(f"{table}_created_at", table, "created_at")
    _index(f"{table}_ended_at", table, "ended_at")


def _create_sqlite_triggers() -> None:
    for table in APPEND_ONLY:
        for verb in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER {table}_refuses_{verb.lower()} BEFORE {verb} ON {table} "
                f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
            )


def _create_postgresql_triggers() -> None:
    op.execute(
        "CREATE FUNCTION booking_payments_append_only() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION '% is append-only', TG_TABLE_NAME; END $$"
    )
    for table in APPEND_ONLY:
        # For each statement, not for each row: TRUNCATE has no rows, and a refused statement costs the same either way.
        op.execute(
            f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION booking_payments_append_only()"
        )


SQLITE_SEARCH: Final = (
    "CREATE TABLE bp_search_bookings (number INTEGER PRIMARY KEY, booking_id TEXT NOT NULL UNIQUE, "
    "search_text TEXT NOT NULL) STRICT",
    "CREATE VIRTUAL TABLE bp_search_trigrams USING fts5(search_text, content='bp_search_bookings', "
    "content_rowid='number', tokenize='trigram case_sensitive 1', detail=none, columnsize=0)",
    "CREATE TRIGGER bp_search_bookings_added AFTER INSERT ON bp_search_bookings BEGIN "
    "INSERT INTO bp_search_trigrams (rowid, search_text) VALUES (NEW.number, NEW.search_text); END",
    "CREATE TRIGGER bp_search_bookings_changed AFTER UPDATE ON bp_search_bookings BEGIN "
    "INSERT INTO bp_search_trigrams (bp_search_trigrams, rowid, search_text) "
    "VALUES ('delete', OLD.number, OLD.search_text); "
    "INSERT INTO bp_search_trigrams (rowid, search_text) VALUES (NEW.number, NEW.search_text); END",
    "CREATE TRIGGER bp_search_bookings_removed AFTER DELETE ON bp_search_bookings BEGIN "
    "INSERT INTO bp_search_trigrams (bp_search_trigrams, rowid, search_text) "
    "VALUES ('delete', OLD.number, OLD.search_text); END",
    "CREATE TRIGGER bp_bookings_search_added AFTER INSERT ON bp_bookings BEGIN "
    "INSERT INTO bp_search_bookings (booking_id, search_text) VALUES (NEW.id, NEW.search_text); END",
    "CREATE TRIGGER bp_bookings_search_changed AFTER UPDATE OF search_text ON bp_bookings "
    "WHEN OLD.search_text <> NEW.search_text BEGIN "
    "UPDATE bp_search_bookings SET search_text = NEW.search_text WHERE booking_id = NEW.id; END",
    "CREATE TRIGGER bp_bookings_search_removed AFTER DELETE ON bp_bookings BEGIN "
    "DELETE FROM bp_search_bookings WHERE booking_id = OLD.id; END",
)
"""The index of search texts (``adapters/sql/search.py``). The table of bookings has no number that FTS5 could refer to:
VACUUM may give new ones to rows whose key is a text."""

POSTGRESQL_SEARCH: Final = """
    CREATE FUNCTION bp_trigrams(searched text) RETURNS text[] LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS
        $$ SELECT ARRAY(SELECT substr(searched, place, 3) FROM generate_series(1, length(searched) - 2) AS place) $$;
    CREATE TABLE bp_search_bookings (booking_id text NOT NULL PRIMARY KEY, search_text text NOT NULL);
    CREATE INDEX bp_search_trigrams ON bp_search_bookings USING gin ((bp_trigrams(search_text)) COLLATE "C")
        WITH (gin_pending_list_limit = 512);
    CREATE FUNCTION bp_keep_search() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF TG_OP = 'INSERT' THEN
            INSERT INTO bp_search_bookings SELECT id, search_text FROM added;
        ELSIF TG_OP = 'UPDATE' THEN
            UPDATE bp_search_bookings SET search_text = NEW.search_text WHERE booking_id = NEW.id;
        ELSIF TG_OP = 'DELETE' THEN
            DELETE FROM bp_search_bookings WHERE booking_id = OLD.id;
        ELSE
            TRUNCATE bp_search_bookings;
        END IF;
        RETURN NULL;
    END $$;
    CREATE TRIGGER bp_bookings_search_added AFTER INSERT ON bp_bookings REFERENCING NEW TABLE AS added
        FOR EACH STATEMENT EXECUTE FUNCTION bp_keep_search();
    CREATE TRIGGER bp_bookings_search_changed AFTER UPDATE ON bp_bookings
        FOR EACH ROW WHEN (OLD.search_text <> NEW.search_text) EXECUTE FUNCTION bp_keep_search();
    CREATE TRIGGER bp_bookings_search_removed AFTER DELETE ON bp_bookings
        FOR EACH ROW EXECUTE FUNCTION bp_keep_search();
    CREATE TRIGGER bp_bookings_search_emptied AFTER TRUNCATE ON bp_bookings
        FOR EACH STATEMENT EXECUTE FUNCTION bp_keep_search();
"""
"""The same on PostgreSQL. What waits to be sorted into the index (kB) is kept short, since each search reads it."""

DROP_JOB_QUEUE: Final = """
    DROP TABLE procrastinate_events, procrastinate_periodic_defers, procrastinate_jobs, procrastinate_workers CASCADE;
    DO $$ DECLARE name text; BEGIN
        FOR name IN SELECT oid::regprocedure FROM pg_proc
            WHERE proname LIKE 'procrastinate\\_%' AND pronamespace = current_schema()::regnamespace
        LOOP EXECUTE 'DROP FUNCTION ' || name || ' CASCADE'; END LOOP;
    END $$;
    DROP TYPE procrastinate_job_to_defer_v1, procrastinate_job_status, procrastinate_job_event_type;
"""


def _run_script(statements: str) -> None:
    """Run several statements in the transaction of the revision."""
    driver = op.get_bind().connection.driver_connection
    assert driver is not None  # noqa: S101 - it is open
    # Only psycopg itself takes several statements at once, and only because they have no parameters.
    driver.execute(statements)
