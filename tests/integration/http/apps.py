"""Apps for the tests, used again: making one takes a third of a second of CPU time, more than most tests need."""

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from litestar import Litestar

from booking_payments.entrypoints.http.app import create_app, state_of
from booking_payments.runtime.services import Services

MOST: Final = 12
"""Apps that are kept; each needs a few megabytes."""

READ_LATER: Final = ("RATE_LIMIT_", "PAYMENT_", "STRIPE_", "MERCHANT_", "BUSINESS_TIME_ZONE")
"""How the names of settings begin that are read with each request or are in the services, not when an app is made."""

_unused: OrderedDict[object, Litestar] = OrderedDict()


@contextmanager
def app_over(services: Services, changes: Mapping[str, str]) -> Iterator[Litestar]:
    """An app over ``services``, whose settings are those of the tests with ``changes``.

    An app of an earlier test that was made by the same settings gets the state of a new one.
    """
    shape = frozenset((name, value) for name, value in changes.items() if not name.startswith(READ_LATER))
    key = (services.sandbox is None, shape)
    app = _unused.pop(key, None) or create_app(services)
    app.state.clear()
    app.state.update(state_of(services))
    yield app
    _unused[key] = app
    if len(_unused) > MOST:
        _unused.popitem(last=False)
