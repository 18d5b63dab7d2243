"""A service or a worker that can be killed and restarted quickly: modules are imported once, each start is a fork.

Run as a script with the port, or with ``worker``, and optionally with names of ``tests.simulation.amendment_bugs``,
which are planted. For each line of standard input it forks a child that serves, prints the child's process id, waits
for the child's end and prints "over".
"""

import os
import socket
import sys

from booking_payments.entrypoints.cli.worker import work_until_stopped
from booking_payments.runtime.logging import set_up_logging
from booking_payments.runtime.process import BACKLOG
from booking_payments.runtime.settings import Settings, load_settings
from booking_payments.serving import serve_until_stopped


def main() -> None:
    """Fork a child for each line."""
    works = sys.argv[1] == "worker"
    settings = load_settings(os.environ if works else {**os.environ, "PORT": sys.argv[1]})
    set_up_logging(settings)
    import_everything()
    for bug in sys.argv[2:]:
        _plant(bug)
    # Open between two children, so that clients wait in the queue instead of being refused.
    listening = None if works else socket.create_server((settings.host, settings.port), backlog=BACKLOG)
    for _ in sys.stdin:
        child = os.fork()
        if child == 0:
            _serve(settings, listening)
        print(child, flush=True)
        os.waitpid(child, 0)
        print("over", flush=True)


def _plant(bug: str) -> None:
    import pytest

    from tests.simulation.amendment_bugs import AMENDMENT_BUGS

    AMENDMENT_BUGS[bug].plant(pytest.MonkeyPatch())


def import_everything() -> None:
    import booking_payments.entrypoints.http.app
    import booking_payments.entrypoints.worker.tasks
    import booking_payments.runtime.composition  # noqa: F401 - the commands import it late


def _serve(settings: Settings, listening: socket.socket | None) -> None:
    sys.stdin.close()
    if listening is None:
        work_until_stopped(settings)
    else:
        serve_until_stopped(settings, listening)
    os._exit(0)


if __name__ == "__main__":
    main()
