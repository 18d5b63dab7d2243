"""Secrets that sign messages to the booking app (standardwebhooks.com, specification 1.0): ``whsec_`` and base64.

The settings check their form, the adapter signs with them.
"""

import base64
import binascii
from typing import Final

PREFIX: Final = "whsec_"
SHORTEST, LONGEST = 24, 64
"""Bytes of a secret, as the specification bounds them."""


def signing_key(secret: str) -> bytes:
    """The bytes of ``secret``. Raises ``ValueError`` when it is not ``whsec_`` and 24 to 64 bytes in base64."""
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except binascii.Error as error:
        raise ValueError("not base64") from error
    if not secret.startswith(PREFIX) or not SHORTEST <= len(key) <= LONGEST:
        raise ValueError("no secret of the Standard Webhooks scheme")
    return key
