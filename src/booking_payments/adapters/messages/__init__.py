"""Adapters that deliver messages to the booking app: signed webhooks, or a broker."""
