"""Whether this is the nightly run (``SIMULATION=nightly``), which tries more than ``make test``."""

import os
from typing import Final

NIGHTLY: Final = os.environ.get("SIMULATION") == "nightly"


def examples(most: int) -> int:
    """Return how many examples Hypothesis tries: ``most`` at night, an eighth of them by day, but at least 15."""
    return most if NIGHTLY else max(most // 8, 15)
