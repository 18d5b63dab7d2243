"""The schema's history, applied by ``migrate`` and checked at start. Alembic does the work."""

from pathlib import Path
from typing import Any, Final

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine
from sqlalchemy.ext.asyncio import AsyncEngine

from booking_payments.adapters.sql.engine import is_sqlite, normalize_url

_HERE: Final = Path(__file__).parent


def _config(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(_HERE))
    config.attributes["connection"] = connection
    return config


def head() -> str:
    """The revision that this version of the package needs."""
    revision = ScriptDirectory.from_config(_config()).get_current_head()
    return str(revision)


def migrate(url: str) -> str:
    """Bring the database at ``url`` to the newest revision; returns it. Running it twice changes nothing."""
    parsed = normalize_url(url)
    sync = parsed.set(drivername="sqlite") if is_sqlite(parsed) else parsed
    engine = create_engine(sync)
    try:
        with engine.begin() as connection:
            command.upgrade(_config(connection), "head")
    finally:
        engine.dispose()
    return head()


async def current(engine: AsyncEngine) -> str | None:
    """The revision of the database; None for an empty one. Raises what the driver raises when it can't be reached."""
    async with engine.connect() as connection:
        return await connection.run_sync(_current)


def _current(connection: Any) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()
