"""Worker processes of ``serve`` end with the process that started them."""

import multiprocessing
import os
import signal
import threading
from multiprocessing.process import BaseProcess

import structlog

log = structlog.get_logger("booking_payments.serve")


def end_with_parent() -> None:
    """Have this process end, as after a signal, when the one that started it is gone. Does nothing where it was not
    started by ``multiprocessing``.

    Who is killed tells nobody. Its workers would serve on, replaced by nobody, and keep the port from the next `serve`.
    """
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_after, args=(parent,), daemon=True, name="end_with_parent").start()


def _end_after(parent: BaseProcess) -> None:
    parent.join()
    log.warning("worker_without_parent")
    os.kill(os.getpid(), signal.SIGTERM)
