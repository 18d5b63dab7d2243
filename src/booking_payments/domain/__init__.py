"""The domain: money, bookings, payments and their rules. It imports the standard library and attrs only."""
