"""Resources that the processes of one test run share: the first process creates one, the last one that needs it stops
it.

With pytest-xdist the suite runs in several worker processes, each with its own databases, ports and folders. Resources
that are expensive to start, such as a PostgreSQL server or a migrated template, are created once for all of them.
"""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

import pytest

SHARED = pytest.StashKey[ExitStack]()
"""The resources that this process shares with the other workers; closed after its last test."""


def folder_of_the_run(factory: pytest.TempPathFactory) -> Path:
    """The temporary folder that all workers of this run know; without workers the run's own."""
    own = factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


@contextmanager
def shared(folder: Path, name: str, make: Callable[[], AbstractContextManager[str]]) -> Iterator[str]:
    """What ``make`` yields, made by one process of the run and used by all.

    The process that made it ends it, after every other one has left this block; a process that is killed has left it
    too, since the operating system gives its locks back.
    """
    known = folder / name
    with ExitStack() as made, (folder / f"{name}.users").open("w") as users:
        with _alone(folder / f"{name}.lock"):
            mine = not known.exists()
            if mine:
                known.write_text(made.enter_context(make()))
            value = known.read_text()
            fcntl.flock(users, fcntl.LOCK_SH)
        try:
            yield value
        finally:
            if mine:
                with _alone(folder / f"{name}.lock"):
                    known.unlink()
                fcntl.flock(users, fcntl.LOCK_UN)
                fcntl.flock(users, fcntl.LOCK_EX)
                made.close()


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Only one process at a time is in this block."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
