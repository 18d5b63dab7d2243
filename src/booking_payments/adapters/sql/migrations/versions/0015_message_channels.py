"""The channels that messages go out on, and what became of each message on each of them.

Revision ID: 0015
Revises: 0014
"""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

UTC_TIME = sa.Text().with_variant(sa.DateTime(timezone=True), "postgresql")
BIG_INT = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
WAITS = "delivered_at IS NULL AND discarded_at IS NULL"
OLD_INDEXES = (
    ("bp_outbox_untried", "position", "delivered_at IS NULL AND next_try_at IS NULL"),
    ("bp_outbox_due", "next_try_at", "delivered_at IS NULL AND next_try_at IS NOT NULL"),
    ("bp_outbox_waiting", "position", "delivered_at IS NULL"),
)
INDEXES = (
    ("untried", ["channel", "position"], f"{WAITS} AND next_try_at IS NULL", False),
    ("due", ["channel", "next_try_at"], f"{WAITS} AND next_try_at IS NOT NULL", False),
    ("waiting", ["position", "channel"], WAITS, False),
    ("dead", ["channel", "position"], f"{WAITS} AND dead_at IS NOT NULL", False),
    ("discarded", ["channel"], "discarded_at IS NOT NULL", False),
    ("number", ["channel", "number"], "number IS NOT NULL", True),
    ("unread", ["channel", "number"], f"{WAITS} AND number IS NOT NULL", False),
)


def _index(name: str, table: str, columns: list[str], which: str, *, unique: bool = False) -> None:
    where = sa.text(which)
    op.create_index(name, table, columns, unique=unique, postgresql_where=where, sqlite_where=where)


def upgrade() -> None:
    """Which channels there were is not known, so messages that wait go to the first channel that is recorded."""
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
        sa.Column("tries", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("next_try_at", UTC_TIME, nullable=True),
        sa.Column("dead_at", UTC_TIME, nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.CheckConstraint("delivered_at IS NULL OR discarded_at IS NULL", name=op.f("bp_message_deliveries_one_end")),
        sa.CheckConstraint(
            "(discarded_at IS NULL) = (discarded_by IS NULL)", name=op.f("bp_message_deliveries_discarded_by_somebody")
        ),
        sa.PrimaryKeyConstraint("channel", "position", name=op.f("bp_message_deliveries_pkey")),
        sa.UniqueConstraint(
            "channel", "booking_id", "sequence", name=op.f("bp_message_deliveries_channel_booking_id_sequence_key")
        ),
        sqlite_strict=True,
    )
    for name, columns, which, unique in INDEXES:
        _index(f"bp_message_deliveries_{name}", "bp_message_deliveries", columns, which, unique=unique)
    for name, _, _ in OLD_INDEXES:
        op.drop_index(name, "bp_outbox")
    op.add_column("bp_outbox", sa.Column("unassigned", sa.Integer(), nullable=False, server_default="0"))
    op.execute("UPDATE bp_outbox SET unassigned = 1 WHERE delivered_at IS NULL")
    for name in ("delivered_at", "error", "dead_at", "next_try_at", "tries"):
        op.drop_column("bp_outbox", name)
    _index("bp_outbox_unassigned", "bp_outbox", ["position"], "unassigned = 1")


def downgrade() -> None:
    """One column for all channels again: what one of them does not have yet is delivered to all of them again."""
    op.add_column("bp_outbox", sa.Column("delivered_at", UTC_TIME, nullable=True))
    op.add_column("bp_outbox", sa.Column("tries", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("bp_outbox", sa.Column("next_try_at", UTC_TIME, nullable=True))
    op.add_column("bp_outbox", sa.Column("dead_at", UTC_TIME, nullable=True))
    op.add_column("bp_outbox", sa.Column("error", sa.Text(), nullable=True))
    op.execute(
        "UPDATE bp_outbox SET delivered_at = at WHERE unassigned = 0 "
        "AND NOT EXISTS (SELECT 1 FROM bp_message_deliveries AS its "
        "WHERE its.position = bp_outbox.position AND its.delivered_at IS NULL AND its.discarded_at IS NULL)"
    )
    op.drop_index("bp_outbox_unassigned", "bp_outbox")
    op.drop_column("bp_outbox", "unassigned")
    for name, column, which in OLD_INDEXES:
        _index(name, "bp_outbox", [column], which)
    op.drop_table("bp_message_deliveries")
    op.drop_table("bp_message_channels")
