"""A worker that takes long to start, as on a busy machine, is waited for by its parent instead of being killed."""

import signal
import socket
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
import uvicorn
from attrs import define
from uvicorn.supervisors import Multiprocess
from uvicorn.supervisors.multiprocess import SIGNALS

from booking_payments.entrypoints.cli.serve import _config

APP = "tests.e2e.test_slow_workers:app"
SLOW_S = 45
"""How long the imports of a worker take here, by the parent's own reckoning: nobody waits for that."""


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Never asked for anything."""


@define
class SlowAnswers:
    """A parent's line to its worker, which answers only those who are ready to wait for ``SLOW_S``."""

    line: Any

    def poll(self, timeout_s: float) -> bool:
        return bool(timeout_s >= SLOW_S and self.line.poll(timeout_s))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.line, name)


@pytest.fixture(autouse=True)
def _handlers() -> Iterator[None]:
    """The parent sets handlers of its own for all signals."""
    before = {each: signal.getsignal(each) for each in SIGNALS}
    yield
    for each, handler in before.items():
        signal.signal(each, handler)


@pytest.mark.parametrize(
    ("config", "kept"),
    [
        pytest.param(_config(APP, workers=1), True, id="serve"),
        pytest.param(uvicorn.Config(APP, workers=1, log_config=None), False, id="uvicorn as it comes"),
    ],
)
def test_a_worker_that_starts_slowly_is_not_killed(config: uvicorn.Config, kept: bool) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        parent = Multiprocess(config, [listening])
        parent.init_processes()
        try:
            worker = parent.processes[0]
            worker.parent_conn = SlowAnswers(worker.parent_conn)  # type: ignore[assignment]

            parent.keep_subprocess_alive()

            assert (parent.processes[0] is worker, worker.process.is_alive()) == (kept, kept)
        finally:
            for each in parent.processes:
                each.kill()
            parent.join_all()
