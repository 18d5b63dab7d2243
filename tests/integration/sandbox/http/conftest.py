import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import pytest
import stripe

from booking_payments.testing.sandbox import Sandbox
from tests.integration.sandbox.http.receiver import TIMEOUT_S, Receiver
from tests.integration.sandbox.http.sdk import connected
from tests.stripe_openapi_checker import every_answer_conforms  # noqa: F401 - a fixture for all tests here

PLAIN: Any = {"trust_env": False, "verify": False, "timeout": 10}


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def client(sandbox: Sandbox) -> Iterator[stripe.StripeClient]:
    """The official SDK in front of the sandbox."""
    with connected(sandbox.url) as client:
        yield client


@pytest.fixture
def http(sandbox: Sandbox) -> Iterator[httpx2.Client]:
    """A plain HTTP client with a good key.

    Like all clients here it has ``verify=False``: without, each loads the certificates of all authorities, which takes
    more time than its requests, and the sandbox has no TLS.
    """
    with httpx2.Client(base_url=sandbox.url, auth=("sk_test_any", ""), **PLAIN) as http:
        yield http


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver


@pytest.fixture
def until() -> Callable[[Callable[[], bool]], None]:
    """Waits for something to become true."""

    def wait(done: Callable[[], bool]) -> None:
        limit = time.monotonic() + TIMEOUT_S
        while not done() and time.monotonic() < limit:
            time.sleep(0.01)

    return wait
