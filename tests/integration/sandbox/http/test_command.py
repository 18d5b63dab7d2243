"""``booking-payments sandbox`` as a separate process."""

import os
import re
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

from tests import preloaded

TIMEOUT_S = 20


@contextmanager
def started(*words: str) -> Iterator[tuple[preloaded.ForkedProcess, str]]:
    """The process and the line that it prints when it listens."""
    command = ["-m", "booking_payments", "sandbox", "--port", "0", *words]
    process = preloaded.started(command, cwd=Path.cwd(), env=os.environ, stdout=preloaded.PIPE, stderr=preloaded.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    with process.stdout as said, process.stderr:
        try:
            yield process, said.readline()
        finally:
            process.kill()
            process.wait()


def address(line: str) -> str:
    found = re.search(r"http://\S+:\d+", line)
    assert found is not None, line
    return found[0]


@pytest.mark.parametrize("ends", [signal.SIGTERM, signal.SIGINT])
def test_it_says_where_it_listens_and_ends_by_a_signal_though_connections_hang(ends: signal.Signals) -> None:
    with started("--delay", "0") as (process, line):
        url = address(line)
        with httpx2.Client(
            base_url=url, auth=("sk_test_any", ""), trust_env=False, verify=False, timeout=0.3
        ) as client:
            script = {"match": "GET /v1/refunds", "fault": "timeout_before"}
            assert client.post("/_sandbox/faults", json=script).status_code == 200
            assert client.get("/_sandbox").json()["follow_up_delay_s"] == 0
            host, port = url.removeprefix("http://").split(":")
            with socket.create_connection((host, int(port))) as hanging:
                hanging.sendall(b"GET /v1/refunds HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer sk_test_x\r\n\r\n")
                while client.get("/_sandbox/calls").json()["calls"] == []:
                    pass
                process.send_signal(ends)
                status = process.wait(TIMEOUT_S)

    assert status == 0


def test_a_port_that_is_taken_is_one_clear_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        command = ["-m", "booking_payments", "sandbox", "--port", port]
        done = preloaded.ran(command, cwd=Path.cwd(), env=os.environ)

    assert done.returncode == 1
    assert f"cannot listen on 127.0.0.1 port {port}" in done.stderr


@pytest.mark.parametrize(("words", "env"), [(["--amount-digits", "9"], {}), ([], {"GATEWAY_MAX_AMOUNT_DIGITS": "9"})])
def test_it_takes_amounts_as_large_as_the_service_does(
    words: list[str], env: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    with started(*words) as (_, line), httpx2.Client(base_url=address(line), trust_env=False, verify=False) as client:
        client.post("/_sandbox/reset")
        answers = [
            client.post(
                "/v1/payment_intents", auth=("sk_test_any", ""), data={"amount": amount, "currency": "ugx"}
            ).status_code
            for amount in ("100000000", "1000000000")
        ]

    assert answers == [200, 400]
