"""The texts of a charge, for statements, receipts and the dashboard, made from the booking and the settings."""

import re
import unicodedata  # standard library: a statement descriptor is ASCII, so accents are taken off its letters
from typing import Final

from booking_payments.domain.booking import Booking
from booking_payments.domain.instructions import ANY_METHOD, ChargeTexts, MethodChoice

SUFFIX_LENGTH: Final = 10
"""Longest statement descriptor suffix that always fits: 22 characters in all, with a prefix of up to 10 and ``* ``."""

DESCRIPTION_LENGTH: Final = 500

_FORBIDDEN: Final = re.compile(r"[<>\\'\"*]")
_PRINTABLE: Final = re.compile(r"[^ -~]")


def is_suffix(text: str) -> bool:
    """True when ``text`` can be printed on a statement unchanged: short, in the allowed characters, with a letter."""
    return text == suffix_of(text)


def suffix_of(text: str) -> str | None:
    """Return ``text`` as card networks print it: without accents and other characters, and shortened.

    None if no letter is left.
    """
    plain = unicodedata.normalize("NFKD", text)
    kept = _FORBIDDEN.sub("", _PRINTABLE.sub("", plain)).strip()[:SUFFIX_LENGTH].strip()
    return kept if re.search("[A-Za-z]", kept) else None


def texts_of(
    booking: Booking, *, suffix: str | None, receipts: bool, methods: MethodChoice = ANY_METHOD
) -> ChargeTexts:
    """Return the texts of a booking's charge.

    Args:
        suffix: the configured statement descriptor suffix; the booking's own takes precedence.
        receipts: pass the customer's address to the gateway, which then mails a receipt.
        methods: the accepted payment methods; the suffix is left out where they exclude cards.
    """
    details = booking.details
    own = suffix_of(details.statement_descriptor_suffix) if details.statement_descriptor_suffix else None
    named = f"{details.title}, {booking.reference}" if details.title else booking.reference
    return ChargeTexts(
        description=named[:DESCRIPTION_LENGTH],
        statement_descriptor_suffix=(own or suffix) if methods.takes_cards else None,
        receipt_email=details.customer_email if receipts else None,
        order_reference=booking.reference,
    )
