"""The tables of gateways that operators settle by hand (created by the initial schema)."""

from typing import Any, Final

from attrs import frozen
from sqlalchemy import CheckConstraint, Column, ForeignKey, Index, Table, Text

from booking_payments.adapters.sql.tables import BigInt, UtcTime, metadata


def _common() -> list[Column[Any]]:
    return [
        Column("position", BigInt, primary_key=True, autoincrement=True),
        Column("id", Text, nullable=False, unique=True),
        Column("amount", BigInt, CheckConstraint("amount > 0", name="amount"), nullable=False),
        Column("currency", Text, nullable=False),
        Column("status", Text, nullable=False),
        Column("fingerprint", Text, nullable=False),
        Column("metadata", Text, nullable=False),
        Column("created_at", UtcTime, nullable=False),
        Column("ended_at", UtcTime),
    ]


@frozen
class RecordTables:
    """The tables of one gateway: money to come or received, and money to give back."""

    transfers: Table
    bank_refunds: Table


def _tables(transfers: str, bank_refunds: str) -> RecordTables:
    return RecordTables(
        Table(
            transfers,
            metadata,
            *_common(),
            Index(f"{transfers}_created_at", "created_at"),
            Index(f"{transfers}_ended_at", "ended_at"),
            sqlite_strict=True,
        ),
        Table(
            bank_refunds,
            metadata,
            *_common(),
            Column("transfer_id", Text, ForeignKey(f"{transfers}.id"), nullable=False),
            Column("failure", Text),
            Index(f"{bank_refunds}_transfer_id", "transfer_id"),
            Index(f"{bank_refunds}_created_at", "created_at"),
            Index(f"{bank_refunds}_ended_at", "ended_at"),
            sqlite_strict=True,
        ),
    )


BANK_TABLES: Final = _tables("bp_bank_transfers", "bp_bank_refunds")
MANUAL_TABLES: Final = _tables("bp_manual_receipts", "bp_manual_refunds")
