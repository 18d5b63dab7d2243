"""The audit trail, append-only like the journal and the postings.

Revision ID: 0003
Revises: 0002
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

UTC_TIME = sa.Text().with_variant(sa.DateTime(timezone=True), "postgresql")
BIG_INT = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
OUTCOMES = "outcome IN ('done', 'refused', 'unknown', 'failed')"


def upgrade() -> None:
    """Make the table, then let it only grow. The first schema has locked journal and postings already."""
    op.create_table(
        "bp_audit",
        sa.Column("id", BIG_INT, primary_key=True, autoincrement=True),
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
        sa.CheckConstraint(OUTCOMES, name=op.f("bp_audit_outcome")),
        sa.PrimaryKeyConstraint("id", name=op.f("bp_audit_pkey")),
        sqlite_strict=True,
    )
    op.create_index("bp_audit_booking_id", "bp_audit", ["booking_id", "id"], unique=False)
    if op.get_bind().dialect.name == "postgresql":
        _lock_postgresql()
    else:
        _lock_sqlite()


def _lock_sqlite() -> None:
    for verb in ("UPDATE", "DELETE"):
        op.execute(
            f"CREATE TRIGGER bp_audit_refuses_{verb.lower()} BEFORE {verb} ON bp_audit "
            "BEGIN SELECT RAISE(ABORT, 'bp_audit is append-only'); END"
        )


def _lock_postgresql() -> None:
    op.execute(
        "CREATE TRIGGER bp_audit_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON bp_audit "
        "FOR EACH STATEMENT EXECUTE FUNCTION booking_payments_append_only()"
    )


def downgrade() -> None:
    """Take the table away again, with its triggers."""
    op.drop_index("bp_audit_booking_id", "bp_audit")
    op.drop_table("bp_audit")
