"""What a bearer token may be at most, for whoever makes one and whoever takes one."""

from typing import Final

MAX_SUBJECT: Final = 255
MAX_LIFETIME_S: Final = 366 * 24 * 3600
"""A token that ends later than this was not made by somebody careful."""
