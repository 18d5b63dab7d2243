"""A Stripe emulator that works offline: ``emulator`` is Stripe's behaviour in memory, ``http`` its HTTP interface.

Imports nothing else of booking-payments, so that a mistake in the Stripe adapter is not repeated by what judges it.
"""
