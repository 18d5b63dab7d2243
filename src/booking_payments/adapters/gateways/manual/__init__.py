"""Money taken by hand, as a plugin."""
