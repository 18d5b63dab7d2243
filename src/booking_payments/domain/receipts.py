"""Receipts: payments that an operator took by hand and records."""

from enum import StrEnum
from typing import Final

from booking_payments.domain.errors import InvalidInput

LONGEST_REFERENCE: Final = 100


class ReceiptKind(StrEnum):
    """How the money was received."""

    CASH = "cash"
    INVOICE = "invoice"
    VOUCHER = "voucher"
    GIFT_CARD = "gift_card"


def receipt_method(kind: ReceiptKind, reference: str) -> str:
    """Return the payment method of a recorded payment, its kind and its reference: ``cash:17-204``.

    Raises ``InvalidInput`` unless the reference is one line of 1 to ``LONGEST_REFERENCE`` printable characters.
    """
    text = reference.strip()
    if not text or len(text) > LONGEST_REFERENCE or not text.isprintable():
        raise InvalidInput(f"reference must be 1 to {LONGEST_REFERENCE} printable characters")
    return f"{kind.value}:{text}"


def kind_of(method: str) -> str | None:
    """Return the kind in a payment method from ``receipt_method``; None for any other method."""
    kind, colon, reference = method.partition(":")
    return kind if colon and reference and kind in {each.value for each in ReceiptKind} else None
