"""A pooler in transaction mode in front of PostgreSQL is detected, and ``doctor`` says how to configure it."""

from collections.abc import Iterator

import psycopg
import pytest
from attrs import evolve
from click.testing import CliRunner
from psycopg import sql

from booking_payments.adapters.sql import migrations
from booking_payments.adapters.sql.migrations import migrate
from booking_payments.adapters.sql.pooling import Pooling, examine
from booking_payments.entrypoints.cli import main
from booking_payments.entrypoints.cli.doctor import pooling_checks
from tests.integration.pooler import pooled
from tests.integration.postgres import PostgresServer

GOOD = Pooling(by_transaction=True, prepares=True, finds_schema=True, schema="tickets", role="payments")


@pytest.fixture
def direct(postgres_server: PostgresServer) -> Iterator[str]:
    """A migrated database whose search path does not include the service's schema."""
    with postgres_server.database() as url:
        postgres_server.run(_forget_schema(url))
        migrate(url)
        yield url


def _forget_schema(url: str) -> sql.Composed:
    name = url.rpartition("/")[2].partition("?")[0]
    return sql.SQL("ALTER DATABASE {} RESET search_path").format(sql.Identifier(name))


async def test_a_direct_connection_is_no_pooler(direct: str) -> None:
    found = await examine(direct)

    assert (found.by_transaction, found.prepares, found.finds_schema) == (False, True, False)
    assert pooling_checks(found) == []


async def test_a_pooler_in_transaction_mode_without_prepared_statements_is_detected(direct: str) -> None:
    with pooled(direct) as address:
        found = await examine(address)

    assert (found.by_transaction, found.prepares, found.finds_schema) == (True, False, False)


@pytest.mark.parametrize(("path", "found"), [("booking_payments", True), ("public, booking_payments", False)])
async def test_whether_the_schema_is_found_without_the_session_is_what_role_or_database_say(
    direct: str, path: str, found: bool
) -> None:
    with psycopg.connect(direct.replace("+psycopg", ""), autocommit=True) as connection:
        name = sql.Identifier(connection.info.dbname)
        connection.execute(sql.SQL("ALTER DATABASE {} SET search_path TO {}").format(name, sql.SQL(path)))

    with pooled(direct) as address:
        assert (await examine(address)).finds_schema is found
        # What one session has set does not count, wherever the pooler has taken it.
        with psycopg.connect(address.replace("+psycopg", ""), autocommit=True) as connection:
            connection.execute("SET search_path TO elsewhere")
        assert (await examine(address)).finds_schema is found


@pytest.mark.parametrize(
    ("found", "verdict"),
    [
        (GOOD, (True, None)),
        (
            evolve(GOOD, finds_schema=False),
            (False, 'run: ALTER ROLE "payments" SET search_path = tickets; for a role that only this service uses'),
        ),
        (
            evolve(GOOD, prepares=False),
            (False, "use PgBouncer 1.22 or newer with max_prepared_statements above 200, session mode, or no pooler"),
        ),
    ],
)
def test_each_finding_has_its_remedy(found: Pooling, verdict: tuple[bool, str | None]) -> None:
    (check,) = pooling_checks(found)

    assert (check.ok, check.remedy) == verdict


def test_doctor_names_the_pooler(direct: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pooled(direct) as address:
        monkeypatch.setenv("BOOKING_PAYMENTS_DATABASE_URL", address)
        done = CliRunner().invoke(main, ["doctor"])

    assert done.exit_code == 1
    assert "FAIL  pooler      in transaction mode, and it does not keep prepared statements" in done.output


def test_doctor_does_not_mention_a_pooler_without_one(direct: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOOKING_PAYMENTS_DATABASE_URL", direct)

    assert "pooler" not in CliRunner().invoke(main, ["doctor"]).output


def test_a_migration_finds_the_schema_though_a_pooler_lost_what_the_session_set(
    postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrations, "prepare_postgresql", lambda *_: None)
    with postgres_server.database() as url:
        postgres_server.run(_forget_schema(url))
        migrate(url)
        with psycopg.connect(url.replace("+psycopg", "")) as connection:
            found = connection.execute(
                "SELECT DISTINCT schemaname FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
            ).fetchall()

    assert found == [("booking_payments",)]
