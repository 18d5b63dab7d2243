"""Imported first by processes of our own: what they would load for nothing stays out.

It is a tenth of the memory of each process, and of the time that it takes to start. Where somebody else embeds us, all
this is theirs to decide.
"""

import sys
from importlib import import_module
from importlib.util import find_spec

from booking_payments.runtime.settings import GatewayName, Settings


def load(name: str, without: tuple[str, ...]) -> None:
    """Import ``name``, which takes each of ``without`` only where it finds it. What is loaded already stays."""
    if name in sys.modules or find_spec(name) is None:
        return
    hidden = [each for each in without if each not in sys.modules]
    try:
        sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type] # None: how Python is told that there is none
        import_module(name)
    finally:
        for each in hidden:
            sys.modules.pop(each, None)


def load_what_is_wanted(settings: Settings) -> None:
    """What these settings ask for. Stripe's SDK looks for clients to talk over, and is given ours; rates are counted in
    Redis only where one is named."""
    if settings.gateway is GatewayName.STRIPE:
        load("stripe", without=("requests", "httpx"))
    if settings.rate_limit_store_url is None:
        load("throttled", without=("redis",))


# Rich has a lexer for every language, for tracebacks in colour. Ours are text before they get there.
load("structlog", without=("rich", "better_exceptions"))
# The container can be wired into frameworks; ours are not wired into anything.
load("dependency_injector.wiring", without=("fastapi", "starlette", "werkzeug"))
