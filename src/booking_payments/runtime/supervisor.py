"""The worker processes of ``serve``: several on one address; one that ends is replaced.

The supervisor waits for all events at the same time: the end of a worker, a heartbeat, a signal, and the time for a
replacement. The supervisor of uvicorn polls one worker after another and waits for its answer. While one worker starts,
or if it was killed before it answered, uvicorn replaces no other worker and handles no signal until a time-out. It also
ends the whole service, with exit status 0, when a single replacement can't start.
"""

import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing import Pipe, get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerContext, SpawnContext
from multiprocessing.process import BaseProcess
from typing import Final

import structlog
import uvicorn
from attrs import define

BEAT_S: Final = 5.0
"""Seconds between two heartbeats of a worker."""

MISSED_BEATS: Final = 12
"""A worker that misses this many heartbeats in a row hangs, and is killed. The supervisor counts its own beats and not
the time: if the whole machine is paused, only one beat is missed. Counting begins with the first heartbeat, so a worker
may take any time to load its code."""

LONGEST_PAUSE_S: Final = 10.0
"""The longest pause, in seconds, before a worker that could not start is replaced."""

log = structlog.get_logger("booking_payments.serve")


class WorkersFailedError(Exception):
    """No worker serves, and as many starts in a row as there should be workers have failed."""


@define(eq=False)
class _Worker:
    process: BaseProcess
    reports: Connection
    missed: int | None = None
    """Missed heartbeats in a row; None before the first heartbeat."""
    serving: bool = False


class Supervisor:
    """Runs ``count`` worker processes, which serve the application of ``config`` on the socket ``listening``."""

    def __init__(
        self,
        config: uvicorn.Config,
        listening: socket.socket,
        count: int,
        stop_within_s: float,
        beat_s: float = BEAT_S,
        context: SpawnContext | ForkServerContext | None = None,
    ) -> None:
        """A worker is killed when it does not end within ``stop_within_s`` seconds after SIGTERM, and when it sends no
        heartbeat for ``MISSED_BEATS`` times ``beat_s`` seconds. ``context`` starts the processes; None: each as a new
        interpreter."""
        self._config = config
        self._listening = listening
        self._count = count
        self._stop_within_s = stop_within_s
        self._beat_s = beat_s
        self._context = context or get_context("spawn")
        self._workers: list[_Worker] = []
        self._starts_at: list[float] = []
        self._failed_starts = 0

    def run(self) -> None:
        """Run the workers until SIGINT or SIGTERM, and return when all have ended.

        Raises:
            WorkersFailedError: When no worker can start.
        """
        with _stop_signals() as stopped:
            try:
                self._starts_at = [time.monotonic()] * self._count
                self._supervise(stopped)
            finally:
                self._end_all()

    def _supervise(self, stopped: Connection) -> None:
        next_beat = time.monotonic() + self._beat_s
        while not stopped.poll():
            self._start_due()
            self._wait(stopped, min(next_beat, *self._starts_at) if self._starts_at else next_beat)
            if time.monotonic() >= next_beat:
                self._count_missed()
                next_beat = time.monotonic() + self._beat_s

    def _start_due(self) -> None:
        now = time.monotonic()
        due = [at for at in self._starts_at if at <= now]
        self._starts_at = [at for at in self._starts_at if at > now]
        for _ in due:
            reports, sender = Pipe(duplex=False)
            process = self._context.Process(target=_work, args=(self._config, self._listening, sender, self._beat_s))
            process.start()
            sender.close()
            self._workers.append(_Worker(process, reports))

    def _wait(self, stopped: Connection, until: float) -> None:
        """Wait for an event until ``until`` (of the monotonic clock) at most, and handle all events that occurred."""
        reports = [each.reports for each in self._workers if not each.reports.closed]
        ends = [each.process.sentinel for each in self._workers]
        happened = wait([stopped, *reports, *ends], max(0, until - time.monotonic()))
        for worker in tuple(self._workers):
            if worker.reports in happened:
                self._listen(worker)
            if worker.process.sentinel in happened:
                self._replace(worker)

    def _listen(self, worker: _Worker) -> None:
        try:
            serving: bool = worker.reports.recv()
        except (EOFError, OSError):
            worker.reports.close()  # the worker is about to end, and its sentinel follows
            return
        worker.missed = 0
        if serving and not worker.serving:
            worker.serving, self._failed_starts = True, 0
            log.info("serve.worker_ready", pid=worker.process.pid)

    def _replace(self, worker: _Worker) -> None:
        """Schedule a replacement: at once for a worker that had served, else after a pause that grows with failures.

        Raises:
            WorkersFailedError: When no worker serves and ``count`` starts in a row have failed.
        """
        worker.process.join()
        self._workers.remove(worker)
        worker.reports.close()
        ended = {"pid": worker.process.pid, "exit_code": worker.process.exitcode}
        pause = 0.0
        if worker.serving:
            log.warning("serve.worker_ended", **ended)
        else:
            self._failed_starts += 1
            log.error("serve.worker_not_started", **ended)
            if self._failed_starts >= self._count and not any(each.serving for each in self._workers):
                raise WorkersFailedError
            pause = min(2.0 ** (self._failed_starts - 1), LONGEST_PAUSE_S)
        self._starts_at.append(time.monotonic() + pause)

    def _count_missed(self) -> None:
        for worker in self._workers:
            if worker.missed is None:
                continue
            worker.missed += 1
            if worker.missed > MISSED_BEATS:
                log.error("serve.worker_hung", pid=worker.process.pid)
                worker.process.kill()

    def _end_all(self) -> None:
        for worker in self._workers:
            worker.process.terminate()
        until = time.monotonic() + self._stop_within_s
        for worker in self._workers:
            worker.process.join(max(0, until - time.monotonic()))
            if worker.process.exitcode is None:
                log.error("serve.worker_stop_timed_out", pid=worker.process.pid)
                worker.process.kill()
                worker.process.join()
            worker.reports.close()
        self._workers.clear()


@contextmanager
def _stop_signals() -> Iterator[Connection]:
    """Yield a connection that becomes readable when this process receives SIGINT or SIGTERM."""
    stopped, sender = Pipe(duplex=False)

    def stop(*_: object) -> None:
        sender.send(None)

    before = {each: signal.signal(each, stop) for each in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stopped
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
        sender.close()
        stopped.close()


class _ReportingServer(uvicorn.Server):
    """Sets an event when it serves."""

    def __init__(self, config: uvicorn.Config, serves: threading.Event) -> None:
        super().__init__(config)
        self._serves = serves

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._serves.set()


def _work(config: uvicorn.Config, listening: socket.socket, supervisor: Connection, beat_s: float) -> None:
    """Run a worker process: send heartbeats, and serve until a signal arrives."""
    config.configure_logging()  # logging is configured per process, and this one was spawned
    serves = threading.Event()
    with suppress(OSError):
        supervisor.send(False)
    threading.Thread(target=_give_signs_of_life, args=(supervisor, serves, beat_s), daemon=True).start()
    with suppress(KeyboardInterrupt):  # the terminal interrupts all processes; the server has ended then
        _ReportingServer(config, serves).run([listening])


def _give_signs_of_life(supervisor: Connection, serves: threading.Event, beat_s: float) -> None:
    """Send a heartbeat at once when the server serves, and then every ``beat_s`` seconds."""
    with suppress(OSError):  # the supervisor has ended: see ``end_with_parent``
        serves.wait(beat_s)
        while True:
            serving = serves.is_set()
            supervisor.send(serving)
            if serving:
                time.sleep(beat_s)
            else:
                serves.wait(beat_s)
