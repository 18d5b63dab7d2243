"""Settings of a gateway, which are read from the environment or the ``.env`` file.

A gateway declares them as a frozen attrs class with one ``setting`` for each name::

    @frozen(kw_only=True)
    class PayPalSettings(GatewaySettings):
        client_id: str = setting("PAYPAL_CLIENT_ID", missing="set it; your app at PayPal has it")

The rules of all settings apply to them: the prefix, the environment before the file, an empty value counts as unset.
They are read only if ``PAYMENT_GATEWAYS`` names the gateway, and secret ones are never printed.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final
from urllib.parse import SplitResult, urlsplit

from attrs import field, fields, frozen

_KEY: Final = "booking_payments.setting"


@frozen
class SettingProblem:
    """One wrong setting.

    Attributes:
        setting: its name, as it was given.
        remedy: a text that says what to do. It never contains the value, which may be a secret.
    """

    setting: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.setting}: {self.remedy}"


@frozen(kw_only=True)
class PluginSetting:
    """One setting of a gateway, as ``setting`` declares it.

    Attributes:
        name: its name in the environment, such as ``PAYPAL_CLIENT_ID``.
        description: the error message for a wrong value: ``must be ...``.
        read: returns the value of a text that is not empty. Raises ``ValueError`` for a wrong text.
        missing: the error message if it is not set: ``set it to ...``. None: the gateway works without it.
        secret: the value is never printed.
    """

    name: str
    description: str
    read: Callable[[str], Any]
    missing: str | None
    secret: bool


@frozen(kw_only=True)
class ServiceFacts:
    """Facts about the installation on which the settings of a gateway may depend.

    Attributes:
        gateways: the names of the gateways of this installation, the default one first.
        embedded: this process does not serve HTTP, so settings for webhooks are not required.
        in_development: only this machine can call, and no real money moves.
    """

    gateways: tuple[str, ...]
    embedded: bool
    in_development: bool


@frozen(kw_only=True)
class GatewaySettings:
    """Base of a gateway's settings, and the settings of a gateway that has none."""

    def problems(self, service: ServiceFacts) -> Iterable[SettingProblem]:
        """Return the settings that contradict one another. Missing settings are reported by ``missing_settings``."""
        return ()


def setting(
    name: str,
    description: str = "must be text",
    *,
    read: Callable[[str], Any] = str,
    default: Any = None,
    missing: str | None = None,
    secret: bool = False,
) -> Any:
    """Return a field of ``GatewaySettings``.

    The arguments are those of ``PluginSetting``; ``default`` is the value of a setting that is not set.
    """
    declared = PluginSetting(name=name, description=description, read=read, missing=missing, secret=secret)
    return field(default=default, repr=not secret, metadata={_KEY: declared})


def declared(of: type[GatewaySettings]) -> Mapping[str, PluginSetting]:
    """Return the settings of the class ``of``, by the names of its fields."""
    return {each.name: each.metadata[_KEY] for each in fields(of) if _KEY in each.metadata}


def read_settings(
    of: type[GatewaySettings], look_up: Callable[[str], str | None]
) -> tuple[GatewaySettings, list[SettingProblem]]:
    """Read the settings of the class ``of``; returns them with the problems of single values.

    A wrong value counts as unset. ``look_up`` returns the text of a setting by its name, or None if it is not set.
    """
    values, problems = dict[str, Any](), list[SettingProblem]()
    for attribute, each in declared(of).items():
        text = look_up(each.name)
        if text is None:
            continue
        try:
            values[attribute] = each.read(text.strip())
        except ValueError:  # the error's text is left out, since it may contain the value
            problems.append(SettingProblem(each.name, each.description))
    return of(**values), problems


def missing_settings(settings: GatewaySettings) -> list[SettingProblem]:
    """Return a problem for each setting that the gateway needs and that is not set."""
    return [
        SettingProblem(each.name, each.missing)
        for attribute, each in declared(type(settings)).items()
        if each.missing is not None and getattr(settings, attribute) in (None, "", ())
    ]


# --- readers of texts; each raises ``ValueError`` for a wrong one ----------------------------------------------------


def comma_separated(text: str) -> tuple[str, ...]:
    """Return the parts between commas, without empty ones."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def prefixed(*prefixes: str) -> Callable[[str], str]:
    """Return a reader of printable ASCII without spaces that begins with one of ``prefixes``."""

    def read(text: str) -> str:
        if not re.fullmatch(r"[!-~]+", text, re.ASCII) or not text.startswith(prefixes):
            raise ValueError
        return text

    return read


def at_most(length: int) -> Callable[[str], str]:
    """Return a reader of text of at most ``length`` characters."""

    def read(text: str) -> str:
        if len(text) > length:
            raise ValueError
        return text

    return read


_BOOLEANS: Final = {
    **dict.fromkeys(("true", "1", "yes", "on", "t", "y"), True),
    **dict.fromkeys(("false", "0", "no", "off", "f", "n"), False),
}


def boolean(text: str) -> bool:
    """Return the value of ``true`` or ``false``, in the spellings that all settings accept."""
    if text.lower() not in _BOOLEANS:
        raise ValueError
    return _BOOLEANS[text.lower()]


def url_parts(url: str) -> SplitResult:
    """Return the parts of ``url``. Raises ``ValueError`` when its port is not a number."""
    parts = urlsplit(url)
    _ = parts.port
    return parts


def web_address(text: str) -> str:
    """Return an absolute address, over HTTP or HTTPS."""
    if not re.fullmatch(r"https?://[!-~]+", text, re.ASCII) or not url_parts(text).hostname:
        raise ValueError
    return text


def address_without_user(text: str) -> str:
    """Return an absolute address without a user name or password."""
    if "@" in url_parts(web_address(text)).netloc:
        raise ValueError
    return text
