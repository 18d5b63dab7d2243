"""Litestar's test client without its thread.

Litestar's client runs the application in the event loop of another thread, and changes threads four times for each
request, which takes longer than many requests.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from inspect import isawaitable
from typing import Any, TypeVar

from attrs import define, field
from litestar.testing import TestClient
from litestar.types import ASGIApp

T = TypeVar("T", bound=ASGIApp)


@define
class Portal:
    """What the test client uses of anyio's ``BlockingPortal``. Its event loop runs only while ``call`` does."""

    loop: asyncio.AbstractEventLoop
    _elsewhere: ThreadPoolExecutor = field(factory=lambda: ThreadPoolExecutor(1))

    def call(self, work: Callable[..., Any], *given: Any) -> Any:
        """Run a function, which may be async, in the event loop, and return its result."""

        async def called() -> Any:
            result = work(*given)
            return await result if isawaitable(result) else result

        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return self.loop.run_until_complete(called())
        # An async test: a thread runs one event loop at a time.
        return self._elsewhere.submit(copy_context().run, self.loop.run_until_complete, called()).result()

    def start_task_soon(self, work: Callable[..., Coroutine[Any, Any, Any]], *given: Any) -> "asyncio.Task[Any]":
        """Start a coroutine that goes on while ``call`` runs others."""
        task = self.loop.create_task(work(*given))
        # Reads the exception, as anyio's portal does: asyncio reports those that nobody reads.
        task.add_done_callback(lambda done: done.cancelled() or done.exception())
        return task

    def close(self) -> None:
        self._elsewhere.shutdown()


@contextmanager
def open_portal() -> Iterator[Portal]:
    """A new event loop. At the end its tasks are canceled."""
    with asyncio.Runner() as runner:
        portal = Portal(runner.get_loop())
        yield portal
        portal.close()


class InThreadClient(TestClient[T]):
    """Runs the application in the thread of the test, so it serves one request at a time."""

    @contextmanager
    def portal(self) -> Iterator[Any]:
        """The portal of this client, or a new one before it is entered."""
        if hasattr(self, "blocking_portal"):
            yield self.blocking_portal
            return
        with open_portal() as portal:
            yield portal
