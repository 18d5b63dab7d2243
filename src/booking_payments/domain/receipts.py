"""Receipts: what an operator records of money that was taken by hand."""

from enum import StrEnum
from typing import Final

from booking_payments.domain.errors import InvalidInput

LONGEST_REFERENCE: Final = 100


class ReceiptKind(StrEnum):
    """How the money came."""

    CASH = "cash"
    INVOICE = "invoice"
    VOUCHER = "voucher"
    GIFT_CARD = "gift_card"


def receipt_method(kind: ReceiptKind, reference: str) -> str:
    """The payment method of a recorded payment: its kind and its reference, ``cash:17-204``.

    Raises ``InvalidInput`` for a reference that is empty, too long, or not on one line of printable text.
    """
    text = reference.strip()
    if not text or len(text) > LONGEST_REFERENCE or not text.isprintable():
        raise InvalidInput(f"reference must be 1 to {LONGEST_REFERENCE} printable characters")
    return f"{kind.value}:{text}"


def kind_of(method: str) -> str | None:
    """The kind in a payment method that ``receipt_method`` made; None for any other."""
    kind, colon, reference = method.partition(":")
    return kind if colon and reference and kind in {each.value for each in ReceiptKind} else None
