"""The limits of bearer tokens, for the code that makes them and the code that accepts them."""

from typing import Final

MAX_SUBJECT: Final = 255
MAX_LIFETIME_S: Final = 366 * 24 * 3600
"""The longest time, in seconds, for which a token is accepted; a longer one is probably a mistake of its issuer."""
