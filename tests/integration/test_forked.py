"""The synchronous facade after a fork: it raises an error that says what to do, instead of waiting without end."""

import os
from pathlib import Path

from tests import preloaded

SCRIPT = """
import os, sys
from booking_payments import open_payments_sync

with open_payments_sync({"DATABASE_URL": sys.argv[1], "JWT_SECRET": "x" * 32}, env_file=None, migrate=True) as payments:
    child = os.fork()
    if child == 0:
        try:
            payments.list_payments()
        except RuntimeError as error:
            os._exit(7 if "after the fork" in str(error) else 8)
        os._exit(9)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), len(payments.list_payments().items))
"""


def test_a_forked_process_gets_an_error_with_the_advice_to_open_a_new_facade(tmp_path: Path) -> None:
    words = ["-c", SCRIPT, f"sqlite:///{tmp_path / 'books.db'}"]
    done = preloaded.ran(words, cwd=tmp_path, env=os.environ)

    assert done.stdout.split() == ["7", "0"], done.stderr
