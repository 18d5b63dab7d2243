"""Identifiers: from the system's entropy, or from a seed for runs that can be repeated."""

import random
import secrets
from typing import Final

_ALPHABET: Final = "0123456789abcdefghijklmnopqrstuvwxyz"
_LENGTH: Final = 24  # 36^24 is about 2^124: nobody guesses one, and none comes twice


class RandomIds:
    """Ids from ``source``: the system's entropy by default, a seeded ``Random`` for repeatable runs."""

    def __init__(self, source: random.Random | None = None) -> None:
        self._source = source or secrets.SystemRandom()

    def new(self, prefix: str) -> str:
        return f"{prefix}_{self._token()}"

    def idempotency_key(self) -> str:
        return f"bp-{self._token()}"

    def _token(self) -> str:
        return "".join(self._source.choices(_ALPHABET, k=_LENGTH))
