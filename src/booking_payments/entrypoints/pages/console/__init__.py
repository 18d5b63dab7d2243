"""The operator's console: what is going on, and what an operator may do about it."""
