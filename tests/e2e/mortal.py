"""A service that is killed and born again quickly: everything is imported once, and each life is a fork of that.

Run as a script with the port: reads a line from standard input for each life, prints the process id of the child that
serves, and goes on to the next line at once. A new life is only asked for when the last one is over.
"""

import os
import socket
import sys

from booking_payments.entrypoints.cli.serve import BACKLOG, serve_until_stopped
from booking_payments.entrypoints.logging import set_up_logging
from booking_payments.settings import Settings, load_settings


def main() -> None:
    """Fork a serving child for each line."""
    settings = load_settings({**os.environ, "PORT": sys.argv[1]})
    set_up_logging(settings)
    _import_everything()
    # Held open over all lives, so that clients wait in the queue instead of being refused.
    listening = socket.create_server((settings.host, settings.port), backlog=BACKLOG)
    for _ in sys.stdin:
        child = os.fork()
        if child == 0:
            _live(settings, listening)
        print(child, flush=True)
        os.waitpid(child, 0)
        print("over", flush=True)


def _import_everything() -> None:
    import booking_payments.container
    import booking_payments.entrypoints.http.app  # noqa: F401 - both are imported late by the command


def _live(settings: Settings, listening: socket.socket) -> None:
    sys.stdin.close()
    serve_until_stopped(settings, listening)
    os._exit(0)


if __name__ == "__main__":
    main()
