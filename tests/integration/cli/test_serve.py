"""``serve``: where it listens."""

import socket

from click.testing import CliRunner

from booking_payments.entrypoints.cli import main
from booking_payments.runtime.process import listen
from booking_payments.runtime.settings import load_settings
from tests.ports import free_port


def test_a_port_in_use_is_one_line_with_the_setting_to_change() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = CliRunner().invoke(main, ["serve", "--port", str(port)])

    said = f"Error: can't listen on 127.0.0.1 port {port}: address already in use; choose another port with PORT\n"
    assert (done.exit_code, done.stderr) == (1, said)


def test_responses_are_sent_without_delay() -> None:
    settings = load_settings({"PORT": str(free_port())}, env_file=None)

    with listen(settings) as listening, socket.create_connection(listening.getsockname()):
        accepted, _ = listening.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
