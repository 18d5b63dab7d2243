"""The fake gateway as a plugin."""
