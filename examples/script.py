"""Pays a booking with the fake gateway, and refunds a part of it: `python examples/script.py`."""

from datetime import UTC, datetime, timedelta

from booking_payments import Currency, Money, NewBooking, open_payments_sync

starts = datetime.now(UTC) + timedelta(days=30)
price = Money.parse("100.00", Currency.USD)
seat = NewBooking(reference=f"SEAT-{starts:%H%M%S%f}", customer_id="ann", amount=price, event_starts_at=starts)

with open_payments_sync(migrate=True) as payments:
    booking = payments.register_booking(seat).booking
    print(payments.process_booking_payment(booking, "pm_card_visa").success)
    print(payments.process_booking_refund(booking, "25.00", "rain").success)
