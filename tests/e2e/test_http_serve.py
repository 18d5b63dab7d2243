"""The service as a process: migrate, serve, pay over a real socket, and stop."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from tests.e2e.serving import READY_S, printed, serving


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the service runs."""
    return tmp_path_factory.mktemp("service")


@pytest.fixture(scope="module")
def service(folder: Path) -> Iterator[httpx2.Client]:
    """A client of a service that runs in ``folder``."""
    with serving(folder) as address, httpx2.Client(base_url=address, trust_env=False) as client:
        yield client


def test_a_booking_is_paid_after_3d_secure_over_a_real_socket(service: httpx2.Client, folder: Path) -> None:
    booking_id = printed(
        folder,
        *["booking", "create", "--reference", "R-1", "--customer", "ann", "--amount", "100.00", "--currency", "usd"],
        *["--starts", "2100-01-01T20:00:00Z"],
    ).split()[0]
    headers = {"Authorization": f"Bearer {printed(folder, 'token', '--sub', 'ann')}"}
    path = f"/api/bookings/{booking_id}/payment"
    body = {"payment_method_id": "pm_card_threeDSecure2Required", "confirm_immediately": True}
    payment = service.post(f"{path}/intent/", headers=headers, json=body).json()
    service.post(
        f"/_sandbox/payment_intents/{payment['payment_intent_id']}/authenticate",
        json={"client_secret": payment["client_secret"], "outcome": "succeeded"},
    )

    status, until = "", time.monotonic() + READY_S
    while status != "succeeded" and time.monotonic() < until:
        status = service.get(f"{path}/status/", headers=headers).json()["status"]
        time.sleep(0.05)

    assert status == "succeeded"


def test_a_connection_stays_open_after_head(service: httpx2.Client) -> None:
    headed = service.head("/health/live")
    got = service.get("/health/live")

    assert (headed.status_code, headed.content, got.json()) == (200, b"", {"status": "ok"})
    assert headed.headers["content-length"] == got.headers["content-length"]


def test_without_a_terminal_every_line_of_the_log_is_json(service: httpx2.Client, folder: Path) -> None:
    assert service.get("/health/live").is_success
    lines = [json.loads(line) for line in (folder / "serve.log").read_text().splitlines()]

    assert [each["address"] for each in lines if each["event"] == "serve.listening"] == [
        str(service.base_url).rstrip("/")
    ]
