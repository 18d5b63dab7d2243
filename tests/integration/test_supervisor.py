"""``serve`` replaces workers that end, independently of each other, and all of them end with a signal.

The test controls each step of the workers, so that nothing depends on their speed.
"""

import os
import select
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from booking_payments.runtime.supervisor import BEAT_S
from tests import preloaded
from tests.integration.supervised import NONE_COULD_START, WORKERS

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT_S = 50
"""Less than a worker may be silent: who waits for an answer of one that is dead is too late."""

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals and Unix sockets")


class ScriptedWorker:
    """A worker process that waits for its order, or has had it."""

    def __init__(self, line: socket.socket) -> None:
        self._line = line
        self._line.settimeout(TIMEOUT_S)
        with line.makefile() as said:
            self.pid = int(said.readline())

    def order(self, what: str) -> None:
        self._line.sendall(f"{what}\n".encode())

    def is_alive(self) -> bool:
        ended, _, _ = select.select([self._line], [], [], 0)
        return not ended

    def wait_until_ended(self) -> None:
        """Return when the process is gone."""
        with suppress(ConnectionResetError):
            assert self._line.recv(1) == b""


class Supervised:
    """A supervisor, and the workers that it starts, one after the other."""

    def __init__(self, process: preloaded.ForkedProcess, workers: socket.socket, lines: ExitStack) -> None:
        self.process = process
        self._workers = workers
        self._lines = lines

    def started(self) -> ScriptedWorker:
        """The next worker that was started."""
        line, _ = self._workers.accept()
        return ScriptedWorker(self._lines.enter_context(line))

    def serving(self) -> ScriptedWorker:
        """The next worker that was started, when the supervisor knows that it serves."""
        worker = self.started()
        worker.order("serve")
        self.wait_until_said("serve.worker_ready")
        return worker

    def wait_until_said(self, event: str) -> None:
        """Read the supervisor's log until it contains ``event``."""
        assert self.process.stdout is not None
        assert any(event in line for line in self.process.stdout)

    def ended(self) -> int:
        """Its exit status, once it has ended."""
        return self.process.wait(TIMEOUT_S)


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a name short enough for a Unix socket."""
    return tmp_path_factory.mktemp("s")


@contextmanager
def supervised(folder: Path, beat_s: float = BEAT_S) -> Iterator[Supervised]:
    address = str(folder / "orders")
    words = ["-m", "tests.integration.supervised", address, str(beat_s)]
    with ExitStack() as opened:
        listening = opened.enter_context(socket.socket(socket.AF_UNIX))
        listening.bind(address)
        listening.listen()
        listening.settimeout(TIMEOUT_S)
        process = preloaded.started(words, cwd=ROOT, env=os.environ, stdout=preloaded.PIPE)
        opened.callback(process.communicate)
        opened.callback(process.kill)
        yield Supervised(process, listening, opened)


def test_one_that_dies_before_it_gave_a_sign_of_life_is_replaced_while_another_still_starts(folder: Path) -> None:
    with supervised(folder) as supervisor:
        first, second = supervisor.started(), supervisor.started()
        os.kill(first.pid, signal.SIGKILL)
        third = supervisor.started()
        for each in (second, third):
            each.order("serve")
            supervisor.wait_until_said("serve.worker_ready")
        supervisor.process.terminate()

        assert supervisor.ended() == 0


@pytest.mark.parametrize("asked", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_obeyed_while_workers_start(folder: Path, asked: signal.Signals) -> None:
    with supervised(folder) as supervisor:
        starting = [supervisor.started() for _ in range(WORKERS)]
        supervisor.process.send_signal(asked)

        for each in starting:
            each.wait_until_ended()
        assert supervisor.ended() == 0


def test_all_workers_end_with_a_signal(folder: Path) -> None:
    with supervised(folder) as supervisor:
        serving = [supervisor.serving() for _ in range(WORKERS)]
        supervisor.process.terminate()

        for each in serving:
            each.wait_until_ended()
        assert supervisor.ended() == 0


def test_replacements_that_cannot_start_end_nothing_while_another_serves(folder: Path) -> None:
    with supervised(folder) as supervisor:
        first, second = supervisor.serving(), supervisor.serving()
        os.kill(first.pid, signal.SIGKILL)
        for _ in range(WORKERS):
            supervisor.started().order("fail")
            supervisor.wait_until_said("serve.worker_not_started")
        supervisor.serving()
        supervisor.process.terminate()

        second.wait_until_ended()
        assert supervisor.ended() == 0


def test_workers_that_all_cannot_start_end_the_supervisor(folder: Path) -> None:
    with supervised(folder) as supervisor:
        for _ in range(WORKERS):
            supervisor.started().order("fail")

        assert supervisor.ended() == NONE_COULD_START


def test_workers_that_cannot_start_again_when_all_have_died_end_the_supervisor(folder: Path) -> None:
    with supervised(folder) as supervisor:
        for each in [supervisor.serving() for _ in range(WORKERS)]:
            os.kill(each.pid, signal.SIGKILL)
        for _ in range(WORKERS):
            supervisor.started().order("fail")

        assert supervisor.ended() == NONE_COULD_START


def test_one_that_hangs_is_killed_and_one_that_starts_slowly_is_not(folder: Path) -> None:
    with supervised(folder, beat_s=0.1) as supervisor:
        slow, hanging = supervisor.started(), supervisor.started()
        hanging.order("hang")

        hanging.wait_until_ended()
        supervisor.started()
        assert slow.is_alive()
