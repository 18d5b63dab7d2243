"""The service as a process: migrate, serve, pay over a real socket, and stop."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from booking_payments.settings import SETTING_NAMES

READY_S = 20


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def command(directory: Path, *words: str) -> list[str]:
    return [sys.executable, "-m", "booking_payments", *words]


def environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in SETTING_NAMES}


def printed(directory: Path, *words: str) -> str:
    done = subprocess.run(
        command(directory, *words), cwd=directory, env=environment(), capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def wait_until_ready(client: httpx.Client, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + READY_S
    while time.monotonic() < until and process.poll() is None:
        try:
            if client.get("/health/ready").status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.05)
    pytest.fail("the service did not become ready")


@pytest.fixture
def service(tmp_path: Path) -> Iterator[httpx.Client]:
    """A client of a served, migrated, empty service in ``tmp_path``."""
    printed(tmp_path, "migrate")
    port = free_port()
    process = subprocess.Popen(
        command(tmp_path, "serve", "--port", str(port)), cwd=tmp_path, env=environment(), stderr=subprocess.DEVNULL
    )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
            wait_until_ready(client, process)
            yield client
    finally:
        process.terminate()
        process.wait(timeout=30)


def test_a_booking_is_paid_after_3d_secure_over_a_real_socket(service: httpx.Client, tmp_path: Path) -> None:
    booking_id = printed(
        tmp_path,
        *["booking", "create", "--reference", "R-1", "--customer", "ann", "--amount", "100.00", "--currency", "usd"],
        *["--starts", "2100-01-01T20:00:00Z"],
    ).split()[0]
    headers = {"Authorization": f"Bearer {printed(tmp_path, 'token', '--sub', 'ann')}"}
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
