"""``sandbox``: an offline emulator of Stripe's HTTP API."""

import signal
from datetime import timedelta

import click

from booking_payments.entrypoints.cli.runner import extra_or_fail, fail
from booking_payments.sandbox.emulator.currencies import DEFAULT_DIGITS, HIGHEST_DIGITS


@click.command(short_help="Run an offline emulator of Stripe's HTTP API.")
@click.option("--host", metavar="ADDRESS", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    metavar="PORT",
    default=12111,
    show_default=True,
    type=click.IntRange(0, 65535),
    help="Port to listen on; 0: a free port.",
)
@click.option(
    "--delay",
    metavar="SECONDS",
    default=2.0,
    show_default=True,
    type=click.FloatRange(0, 86400),
    help="Seconds until delayed events: refunds arrive, debits settle, disputes change.",
)
@click.option(
    "--amount-digits",
    metavar="N",
    envvar="GATEWAY_MAX_AMOUNT_DIGITS",
    show_envvar=True,
    default=DEFAULT_DIGITS,
    show_default=True,
    type=click.IntRange(DEFAULT_DIGITS, HIGHEST_DIGITS),
    help="Digits of the largest charge, in Stripe's smallest units.",
)
def sandbox(host: str, port: int, delay: float, amount_digits: int) -> None:
    """Run an offline emulator of Stripe's HTTP API with state, test cards, webhooks and faults on request.

    It moves no money, stores nothing on disk, and accepts any key that begins with sk_test_. It prints its address
    when it listens, and runs until a signal ends it.

    \b
    Examples:
      booking-payments sandbox
      booking-payments sandbox --port 12111 --delay 0
      curl http://127.0.0.1:12111/v1/payment_intents -u sk_test_any: -d amount=1000 -d currency=usd
    """
    import anyio

    with extra_or_fail("http", "sandbox"):
        import uvicorn  # noqa: F401 - what listens
    try:
        anyio.run(_serve, host, port, timedelta(seconds=delay), amount_digits)
    except OSError as error:
        fail(f"cannot listen on {host} port {port}: {error.strerror or 'unknown host'}")


async def _serve(host: str, port: int, delay: timedelta, amount_digits: int) -> None:
    import anyio

    from booking_payments.sandbox.http.account import SandboxStripe
    from booking_payments.sandbox.http.server import serving

    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with serving(SandboxStripe(delay, amount_digits=amount_digits), host, port) as address:
            click.echo(f"the sandbox listens on {address} (Stripe's API: /v1, controls: /_sandbox)")
            async for _ in signals:
                break
