"""Stripe as a plugin."""
