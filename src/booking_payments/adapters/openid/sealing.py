"""Seals a text with a key made of a session's secret, so that the stored text is of no use without the cookie."""

import base64
import hashlib

from cryptography.fernet import Fernet, InvalidToken


def sealed(text: str, secret: str) -> str:
    """Return ``text`` encrypted and authenticated."""
    return _with(secret).encrypt(text.encode()).decode()


def opened(text: str, secret: str) -> str | None:
    """Return the text; None when it was sealed with another secret, or changed."""
    try:
        return _with(secret).decrypt(text.encode()).decode()
    except InvalidToken:
        return None


def _with(secret: str) -> Fernet:
    return Fernet(base64.urlsafe_b64encode(hashlib.sha256(f"id token {secret}".encode()).digest()))
