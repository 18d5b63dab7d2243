"""A command line whose commands can be killed: modules are imported once, each command runs in a fork.

Run as a script. For each line of standard input, a JSON list of arguments, it forks a child that runs the command, and
prints the child's process id and then its exit status, negative for the signal that ended it.
"""

import json
import os
import sys

from booking_payments.entrypoints.cli import main as booking_payments
from tests.e2e.restartable_service import import_everything


def main() -> None:
    """Fork a child for each line."""
    import_everything()
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            _run(json.loads(line))
        print(child, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


def _run(words: list[str]) -> None:
    os.dup2(2, 1)  # its output belongs to the log
    status = 1
    try:
        booking_payments(words)
    except SystemExit as ended:
        status = int(ended.code or 0)
    finally:
        os._exit(status)


if __name__ == "__main__":
    main()
