"""``migrate``: upgrade the database to the newest schema."""

import click

from booking_payments.entrypoints.cli.runner import fail, settings_or_fail


@click.command()
def migrate() -> None:
    """Upgrade the database at DATABASE_URL to the newest schema.

    Running it again changes nothing.

    \b
    Examples:
      booking-payments migrate
      DATABASE_URL=postgresql://me@localhost/payments booking-payments migrate
    """
    from sqlalchemy.exc import SQLAlchemyError

    from booking_payments.adapters.sql import migrations
    from booking_payments.runtime.extras import require_driver
    from booking_payments.runtime.settings_error import SettingsError

    settings = settings_or_fail()
    try:
        require_driver(on_postgresql=settings.on_postgresql)
        revision = migrations.migrate(settings.normalized_database_url)
    except SettingsError as error:
        fail(str(error))
    except migrations.CannotMigrateError as error:
        fail(str(error))
    except (SQLAlchemyError, OSError) as error:
        fail(f"the database can't be migrated; check DATABASE_URL ({type(error).__name__})")
    click.echo(f"the database is at revision {revision}")
