"""The HTTP API for any ASGI server: ``uvicorn --factory booking_payments.asgi:app``.

``booking-payments serve`` is the same with one process and the settings' host and port; with more workers each of its
processes begins here.
"""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from booking_payments.ports.gateway import OwnGateway
from booking_payments.runtime.channels import attach_channels
from booking_payments.runtime.composition import build
from booking_payments.runtime.extras import extra
from booking_payments.runtime.logging import set_up_logging
from booking_payments.runtime.problems import Problem, SettingsError
from booking_payments.runtime.process import collect_garbage_less, collecting_traces, end_with_parent, load_stripe_sdk
from booking_payments.runtime.settings import Settings, load_settings

if TYPE_CHECKING:
    from litestar import Litestar

Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]


def app() -> "Application":
    """The application of the settings in the environment. Raises ``SettingsError`` for wrong ones."""
    settings = load_settings()
    set_up_logging(settings)
    end_with_parent()
    load_stripe_sdk(settings)
    return Application(settings)


class Application:
    """Opens database and gateway when the server starts it, and closes them when the server stops it."""

    def __init__(self, settings: Settings, own: OwnGateway | None = None) -> None:
        """``own`` stands in for the gateway that the settings name."""
        self._settings = settings
        self._own = own
        self._app: Litestar | None = None

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        if self._app is not None:
            await self._app(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._live(scope, receive, send)
        else:
            raise RuntimeError("the server has to run the lifespan protocol: the database is opened there")

    async def _live(self, scope: Any, receive: Receive, send: Send) -> None:
        """The lifespan call lasts as long as the server, and so do the services."""
        with extra("http", "booking_payments.asgi"):
            from booking_payments.entrypoints.http.app import create_app
        with collecting_traces():
            async with build(self._settings, own=self._own, serving=True) as services:
                readiness = await services.ready()
                if not readiness.ok:
                    raise SettingsError(Problem("DATABASE_URL", readiness.detail or "must be ready"))
                await attach_channels(services)
                self._app = create_app(services)
                collect_garbage_less()
                await self._app(scope, receive, send)
                self._app = None
