"""How many payments of a booking were begun: whoever judges without a lock sees by it that there is a new one.

Revision ID: 0008
Revises: 0007
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Count from now on; only that the number changes matters."""
    op.add_column("bp_bookings", sa.Column("payments_begun", sa.Integer(), server_default="0", nullable=False))


def downgrade() -> None:
    """Stop counting."""
    op.drop_column("bp_bookings", "payments_begun")
