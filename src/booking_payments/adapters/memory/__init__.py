"""The in-memory adapters: product, not test doubles. The fake gateway, stores, publisher, clock and ids."""
