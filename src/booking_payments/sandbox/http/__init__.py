"""The sandbox: the model of Stripe behind Stripe's own HTTP interface. Start at ``server.py``."""
