"""The use cases again, over SQLite and PostgreSQL: the same tests as over memory, to the letter."""
