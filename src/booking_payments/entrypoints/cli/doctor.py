"""``doctor``: checks settings, database, gateway and channels, and prints a remedy for each problem."""

import asyncio
import json
import os
from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import click
from attrs import asdict

from booking_payments.adapters.network import Network, NetworkMisconfigured
from booking_payments.application.channels import ChannelState
from booking_payments.entrypoints.cli.messages import channel_line
from booking_payments.ports.gateway import Gateway
from booking_payments.ports.gateway_plugin import Check, GatewayPlugin
from booking_payments.ports.identity_provider import LogInRejected, ProviderUnavailable
from booking_payments.runtime.logging import set_up_logging
from booking_payments.runtime.services import Readiness, Services
from booking_payments.runtime.settings import Settings, load_settings
from booking_payments.runtime.settings_error import SettingsError

if TYPE_CHECKING:
    from booking_payments.adapters.sql.pooling import Pooling

_DAY: Final = timedelta(hours=24)
POOLER: Final = "pooler"


def report(as_json: bool) -> bool:
    """Run all checks and print the results; returns True when none failed."""
    checks = _checks()
    healthy = all(check.ok for check in checks)
    if as_json:
        click.echo(json.dumps({"ok": healthy, "checks": [asdict(check) for check in checks]}))
    else:
        for check in checks:
            click.echo(_line(check))
    return healthy


def _line(check: Check) -> str:
    remedy = f"; {check.remedy}" if check.remedy else ""
    verdict = "FAIL" if not check.ok else "warn" if check.remedy else "ok  "
    return f"{verdict}  {check.name:<11} {check.detail}{remedy}"


def _checks() -> list[Check]:
    try:
        settings = load_settings()
    except SettingsError as error:
        return [Check("settings", False, str(problem.setting), problem.remedy) for problem in error.problems]
    set_up_logging(settings)
    return [
        Check("settings", True, f"all settings are valid; {_names_read(settings)}"),
        *_ways_out(settings),
        *_service_checks(settings),
        *_rates(settings),
        *_identity_provider(settings),
    ]


def _names_read(settings: Settings) -> str:
    """Return the name that the database's address was read from, and the other settings given with the prefix."""
    name = settings.read_from("DATABASE_URL")
    database = f"the database is that of {name}" if name else "the database is the default, since DATABASE_URL is unset"
    others = [each for each in settings.prefixed if each != name]
    return f"{database}; also read with the prefix: {', '.join(others)}" if others else database


def _ways_out(settings: Settings) -> list[Check]:
    """Check how gateways and the receiver of messages are reached: directly, or through a proxy."""
    ways = {
        f"to {there}": address
        for name, plugin in settings.plugins.items()
        for there, address in plugin.doctor.addresses(settings.of_gateway(name)).items()
    }
    if settings.oidc_issuer:
        ways["to the OpenID provider"] = settings.oidc_issuer
    if settings.messages_webhook_url:
        ways["to the booking app"] = settings.messages_webhook_url
    try:
        network = Network.of_environment()
    except NetworkMisconfigured as wrong:
        return [Check("network", False, wrong.variable, wrong.remedy)] if ways else []
    return [Check("network", True, f"{to}: {network.described(url)}") for to, url in ways.items()]


def _rates(settings: Settings) -> list[Check]:
    """The shared store of the rate limits, where there is one."""
    if not settings.rate_limit_enabled or settings.rate_limit_store_url is None:
        return []
    from booking_payments.runtime.composition import shared_store_answers

    try:
        answers = asyncio.run(shared_store_answers(settings))
    except SettingsError as error:
        return _missing(error)
    if not answers:
        return [Check("rate limits", False, "the store does not answer", "check RATE_LIMIT_STORE_URL")]
    return [Check("rate limits", True, "counted in the shared store")]


def _identity_provider(settings: Settings) -> list[Check]:
    """The OpenID provider for log-in to the console, where there is one."""
    if settings.oidc_issuer is None:
        return []
    from booking_payments.runtime.composition import examine_identity_provider

    try:
        found = asyncio.run(examine_identity_provider(settings))
    except SettingsError as error:
        return _missing(error)
    except (ProviderUnavailable, LogInRejected) as error:
        remedy = "check the settings OIDC_... and the provider; operators can log in with a token meanwhile"
        return [Check("log-in", False, str(error), remedy)]
    return [Check("log-in", True, found)]


def _service_checks(settings: Settings) -> list[Check]:
    try:
        return _looked_into(settings)
    except SettingsError as error:
        return _missing(error)


def _missing(error: SettingsError) -> list[Check]:
    """Packages that the settings ask for, by the setting."""
    return [Check("packages", False, problem.setting, problem.remedy) for problem in error.problems]


def _looked_into(settings: Settings) -> list[Check]:
    if not _exists(settings):
        missing = Readiness(
            database=True, migrations=False, detail="the schema is not current; run: booking-payments migrate"
        )
        return [*_readiness_checks(missing), *asyncio.run(_gateway_alone(settings))]
    return asyncio.run(_looked_at(settings))


async def _looked_at(settings: Settings) -> list[Check]:
    from booking_payments.runtime.composition import build
    from booking_payments.runtime.gateways import DatabaseUnavailableError

    try:
        async with build(settings) as services:
            readiness = await services.ready()
            checks = [*_readiness_checks(readiness), *await _gateways(settings, services.gateways)]
            if not readiness.database:
                return checks
            checks += await _pooling(settings)
            if not readiness.migrations or not all(each.ok for each in checks if each.name == POOLER):
                return checks  # the next checks read the database, and any statement may fail
            return [*checks, *await _deliveries(settings, services), *await _channels(settings, services)]
    except DatabaseUnavailableError:
        return [*_readiness_checks(Readiness(database=False, migrations=False)), *_known_gateways(settings)]


async def _pooling(settings: Settings) -> list[Check]:
    """Check the settings that a pooler in transaction mode requires; empty without such a pooler."""
    if not settings.on_postgresql:
        return []
    from psycopg import Error

    from booking_payments.adapters.sql.pooling import examine

    try:
        return pooling_checks(await examine(settings.normalized_database_url))
    except (Error, TimeoutError) as error:
        return [Check(POOLER, False, f"can't be looked at ({type(error).__name__})", "run doctor again in a moment")]


def pooling_checks(found: "Pooling") -> list[Check]:
    """Return the checks of a pooler in transaction mode; empty without one."""
    if not found.by_transaction:
        return []
    if not found.prepares:
        remedy = "use PgBouncer 1.22 or newer with max_prepared_statements above 200, session mode, or no pooler"
        return [Check(POOLER, False, "in transaction mode, and it does not keep prepared statements", remedy)]
    if not found.finds_schema:
        remedy = (
            f'run: ALTER ROLE "{found.role}" SET search_path = {found.schema}; for a role that only this service uses'
        )
        return [
            Check(
                POOLER,
                False,
                "in transaction mode: the search path is lost between transactions",
                remedy,
            )
        ]
    return [Check(POOLER, True, f"in transaction mode; the role finds the schema {found.schema}")]


async def _deliveries(settings: Settings, services: Services) -> list[Check]:
    """Check the webhooks of each gateway that sends some."""
    remedies = {name: plugin.doctor.webhooks_remedy for name, plugin in settings.plugins.items()}
    return [await _deliveries_of(services, name, remedy) for name, remedy in remedies.items() if remedy]


async def _deliveries_of(services: Services, gateway: str, remedy: str) -> Check:
    """Check how many of a gateway's webhooks had a wrong signature lately, and when the last good one came."""
    now = services.clock.now()
    since = now.replace(minute=0, second=0, microsecond=0) - _DAY  # counted by the hour: rather a part of one more
    refused = await services.storage.read(lambda uow: uow.inbox.refused_since(gateway, since))
    good = await services.storage.read(lambda uow: uow.inbox.latest_delivery(gateway))
    last = f"the last good one came at {good:%Y-%m-%d %H:%M:%S} UTC" if good else "no good one has come yet"
    detail = f"{gateway}: {refused} refused for their signature in the last 24 hours; {last}"
    if refused and (good is None or good < since):
        return Check("webhooks", False, detail, remedy)
    return Check("webhooks", True, detail)


async def _channels(settings: Settings, services: Services) -> list[Check]:
    """Check the channels of messages: how many messages wait, and whether a process delivers them."""
    states = await services.payments.channel_states()
    if not states.channels:
        detail = f"none is recorded; {states.unassigned} messages wait for the first one"
        remedy = "set MESSAGES_WEBHOOK_URL or MESSAGES_BROKER_URL, or embed with consumers=[...], to receive messages"
        return [Check("channels", True, detail, remedy)]
    recorded = {each.channel.name for each in states.channels}
    missing = [
        Check("channels", False, f"{name} is not recorded", f"run: booking-payments messages channels add {name}")
        for name in settings.channels
        if name not in recorded
    ]
    return [*missing, *map(_channel, states.channels)]


def _channel(state: ChannelState) -> Check:
    if state.silent_since is None:
        return Check("channels", True, channel_line(state))
    name = state.channel.name
    remedy = f"start the process that delivers on it, or run: booking-payments messages channels remove {name}"
    return Check("channels", False, channel_line(state), remedy)


async def _gateway_alone(settings: Settings) -> list[Check]:
    """The gateways, without opening the database: looking must not make its file."""
    if settings.in_one_process:
        return _known_gateways(settings)
    from booking_payments.runtime.composition import gateways_alone

    async with gateways_alone(settings) as gateways:
        return await _gateways(settings, gateways)


def _exists(settings: Settings) -> bool:
    """False for a SQLite file that is not there yet: looking must not make it."""
    if settings.on_postgresql:
        return True
    return os.path.exists(settings.normalized_database_url.partition("///")[2].partition("?")[0])


def _readiness_checks(readiness: Readiness) -> list[Check]:
    if not readiness.database:
        return [Check("database", False, "cannot be reached", "check DATABASE_URL")]
    database = Check("database", True, "can be reached")
    if not readiness.migrations:
        found, _, remedy = (readiness.detail or "not current; run: booking-payments migrate").partition("; ")
        return [database, Check("migrations", False, found, remedy)]
    return [database, Check("migrations", True, "current")]


async def _gateways(settings: Settings, gateways: Mapping[str, Gateway]) -> list[Check]:
    """Each gateway of the settings, the default one first."""
    found: list[Check] = []
    for name, plugin in settings.plugins.items():
        if plugin.doctor.examine is None:
            found.append(_known(name, plugin))
        else:
            found += await plugin.doctor.examine(settings.of_gateway(name), gateways[name])
    return found


def _known_gateways(settings: Settings) -> list[Check]:
    return [_known(name, plugin) for name, plugin in settings.plugins.items()]


def _known(name: str, plugin: GatewayPlugin) -> Check:
    """Return the check of a gateway that is not examined."""
    return Check("gateway", True, f"{name}: {plugin.doctor.note}")
