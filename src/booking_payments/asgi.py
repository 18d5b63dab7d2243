"""The HTTP API for any ASGI server: ``uvicorn --factory booking_payments.asgi:app``.

``booking-payments serve`` runs the same app with the settings' host and port; its worker processes call ``app``.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from booking_payments.ports.gateway import OwnGateway
from booking_payments.runtime.channels import attach_channels
from booking_payments.runtime.composition import build
from booking_payments.runtime.extras import extra
from booking_payments.runtime.logging import log_through_the_host, set_up_logging
from booking_payments.runtime.process import collect_garbage_less, collecting_traces, end_with_parent
from booking_payments.runtime.settings import Settings, load_settings
from booking_payments.runtime.settings_error import SettingProblem, SettingsError

if TYPE_CHECKING:
    from litestar import Litestar

Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]


def app() -> "Application":
    """Return the application with the settings of the environment. Raises ``SettingsError`` when they are wrong."""
    settings = load_settings()
    set_up_logging(settings)
    end_with_parent()
    return Application(settings)


class Application:
    """Opens database and gateway when the server starts it, and closes them when the server stops it.

    An application that mounts this one has to enter ``opened()`` in its own lifespan, since servers do not start
    mounted applications. Paths are read without the prefix at which it is mounted.
    """

    def __init__(self, settings: Settings, own: OwnGateway | None = None) -> None:
        """``own`` is used in place of the gateway that the settings name."""
        self._settings = settings
        self._own = own
        self._app: Litestar | None = None

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            with collecting_traces():
                async with self._created(mounted=False) as app:  # this call returns when the server stops
                    collect_garbage_less()
                    await app(scope, receive, send)
        elif self._app is not None:
            await self._app(_without_prefix(scope), receive, send)
        else:
            raise RuntimeError(
                "the database is not open: the server has to run the lifespan protocol, or the application that mounts "
                "this one has to enter opened()"
            )

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Open database and gateway until the context ends, for the lifespan of an application that mounts this one.

        The fake gateway delivers its webhooks within the process, or posts them to ``FAKE_WEBHOOK_URL``.

        Raises:
            SettingsError: When the database can't be used, or a channel is not recorded while others are.
        """
        log_through_the_host()
        async with self._created(mounted=True) as app, app.lifespan():
            yield

    @asynccontextmanager
    async def _created(self, *, mounted: bool) -> AsyncIterator["Litestar"]:
        with extra("http", "booking_payments.asgi"):
            from booking_payments.entrypoints.http.app import create_app
        async with build(self._settings, own=self._own, serving=True, mounted=mounted) as services:
            readiness = await services.ready()
            if not readiness.ok:
                raise SettingsError(SettingProblem("DATABASE_URL", readiness.detail or "must be ready"))
            await attach_channels(services)
            self._app = create_app(services)
            try:
                yield self._app
            finally:
                self._app = None


def _without_prefix(scope: Any) -> Any:
    """Return the request's scope as if the application were not mounted at ``root_path`` but at the root."""
    prefix = scope.get("root_path", "").rstrip("/")
    if not prefix or not scope["path"].startswith(f"{prefix}/"):
        return scope
    raw, encoded = scope.get("raw_path"), quote(prefix).encode()
    shorter = raw.removeprefix(encoded) if raw else raw
    return {**scope, "root_path": "", "path": scope["path"].removeprefix(prefix), "raw_path": shorter}
