"""The files for a machine without containers are accepted by the programs that read them."""

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from booking_payments.entrypoints.cli import main
from booking_payments.runtime.settings import setting_names

OPS = Path(__file__).resolve().parents[2] / "ops"
UNITS = sorted((OPS / "systemd").iterdir())
INSTALLED = "/opt/booking-payments/current/bin/booking-payments"
COMMANDS = [
    (unit.name, command)
    for unit in UNITS
    for command in re.findall(rf"^ExecStart={INSTALLED} (.+)$", unit.read_text(), re.MULTILINE)
]

Check = Callable[..., str]


@pytest.fixture
def check() -> Check:
    """Run a checking program, which must succeed; returns its output."""

    def run(*command: str | Path) -> str:
        name = str(command[0])
        path = shutil.which(name) or shutil.which(name, path="/usr/sbin")
        if path is None:
            pytest.skip(f"{name} is not installed; on Debian and Ubuntu: apt install {PACKAGES[name]}")
        done = subprocess.run([path, *command[1:]], capture_output=True, text=True, timeout=60)
        said = done.stdout + done.stderr
        assert done.returncode == 0, said
        return said

    return run


PACKAGES = {"nginx": "nginx-light", "caddy": "caddy", "logrotate": "logrotate", "systemd-analyze": "systemd"}


def test_systemd_accepts_every_unit(check: Check, tmp_path: Path) -> None:
    executable = str(Path(sys.executable).with_name("booking-payments"))
    for unit in UNITS:
        (tmp_path / unit.name).write_text(unit.read_text().replace(INSTALLED, executable))

    assert check("systemd-analyze", "verify", *tmp_path.iterdir()) == ""


@pytest.mark.parametrize(("unit", "command"), COMMANDS)
def test_every_unit_runs_a_command_that_exists(unit: str, command: str) -> None:
    assert command.split()[0] in main.commands


def test_every_service_starts_the_installed_command() -> None:
    assert {unit for unit, _ in COMMANDS} == {each.name for each in UNITS if each.suffix == ".service"}


def test_the_example_of_the_environment_names_settings_that_exist() -> None:
    names = set(re.findall(r"^(\w+)=", (OPS / "environment.example").read_text(), re.MULTILINE))

    assert {"DATABASE_URL", "STRIPE_SECRET_KEY", "JWT_SECRET"} <= names
    assert names - setting_names() == set()


def test_nginx_accepts_the_site(check: Check, tmp_path: Path) -> None:
    certificate, key = _self_signed(tmp_path)
    site = (OPS / "nginx.conf").read_text()
    site = re.sub(r"(ssl_certificate +)\S+;", rf"\1{certificate};", site)
    site = re.sub(r"(ssl_certificate_key +)\S+;", rf"\1{key};", site)
    whole = tmp_path / "nginx.conf"
    whole.write_text(f"pid {tmp_path}/pid; error_log stderr; events {{}} http {{ access_log off;\n{site}\n}}\n")

    assert "test is successful" in check("nginx", "-t", "-p", tmp_path, "-c", whole)


def test_nginx_compresses_no_page() -> None:
    site = (OPS / "nginx.conf").read_text()
    on = re.findall(r"location (\S+) \{[^}]*gzip on;", site)

    assert on == ["/api/", "/pages/"]
    assert re.search(r"^    gzip off;$", site, re.MULTILINE)


def test_caddy_accepts_the_site(check: Check) -> None:
    assert "Valid configuration" in check("caddy", "validate", "--adapter", "caddyfile", "--config", OPS / "Caddyfile")


def test_logrotate_accepts_its_file(check: Check, tmp_path: Path) -> None:
    rotated = tmp_path / "logrotate.conf"
    rotated.write_text(re.sub(r"^ +su .*\n", "", (OPS / "logrotate.conf").read_text(), flags=re.MULTILINE))
    rotated.chmod(0o644)

    assert "error:" not in check("logrotate", "--debug", "--state", tmp_path / "state", rotated)


def _self_signed(folder: Path) -> tuple[Path, Path]:
    """A certificate for the tests alone, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "pay.example.com")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    paths = folder / "certificate.pem", folder / "key.pem"
    paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return paths
