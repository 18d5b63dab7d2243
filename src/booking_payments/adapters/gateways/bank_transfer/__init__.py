"""Bank transfers as a plugin."""
