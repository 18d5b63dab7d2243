"""The first schema.

Revision ID: 0001
Revises:
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

UTC_TIME = sa.Text().with_variant(sa.DateTime(timezone=True), "postgresql")
BIG_INT = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

APPEND_ONLY = ("bp_journal", "bp_postings")
"""What happened and where money went only ever grows; the database itself refuses anything else."""


def upgrade() -> None:
    """Make every table, then lock those that only grow."""
    _create_tables()
    lock = _lock_postgresql if op.get_bind().dialect.name == "postgresql" else _lock_sqlite
    for table in APPEND_ONLY:
        lock(table)


def _lock_sqlite(table: str) -> None:
    for verb in ("UPDATE", "DELETE"):
        op.execute(
            f"CREATE TRIGGER {table}_refuses_{verb.lower()} BEFORE {verb} ON {table} "
            f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
        )


def _lock_postgresql(table: str) -> None:
    op.execute(
        "CREATE OR REPLACE FUNCTION booking_payments_append_only() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION '% is append-only', TG_TABLE_NAME; END $$"
    )
    op.execute(
        f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
        "FOR EACH STATEMENT EXECUTE FUNCTION booking_payments_append_only()"
    )


def _create_tables() -> None:
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
    op.create_index("bp_answers_created_at", "bp_answers", ["created_at"], unique=False)
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
        sa.CheckConstraint(
            "status IN ('pending', 'confirmed', 'canceled', 'expired')", name=op.f("bp_bookings_status")
        ),
        sa.CheckConstraint(
            "amount_minor >= 0 AND amount_minor < 1000000000000", name=op.f("bp_bookings_amount_in_range")
        ),
        sa.CheckConstraint("expires_at <= event_starts_at", name=op.f("bp_bookings_expires_by_start")),
        sa.CheckConstraint("length(currency) = 3 AND currency = lower(currency)", name=op.f("bp_bookings_currency")),
        sa.PrimaryKeyConstraint("id", name=op.f("bp_bookings_pkey")),
        sa.UniqueConstraint("reference", name=op.f("bp_bookings_reference_key")),
        sqlite_strict=True,
    )
    op.create_index(
        "bp_bookings_pending_customer",
        "bp_bookings",
        ["customer_id", "expires_at"],
        unique=False,
        postgresql_where=sa.text("status = 'pending'"),
        sqlite_where=sa.text("status = 'pending'"),
    )
    op.create_index(
        "bp_bookings_pending_expires_at",
        "bp_bookings",
        ["expires_at"],
        unique=False,
        postgresql_where=sa.text("status = 'pending'"),
        sqlite_where=sa.text("status = 'pending'"),
    )
    op.create_table(
        "bp_inbox",
        sa.Column("id", BIG_INT, autoincrement=True, nullable=False),
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("object_id", sa.Text(), nullable=True),
        sa.Column("received_at", UTC_TIME, nullable=False),
        sa.Column("processed_at", UTC_TIME, nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.CheckConstraint("status IN ('received', 'processed', 'ignored', 'failed')", name=op.f("bp_inbox_status")),
        sa.PrimaryKeyConstraint("id", name=op.f("bp_inbox_pkey")),
        sa.UniqueConstraint("event_id", "type", name=op.f("bp_inbox_event_id_type_key")),
        sqlite_strict=True,
    )
    op.create_index(
        "bp_inbox_unfinished",
        "bp_inbox",
        ["received_at"],
        unique=False,
        postgresql_where=sa.text("status IN ('received', 'failed')"),
        sqlite_where=sa.text("status IN ('received', 'failed')"),
    )
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
        sa.Column("delivered_at", UTC_TIME, nullable=True),
        sa.ForeignKeyConstraint(["booking_id"], ["bp_bookings.id"], name=op.f("bp_outbox_booking_id_fkey")),
        sa.PrimaryKeyConstraint("position", name=op.f("bp_outbox_pkey")),
        sa.UniqueConstraint("booking_id", "sequence", name=op.f("bp_outbox_booking_id_sequence_key")),
        sa.UniqueConstraint("id", name=op.f("bp_outbox_id_key")),
        sqlite_strict=True,
    )
    op.create_index(
        "bp_outbox_waiting",
        "bp_outbox",
        ["position"],
        unique=False,
        postgresql_where=sa.text("delivered_at IS NULL"),
        sqlite_where=sa.text("delivered_at IS NULL"),
    )
    op.create_table(
        "bp_payments",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("booking_id", sa.Text(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=False),
        sa.Column("customer_id", sa.Text(), nullable=False),
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
        sa.Column("next_look_at", UTC_TIME, nullable=True),
        sa.Column("looks", sa.Integer(), server_default="0", nullable=False),
        sa.Column("lease_until", UTC_TIME, nullable=True),
        sa.Column("lease_holder", sa.Text(), nullable=True),
        sa.Column("client_secret", sa.Text(), nullable=True),
        sa.Column("next_action", sa.Text(), nullable=True),
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
    op.create_index("bp_payments_booking_id", "bp_payments", ["booking_id", "created_at"], unique=False)
    op.create_index("bp_payments_customer", "bp_payments", ["customer_id", "created_at", "id"], unique=False)
    op.create_index(
        "bp_payments_due",
        "bp_payments",
        ["next_look_at"],
        unique=False,
        postgresql_where=sa.text("next_look_at IS NOT NULL"),
        sqlite_where=sa.text("next_look_at IS NOT NULL"),
    )
    op.create_index(
        "bp_payments_one_holds_booking",
        "bp_payments",
        ["booking_id"],
        unique=True,
        postgresql_where=sa.text("holds_booking = 1"),
        sqlite_where=sa.text("holds_booking = 1"),
    )
    op.create_index("bp_payments_page", "bp_payments", ["created_at", "id"], unique=False)
    op.create_index("bp_payments_reference", "bp_payments", ["reference"], unique=False)
    op.create_index("bp_payments_status", "bp_payments", ["status", "created_at", "id"], unique=False)
    op.create_table(
        "bp_gateway_ids",
        sa.Column("gateway_id", sa.Text(), nullable=False),
        sa.Column("payment_id", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["payment_id"], ["bp_payments.id"], name=op.f("bp_gateway_ids_payment_id_fkey")),
        sa.PrimaryKeyConstraint("gateway_id", name=op.f("bp_gateway_ids_pkey")),
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
    op.create_table(
        "bp_operation_keys",
        sa.Column("idempotency_key", sa.Text(), nullable=False),
        sa.Column("payment_id", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["payment_id"], ["bp_payments.id"], name=op.f("bp_operation_keys_payment_id_fkey")),
        sa.PrimaryKeyConstraint("idempotency_key", name=op.f("bp_operation_keys_pkey")),
        sqlite_strict=True,
    )
    op.create_table(
        "bp_postings",
        sa.Column("payment_id", sa.Text(), nullable=False),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
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


def downgrade() -> None:
    """There is nothing before the first schema; drop the database instead."""
    raise RuntimeError("the first schema can't be undone: it would drop every payment")
