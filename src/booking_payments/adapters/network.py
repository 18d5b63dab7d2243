"""The way out of this machine, as the environment has it: proxies and certificates, the same for every connection.

The names are the usual ones: ``HTTPS_PROXY``, ``HTTP_PROXY``, ``ALL_PROXY`` and ``NO_PROXY`` in either case,
``SSL_CERT_FILE`` and ``SSL_CERT_DIR``. They are read here and by no library's own rules, some of which would also send
the password of a ``.netrc`` file in place of our key.
"""

import ipaddress
import os
import ssl
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit
from urllib.request import getproxies_environment

from attrs import frozen

_SCHEMES: Final = ("http", "https")


class NetworkMisconfigured(ValueError):  # noqa: N818 - says what is the case
    """An environment variable has an invalid value.

    Attributes:
        variable: its name. The message says what to do.
    """

    def __init__(self, variable: str, remedy: str) -> None:
        super().__init__(f"{variable}: {remedy}")
        self.variable, self.remedy = variable, remedy


@frozen
class Network:
    """``proxies`` by scheme (``http``, ``https``, ``all``; ``no`` holds the hosts that are reached without one);
    ``cert_file`` and ``cert_dir`` hold the certificates that are trusted, None where the environment names none."""

    proxies: Mapping[str, str]
    cert_file: str | None = None
    cert_dir: str | None = None

    @classmethod
    def of_environment(cls) -> "Network":
        """As the environment of this process has it. Raises ``NetworkMisconfigured``."""
        found = cls(getproxies_environment(), os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))
        found._check()
        return found

    def proxy_for(self, url: str) -> str | None:
        """The proxy through which ``url`` is reached; None where it is reached directly."""
        parts = urlsplit(url)
        proxy = self.proxies.get(parts.scheme) or self.proxies.get("all")
        if not proxy or not parts.hostname:
            return None
        excepted = self.proxies.get("no", "").lower().split(",")
        return None if any(_excepts(entry.strip(), parts.hostname, parts.port) for entry in excepted) else proxy

    def tls(self) -> ssl.SSLContext | None:
        """What verifies the other side; None where the environment names no certificates."""
        if not (self.cert_file or self.cert_dir):
            return None
        return tls_trusting(self.cert_file or None, self.cert_dir or None)

    def described(self, url: str) -> str:
        """How ``url`` is reached, in words and without a proxy's password."""
        proxy = self.proxy_for(url)
        way = f"through the proxy {_without_credentials(proxy)}" if proxy else "directly"
        names = [name for name, value in (("FILE", self.cert_file), ("DIR", self.cert_dir)) if value]
        trusted = " and ".join(f"SSL_CERT_{name}" for name in names)
        return f"{way}, certificates of {trusted}" if trusted else way

    def _check(self) -> None:
        for scheme in (*_SCHEMES, "all"):
            proxy = self.proxies.get(scheme)
            if proxy and (urlsplit(proxy).scheme not in _SCHEMES or not urlsplit(proxy).hostname):
                remedy = "must be an address such as http://proxy.example:3128"
                raise NetworkMisconfigured(f"{scheme.upper()}_PROXY", remedy)
        if self.cert_file and not Path(self.cert_file).is_file():
            raise NetworkMisconfigured("SSL_CERT_FILE", "there is no such file; it must hold certificates in PEM")
        if self.cert_dir and not any(Path(each).is_dir() for each in self.cert_dir.split(os.pathsep)):
            raise NetworkMisconfigured("SSL_CERT_DIR", "there is no such directory")


def tls_trusting(cert_file: str | None, cert_dir: str | None = None) -> ssl.SSLContext:
    """Return what verifies the other side by these certificates; the same object until the file changes.

    Reading some hundred certificates takes about 20 milliseconds, which else each test that opens a facade would pay.
    """
    return _context(cert_file, cert_dir, Path(cert_file).stat().st_mtime_ns if cert_file else 0)


@lru_cache(maxsize=8)
def _context(cert_file: str | None, cert_dir: str | None, changed_ns: int) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=cert_file, capath=cert_dir)


def _excepts(entry: str, host: str, port: int | None) -> bool:
    """Whether an entry of ``NO_PROXY`` names ``host``: the host, a domain above it, a network that it is in, or all."""
    if entry in ("", "*"):
        return entry == "*"
    name = entry.removesuffix(f":{port}").removeprefix("*").removeprefix(".")
    if host == name or host.endswith(f".{name}"):
        return True
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(entry, strict=False)
    except ValueError:
        return False


def _without_credentials(proxy: str) -> str:
    parts = urlsplit(proxy)
    return f"{parts.scheme}://{parts.hostname}" + (f":{parts.port}" if parts.port else "")
