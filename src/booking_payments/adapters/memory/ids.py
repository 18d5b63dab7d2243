"""Identifiers: from the system's entropy, or from a seed for runs that can be repeated."""

import os
import random
from collections.abc import Callable
from typing import Final

_ALPHABET: Final = b"23456789abcdefghijkmnpqrstuvwxyz"  # without those that look like another
_LETTER_OF: Final = bytes(_ALPHABET[byte % 32] for byte in range(256))  # all are equally likely
_LENGTH: Final = 24  # 32^24 = 2^120: ids can't be guessed and do not collide

RUN: Final = "run"
"""The prefix of the id that holds the lease of an operation."""

SERVING_RUN: Final = "run_serve"
"""The same prefix in a process that runs ``serve``."""


class RandomIds:
    """Ids from ``source``: the system's entropy by default, a seeded ``Random`` for repeatable runs."""

    def __init__(self, source: random.Random | None = None) -> None:
        self._bytes: Callable[[int], bytes] = source.randbytes if source else os.urandom

    def new(self, prefix: str) -> str:
        return f"{prefix}_{self._token()}"

    def idempotency_key(self) -> str:
        return f"bp-{self._token()}"

    def _token(self) -> str:
        return self._bytes(_LENGTH).translate(_LETTER_OF).decode()


class ServingIds(RandomIds):
    """Ids in a process that runs ``serve``. The holder of a lease shows whether a ``serve`` took it."""

    def new(self, prefix: str) -> str:
        return super().new(SERVING_RUN if prefix == RUN else prefix)
