"""Identifiers: from the system's entropy, or from a seed for runs that can be repeated."""

import random
import secrets
from typing import Final

_ALPHABET: Final = "0123456789abcdefghijklmnopqrstuvwxyz"
_LENGTH: Final = 24  # 36^24 is about 2^124: nobody guesses one, and none comes twice
_ENTROPY: Final = 24  # bytes, of which the letters take what they need: so many that all are equally likely
_PAIRS: Final = [first + second for first in _ALPHABET for second in _ALPHABET]  # half the divisions


class RandomIds:
    """Ids from ``source``: the system's entropy by default, a seeded ``Random`` for repeatable runs."""

    def __init__(self, source: random.Random | None = None) -> None:
        self._bytes = source.randbytes if source else secrets.token_bytes

    def new(self, prefix: str) -> str:
        return f"{prefix}_{self._token()}"

    def idempotency_key(self) -> str:
        return f"bp-{self._token()}"

    def _token(self) -> str:
        number, letters = int.from_bytes(self._bytes(_ENTROPY), "big"), []
        for _ in range(_LENGTH // 2):
            number, place = divmod(number, len(_PAIRS))
            letters.append(_PAIRS[place])
        return "".join(letters)
