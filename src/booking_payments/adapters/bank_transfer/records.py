"""What is remembered of each transfer, and of the money that goes back."""

import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Final

from attrs import field, frozen

from booking_payments.domain.lifecycle import PaymentStatus, RefundStatus
from booking_payments.domain.money import Money

_LETTERS: Final = "0123456789abcdefghjkmnpqrstvwxyz"
"""Crockford's base 32: none of its letters is taken for another when a reference is copied by hand."""
_MISREAD: Final = str.maketrans("iol", "101")

_TRANSFER: Final = "bt_"
_REFUND: Final = "btr_"
_RECEIPT: Final = "mr_"
_RECEIPT_REFUND: Final = "mrr_"
_LENGTH: Final = 14
"""Letters of a reference: 70 bits, which no two keys share by chance."""


@frozen(kw_only=True)
class Transfer:
    """Money that a customer is to send. The customer names the id as the reference of the transfer.

    ``terms`` is what was asked for, in short: who asks for something else under the same key is told so. ``ended_at``
    is when the money was there, or was given up.
    """

    id: str
    amount: Money
    status: PaymentStatus
    terms: str
    metadata: Mapping[str, str] = field(factory=dict)
    created_at: datetime
    ended_at: datetime | None = None


@frozen(kw_only=True)
class Payback:
    """Money that the house is to send back. ``ended_at`` is when it was sent, could not be, or came back."""

    id: str
    transfer_id: str
    amount: Money
    status: RefundStatus
    terms: str
    metadata: Mapping[str, str] = field(factory=dict)
    created_at: datetime
    ended_at: datetime | None = None
    failure: str | None = None


def receipt_id(idempotency_key: str) -> str:
    """The id of the one receipt that an operator records under a key."""
    return _RECEIPT + _letters(f"receipt {idempotency_key}")


def receipt_refund_id(idempotency_key: str) -> str:
    """The id of the one refund of a receipt that is made under a key."""
    return _RECEIPT_REFUND + _letters(f"receipt refund {idempotency_key}")


def transfer_id(idempotency_key: str) -> str:
    """The id of the one transfer that is made under a key. Whoever sends the key again finds it."""
    return _TRANSFER + _letters(f"transfer {idempotency_key}")


def refund_id(idempotency_key: str) -> str:
    """The id of the one refund that is made under a key."""
    return _REFUND + _letters(f"refund {idempotency_key}")


def reference(given: str) -> str:
    """The id of the transfer that a customer meant: banks change the case, and people the spaces and look-alikes."""
    letters = "".join(each for each in given.lower() if each.isalnum())
    return _TRANSFER + letters.removeprefix("bt").translate(_MISREAD)


def short(*terms: object) -> str:
    """What was asked for, in few letters."""
    return hashlib.sha256(repr(terms).encode()).hexdigest()


def _letters(text: str) -> str:
    number = int.from_bytes(hashlib.sha256(text.encode()).digest(), "big")
    return "".join(_LETTERS[number >> (5 * place) & 31] for place in range(_LENGTH))
