"""Stripe's language in ours: objects, answers, requests, signatures, webhooks."""
