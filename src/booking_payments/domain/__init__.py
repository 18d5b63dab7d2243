"""The pure core: money, bookings, payments and their rules. Imports the standard library and attrs only."""
