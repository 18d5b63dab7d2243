"""``serve``: where it listens."""

import socket

from booking_payments.entrypoints.cli.serve import listen
from booking_payments.settings import load_settings
from tests.e2e.serving import free_port


def test_answers_are_sent_at_once() -> None:
    settings = load_settings({"PORT": str(free_port())}, env_file=None)

    with listen(settings) as listening, socket.create_connection(listening.getsockname()):
        accepted, _ = listening.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
