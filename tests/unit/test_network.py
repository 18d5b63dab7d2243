"""Which proxy and which certificates a connection uses, from the environment."""

import os
import ssl
from pathlib import Path

import pytest
import stripe

from booking_payments.adapters.network import Network, NetworkMisconfigured

PROXY = "http://ann:secret@proxy.example:3128"
NAMES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR")


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"])
def test_a_proxy_of_the_environment_is_used(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, PROXY)

    assert Network.of_environment().proxy_for("https://api.stripe.com/v1/refunds") == PROXY


def test_a_proxy_is_used_for_its_scheme_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", PROXY)
    network = Network.of_environment()

    assert network.proxy_for("https://api.stripe.com") is None
    assert network.proxy_for("http://api.stripe.com") == PROXY


@pytest.mark.parametrize(
    ("excepted", "url", "direct"),
    [
        ("api.stripe.com", "https://api.stripe.com/v1", True),
        ("stripe.com", "https://api.stripe.com/v1", True),
        (".stripe.com", "https://api.stripe.com/v1", True),
        ("*.stripe.com", "https://api.stripe.com/v1", True),
        ("localhost, API.STRIPE.COM", "https://api.stripe.com/v1", True),
        ("api.stripe.com:443", "https://api.stripe.com:443/v1", True),
        ("api.stripe.com:444", "https://api.stripe.com:443/v1", False),
        ("*", "https://api.stripe.com/v1", True),
        ("10.0.0.0/8", "https://10.1.2.3/v1", True),
        ("10.0.0.0/8", "https://11.1.2.3/v1", False),
        ("ripe.com", "https://api.stripe.com/v1", False),
        ("", "https://api.stripe.com/v1", False),
        ("example.com", "https://api.stripe.com/v1", False),
    ],
)
def test_a_host_in_no_proxy_is_connected_directly(
    excepted: str, url: str, direct: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", PROXY)
    monkeypatch.setenv("NO_PROXY", excepted)

    assert (Network.of_environment().proxy_for(url) is None) is direct


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HTTPS_PROXY", "socks5://127.0.0.1:1080"),
        ("HTTPS_PROXY", "proxy.example:3128"),
        ("SSL_CERT_FILE", "/no/such/file.pem"),
        ("SSL_CERT_DIR", "/no/such/directory"),
    ],
)
def test_an_unusable_setting_is_named(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)

    with pytest.raises(NetworkMisconfigured) as wrong:
        Network.of_environment()

    assert wrong.value.variable == name


def test_the_description_leaves_out_the_proxys_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", PROXY)
    monkeypatch.setenv("SSL_CERT_FILE", __file__)

    described = Network.of_environment().described("https://api.stripe.com")

    assert described == "through the proxy http://proxy.example:3128, certificates of SSL_CERT_FILE"


def test_without_these_variables_the_connection_is_direct() -> None:
    assert Network.of_environment().described("https://api.stripe.com") == "directly"


def test_certificates_that_were_replaced_are_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = tmp_path / "trusted.pem"
    bundle.write_bytes(Path(stripe.ca_bundle_path).read_bytes())
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
    network = Network.of_environment()
    first, again = network.tls(), network.tls()
    bundle.write_text("replaced by something that holds no certificate")
    os.utime(bundle, ns=(1, 1))

    assert first is again
    with pytest.raises(ssl.SSLError):
        network.tls()
