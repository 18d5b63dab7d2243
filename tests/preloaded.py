"""Python processes that start without importing: forks of one process that has imported their modules.

A new interpreter needs two seconds of CPU time to import the service, more than most tests need besides. One server
(``tests/preloading.py``), started for the whole run when the first test asks, imports everything once and forks for
each command. The process of the test is a real one, with its own folder, environment, descriptors, signals and exit
status. Tests whose subject is the start of a process start an interpreter themselves, as ``test_readme``,
``test_install``, ``test_workers`` and ``test_process_imports`` do.

This is not the ``forkserver`` of ``multiprocessing``, since the service behaves differently in a process that
``multiprocessing`` started (``runtime.process.end_with_parent``).
"""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO, Final

from tests.sharing import shared

SERVER: Final = Path(__file__).with_name("preloading.py")
READY_S: Final = 120
"""The longest time that the server may need to import everything on a busy machine."""
PIPE: Final = subprocess.PIPE
Target = int | IO[bytes] | IO[str] | None

_address: Callable[[], str] | None = None


def share(folder: Path, stack: ExitStack) -> None:
    """Start the server in ``folder`` when the first process of the run is wanted; it ends with ``stack``."""
    global _address
    known: list[str] = []

    def address() -> str:
        if not known:
            known.append(stack.enter_context(shared(folder, "preloaded", server)))
        return known[0]

    _address = address


def _server_address() -> str:
    assert _address is not None, "tests/conftest.py calls share()"
    return _address()


@contextmanager
def server(python: str | Path = sys.executable, modules: Sequence[str] = ()) -> Iterator[str]:
    """The address of a server until the block ends.

    Args:
        python: the interpreter, which may be that of another environment.
        modules: what it imports before the first fork; empty: those of ``tests.preloading.modules``.
    """
    # Paths of sockets have at most 108 characters, so it is not in the folder of the run.
    with tempfile.TemporaryDirectory(prefix="bp-") as folder:
        path = f"{folder}/preloaded"
        with subprocess.Popen([python, SERVER, path, *modules], stdin=subprocess.PIPE) as process:
            until = time.monotonic() + READY_S
            while not _listens(path):
                assert process.poll() is None, "it could not start"
                assert time.monotonic() < until, "it did not start"
                time.sleep(0.02)
            yield path
            process.communicate()  # closes its standard input


def _listens(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(path) == 0


class ForkedProcess:
    """A process that was forked for a test. Attributes and methods are those of ``subprocess.Popen`` with texts."""

    def __init__(self, words: Sequence[str], line: socket.socket, pipes: Mapping[str, IO[str]]) -> None:
        self.args, self._line, self._received = words, line, b""
        self.stdin, self.stdout, self.stderr = (pipes.get(name) for name in ("stdin", "stdout", "stderr"))
        self.returncode: int | None = None
        pid = self._number(READY_S)
        assert pid is not None, f"{words}: no process id"
        self.pid = pid

    def poll(self) -> int | None:
        return self._status(0)

    def wait(self, timeout: float | None = None) -> int:
        status = self._status(timeout)
        if status is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0)
        return status

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        if self.stdin:
            self.stdin.close()
        with ThreadPoolExecutor(2) as readers:
            texts = [each and readers.submit(_rest, each) for each in (self.stdout, self.stderr)]
            try:
                self.wait(timeout)
            except BaseException:
                self.kill()  # else the readers wait as well
                self.wait()
                raise
            return texts[0].result() if texts[0] else "", texts[1].result() if texts[1] else ""

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            with suppress(ProcessLookupError):  # it ended meanwhile, and its status is on its way
                os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def _status(self, timeout: float | None) -> int | None:
        if self.returncode is None:
            self.returncode = self._number(timeout)
            if self.returncode is not None:
                self._line.close()
        return self.returncode

    def _number(self, timeout: float | None) -> int | None:
        """The next number that the server reports; None when none came within ``timeout`` seconds."""
        until = None if timeout is None else time.monotonic() + timeout
        while b"\n" not in self._received:
            self._line.settimeout(None if until is None else max(until - time.monotonic(), 0))
            try:
                received = self._line.recv(64)
            except (BlockingIOError, TimeoutError):
                return None
            assert received, f"{self.args}: the server has ended"
            self._received += received
        number, _, self._received = self._received.partition(b"\n")
        return int(number)


def _rest(stream: IO[str]) -> str:
    with stream:
        return stream.read()


def started(
    words: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    stdin: Target = None,
    stdout: Target = None,
    stderr: Target = None,
    by: str | None = None,
) -> ForkedProcess:
    """Start Python with these command line arguments: ``-m module``, ``-c code`` or a script, and its arguments.

    ``by`` is the address of the server that forks the process; None: the one of the run.
    """
    line = socket.socket(socket.AF_UNIX)
    line.connect(by or _server_address())
    given, pipes, ours = [], dict[str, IO[str]](), list[int]()
    for number, (name, target) in enumerate((("stdin", stdin), ("stdout", stdout), ("stderr", stderr))):
        if target == PIPE:
            reading, writing = os.pipe()
            theirs, mine = (reading, writing) if number == 0 else (writing, reading)
            pipes[name] = open(mine, "w" if number == 0 else "r", encoding="utf-8")  # noqa: SIM115 - as Popen's
            ours.append(theirs)
            given.append(theirs)
        elif target is None and number == 0:
            ours.append(os.open(os.devnull, os.O_RDONLY))
            given.append(ours[-1])
        elif target is None:
            given.append(number)
        else:
            given.append(target if isinstance(target, int) else target.fileno())
    socket.send_fds(line, [b"!"], given)
    for each in ours:
        os.close(each)
    line.sendall(json.dumps({"words": [*words], "cwd": str(cwd), "env": {**env}}).encode() + b"\n")
    return ForkedProcess(words, line, pipes)


_COMMAND: Final = """#!{python} -IS
import json, os, signal, socket, sys

request = {{"words": [*{words}, *sys.argv[1:]], "cwd": os.getcwd(), "env": {{**os.environ}}}}
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])  # until it is known whom to pass it on to
with socket.socket(socket.AF_UNIX) as line:
    line.connect({address!r})
    socket.send_fds(line, [b"!"], [0, 1, 2])
    line.sendall(json.dumps(request).encode() + b"\\n")
    with line.makefile() as told:
        pid = int(told.readline())
        signal.signal(signal.SIGTERM, lambda number, _: os.kill(pid, number))
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
        status = int(told.readline())
sys.exit(status if status >= 0 else 128 - status)
"""


def install(path: Path, words: Sequence[str]) -> None:
    """Put a command at ``path`` for shell scripts: it runs ``words`` with its own arguments, as ``started`` does, and
    passes SIGTERM on."""
    path.write_text(_COMMAND.format(python=sys.executable, words=[*words], address=_server_address()))
    path.chmod(0o755)


def ran(
    words: Sequence[str], *, cwd: Path, env: Mapping[str, str], timeout: float = 60, by: str | None = None
) -> subprocess.CompletedProcess[str]:
    """The result of a command that ends by itself, killed after ``timeout`` seconds. For ``by`` see ``started``."""
    with tempfile.TemporaryFile("w+", encoding="utf-8") as out, tempfile.TemporaryFile("w+", encoding="utf-8") as err:
        process = started(words, cwd=cwd, env=env, stdout=out, stderr=err, by=by)
        try:
            status = process.wait(timeout)
        except BaseException:
            process.kill()
            process.wait()
            raise
        out.seek(0)
        err.seek(0)
        return subprocess.CompletedProcess([*words], status, out.read(), err.read())
