"""The tables of the service in the database of an application with tables of the same names and its own Alembic."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import URL, Engine, create_engine, inspect, text

from booking_payments import Currency, Money, NewBooking, open_payments_sync
from booking_payments.adapters.sql.engine import libpq_with_schema, normalize_url, schema_of
from booking_payments.adapters.sql.migrations import head, migrate
from booking_payments.adapters.sql.storage import SqlStorage
from booking_payments.entrypoints.cli import main
from booking_payments.runtime.readiness import readiness
from booking_payments.runtime.settings import load_settings
from booking_payments.runtime.settings_error import SettingsError
from tests import preloaded
from tests.integration.postgres import PostgresServer
from tests.nightly import NIGHTLY

MODELS = """
from sqlalchemy import Column, Integer, MetaData, Table, Text

metadata = MetaData()
Table("bookings", metadata, Column("number", Integer, primary_key=True), Column("guest", Text, nullable=False))
Table("payments", metadata, Column("number", Integer, primary_key=True), Column("euros", Integer, nullable=False))
Table("audit", metadata, Column("number", Integer, primary_key=True){more})
"""

ENV = """
import os
from alembic import context
from sqlalchemy import create_engine
from booking_payments.autogenerate import include_name
from models import metadata

with create_engine(os.environ["APP_URL"]).connect() as connection:
    context.configure(
        connection=connection,
        target_metadata=metadata,
        include_name=include_name,
        include_schemas={schemas},
    )
    with context.begin_transaction():
        context.run_migrations()
"""

TEMPLATE = '''"""${message}"""
from alembic import op
import sqlalchemy as sa
revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
def upgrade():
    ${upgrades if upgrades else "pass"}
def downgrade():
    pass
'''


class App:
    """An application with its own Alembic in ``folder``, on the database at ``url``."""

    def __init__(self, url: str, folder: Path, *, schemas: bool) -> None:
        self.url, self._folder = url, folder
        (folder / "migrations" / "versions").mkdir(parents=True)
        (folder / "alembic.ini").write_text("[alembic]\nscript_location = migrations\nprepend_sys_path = .\n")
        (folder / "migrations" / "env.py").write_text(ENV.format(schemas=schemas))
        (folder / "migrations" / "script.py.mako").write_text(TEMPLATE)
        self.models("")
        parsed = normalize_url(url)
        self._sync = parsed.set(drivername="sqlite") if parsed.get_backend_name() == "sqlite" else parsed

    def models(self, more: str) -> None:
        (self._folder / "models.py").write_text(MODELS.format(more=more))

    def alembic(self, *words: str) -> str:
        """What the command says. Fails when it fails."""
        env = {"APP_URL": self._sync.render_as_string(hide_password=False), "PATH": "/usr/bin:/bin"}
        done = preloaded.ran(["-m", "alembic", *words], cwd=self._folder, env=env)
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    def generate(self, message: str) -> str:
        """The operations that autogenerate finds to be done."""
        before = set(self._versions())
        self.alembic("revision", "--autogenerate", "-m", message)
        (made,) = set(self._versions()) - before
        return made.read_text().partition("def upgrade():")[2].partition("def downgrade")[0]

    def _versions(self) -> list[Path]:
        return list((self._folder / "migrations" / "versions").glob("*.py"))

    def engine(self) -> Engine:
        return create_engine(self._sync)


@pytest.fixture(params=["sqlite", "postgresql", "postgresql, all schemas"])
def app(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[App]:
    """On PostgreSQL nothing but our own connections finds our tables."""
    if request.param == "sqlite":
        yield App(f"sqlite:///{tmp_path / 'shared.db'}", tmp_path, schemas=False)
        return
    server: PostgresServer = request.getfixturevalue("postgres_server")
    with server.database() as url:
        server.run(_found_by_nobody(url))
        yield App(url, tmp_path, schemas=request.param != "postgresql")


def _found_by_nobody(url: str) -> sql.Composed:
    name = url.rpartition("/")[2].partition("?")[0]
    return sql.SQL("ALTER DATABASE {} RESET search_path").format(sql.Identifier(name))


def _env(url: str, **more: str) -> Mapping[str, str]:
    return {"BOOKING_PAYMENTS_DATABASE_URL": url, **more}


def _pay(env: Mapping[str, str]) -> None:
    starts = datetime.now(UTC) + timedelta(days=30)
    amount = Money(10000, Currency.USD)
    seat = NewBooking(reference="SEAT-1", customer_id="ann", amount=amount, event_starts_at=starts)
    with open_payments_sync(env, env_file=None, migrate=True) as payments:
        booking = payments.register_booking(seat).booking
        assert payments.process_booking_payment(booking, "pm_card_visa").success
        assert payments.process_booking_refund(booking, "25.00", "rain").success


IN_TURN = [("theirs", "sqlite"), ("ours", "postgresql"), ("theirs", "postgresql, all schemas")]
OTHERS = [("ours", "sqlite"), ("theirs", "postgresql"), ("ours", "postgresql, all schemas")]


@pytest.mark.parametrize(("first", "app"), [*IN_TURN, *(OTHERS if NIGHTLY else ())], indirect=["app"])
def test_neither_gets_into_the_others_way(app: App, first: str) -> None:
    if first == "ours":
        _pay(_env(app.url))
    assert "bookings" in app.generate("first")
    app.alembic("upgrade", "head")
    if first == "theirs":
        _pay(_env(app.url))

    nothing = app.generate("nothing")
    app.alembic("upgrade", "head")
    app.models(', Column("note", Integer)')
    something = app.generate("something")
    app.alembic("upgrade", "head")

    assert (
        nothing.strip()
        == "# ### commands auto generated by Alembic - please adjust! ###\n    pass\n    # ### end Alembic commands ###"
    )
    assert [line.strip() for line in something.splitlines() if "op." in line] == [
        "op.add_column('audit', sa.Column('note', sa.Integer(), nullable=True))"
    ]
    assert migrate(app.url) == head()
    with open_payments_sync(_env(app.url), env_file=None) as payments:
        assert len(payments.list_payments().items) == 1


@pytest.mark.parametrize("app", ["postgresql", "postgresql, all schemas"], indirect=True)  # SQLite has no schemas
def test_another_schema_keeps_another_installation(app: App) -> None:
    _pay(_env(app.url))
    _pay(_env(app.url, DATABASE_SCHEMA="tickets"))

    engine = app.engine()
    with engine.connect() as connection:
        counted = [connection.execute(text(count)).scalar_one() for count in _COUNTS]
    tables = inspect(engine).get_table_names("public")
    engine.dispose()

    assert (counted, tables) == ([1, 1], [])


_COUNTS = ("SELECT count(*) FROM booking_payments.bp_payments", "SELECT count(*) FROM tickets.bp_payments")


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        ("DROP TABLE bp_drift_reports", "has no bp_drift_reports"),
        ("ALTER TABLE bp_refused_deliveries DROP COLUMN deliveries", "has no bp_refused_deliveries.deliveries"),
    ],
)
async def test_a_damaged_schema_with_the_current_version_is_not_ready(
    database_url: str, storage: SqlStorage, harm: str, said: str
) -> None:
    async with storage.engine.begin() as connection:
        await connection.exec_driver_sql(harm)

    ready = await readiness(storage)

    assert (ready.ok, ready.migrations) == (False, False)
    assert said in str(ready.detail)


def test_doctor_names_missing_tables_and_columns(
    database_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A wrong migration of the application changes the tables and not the revision."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BOOKING_PAYMENTS_DATABASE_URL", database_url)
    parsed = normalize_url(database_url)
    engine = create_engine(parsed.set(drivername="sqlite") if parsed.get_backend_name() == "sqlite" else parsed)
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE bp_drift_reports")
    engine.dispose()

    done = CliRunner().invoke(main, ["doctor"])

    assert done.exit_code == 1
    assert "has no bp_drift_reports; restore a backup" in done.output


@pytest.mark.parametrize("name", ["", "Books", "pg_books", "public; DROP", 'a"b', "a" * 64])
def test_a_schema_has_a_plain_name(name: str) -> None:
    url = URL.create("postgresql", host="db", query={"schema": name})

    with pytest.raises(ValueError, match="a schema is called by"):
        schema_of(url)
    if name:
        with pytest.raises(SettingsError, match=r"^DATABASE_SCHEMA: "):
            load_settings({"DATABASE_SCHEMA": name}, None)


def test_workers_find_our_tables_from_the_start() -> None:
    dsn = libpq_with_schema("postgresql+psycopg://db/books?schema=tickets&options=-cwork_mem%3D8MB")

    assert conninfo_to_dict(dsn) == {
        "host": "db",
        "dbname": "books",
        "options": "-cwork_mem=8MB -csearch_path=tickets",
    }
