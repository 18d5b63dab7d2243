"""``booking-payments``: the command line. ``main`` is its entry point; each command has its own module."""

from booking_payments.entrypoints.cli.main import main

__all__ = ["main"]
