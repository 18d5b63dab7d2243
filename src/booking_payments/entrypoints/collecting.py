"""Sends the traces of a process to where the environment says, as long as it runs."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from booking_payments.adapters.telemetry.traces import MissingExtraError, set_up_traces

log = structlog.get_logger("booking_payments.traces")


@contextmanager
def collecting_traces() -> Iterator[None]:
    """Set traces up before anything is built, and send the last of them in the end."""
    try:
        provider = set_up_traces(os.environ)
    except MissingExtraError:
        log.warning("traces are asked for but can't be made; run: pip install 'booking-payments[otel]'")
        provider = None
    try:
        yield
    finally:
        if provider is not None:
            provider.shutdown()
