"""An id for this installation, made once: it stands in the metadata of all that it makes at the gateway.

Revision ID: 0011
Revises: 0010
"""

import secrets

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the id. The migration runs once, whoever starts it, so nobody makes another."""
    table = op.create_table(
        "bp_installation",
        sa.Column("id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("bp_installation_pkey")),
        sqlite_strict=True,
    )
    op.bulk_insert(table, [{"id": f"inst_{secrets.token_hex(10)}"}])


def downgrade() -> None:
    """Forget it."""
    op.drop_table("bp_installation")
