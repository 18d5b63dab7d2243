"""Stripe's behaviour in memory: its objects, statuses, test payment methods, errors, events and idempotency.

Synchronous and pure: no network, no threads; time, randomness and storage come from outside. Start at
``model.py``.
"""

from booking_payments.adapters.fake_stripe.answers import Answer
from booking_payments.adapters.fake_stripe.events import Delivery
from booking_payments.adapters.fake_stripe.faults import NetworkFault
from booking_payments.adapters.fake_stripe.model import FakeStripe
from booking_payments.adapters.fake_stripe.store import Change, FakeStore

__all__ = ["Answer", "Change", "Delivery", "FakeStore", "FakeStripe", "NetworkFault"]
