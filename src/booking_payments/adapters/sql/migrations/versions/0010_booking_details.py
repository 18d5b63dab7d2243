"""What is said about a booking and decides nothing (title, e-mail address, text on the statement); pages of bookings.

Revision ID: 0010
Revises: 0009
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bookings of before have none."""
    op.add_column("bp_bookings", sa.Column("details", sa.Text(), nullable=True))
    op.create_index("bp_bookings_page", "bp_bookings", ["created_at", "id"])
    op.create_index("bp_bookings_customer", "bp_bookings", ["customer_id", "created_at", "id"])


def downgrade() -> None:
    """Forget what was said."""
    op.drop_index("bp_bookings_customer", "bp_bookings")
    op.drop_index("bp_bookings_page", "bp_bookings")
    op.drop_column("bp_bookings", "details")
