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

_unused: OrderedDict[object, Litestar] = OrderedDict()


@contextmanager
def app_over(services: Services, changes: Mapping[str, str]) -> Iterator[Litestar]:
    """An app over ``services``, whose settings are those of the tests with ``changes``.

    An app of an earlier test with the same settings gets the state of a new one.
    """
    key = (services.sandbox is None, frozenset(changes.items()))
    app = _unused.pop(key, None) or create_app(services)
    app.state.clear()
    app.state.update(state_of(services))
    yield app
    _unused[key] = app
    if len(_unused) > MOST:
        _unused.popitem(last=False)
