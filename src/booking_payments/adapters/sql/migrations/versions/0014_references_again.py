"""References of canceled and expired bookings may be used again; why a booking expired early.

Revision ID: 0014
Revises: 0013
"""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

UTC_TIME = sa.Text().with_variant(sa.DateTime(timezone=True), "postgresql")
BIG_INT = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
LIVE = sa.text("status IN ('pending', 'confirmed')")
PENDING = sa.text("status = 'pending'")
END_REASON = "end_reason IS NULL OR end_reason IN ('attempts_exhausted')"

BEFORE = (
    "id, reference, customer_id, amount_minor, currency, event_starts_at, expires_at, status, refund_policy, "
    "created_at, payments_begun, details"
)


def upgrade() -> None:
    """Replace the constraint by an index over the bookings that keep their reference to themselves."""
    if op.get_bind().dialect.name == "postgresql":
        op.add_column("bp_bookings", sa.Column("end_reason", sa.Text(), nullable=True))
        op.create_check_constraint(op.f("bp_bookings_end_reason"), "bp_bookings", END_REASON)
        op.execute("ALTER TABLE bp_bookings DROP CONSTRAINT IF EXISTS bp_bookings_reference_key")
    else:
        _rebuild()
    op.create_index(
        "bp_bookings_live_reference",
        "bp_bookings",
        ["reference"],
        unique=True,
        postgresql_where=LIVE,
        sqlite_where=LIVE,
    )
    op.create_index("bp_bookings_reference", "bp_bookings", ["reference", "created_at", "id"])


def _rebuild() -> None:
    """SQLite can't drop a constraint: the table is made anew.

    Payments and messages point at its rows, so the rows are put aside and come back under the same name before that is
    checked, at the end of the transaction.
    """
    op.execute("PRAGMA defer_foreign_keys = ON")
    op.execute(f"CREATE TEMPORARY TABLE bp_bookings_aside AS SELECT {BEFORE} FROM bp_bookings")  # noqa: S608 - our own names
    op.drop_table("bp_bookings")
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
        sa.CheckConstraint(
            "status IN ('pending', 'confirmed', 'canceled', 'expired')", name=op.f("bp_bookings_status")
        ),
        sa.CheckConstraint(
            "amount_minor >= 0 AND amount_minor < 1000000000000", name=op.f("bp_bookings_amount_in_range")
        ),
        sa.CheckConstraint("expires_at <= event_starts_at", name=op.f("bp_bookings_expires_by_start")),
        sa.CheckConstraint("length(currency) = 3 AND currency = lower(currency)", name=op.f("bp_bookings_currency")),
        sa.CheckConstraint(END_REASON, name=op.f("bp_bookings_end_reason")),
        sa.PrimaryKeyConstraint("id", name=op.f("bp_bookings_pkey")),
        sqlite_strict=True,
    )
    op.execute(f"INSERT INTO bp_bookings ({BEFORE}) SELECT {BEFORE} FROM bp_bookings_aside")  # noqa: S608 - our own names
    op.execute("DROP TABLE bp_bookings_aside")
    op.create_index("bp_bookings_page", "bp_bookings", ["created_at", "id"])
    op.create_index("bp_bookings_customer", "bp_bookings", ["customer_id", "created_at", "id"])
    op.create_index("bp_bookings_pending_expires_at", "bp_bookings", ["expires_at"], sqlite_where=PENDING)
    op.create_index("bp_bookings_pending_customer", "bp_bookings", ["customer_id", "expires_at"], sqlite_where=PENDING)


def downgrade() -> None:
    """Forget why; references that were used again stay so, so the constraint does not come back."""
    op.drop_index("bp_bookings_reference", "bp_bookings")
    op.drop_index("bp_bookings_live_reference", "bp_bookings")
    if op.get_bind().dialect.name == "postgresql":
        op.drop_constraint("bp_bookings_end_reason", "bp_bookings")
        op.drop_column("bp_bookings", "end_reason")
