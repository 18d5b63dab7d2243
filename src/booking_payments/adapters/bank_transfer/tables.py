"""The gateway's own tables; revision 0007 creates them."""

from typing import Any

from sqlalchemy import CheckConstraint, Column, ForeignKey, Index, Table, Text

from booking_payments.adapters.sql.tables import BigInt, UtcTime, metadata


def _common() -> list[Column[Any]]:
    return [
        Column("position", BigInt, primary_key=True, autoincrement=True),
        Column("id", Text, nullable=False, unique=True),
        Column("amount", BigInt, CheckConstraint("amount > 0", name="amount"), nullable=False),
        Column("currency", Text, nullable=False),
        Column("status", Text, nullable=False),
        Column("terms", Text, nullable=False),
        Column("metadata", Text, nullable=False),
        Column("created_at", UtcTime, nullable=False),
        Column("ended_at", UtcTime),
    ]


bank_transfers = Table(
    "bp_bank_transfers",
    metadata,
    *_common(),
    Index("bp_bank_transfers_created_at", "created_at"),
    Index("bp_bank_transfers_ended_at", "ended_at"),
    sqlite_strict=True,
)
"""Transfers of customers."""

bank_paybacks = Table(
    "bp_bank_paybacks",
    metadata,
    *_common(),
    Column("transfer_id", Text, ForeignKey("bp_bank_transfers.id"), nullable=False),
    Column("failure", Text),
    Index("bp_bank_paybacks_transfer_id", "transfer_id"),
    Index("bp_bank_paybacks_created_at", "created_at"),
    Index("bp_bank_paybacks_ended_at", "ended_at"),
    sqlite_strict=True,
)
"""Refunds by transfer."""
