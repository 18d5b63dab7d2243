"""``doctor``: looks at everything that has to be right, and says what to do where it is not."""

import asyncio
import json
import os

import click
from attrs import asdict, frozen

from booking_payments.entrypoints.http.services import Readiness
from booking_payments.settings import GatewayName, Settings, SettingsError, load_settings


@frozen
class Check:
    """One thing looked at; ``remedy`` says what to do when it is not ``ok``."""

    name: str
    ok: bool
    detail: str
    remedy: str | None = None


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
@click.pass_context
def doctor(context: click.Context, as_json: bool) -> None:
    """Check settings, database, migrations and gateway. Exit status 0 when all is well, else 1.

    \b
    Examples:
      booking-payments doctor
      booking-payments doctor --json
    """
    checks = _checks()
    healthy = all(check.ok for check in checks)
    if as_json:
        click.echo(json.dumps({"ok": healthy, "checks": [asdict(check) for check in checks]}))
    else:
        for check in checks:
            click.echo(_line(check))
    context.exit(0 if healthy else 1)


def _line(check: Check) -> str:
    remedy = f"; {check.remedy}" if check.remedy else ""
    return f"{'ok  ' if check.ok else 'FAIL'}  {check.name:<11} {check.detail}{remedy}"


def _checks() -> list[Check]:
    try:
        settings = load_settings()
    except SettingsError as error:
        return [Check("settings", False, str(problem.setting), problem.remedy) for problem in error.problems]
    return [Check("settings", True, "all settings are valid"), *_database(settings), _gateway(settings)]


def _database(settings: Settings) -> list[Check]:
    if not _exists(settings):
        missing = Readiness(database=True, migrations=False, detail="run: booking-payments migrate")
        return _readiness_checks(missing)
    try:
        return _readiness_checks(asyncio.run(_readiness(settings)))
    except SettingsError as error:
        return [Check("gateway", False, error.problems[0].setting, error.problems[0].remedy)]


def _exists(settings: Settings) -> bool:
    """False for a SQLite file that is not there yet: looking must not make it."""
    if settings.on_postgresql:
        return True
    return os.path.exists(settings.normalized_database_url.partition("///")[2].partition("?")[0])


async def _readiness(settings: Settings) -> Readiness:
    from booking_payments.container import build

    async with build(settings) as services:
        return await services.ready()


def _readiness_checks(readiness: Readiness) -> list[Check]:
    if not readiness.database:
        return [Check("database", False, "cannot be reached", "check DATABASE_URL")]
    database = Check("database", True, "can be reached")
    if not readiness.migrations:
        return [database, Check("migrations", False, "not current", "run: booking-payments migrate")]
    return [database, Check("migrations", True, "current")]


def _gateway(settings: Settings) -> Check:
    if settings.gateway is GatewayName.FAKE:
        return Check("gateway", True, "fake: no money moves")
    return Check("gateway", False, "stripe: not in this version", "set PAYMENT_GATEWAY=fake")
