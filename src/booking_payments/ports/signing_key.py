"""Secrets that sign messages to the booking app: ``whsec_`` and base64.

Source: standardwebhooks.com, specification 1.0. The settings check their format, the adapter signs with them.
"""

import base64
import binascii
from typing import Final

PREFIX: Final = "whsec_"
SHORTEST, LONGEST = 24, 64
"""Smallest and largest length of a secret in bytes, according to the specification."""


def signing_key(secret: str) -> bytes:
    """Return the bytes of ``secret``. Raises ``ValueError`` unless it is ``whsec_`` and 24 to 64 bytes in base64."""
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except binascii.Error as error:
        raise ValueError("not base64") from error
    if not secret.startswith(PREFIX) or not SHORTEST <= len(key) <= LONGEST:
        raise ValueError("not a secret of the Standard Webhooks scheme")
    return key
