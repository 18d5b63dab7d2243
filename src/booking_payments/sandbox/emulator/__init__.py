"""Stripe's behaviour in memory: its objects, statuses, test payment methods, errors, events and idempotency.

Synchronous and pure: no network, no threads; time, randomness and storage come from outside. Start at
``model.py``.
"""

from booking_payments.sandbox.emulator.answers import StripeResponse
from booking_payments.sandbox.emulator.events import EventDelivery
from booking_payments.sandbox.emulator.faults import NetworkFault
from booking_payments.sandbox.emulator.model import FakeStripe
from booking_payments.sandbox.emulator.store import Change, FakeStore

__all__ = ["Change", "EventDelivery", "FakeStore", "FakeStripe", "NetworkFault", "StripeResponse"]
