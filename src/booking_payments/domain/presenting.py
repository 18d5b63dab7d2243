"""What the customer and the merchant's dashboard read about a charge: texts, made from the booking and the settings."""

import re
import unicodedata
from typing import Final

from booking_payments.domain.booking import Booking
from booking_payments.domain.instructions import ANY_METHOD, ChargeTexts, MethodChoice

SUFFIX_LENGTH: Final = 10
"""Characters of a statement descriptor's suffix that always fit: 22 in all, with a prefix of up to 10 and ``* ``."""

DESCRIPTION_LENGTH: Final = 500

_FORBIDDEN: Final = re.compile(r"[<>\\'\"*]")
_PRINTABLE: Final = re.compile(r"[^ -~]")


def is_suffix(text: str) -> bool:
    """Whether ``text`` can stand on a statement as it is: short enough, of the gateway's alphabet, with a letter."""
    return text == suffix_of(text)


def suffix_of(text: str) -> str | None:
    """``text`` as it can stand on a statement: without accents and what card networks do not print, and shortened.
    None where no letter is left."""
    plain = unicodedata.normalize("NFKD", text)
    kept = _FORBIDDEN.sub("", _PRINTABLE.sub("", plain)).strip()[:SUFFIX_LENGTH].strip()
    return kept if re.search("[A-Za-z]", kept) else None


def texts_of(
    booking: Booking, *, suffix: str | None, receipts: bool, methods: MethodChoice = ANY_METHOD
) -> ChargeTexts:
    """The texts of a booking's charge. ``suffix`` is the settings', which the booking's own goes before; ``receipts``
    says whether the gateway is given the customer's address, to which it then mails a receipt. The suffix is for cards,
    and left out where ``methods`` take none."""
    details = booking.details
    own = suffix_of(details.statement_descriptor_suffix) if details.statement_descriptor_suffix else None
    named = f"{details.title}, {booking.reference}" if details.title else booking.reference
    return ChargeTexts(
        description=named[:DESCRIPTION_LENGTH],
        statement_descriptor_suffix=(own or suffix) if methods.takes_cards else None,
        receipt_email=details.customer_email if receipts else None,
        order_reference=booking.reference,
    )
