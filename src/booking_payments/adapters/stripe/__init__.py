"""The Stripe gateway: amounts, objects, requests, errors, webhooks and their signatures."""
