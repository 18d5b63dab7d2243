"""What is said about a booking and decides nothing: title, e-mail address, text on the statement.

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
    op.add_column("bookings", sa.Column("details", sa.Text(), nullable=True))


def downgrade() -> None:
    """Forget what was said."""
    op.drop_column("bookings", "details")
