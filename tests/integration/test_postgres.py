"""The tests' own PostgreSQL is a real one, and every module starts from nothing."""

import psycopg

from tests.integration.postgres import PostgresServer


def _libpq(url: str) -> str:
    return url.replace("+psycopg", "", 1)


def test_runs_a_current_postgresql(postgres_url: str) -> None:
    with psycopg.connect(_libpq(postgres_url)) as connection:
        version = connection.info.server_version

    assert version >= 150000


def test_gives_an_empty_database(postgres_url: str) -> None:
    with psycopg.connect(_libpq(postgres_url)) as connection:
        rows = connection.execute("select 1 from information_schema.tables where table_schema = 'public'").fetchall()

    assert rows == []


def test_keeps_databases_apart(postgres_server: PostgresServer) -> None:
    with postgres_server.database() as one, postgres_server.database() as other:
        with psycopg.connect(_libpq(one)) as connection:
            connection.execute("create table t ()")

        with psycopg.connect(_libpq(other)) as connection:
            seen = connection.execute("select to_regclass('t')").fetchone()

    assert seen == (None,)


def test_drops_a_database_that_is_still_in_use(postgres_server: PostgresServer) -> None:
    with postgres_server.database() as url:
        name = url.rsplit("/", 1)[1]
        left_open = psycopg.connect(_libpq(url))
    left_open.close()

    with psycopg.connect(postgres_server.dsn) as connection:
        found = connection.execute("select 1 from pg_database where datname = %s", [name]).fetchone()
    assert found is None
