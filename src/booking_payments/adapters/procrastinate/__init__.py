"""Background work on any number of machines, over the one PostgreSQL that they share: Procrastinate."""
