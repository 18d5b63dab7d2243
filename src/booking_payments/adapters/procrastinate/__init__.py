"""Background work on several machines with Procrastinate, over a shared PostgreSQL database."""
