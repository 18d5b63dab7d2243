"""``token``: make a bearer token, for trying things out."""

import re
import time
from typing import Final

import click

from booking_payments.entrypoints.cli.runner import extra_or_fail, fail, settings_or_fail
from booking_payments.presentation.tokens import MAX_LIFETIME_S, MAX_SUBJECT

_UNITS_S: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}


class Duration(click.ParamType[int]):
    """A number with a unit: 30s, 15m, 8h, 7d."""

    name = "duration"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The duration in seconds."""
        if isinstance(value, int):
            return value
        match = re.fullmatch(r"([0-9]{1,9})([smhd])", str(value), re.ASCII)
        seconds = int(match[1]) * _UNITS_S[match[2]] if match else 0
        if not 0 < seconds < MAX_LIFETIME_S:
            self.fail("write a number and a unit, such as 30s, 15m, 8h or 7d; a year at most", param, ctx)
        return seconds


@click.command()
@click.option(
    "--sub",
    "subject",
    metavar="ID",
    required=True,
    help="A customer's id, or the name of an operator or backend.",
)
@click.option(
    "--scope",
    metavar="SCOPES",
    default="",
    help='Scopes: "bookings:write", "payments:operate", or both.',
)
@click.option("--ttl", "lifetime_s", type=Duration(), default="12h", show_default=True, help="Lifetime.")
def token(subject: str, scope: str, lifetime_s: int) -> None:
    """Print a token, signed with JWT_SECRET.

    \b
    Examples:
      booking-payments token --sub ann
      booking-payments token --sub shop --scope "bookings:write"
      booking-payments token --sub olga --scope "payments:operate" --ttl 8h
    """
    if not subject or len(subject) > MAX_SUBJECT or not subject.isprintable():
        raise click.BadParameter(f"use 1 to {MAX_SUBJECT} visible characters", param_hint="--sub")
    settings = settings_or_fail()
    with extra_or_fail("http", "token"):
        import jwt
    if settings.jwt_signing_key is None:
        fail(f"tokens are signed with {settings.jwt_algorithm.value} elsewhere; only HS256 (JWT_SECRET) can sign here")
    claims: dict[str, object] = {"sub": subject, "exp": int(time.time()) + lifetime_s, "iat": int(time.time())}
    named = {"scope": scope, "iss": settings.jwt_issuer, "aud": settings.jwt_audience}
    claims |= {name: value for name, value in named.items() if value}
    click.echo(jwt.encode(claims, settings.jwt_signing_key, settings.jwt_algorithm.value))
