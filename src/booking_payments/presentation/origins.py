"""The origins of addresses: to which pages a customer may be led."""

import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import urlsplit

from booking_payments.domain.errors import InvalidInput

MAX_URL: Final = 2048


def require_allowed_origin(url: str | None, origins: Iterable[str], name: str = "return_url") -> str | None:
    """Return ``url`` when it lies in one of the allowed ``origins``; it is never fetched, only handed on.

    Raises ``InvalidInput`` (``return_url_not_allowed``) with the field's ``name`` otherwise.
    """
    if url is not None and origin_of(url) not in allowed_origins(origins):
        text = f"{name}: not in an allowed origin (see PAYMENT_RETURN_URL_ORIGINS)"
        raise InvalidInput(text, code="return_url_not_allowed")
    return url


def allowed_origins(origins: Iterable[str]) -> frozenset[str]:
    """Return ``origins`` in the form of ``origin_of``."""
    return frozenset(origin for each in origins if (origin := origin_of(each)))


def origin_of(url: str) -> str | None:
    """Scheme, host and port of an absolute http(s) address in plain ASCII; None for anything else."""
    if len(url) > MAX_URL or not re.fullmatch(r"https?://[!-~]+", url, re.IGNORECASE) or "\\" in url:
        return None
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    if not parts.hostname or "@" in parts.netloc:
        return None
    usual = {"http": 80, "https": 443}[parts.scheme]
    return f"{parts.scheme}://{parts.hostname}:{port or usual}"
