"""A gateway of another distribution brings its settings, checkout form, doctor check, task and command."""

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest
from anyio import to_thread
from click.testing import CliRunner, Result

from booking_payments.adapters.sql.migrations import migrate
from booking_payments.entrypoints.cli import gateway_commands, main
from booking_payments.ports.gateway_plugin import GROUP
from booking_payments.runtime.composition import build
from booking_payments.runtime.settings import load_settings, setting_names
from booking_payments.runtime.settings_error import SettingsError
from tests.examples.installed import installed
from tests.integration.http.api import token
from tests.integration.pages.site import open_site

WALLET = Path(__file__).parent / "wallet"
KEY = "key-of-the-wallet"
CHOSEN = {"PAYMENT_GATEWAYS": "wallet", "WALLET_KEY": KEY, "JWT_SECRET": "x" * 32}


@pytest.fixture(autouse=True)
def _wallet(tmp_path: Path) -> Iterator[None]:
    shutil.copytree(WALLET, tmp_path / "example_wallet")
    with installed(tmp_path, "wallet", "example_wallet.plugin:PLUGIN"):
        yield


def test_its_settings_are_read_like_all_others() -> None:
    settings = load_settings({**CHOSEN, "WALLET_KEY": "", "BOOKING_PAYMENTS_WALLET_KEY": f" {KEY} "}, None)

    assert settings.of_gateway("wallet").key == KEY
    assert (settings.gateways, settings.livemode, "WALLET_KEY" in setting_names()) == (("wallet",), True, True)
    assert KEY not in repr(settings._gateways)


def test_a_setting_that_it_lacks_stops_the_start() -> None:
    with pytest.raises(SettingsError, match=r"^WALLET_KEY: set it to the key of the wallet$"):
        load_settings({**CHOSEN, "WALLET_KEY": " "}, None)


def test_its_form_and_script_come_from_its_package() -> None:
    with open_site(None, PAYMENT_GATEWAYS="wallet", WALLET_KEY=KEY) as site:
        answer = site.get(f"/checkout/{site.book()}?token={token('ann')}")
        script = next(each for each in answer.text.split('"') if each.endswith("/wallet/wallet.js"))
        served = site.get(script)

    assert '<h2 id="method">The wallet of &lt;Ann &amp; Bob&gt;</h2>' in answer.text
    assert "connect-src 'self' https://wallet.example" in answer.headers["content-security-policy"]
    assert (served.status_code, "the script of the wallet" in served.text) == (200, True)


def run(tmp_path: Path, *args: str, **more: str) -> Result:
    env = {**CHOSEN, "DATABASE_URL": f"sqlite:///{tmp_path}/books.db", **more}
    return CliRunner().invoke(main, args, env=env)


def test_doctor_prints_its_checks(tmp_path: Path) -> None:
    migrate(f"sqlite:///{tmp_path}/books.db")

    done = run(tmp_path, "doctor", "--json")

    checks = [each for each in json.loads(done.stdout)["checks"] if each["name"] == "wallet"]
    assert checks == [{"name": "wallet", "ok": False, "detail": "wallet is empty", "remedy": "fill it"}]
    assert done.exit_code == 1


async def test_its_task_runs_in_the_background(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/books.db"
    await to_thread.run_sync(migrate, url)
    settings = load_settings({**CHOSEN, "DATABASE_URL": url, "PORT": "8001"}, None)

    async with build(settings, serving=True) as services:
        assert services.background is not None
        runs = sys.modules["example_wallet.plugin"].RUNS
        with anyio.fail_after(10):
            async with services.background():
                while not runs:
                    await anyio.lowlevel.checkpoint()

    assert runs[0] == "http://127.0.0.1:8001/api/webhooks/wallet/"


def test_its_command_is_listed_and_runs(tmp_path: Path) -> None:
    assert "wallet     Say what the wallet holds." in run(tmp_path, "--help").output
    assert run(tmp_path, "wallet").output == "the wallet is empty\n"


def test_a_gateway_does_not_replace_a_built_in_command(tmp_path: Path) -> None:
    plugin = tmp_path / "example_wallet" / "plugin.py"
    plugin.write_text(plugin.read_text().replace('commands={"wallet"', 'commands={"doctor"'))

    assert "Say what the wallet holds." not in run(tmp_path, "--help").output
    assert "the wallet is empty" not in run(tmp_path, "doctor").output


def test_a_plugin_that_can_not_be_imported_does_not_break_the_command_line(tmp_path: Path) -> None:
    (tmp_path / "example_wallet" / "plugin.py").write_text("raise RuntimeError(__name__)")

    done = run(tmp_path, "--help")

    assert (done.exit_code, "can't be imported: RuntimeError" in done.stderr) == (0, True)


def test_the_command_line_looks_for_plugins_where_the_service_does() -> None:
    assert gateway_commands.GROUP == GROUP
