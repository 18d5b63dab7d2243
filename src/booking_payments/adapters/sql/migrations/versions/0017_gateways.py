"""Each payment and each event of the inbox names its gateway.

Revision ID: 0017
Revises: 0016
"""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

TABLES = ("bp_payments", "bp_inbox")


def upgrade() -> None:
    """Add the column. Until now an installation had one gateway: the one of bank transfers where a payment has one of
    its ids, else Stripe's or the fake one, which speaks Stripe's language and keeps nothing for long."""
    for table in TABLES:
        op.add_column(table, sa.Column("gateway", sa.Text(), nullable=False, server_default="unknown"))
    op.execute(
        "UPDATE bp_payments SET gateway = CASE WHEN intent_id LIKE 'bt_%' THEN 'bank_transfer' ELSE 'stripe' END"
    )
    op.execute("UPDATE bp_inbox SET gateway = CASE WHEN object_id LIKE 'bt%' THEN 'bank_transfer' ELSE 'stripe' END")


def downgrade() -> None:
    """Remove the column."""
    for table in TABLES:
        op.drop_column(table, "gateway")
