"""``booking-payments``: the command line. ``main`` is its entry; each command is a file of its own."""

from booking_payments.entrypoints.cli.main import main

__all__ = ["main"]
