"""The records of the gateway ``manual``: money that operators received, and money to give back.

Revision ID: 0018
Revises: 0017
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

UTC_TIME = sa.Text().with_variant(sa.DateTime(timezone=True), "postgresql")
BIG_INT = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _make(table: str, *own: Any) -> None:
    op.create_table(
        table,
        sa.Column("position", BIG_INT, primary_key=True, autoincrement=True),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("amount", BIG_INT, nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("terms", sa.Text(), nullable=False),
        sa.Column("metadata", sa.Text(), nullable=False),
        sa.Column("created_at", UTC_TIME, nullable=False),
        sa.Column("ended_at", UTC_TIME, nullable=True),
        *own,
        sa.PrimaryKeyConstraint("position", name=op.f(f"{table}_pkey")),
        sa.UniqueConstraint("id", name=op.f(f"{table}_id_key")),
        sa.CheckConstraint("amount > 0", name=op.f(f"{table}_amount")),
        sqlite_strict=True,
    )
    op.create_index(f"{table}_created_at", table, ["created_at"])
    op.create_index(f"{table}_ended_at", table, ["ended_at"])


def upgrade() -> None:
    """Make both tables."""
    _make("bp_manual_receipts")
    _make(
        "bp_manual_paybacks",
        sa.Column("transfer_id", sa.Text(), nullable=False),
        sa.Column("failure", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["transfer_id"], ["bp_manual_receipts.id"], name=op.f("bp_manual_paybacks_transfer_id_fkey")
        ),
    )
    op.create_index("bp_manual_paybacks_transfer_id", "bp_manual_paybacks", ["transfer_id"])


def downgrade() -> None:
    """Remove both."""
    op.drop_table("bp_manual_paybacks")
    op.drop_table("bp_manual_receipts")
