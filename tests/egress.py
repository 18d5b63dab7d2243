"""A guard over the sockets of the whole run: this machine only, and what ``TEST_DATABASE_URL`` names.

Python reports every connection to its audit hooks before it is made (docs.python.org/3/library/audit_events), those of
asyncio and of libraries included. Code under test may well survive the refusal, so each is remembered, too, and fails
the test that it came from.
"""

import ipaddress
import os
import socket
import sys
from typing import Any, Final
from urllib.parse import urlsplit

CONNECTING: Final = ("socket.connect", "socket.sendto", "socket.sendmsg")
LOOKING_UP: Final = ("socket.getaddrinfo", "socket.gethostbyname")
WATCHED: Final = frozenset({*CONNECTING, *LOOKING_UP})
NAMED: Final = frozenset({"", "localhost", "::1", urlsplit(os.environ.get("TEST_DATABASE_URL", "")).hostname or ""})

attempts: list[str] = []
"""Refused connections that no test has examined yet."""


class LeftTheMachine(RuntimeError):  # noqa: N818 - it says what is the case
    """A test tried to reach another machine."""


def install() -> None:
    """Watch this process from now on, for good: a hook can't be taken away.

    Not in a run that was given a key of Stripe's test mode: that one is meant to reach Stripe.
    """
    if not os.environ.get("STRIPE_TEST_SECRET_KEY"):
        sys.addaudithook(_watch)


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    if event not in WATCHED:  # nearly all: each ``id()`` is such an event
        return
    if event in LOOKING_UP:
        _require_here(arguments[0], event)
    else:
        address = arguments[1] if len(arguments) > 1 else None
        if isinstance(address, tuple) and arguments[0].family in (socket.AF_INET, socket.AF_INET6):
            _require_here(address[0], event)


def _require_here(host: object, event: str) -> None:
    name = host.decode("ascii", "replace") if isinstance(host, bytes) else host
    if name is not None and not is_here(str(name)):
        attempts.append(f"{event} {name}")
        raise LeftTheMachine(f"{event}: {name} is not this machine")


def is_here(host: str) -> bool:
    """Whether ``host`` is this machine, or the database's that the run was given."""
    if host.lower() in NAMED:
        return True
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified
