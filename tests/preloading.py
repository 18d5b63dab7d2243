"""The server that forks the processes of ``tests.preloaded``. Run as a script with the path of its socket, and with the
names of the modules to import, if they are others than ``modules()``. It needs no installed package itself.

For each connection it forks a process that forks the command, reports its process id and its exit status on the
connection, and ends. The server ends when its standard input is closed.
"""

import atexit
import gc
import importlib
import json
import os
import pkgutil
import runpy
import select
import signal
import socket
import sys
import threading
import time
import traceback
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Final

PACKAGE: Final = "booking_payments"
OTHERS: Final = (
    "aiosqlite",
    "alembic.command",
    "alembic.config",
    "anyio._backends._asyncio",
    "anyio.from_thread",
    "django.core.management.commands.migrate",
    "django.core.management.commands.runserver",
    "fastapi",
    "flask.cli",
    "httpcore2",
    "litestar.plugins.attrs",
    "litestar.plugins.pydantic",
    "opentelemetry.sdk.metrics",
    "opentelemetry.sdk.trace",
    "psycopg",
    "sqlalchemy.dialects.postgresql.psycopg",
    "sqlalchemy.dialects.sqlite.aiosqlite",
    "sqlalchemy.ext.asyncio",
    "uvicorn.lifespan.on",
    "uvicorn.main",
    "uvicorn.protocols.http.auto",
    "uvloop",
)
"""Modules that commands import when they run, besides those of this package; none of the examples, which read settings
on import."""


def modules() -> list[str]:
    """The modules imported before the first fork: what services, commands and examples would each import."""
    apart = ("__main__", ".testing.plugin", "_contract", ".migrations.")
    package = importlib.import_module(PACKAGE)
    ours = (each.name for each in pkgutil.walk_packages(package.__path__, f"{PACKAGE}."))
    return [*(name for name in ours if not any(each in name for each in apart)), *OTHERS]


def main() -> list[str]:
    """Serve until the standard input is closed. Returns in a forked process, with the words of its command."""
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(sys.argv[1])
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for name in sys.argv[2:] or modules():
        importlib.import_module(name)
    gc.collect()
    gc.freeze()  # a collection in a forked process does not copy the pages of all imported objects
    listening.listen(64)
    signal.signal(signal.SIGCHLD, _collect)
    while True:
        readable, _, _ = select.select([listening, sys.stdin], [], [])
        if listening not in readable:
            os._exit(0)
        line, _ = listening.accept()
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            listening.close()
            return _forked(line)
        line.close()


def _collect(*_: object) -> None:
    """Take note of the forked processes that have ended."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _forked(line: socket.socket) -> list[str]:
    """Fork the command that is asked for, and wait for it."""
    _, given, _, _ = socket.recv_fds(line, 1, 3)
    if not given:
        os._exit(0)  # a test connected only to check that the server runs
    with line.makefile("rb") as asked:
        request = json.loads(asked.readline())
    child = os.fork()
    if child == 0:
        line.close()
        _become(given, request["cwd"], request["env"])
        return list(request["words"])
    for each in given:
        os.close(each)
    with suppress(OSError):  # the test has ended before the command
        line.sendall(b"%d\n" % child)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        line.sendall(b"%d\n" % status)
    os._exit(0)


def _become(given: list[int], folder: str, environment: dict[str, str]) -> None:
    """Take over descriptors, folder and environment as a new interpreter has them."""
    for target, each in enumerate(given):
        os.dup2(each, target)
        os.close(each)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - for the life of the process
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", encoding="utf-8", errors="backslashreplace", buffering=1, closefd=False)  # noqa: SIM115
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    given_paths = [each for each in environment.get("PYTHONPATH", "").split(os.pathsep) if each]
    sys.path[:] = [*given_paths, *sys.path[1:]]  # the first is the folder of this script


def run(words: list[str]) -> None:
    """Run Python with these command line arguments: ``-m module``, ``-c code`` or a script, and its arguments."""
    if words[0] == "-m":
        sys.path.insert(0, str(Path.cwd()))
        sys.argv = words[1:]
        runpy.run_module(words[1], run_name="__main__", alter_sys=True)
    elif words[0] == "-c":
        sys.path.insert(0, "")
        sys.argv = ["-c", *words[2:]]
        sys.modules["__main__"] = module = ModuleType("__main__")
        exec(compile(words[1], "<string>", "exec"), module.__dict__)  # noqa: S102 - what the test wants to be run
    else:
        sys.path.insert(0, str(Path(words[0]).resolve().parent))
        sys.argv = words
        runpy.run_path(words[0], run_name="__main__")


def end_as_an_interpreter(words: list[str]) -> None:
    """Run a command and end this process as an interpreter does, but for taking down every module one by one."""
    status = 0
    try:
        run(words)
    except SystemExit as exit_:
        if isinstance(exit_.code, int | None):
            status = exit_.code or 0
        else:
            print(exit_.code, file=sys.stderr)
            status = 1
    except BaseException:
        traceback.print_exc()
        status = 1
    threading._shutdown()  # type: ignore[attr-defined]  # waits for threads that are no daemons
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


if __name__ == "__main__":
    end_as_an_interpreter(main())
