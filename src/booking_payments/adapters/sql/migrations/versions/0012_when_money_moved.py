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
    FROM journal WHERE type = 'payment_succeeded'
    UNION ALL
    SELECT payment_id, sequence, at, CASE {status} WHEN 'succeeded' THEN 'refund' ELSE 'given_back' END, {refund_id}
    FROM journal
    WHERE type = 'refund_moved' AND {status} IN ('succeeded', 'failed', 'canceled')
       OR type = 'refund_found' AND {status} = 'succeeded'
    UNION ALL
    SELECT payment_id, sequence, at, 'dispute', {dispute_id} FROM journal WHERE type = 'dispute_funds_moved'
), movements AS (
    SELECT payment_id, sequence, subject, kind LIKE '%fee%' AS fee,
           CASE WHEN kind IN ('charge', 'processing_fee') THEN 'charge'
                WHEN kind IN ('refund', 'refund_fee') THEN 'refund'
                WHEN kind IN ('refund_given_back', 'refund_fee_given_back') THEN 'given_back'
                ELSE 'dispute' END AS cause
    FROM postings
), numbered_facts AS (
    SELECT facts.*, row_number() OVER (PARTITION BY payment_id, cause, subject ORDER BY sequence) AS place FROM facts
), numbered_movements AS (
    SELECT movements.*, row_number() OVER (PARTITION BY payment_id, cause, subject, fee ORDER BY sequence) AS place
    FROM movements
)
SELECT moved.payment_id, moved.sequence, coalesce(fact.at, payments.updated_at) AS at
FROM numbered_movements AS moved
JOIN payments ON payments.id = moved.payment_id
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
        "postings_money",
        "postings",
        ["kind", "currency", "at", "amount_minor"],
        unique=False,
        postgresql_where=MONEY,
        sqlite_where=MONEY,
    )


def _upgrade_postgresql() -> None:
    op.add_column("postings", sa.Column("at", UTC_TIME, nullable=True))
    op.execute("ALTER TABLE postings DISABLE TRIGGER postings_append_only")
    op.execute(
        f"UPDATE postings SET at = times.at FROM ({_times()}) AS times "  # noqa: S608 - text of our own
        "WHERE postings.payment_id = times.payment_id AND postings.sequence = times.sequence"
    )
    op.execute("ALTER TABLE postings ENABLE TRIGGER postings_append_only")
    op.alter_column("postings", "at", nullable=False)


def _upgrade_sqlite() -> None:
    """SQLite can't add a column without a default that may not be null: the table is made anew."""
    op.create_table(
        "postings_with_time",
        sa.Column("payment_id", sa.Text(), nullable=False),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("at", UTC_TIME, nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("debit", sa.Text(), nullable=False),
        sa.Column("credit", sa.Text(), nullable=False),
        sa.Column("amount_minor", BIG_INT, nullable=False),
        sa.CheckConstraint("debit <> credit", name=op.f("postings_two_accounts")),
        sa.ForeignKeyConstraint(["payment_id"], ["payments.id"], name=op.f("postings_payment_id_fkey")),
        sa.PrimaryKeyConstraint("payment_id", "sequence", name=op.f("postings_pkey")),
        sqlite_strict=True,
    )
    op.execute(
        f"INSERT INTO postings_with_time ({COLUMNS}) "  # noqa: S608 - text of our own
        f"SELECT {COLUMNS} FROM postings JOIN ({_times()}) AS times USING (payment_id, sequence)"
    )
    op.drop_table("postings")
    op.rename_table("postings_with_time", "postings")
    for verb in ("UPDATE", "DELETE"):
        op.execute(
            f"CREATE TRIGGER postings_refuses_{verb.lower()} BEFORE {verb} ON postings "
            "BEGIN SELECT RAISE(ABORT, 'postings is append-only'); END"
        )


def downgrade() -> None:
    """Take the index and the time away again."""
    op.drop_index("postings_money", "postings")
    op.drop_column("postings", "at")
