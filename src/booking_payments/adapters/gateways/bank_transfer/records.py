"""The stored records: transfers of customers, and refunds by transfer."""

import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Final

from attrs import field, frozen

from booking_payments.domain.lifecycle import PaymentStatus, RefundStatus
from booking_payments.domain.money import Money

_LETTERS: Final = "0123456789abcdefghjkmnpqrstvwxyz"
"""Crockford's base 32, without letters that are confused when a reference is copied by hand."""
_MISREAD: Final = str.maketrans("iol", "101")

_TRANSFER: Final = "bt_"
_REFUND: Final = "btr_"
_RECEIPT: Final = "mr_"
_RECEIPT_REFUND: Final = "mrr_"
_LENGTH: Final = 14
"""Letters of a reference: 70 bits, so that two keys do not collide."""


@frozen(kw_only=True)
class Transfer:
    """A transfer that a customer is to make. The id is the reference that the customer states.

    Attributes:
        fingerprint: hash of the request; another request under the same key is rejected.
        ended_at: when the money arrived, or the transfer was canceled; None before.
    """

    id: str
    amount: Money
    status: PaymentStatus
    fingerprint: str
    metadata: Mapping[str, str] = field(factory=dict)
    created_at: datetime
    ended_at: datetime | None = None


@frozen(kw_only=True)
class BankRefund:
    """A refund that the merchant is to transfer.

    Attributes:
        fingerprint: hash of the request.
        ended_at: when it was sent, could not be sent, or was returned; None before.
        failure: the operator's reason for a failed refund.
    """

    id: str
    transfer_id: str
    amount: Money
    status: RefundStatus
    fingerprint: str
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
    """Return the id of the transfer that this key creates, the same for every repetition."""
    return _TRANSFER + _letters(f"transfer {idempotency_key}")


def refund_id(idempotency_key: str) -> str:
    """Return the id of the refund that this key creates, the same for every repetition."""
    return _REFUND + _letters(f"refund {idempotency_key}")


def reference(given: str) -> str:
    """Return the transfer's id for a reference as it appears on a statement.

    Banks change its case, and people add spaces or confuse similar letters.
    """
    letters = "".join(each for each in given.lower() if each.isalnum())
    return _TRANSFER + letters.removeprefix("bt").translate(_MISREAD)


def fingerprint_of(*content: object) -> str:
    """Return the fingerprint of a request."""
    return hashlib.sha256(repr(content).encode()).hexdigest()


def _letters(text: str) -> str:
    number = int.from_bytes(hashlib.sha256(text.encode()).digest(), "big")
    return "".join(_LETTERS[number >> (5 * place) & 31] for place in range(_LENGTH))
