"""Tests of the Stripe adapter: objects, responses, requests, signatures, webhooks."""
