"""A service or a worker that is killed and born again quickly: all is imported once, and each life is a fork of that.

Run as a script with the port, or with ``worker``: reads a line from standard input for each life, prints the process
id of the child that lives, and goes on to the next line at once. A new life is only asked for when the last one is
over.
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
    _import_everything()
    # Held open over all lives, so that clients wait in the queue instead of being refused.
    listening = None if works else socket.create_server((settings.host, settings.port), backlog=BACKLOG)
    for _ in sys.stdin:
        child = os.fork()
        if child == 0:
            _live(settings, listening)
        print(child, flush=True)
        os.waitpid(child, 0)
        print("over", flush=True)


def _import_everything() -> None:
    import booking_payments.entrypoints.http.app
    import booking_payments.entrypoints.worker.tasks
    import booking_payments.runtime.composition  # noqa: F401 - the commands import it late


def _live(settings: Settings, listening: socket.socket | None) -> None:
    sys.stdin.close()
    if listening is None:
        work_until_stopped(settings)
    else:
        serve_until_stopped(settings, listening)
    os._exit(0)


if __name__ == "__main__":
    main()
