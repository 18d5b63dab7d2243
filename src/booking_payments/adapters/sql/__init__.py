"""Storage in SQL: SQLite embedded, PostgreSQL to grow. Tables, rows, transactions, migrations."""
