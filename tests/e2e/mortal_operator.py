"""An operator at a terminal whose commands are killed: all is imported once, and each command is a fork of that.

Run as a script: reads the words of a command from each line of standard input, as a JSON list, prints the process id of
the child that carries it out, and when that is over its exit status, negative for the signal that ended it.
"""

import json
import os
import sys

from booking_payments.entrypoints.cli import main as booking_payments
from tests.e2e.mortal import _import_everything


def main() -> None:
    """Fork a child for each line."""
    _import_everything()
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            _carry_out(json.loads(line))
        print(child, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


def _carry_out(words: list[str]) -> None:
    os.dup2(2, 1)  # what it prints is for the log
    status = 1
    try:
        booking_payments(words)
    except SystemExit as ended:
        status = int(ended.code or 0)
    finally:
        os._exit(status)


if __name__ == "__main__":
    main()
