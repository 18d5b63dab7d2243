"""When the money of a posting moved, and an index by which reports add it up.

Revision ID: 0012
Revises: 0011
"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

UTC_TIME = sa.Text().with_variant(sa.DateTime(timezone=True), "postgresql")
BIG_INT = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
MONEY = sa.text("kind IN ('charge', 'dispute_reinstated', 'dispute_withdrawn', 'refund', 'refund_given_back')")

COLUMNS = "payment_id, sequence, kind, at, subject, currency, debit, credit, amount_minor"

TIMES = """
WITH facts AS (
    SELECT payment_id, sequence, at, 'charge' AS cause, payment_id AS subject
    FROM bp_journal WHERE type = 'payment_succeeded'
    UNION ALL
    SELECT payment_id, sequence, at, CASE {status} WHEN 'succeeded' THEN 'refund' ELSE 'given_back' END, {refund_id}
    FROM bp_journal
    WHERE type = 'refund_moved' AND {status} IN ('succeeded', 'failed', 'canceled')
       OR type = 'refund_found' AND {status} = 'succeeded'
    UNION ALL
    SELECT payment_id, sequence, at, 'dispute', {dispute_id} FROM bp_journal WHERE type = 'dispute_funds_moved'
), movements AS (
    SELECT payment_id, sequence, subject, kind LIKE '%fee%' AS fee,
           CASE WHEN kind IN ('charge', 'processing_fee') THEN 'charge'
                WHEN kind IN ('refund', 'refund_fee') THEN 'refund'
                WHEN kind IN ('refund_given_back', 'refund_fee_given_back') THEN 'given_back'
                ELSE 'dispute' END AS cause
    FROM bp_postings
), numbered_facts AS (
    SELECT facts.*, row_number() OVER (PARTITION BY payment_id, cause, subject ORDER BY sequence) AS place FROM facts
), numbered_movements AS (
    SELECT movements.*, row_number() OVER (PARTITION BY payment_id, cause, subject, fee ORDER BY sequence) AS place
    FROM movements
)
SELECT moved.payment_id, moved.sequence, coalesce(fact.at, bp_payments.updated_at) AS at
FROM numbered_movements AS moved
JOIN bp_payments ON bp_payments.id = moved.payment_id
LEFT JOIN numbered_facts AS fact
  ON fact.payment_id = moved.payment_id AND fact.cause = moved.cause
 AND fact.subject = moved.subject AND fact.place = moved.place
"""
"""The time of each posting: that of its line of the journal. The first posting of a kind about a refund comes from the
first fact of that kind about it, the second from the second, and so on."""


def _times() -> str:
    if op.get_bind().dialect.name == "postgresql":
        names = {name: f"(data::json ->> '{name}')" for name in ("status", "refund_id", "dispute_id")}
    else:
        names = {name: f"json_extract(data, '$.{name}')" for name in ("status", "refund_id", "dispute_id")}
    return TIMES.format(**names)


def upgrade() -> None:
    """Add the time to all postings, then the index."""
    if op.get_bind().dialect.name == "postgresql":
        _upgrade_postgresql()
    else:
        _upgrade_sqlite()
    op.create_index(
        "bp_postings_money",
        "bp_postings",
        ["kind", "currency", "at", "amount_minor"],
        unique=False,
        postgresql_where=MONEY,
        sqlite_where=MONEY,
    )


def _upgrade_postgresql() -> None:
    op.add_column("bp_postings", sa.Column("at", UTC_TIME, nullable=True))
    op.execute("ALTER TABLE bp_postings DISABLE TRIGGER bp_postings_append_only")
    op.execute(
        f"UPDATE bp_postings SET at = times.at FROM ({_times()}) AS times "  # noqa: S608 - text of our own
        "WHERE bp_postings.payment_id = times.payment_id AND bp_postings.sequence = times.sequence"
    )
    op.execute("ALTER TABLE bp_postings ENABLE TRIGGER bp_postings_append_only")
    op.alter_column("bp_postings", "at", nullable=False)


def _upgrade_sqlite() -> None:
    """SQLite can't add a column without a default that may not be null: the table is made anew."""
    op.create_table(
        "bp_postings_with_time",
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
    op.execute(
        f"INSERT INTO bp_postings_with_time ({COLUMNS}) "  # noqa: S608 - text of our own
        f"SELECT {COLUMNS} FROM bp_postings JOIN ({_times()}) AS times USING (payment_id, sequence)"
    )
    op.drop_table("bp_postings")
    op.rename_table("bp_postings_with_time", "bp_postings")
    for verb in ("UPDATE", "DELETE"):
        op.execute(
            f"CREATE TRIGGER bp_postings_refuses_{verb.lower()} BEFORE {verb} ON bp_postings "
            "BEGIN SELECT RAISE(ABORT, 'bp_postings is append-only'); END"
        )


def downgrade() -> None:
    """Take the index and the time away again."""
    op.drop_index("bp_postings_money", "bp_postings")
    op.drop_column("bp_postings", "at")
