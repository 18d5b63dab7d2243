"""booking-payments: takes payments for bookings, gives them back, and never twice."""
