"""Settings of a gateway: what its plugin reads from the environment or the ``.env`` file.

A gateway declares them as a frozen attrs class with one ``setting`` for each name::

    @frozen(kw_only=True)
    class PayPalSettings(GatewaySettings):
        client_id: str = setting("PAYPAL_CLIENT_ID", missing="set it; your app at PayPal has it")

They are read by the rules of all settings: the prefix, the environment before the file, an empty value as none. They
are read only where ``PAYMENT_GATEWAYS`` names the gateway, and never shown when they are secret.
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
        remedy: what to do about it. Never the value, which may be a secret.
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
        description: what a value must be, as the error message for a wrong one says it: ``must be ...``.
        read: makes the value of its text, which is never empty. Raises ``ValueError`` for a wrong text.
        missing: the error message without a value: ``set it to ...``. None: the gateway works without it.
        secret: the value is never shown.
    """

    name: str
    description: str
    read: Callable[[str], Any]
    missing: str | None
    secret: bool


@frozen(kw_only=True)
class ServiceFacts:
    """What the settings of a gateway may depend on beside themselves.

    Attributes:
        gateways: the names of the gateways of this installation, the default one first.
        embedded: this process answers nothing over HTTP, so nothing is demanded that only webhooks need.
        in_development: nobody but this machine can call, and no money moves by itself.
    """

    gateways: tuple[str, ...]
    embedded: bool
    in_development: bool


@frozen(kw_only=True)
class GatewaySettings:
    """Base of a gateway's settings, and the settings of a gateway that has none."""

    def problems(self, service: ServiceFacts) -> Iterable[SettingProblem]:
        """Return what does not go together. A setting that is missing altogether is reported without this."""
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
    """A field of ``GatewaySettings``; the arguments are those of ``PluginSetting``, and its value without any text."""
    declared = PluginSetting(name=name, description=description, read=read, missing=missing, secret=secret)
    return field(default=default, repr=not secret, metadata={_KEY: declared})


def declared(of: type[GatewaySettings]) -> Mapping[str, PluginSetting]:
    """The settings of the class ``of``, by the names of its fields."""
    return {each.name: each.metadata[_KEY] for each in fields(of) if _KEY in each.metadata}


def read_settings(
    of: type[GatewaySettings], look_up: Callable[[str], str | None]
) -> tuple[GatewaySettings, list[SettingProblem]]:
    """The settings of the class ``of``, and what is wrong with single values; a wrong value counts as none.

    ``look_up`` returns the text that was given for a name, None where there is none.
    """
    values, problems = dict[str, Any](), list[SettingProblem]()
    for attribute, each in declared(of).items():
        text = look_up(each.name)
        if text is None:
            continue
        try:
            values[attribute] = each.read(text.strip())
        except ValueError:  # its text may hold the value
            problems.append(SettingProblem(each.name, each.description))
    return of(**values), problems


def missing_settings(settings: GatewaySettings) -> list[SettingProblem]:
    """The settings without which the gateway does not work and that have no value."""
    return [
        SettingProblem(each.name, each.missing)
        for attribute, each in declared(type(settings)).items()
        if each.missing is not None and getattr(settings, attribute) in (None, "", ())
    ]


# --- what texts are read with; each raises ``ValueError`` for a wrong one -------------------------------------------


def comma_separated(text: str) -> tuple[str, ...]:
    """The parts between commas, without empty ones."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def prefixed(*prefixes: str) -> Callable[[str], str]:
    """A reader of printable ASCII without spaces that begins with one of ``prefixes``."""

    def read(text: str) -> str:
        if not re.fullmatch(r"[!-~]+", text, re.ASCII) or not text.startswith(prefixes):
            raise ValueError
        return text

    return read


def at_most(length: int) -> Callable[[str], str]:
    """A reader of text of at most ``length`` characters."""

    def read(text: str) -> str:
        if len(text) > length:
            raise ValueError
        return text

    return read


_TRUTHS: Final = {
    **dict.fromkeys(("true", "1", "yes", "on", "t", "y"), True),
    **dict.fromkeys(("false", "0", "no", "off", "f", "n"), False),
}


def truth(text: str) -> bool:
    """``true`` or ``false``, in the spellings of all settings."""
    if text.lower() not in _TRUTHS:
        raise ValueError
    return _TRUTHS[text.lower()]


def url_parts(url: str) -> SplitResult:
    """The parts of ``url``. Raises ``ValueError`` for one whose port is none."""
    parts = urlsplit(url)
    _ = parts.port
    return parts


def web_address(text: str) -> str:
    """An absolute address, over HTTP or HTTPS."""
    if not re.fullmatch(r"https?://[!-~]+", text, re.ASCII) or not url_parts(text).hostname:
        raise ValueError
    return text


def address_without_user(text: str) -> str:
    """An absolute address without a user's name or password in it."""
    if "@" in url_parts(web_address(text)).netloc:
        raise ValueError
    return text
