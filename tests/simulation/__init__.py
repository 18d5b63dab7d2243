"""A deterministic simulation of everything that happens to payments: see ``README.md``."""
