"""Adapters: each knows the inner layers and one foreign thing."""
