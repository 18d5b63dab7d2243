"""``booking-payments``: the command line. ``main`` is its entry; each command is a file of its own."""

# isort: split
from booking_payments.entrypoints import lean  # noqa: F401 - before anything else

# isort: split
from booking_payments.entrypoints.cli.main import main

__all__ = ["main"]
