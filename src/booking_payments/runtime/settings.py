"""The settings: read from the environment or a ``.env`` file, and checked before the process does anything else.

``load_settings`` reads them. A name with the prefix ``BOOKING_PAYMENTS_`` takes precedence over the bare name in both
sources, since the bare name may belong to the host application. Otherwise the environment takes precedence over the
file. Empty values count as unset. Secrets do not appear in ``repr`` or in errors.
"""

import ipaddress
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, tzinfo
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final
from urllib.parse import parse_qsl, quote, urlencode, urlsplit
from zoneinfo import ZoneInfo

from attrs import evolve, frozen
from dotenv import dotenv_values
from pydantic import BeforeValidator, Field, InstanceOf, PrivateAttr, SecretStr, ValidationError
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from booking_payments.domain.fees import FeeOnRefund, FeePayer
from booking_payments.domain.presenting import SUFFIX_LENGTH, is_suffix
from booking_payments.domain.refunds import CustomerRefunds
from booking_payments.ports.gateway_plugin import GatewayPlugin
from booking_payments.ports.gateway_settings import (
    GatewaySettings,
    ServiceFacts,
    address_without_user,
    comma_separated,
    declared,
    missing_settings,
    read_settings,
    url_parts,
    web_address,
)
from booking_payments.ports.publisher import BROKER, WEBHOOK
from booking_payments.ports.schema_name import SCHEMA_PARAMETER, is_schema_name
from booking_payments.ports.signing_key import signing_key
from booking_payments.runtime.extras import extra
from booking_payments.runtime.plugins import installed_gateways, installed_plugins, plugin_named
from booking_payments.runtime.settings_error import SettingProblem, SettingsError

DEVELOPMENT_JWT_SECRET: Final = "development-only-secret-known-to-everybody"  # noqa: S105 - public by design
"""Signs tokens if only this machine can call the service and no real money can move."""
DEFAULT_DATABASE: Final = "sqlite:///booking-payments.db"
MIN_SECRET_BYTES: Final = 32
"""RFC 7518 section 3.2: an HS256 key is at least as long as the hash."""
MIN_RSA_BITS: Final = 2048
"""RFC 7518 section 3.3."""

AMOUNT_DIGITS: Final = 8
MOST_AMOUNT_DIGITS: Final = 12
"""Bounds of ``GATEWAY_MAX_AMOUNT_DIGITS``: the digits that Stripe accepts by default and at most. A test compares them
with the adapter's table."""

MERCHANT_NAME_LENGTH: Final = 80

PREFIX: Final = "BOOKING_PAYMENTS_"
"""Prefix of the name of any setting; a name with the prefix takes precedence."""

_SQLITE: Final = re.compile(r"sqlite(\+[a-z0-9_]+)?:///", re.ASCII)
_POSTGRESQL: Final = re.compile(r"postgres(ql)?(\+[a-z0-9_]+)?://", re.ASCII)
"""An address with any driver, since the host application may use another driver in the same address."""

_OTHER_DRIVERS: Final = frozenset(
    {
        *("async_fallback", "command_timeout", "prepared_statement_cache_size", "prepared_statement_name_func"),
        *("server_settings", "statement_cache_size", "max_cached_statement_lifetime", "max_cacheable_statement_size"),
    }
)
"""Parameters of an address for asyncpg and its dialect only, which libpq refuses."""


class AfterDeadLetter(StrEnum):
    """Whether a booking's later messages wait for a dead letter, or are delivered after it."""

    WAIT = "wait"
    CONTINUE = "continue"


class JwtAlgorithm(StrEnum):
    """The algorithms that sign tokens."""

    HS256 = "HS256"
    RS256 = "RS256"
    ES256 = "ES256"


class LogFormat(StrEnum):
    """The format of log lines: text for a terminal, or JSON."""

    CONSOLE = "console"
    JSON = "json"


class LogLevel(StrEnum):
    """The standard library's levels."""

    DEBUG = "DEBUG"
    INFO = "INFO"
    WARNING = "WARNING"
    ERROR = "ERROR"
    CRITICAL = "CRITICAL"


@frozen
class Rate:
    """``requests`` in each ``period_s`` seconds."""

    requests: int
    period_s: int


# --- how a value is read: the message of a failure is the setting's description, so these only say no --------------


def _plain_decimal(value: Any) -> Any:
    if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", str(value), re.ASCII):
        raise ValueError
    return Decimal(str(value))


def _plain_int(value: Any) -> Any:
    if not re.fullmatch(r"[0-9]{1,9}", str(value), re.ASCII):
        raise ValueError
    return int(value)


_PERIODS_S: Final = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}


def _rate(value: Any) -> Any:
    match = re.fullmatch(r"([0-9]{1,9})/(second|minute|hour|day)", str(value), re.ASCII)
    if not match or int(match[1]) < 1:
        raise ValueError
    return Rate(int(match[1]), _PERIODS_S[match[2]])


def _time_zone(value: Any) -> Any:
    """Return a time zone of the IANA database by name; UTC is known without the database, too."""
    if value == "UTC":
        return UTC
    try:
        return ZoneInfo(str(value))
    except (KeyError, OSError) as error:  # an unknown name, and the name of a folder
        raise ValueError from error


def _upper(value: Any) -> Any:
    return value.upper() if isinstance(value, str) else value


def _origin(value: Any) -> Any:
    parts = url_parts(web_address(str(value)))
    if parts.path not in ("", "/") or parts.query or parts.fragment or "@" in parts.netloc:
        raise ValueError
    return str(value).rstrip("/")


def _origins(value: Any) -> Any:
    return tuple(_origin(part) for part in comma_separated(str(value)))


def _issuer(value: Any) -> Any:
    """Check an OpenID issuer. It is compared with other texts, so it stays as it is, with or without a slash."""
    parts = url_parts(web_address(str(value)))
    if parts.query or parts.fragment or "@" in parts.netloc or not parts.hostname:
        raise ValueError
    if parts.scheme != "https" and not is_loopback(parts.hostname):
        raise ValueError
    return value


def _secure_address(value: Any) -> Any:
    """Check an https address whose origin can stand in a Content-Security-Policy, where ``;`` and ``,`` separate."""
    parts = url_parts(address_without_user(str(value)))
    if parts.scheme != "https" or not re.fullmatch(r"[A-Za-z0-9.-]+(:[0-9]{1,5})?", parts.netloc, re.ASCII):
        raise ValueError
    return value


def _claim_values(value: Any) -> Any:
    return tuple(comma_separated(str(value)))


def _openid_scopes(value: Any) -> Any:
    scopes = str(value).split()
    if "openid" not in scopes or not all(re.fullmatch(r"[!#-\[\]-~]+", each, re.ASCII) for each in scopes):
        raise ValueError
    return " ".join(scopes)


def _hosts(value: Any) -> Any:
    return tuple(str(_host(each)).lower() for each in comma_separated(str(value)))


def _support_address(value: Any) -> Any:
    if re.fullmatch(r"mailto:[A-Za-z0-9.!#$%&*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9.-]{1,255}", str(value), re.ASCII):
        return value
    return _secure_address(value)


def _line(value: Any) -> Any:
    if not str(value).isprintable() or len(str(value)) > MERCHANT_NAME_LENGTH:
        raise ValueError
    return value


def _folder(value: Any) -> Any:
    try:
        folder = Path(str(value)).expanduser()
        usable = folder.is_dir()
    except (OSError, RuntimeError):  # no permission to look, or no home directory of that user
        usable = False
    if not usable:
        raise ValueError
    return folder.absolute()


def _host(value: Any) -> Any:
    if not re.fullmatch(r"[A-Za-z0-9._:%-]{1,253}", str(value), re.ASCII):
        raise ValueError
    return value


def _database(value: Any) -> Any:
    url = str(value)
    if _SQLITE.match(url):
        path = url.split("///", 1)[1].split("?")[0]
        in_file = bool(path) and ":memory:" not in path
    else:
        in_file = bool(_POSTGRESQL.match(url)) and bool(url_parts(url).scheme)
    if not in_file:
        raise ValueError
    return url


def _schema(value: Any) -> Any:
    if not is_schema_name(str(value)):
        raise ValueError
    return value


_STORES: Final = ("redis://", "rediss://", "valkey://", "valkeys://", "unix://")


def _store(value: Any) -> Any:
    if value == "memory":
        return None
    if not str(value).startswith(_STORES) or not (url_parts(str(value)).netloc or str(value).startswith("unix:///")):
        raise ValueError
    return value


def _broker(value: Any) -> Any:
    """Check the address of a message broker, of any transport of Kombu."""
    if not re.fullmatch(r"[a-z][a-z0-9+]*://[!-~]*", str(value), re.ASCII):
        raise ValueError
    return value


def _networks(value: Any) -> Any:
    """Check addresses and networks in their usual notation; the whole internet is refused."""
    networks = [ipaddress.ip_network(part) for part in comma_separated(str(value))]
    if any(network.prefixlen == 0 for network in networks):
        raise ValueError
    return tuple(str(network) for network in networks)


def _pem(value: Any) -> Any:
    """Check a public key in PEM, which may be in one line with ``\\n`` for line breaks."""
    text = str(value).replace("\\n", "\n")
    _algorithm_in(text)
    return text


def _algorithm_in(pem: str) -> JwtAlgorithm:
    """Return the algorithm of a key in PEM. Raises ``ValueError`` for a weak key or one of another algorithm."""
    with extra("http", "JWT_PUBLIC_KEY"):
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.serialization import load_pem_public_key
    try:
        found = _algorithm_of(load_pem_public_key(pem.encode()))
    except UnsupportedAlgorithm:
        found = None
    if found is None:
        raise ValueError
    return found


def _algorithm_of(key: object) -> JwtAlgorithm | None:
    """Return the algorithm of ``key``; None for a weak key and for one of another algorithm."""
    from cryptography.hazmat.primitives.asymmetric import ec, rsa

    if isinstance(key, rsa.RSAPublicKey) and key.key_size >= MIN_RSA_BITS:
        return JwtAlgorithm.RS256
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1):
        return JwtAlgorithm.ES256
    return None


def _signing_secrets(value: Any) -> Any:
    secrets = comma_separated(str(value))
    for secret in secrets:
        signing_key(secret)
    return secrets


def _suffix(value: Any) -> Any:
    if not is_suffix(str(value)):
        raise ValueError
    return value


def _gateway_name(value: Any) -> Any:
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,39}", str(value), re.ASCII):
        raise ValueError
    return value


def _gateway_names(value: Any) -> Any:
    names = tuple(_gateway_name(each) for each in comma_separated(str(value)))
    if len(set(names)) != len(names):
        raise ValueError
    return names


Fraction = Annotated[Decimal, BeforeValidator(_plain_decimal), Field(lt=1)]
Amount = Annotated[Decimal, BeforeValidator(_plain_decimal)]
Count = Annotated[int, BeforeValidator(_plain_int)]
Limit = Annotated[InstanceOf[Rate], BeforeValidator(_rate)]
Level = Annotated[LogLevel, BeforeValidator(_upper)]
SigningSecrets = Annotated[tuple[SecretStr, ...], NoDecode, BeforeValidator(_signing_secrets)]
Origins = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_origins)]
Texts = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_claim_values)]
SecureAddress = Annotated[str, BeforeValidator(_secure_address)]
Networks = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_networks)]

GatewayText = Annotated[str, BeforeValidator(_gateway_name)]
GatewayNames = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_gateway_names)]
_SECURE: Final = "must be an https address such as https://example.com/page, without user and password"
_AMOUNT: Final = "must be an amount in major units and not negative, such as 0.30"


@frozen
class ChosenGateway:
    """A gateway of the settings, and its own settings."""

    plugin: GatewayPlugin
    settings: GatewaySettings


class Settings(BaseSettings):
    """All settings, checked. ``load_settings`` makes them; the object reads neither the environment nor a file.

    A field's alias is its name in the environment, its description the text of its error. Fields named ``given_...``
    have the value that was set; the property without the prefix has the value that applies.
    """

    embedded: ClassVar[bool] = False
    """Whether this process does not serve HTTP, so that it needs no secrets for tokens and webhooks."""

    _read_from: Mapping[str, str] = PrivateAttr(default_factory=dict)
    _gateways: Mapping[str, "ChosenGateway"] = PrivateAttr(default_factory=dict)

    model_config = SettingsConfigDict(
        frozen=True,
        extra="ignore",
        case_sensitive=True,
        env_ignore_empty=True,
        str_strip_whitespace=True,
        hide_input_in_errors=True,
        validate_default=False,
    )

    # The gateway
    statement_descriptor_suffix: Annotated[str | None, BeforeValidator(_suffix)] = Field(
        None,
        alias="STATEMENT_DESCRIPTOR_SUFFIX",
        description=f"must be at most {SUFFIX_LENGTH} plain characters with a letter, and none of < > \\ ' \" *",
    )
    receipt_emails: bool = Field(False, alias="RECEIPT_EMAILS", description="must be true or false")
    given_installation_id: Annotated[str | None, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")] = Field(
        None,
        alias="INSTALLATION_ID",
        description="must be 1 to 64 letters, digits, dots, dashes and underscores",
    )
    given_gateway: GatewayText | None = Field(
        None,
        alias="PAYMENT_GATEWAY",
        description="must be the name of a gateway: letters a-z, digits and underscores",
    )
    given_gateways: GatewayNames = Field(
        (),
        alias="PAYMENT_GATEWAYS",
        description="must be names of gateways separated by commas, the default one first: stripe,manual",
    )

    # The operator's configuration of payments
    processing_fee_rate: Fraction = Field(
        Decimal("0.03"),
        alias="PAYMENT_PROCESSING_FEE_RATE",
        description="must be a fraction from 0 to below 1, such as 0.03 for 3 %",
    )
    fee_payer: FeePayer = Field(
        FeePayer.ORGANIZER, alias="PAYMENT_FEE_PAYER", description="must be organizer or customer"
    )
    fee_fixed: Amount | None = Field(None, alias="PAYMENT_FEE_FIXED", description=_AMOUNT)
    fee_min: Amount | None = Field(None, alias="PAYMENT_FEE_MIN", description=_AMOUNT)
    fee_max: Amount | None = Field(None, alias="PAYMENT_FEE_MAX", description=_AMOUNT)
    fee_refund: FeeOnRefund = Field(
        FeeOnRefund.KEPT, alias="PAYMENT_FEE_REFUND", description="must be kept or returned"
    )
    retry_attempts: Annotated[Count, Field(ge=1, le=20)] = Field(
        3, alias="PAYMENT_RETRY_ATTEMPTS", description="must be a whole number from 1 to 20"
    )
    retry_delay_s: Annotated[Amount, Field(le=20)] = Field(
        Decimal(1), alias="PAYMENT_RETRY_DELAY", description="must be a number of seconds from 0 to 20, such as 1"
    )
    return_url: Annotated[str | None, BeforeValidator(address_without_user)] = Field(
        None,
        alias="PAYMENT_RETURN_URL",
        description="must be an absolute address such as https://example.com/paid",
    )
    given_return_url_origins: Origins = Field(
        (),
        alias="PAYMENT_RETURN_URL_ORIGINS",
        description="must be origins separated by commas, such as https://example.com, without a path",
    )
    business_time_zone: Annotated[InstanceOf[tzinfo], BeforeValidator(_time_zone)] = Field(
        UTC,
        alias="BUSINESS_TIME_ZONE",
        description="must be the name of a time zone that the system's tzdata knows, such as UTC or Europe/Berlin",
    )
    operation_lease_s: Annotated[Count, Field(ge=1, le=3600)] = Field(
        60, alias="OPERATION_LEASE_S", description="must be a whole number of seconds from 1 to 3600"
    )

    # Limits for callers, and for calls to the gateway
    rate_limit_enabled: bool = Field(True, alias="RATE_LIMIT_ENABLED", description="must be true or false")
    rate_limit_money: Limit = Field(
        Rate(60, 60), alias="RATE_LIMIT_MONEY", description="must be a rate such as 60/minute (second, hour, day)"
    )
    rate_limit_address: Limit = Field(
        Rate(600, 60), alias="RATE_LIMIT_ADDRESS", description="must be a rate such as 600/minute (second, hour, day)"
    )
    rate_limit_store_url: Annotated[SecretStr | None, BeforeValidator(_store)] = Field(
        None,
        alias="RATE_LIMIT_STORE_URL",
        description="must be memory, or redis://HOST:PORT/DATABASE (rediss, valkey, valkeys, unix)",
    )
    capture_by_customer: bool = Field(False, alias="PAYMENT_CAPTURE_BY_CUSTOMER", description="must be true or false")
    customer_refunds: CustomerRefunds = Field(
        CustomerRefunds.POLICY, alias="CUSTOMER_REFUNDS", description="must be policy or none"
    )
    full_refund_cancels_booking: bool = Field(
        True, alias="FULL_REFUND_CANCELS_BOOKING", description="must be true or false"
    )
    max_unpaid_bookings_per_customer: Count = Field(
        10, alias="MAX_UNPAID_BOOKINGS_PER_CUSTOMER", description="must be a whole number; 0 for no bound"
    )
    gateway_max_per_s: Count = Field(
        20, alias="GATEWAY_MAX_PER_S", description="must be a whole number; 0 for no bound"
    )
    gateway_max_concurrent: Count = Field(
        10, alias="GATEWAY_MAX_CONCURRENT", description="must be a whole number; 0 for no bound"
    )
    gateway_max_amount_digits: Annotated[Count, Field(ge=AMOUNT_DIGITS, le=MOST_AMOUNT_DIGITS)] = Field(
        AMOUNT_DIGITS,
        alias="GATEWAY_MAX_AMOUNT_DIGITS",
        description=f"must be a whole number from {AMOUNT_DIGITS} to {MOST_AMOUNT_DIGITS}",
    )

    # Messages to the booking app
    messages_webhook_url: Annotated[str | None, BeforeValidator(address_without_user)] = Field(
        None,
        alias="MESSAGES_WEBHOOK_URL",
        description="must be an address such as https://example.com/hooks/payments, without user and password",
    )
    given_messages_webhook_secrets: SigningSecrets = Field(
        (),
        alias="MESSAGES_WEBHOOK_SECRET",
        description="must be whsec_ and 24 to 64 bytes in base64, or several of these separated by commas; make one "
        "with: echo whsec_$(openssl rand -base64 32)",
    )
    messages_broker_url: Annotated[SecretStr | None, BeforeValidator(_broker)] = Field(
        None, alias="MESSAGES_BROKER_URL", description="must be the address of a broker, such as amqp://HOST//"
    )
    messages_broker_queue: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,80}$")] = Field(
        "booking-payments",
        alias="MESSAGES_BROKER_QUEUE",
        description="must be the name of a queue: letters, digits, dots, dashes and underscores",
    )
    messages_channel: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,39}$")] = Field(
        "app",
        alias="MESSAGES_CHANNEL",
        description="must be a name of at most 40 letters a-z, digits, dashes and underscores: NAME in the channels "
        "python:NAME and pull:NAME",
    )
    booking_expiring_notice_s: Annotated[Count, Field(le=86_400)] = Field(
        600,
        alias="BOOKING_EXPIRING_NOTICE_S",
        description="must be a whole number of seconds from 0 to 86400; 0: never",
    )
    messages_retry_attempts: Annotated[Count, Field(ge=1, le=50)] = Field(
        18, alias="MESSAGES_RETRY_ATTEMPTS", description="must be a whole number from 1 to 50"
    )
    messages_retry_delay_s: Annotated[Amount, Field(le=3600)] = Field(
        Decimal(5), alias="MESSAGES_RETRY_DELAY", description="must be a number of seconds from 0 to 3600, such as 5"
    )
    messages_after_dead_letter: AfterDeadLetter = Field(
        AfterDeadLetter.WAIT, alias="MESSAGES_AFTER_DEAD_LETTER", description="must be wait or continue"
    )

    # The database
    given_database_url: Annotated[SecretStr, BeforeValidator(_database)] = Field(
        SecretStr(DEFAULT_DATABASE),
        alias="DATABASE_URL",
        description="must be sqlite:///FILE or postgresql://USER:PASSWORD@HOST/NAME; one in memory would forget",
    )

    given_database_schema: Annotated[str | None, BeforeValidator(_schema)] = Field(
        None,
        alias="DATABASE_SCHEMA",
        description="must be the name of a schema: letters a-z, digits and underscores, not beginning with pg_",
    )

    # Authentication
    given_jwt_secret: SecretStr | None = Field(None, alias="JWT_SECRET", description="must be text")
    jwt_public_key: Annotated[str | None, BeforeValidator(_pem)] = Field(
        None,
        alias="JWT_PUBLIC_KEY",
        description="must be a public key in PEM: RSA of 2048 bits or more, or EC on P-256",
    )
    given_jwt_algorithm: JwtAlgorithm | None = Field(
        None, alias="JWT_ALGORITHM", description="must be HS256, RS256 or ES256"
    )
    jwt_issuer: str | None = Field(None, alias="JWT_ISSUER", description="must be text")
    jwt_audience: str | None = Field(None, alias="JWT_AUDIENCE", description="must be text")

    # Log-in to the console
    oidc_issuer: Annotated[str | None, BeforeValidator(_issuer)] = Field(
        None,
        alias="OIDC_ISSUER",
        description="must be the issuer of an OpenID provider: an https address without a query, such as "
        "https://id.example.com",
    )
    oidc_client_id: str | None = Field(None, alias="OIDC_CLIENT_ID", description="must be text")
    oidc_client_secret: SecretStr | None = Field(None, alias="OIDC_CLIENT_SECRET", description="must be text")
    oidc_role_claim: Annotated[str | None, Field(max_length=200)] = Field(
        None,
        alias="OIDC_ROLE_CLAIM",
        description="must be the name of a claim of the ID token, or of one inside another: realm_access.roles",
    )
    oidc_read_values: Texts = Field(
        ("payments:read",),
        alias="OIDC_READ_VALUES",
        description="must be values of the role claim separated by commas, such as payments:read",
    )
    oidc_operate_values: Texts = Field(
        ("payments:operate",),
        alias="OIDC_OPERATE_VALUES",
        description="must be values of the role claim separated by commas, such as payments:operate",
    )
    oidc_scopes: Annotated[str, BeforeValidator(_openid_scopes)] = Field(
        "openid profile email",
        alias="OIDC_SCOPES",
        description="must be scopes separated by spaces, openid among them",
    )
    oidc_endpoint_hosts: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_hosts)] = Field(
        (),
        alias="OIDC_ENDPOINT_HOSTS",
        description="must be host names separated by commas, such as oauth2.googleapis.com",
    )
    console_session_idle_s: Annotated[Count, Field(ge=60, le=86_400)] = Field(
        1800, alias="CONSOLE_SESSION_IDLE_S", description="must be a whole number of seconds from 60 to 86400"
    )
    console_session_lifetime_s: Annotated[Count, Field(ge=300, le=604_800)] = Field(
        28_800, alias="CONSOLE_SESSION_LIFETIME_S", description="must be a whole number of seconds from 300 to 604800"
    )

    # The server and its logs
    host: Annotated[str, BeforeValidator(_host)] = Field(
        "127.0.0.1", alias="HOST", description="must be an address or host name without scheme and port"
    )
    port: Annotated[Count, Field(ge=1, le=65535)] = Field(
        8000, alias="PORT", description="must be a TCP port, a whole number from 1 to 65535"
    )
    workers: Annotated[Count, Field(ge=1, le=256)] = Field(
        1, alias="WORKERS", description="must be a whole number from 1 to 256"
    )
    public_url: Annotated[str | None, BeforeValidator(_origin)] = Field(
        None,
        alias="PUBLIC_URL",
        description="must be where customers reach this service, such as https://pay.example.com, without a path",
    )
    checkout_enabled: bool = Field(True, alias="CHECKOUT_ENABLED", description="must be true or false")
    merchant_name: Annotated[str | None, BeforeValidator(_line)] = Field(
        None, alias="MERCHANT_NAME", description=f"must be one line of at most {MERCHANT_NAME_LENGTH} characters"
    )
    merchant_logo_url: SecureAddress | None = Field(None, alias="MERCHANT_LOGO_URL", description=_SECURE)
    merchant_color: Annotated[str | None, Field(pattern=r"^#[0-9A-Fa-f]{6}$")] = Field(
        None, alias="MERCHANT_COLOR", description="must be a color such as #0b5fff: # and six hexadecimal digits"
    )
    merchant_support_url: Annotated[str | None, BeforeValidator(_support_address)] = Field(
        None, alias="MERCHANT_SUPPORT_URL", description=f"{_SECURE}, or mailto: and an e-mail address"
    )
    merchant_terms_url: SecureAddress | None = Field(None, alias="MERCHANT_TERMS_URL", description=_SECURE)
    merchant_privacy_url: SecureAddress | None = Field(None, alias="MERCHANT_PRIVACY_URL", description=_SECURE)
    checkout_catalogues: Annotated[Path | None, BeforeValidator(_folder)] = Field(
        None, alias="CHECKOUT_CATALOGUES", description="must be the path of a folder that exists"
    )
    checkout_templates: Annotated[Path | None, BeforeValidator(_folder)] = Field(
        None, alias="CHECKOUT_TEMPLATES", description="must be the path of a folder that exists"
    )
    console_enabled: bool = Field(True, alias="CONSOLE_ENABLED", description="must be true or false")
    trusted_proxies: Networks = Field(
        (),
        alias="TRUSTED_PROXIES",
        description="must be addresses or networks separated by commas, such as 10.0.0.7,fd00::/8; never all of them",
    )
    cors_origins: Origins = Field(
        (),
        alias="CORS_ORIGINS",
        description="must be origins separated by commas, such as https://example.com, without a path",
    )
    hsts_max_age_s: Annotated[Count, Field(le=126_144_000)] = Field(
        0, alias="HSTS_MAX_AGE_S", description="must be a whole number of seconds; 0 for none"
    )
    docs_enabled: bool = Field(True, alias="DOCS_ENABLED", description="must be true or false")
    worker_concurrency: Annotated[Count, Field(ge=1, le=100)] = Field(
        10, alias="WORKER_CONCURRENCY", description="must be a whole number from 1 to 100"
    )
    log_level: Level = Field(
        LogLevel.INFO, alias="LOG_LEVEL", description="must be DEBUG, INFO, WARNING, ERROR or CRITICAL"
    )
    given_log_level_payments: Level | None = Field(
        None, alias="LOG_LEVEL_PAYMENTS", description="must be DEBUG, INFO, WARNING, ERROR or CRITICAL"
    )
    given_log_format: LogFormat | None = Field(None, alias="LOG_FORMAT", description="must be console or json")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Use no further sources: ``load_settings`` reads environment and file, by its rules of precedence."""
        return (init_settings,)

    # --- values that follow from the settings

    def read_from(self, name: str) -> str | None:
        """Return the name, with or without the prefix, under which the setting ``name`` was set; None if it was not."""
        return self._read_from.get(name)

    @property
    def prefixed(self) -> tuple[str, ...]:
        """The names with the prefix that were read."""
        return tuple(sorted(given for name, given in self._read_from.items() if given != name))

    @property
    def gateways(self) -> tuple[str, ...]:
        """The names of the gateways, the default one first."""
        return tuple(self._gateways)

    @property
    def plugins(self) -> Mapping[str, GatewayPlugin]:
        """The plugins of the gateways by name, the default one first."""
        return {name: each.plugin for name, each in self._gateways.items()}

    def of_gateway(self, name: str) -> Any:
        """The settings of the gateway ``name``, one of ``gateways``, as its plugin declares them."""
        return self._gateways[name].settings

    @property
    def gateway(self) -> str:
        """The default gateway."""
        return self.gateways[0]

    @property
    def livemode(self) -> bool:
        """Whether real money may move."""
        return any(each.plugin.moves_money(each.settings) for each in self._gateways.values())

    @property
    def in_one_process(self) -> bool:
        """Whether a gateway keeps its state in the process that serves, so that no other one can work beside it."""
        return any(each.plugin.in_one_process for each in self._gateways.values())

    @property
    def listens_on_loopback(self) -> bool:
        """Whether only this machine can reach the service."""
        return is_loopback(self.host)

    @property
    def in_development(self) -> bool:
        """Whether a development gateway is used on loopback, alone or with gateways whose payments operators record.

        Then only this machine can call, and no real money moves.
        """
        plugins = self.plugins.values()
        return (
            self.listens_on_loopback
            and any(each.for_development for each in plugins)
            and all(each.for_development or each.recorded for each in plugins)
        )

    @property
    def service_facts(self) -> ServiceFacts:
        """The values on which the settings of a gateway may depend."""
        return ServiceFacts(gateways=self.gateways, embedded=self.embedded, in_development=self.in_development)

    @property
    def channels(self) -> tuple[str, ...]:
        """The channels that every process with these settings delivers on."""
        ways = {WEBHOOK: self.messages_webhook_url, BROKER: self.messages_broker_url}
        return tuple(name for name, address in ways.items() if address)

    @property
    def messages_webhook_secrets(self) -> tuple[str, ...]:
        """The secrets for outgoing webhooks, which are signed with each of them."""
        return tuple(secret.get_secret_value() for secret in self.given_messages_webhook_secrets)

    @property
    def own_address(self) -> str:
        """The address of this service for browsers: ``PUBLIC_URL``, or the listening address for this machine."""
        host = "127.0.0.1" if self.host in ("0.0.0.0", "::") else self.host  # noqa: S104 - compared, not listened on
        return self.public_url or f"http://{f'[{host}]' if ':' in host else host}:{self.port}"

    @property
    def return_url_origins(self) -> tuple[str, ...]:
        """The origins that a ``return_url`` may have, including that of the default one and our own."""
        own = (_origin_of(self.return_url),) if self.return_url else ()
        public = (self.public_url,) if self.public_url else ()
        return tuple(dict.fromkeys((*self.given_return_url_origins, *own, *public)))

    @property
    def normalized_database_url(self) -> str:
        """The database's address for SQLAlchemy, with an async driver, and with the schema if it is set.

        It may contain a password.
        """
        url = normalize_database_url(self.given_database_url.get_secret_value())
        if self.given_database_schema is None or not url.startswith("postgresql"):
            return url
        return f"{url}{'&' if '?' in url else '?'}{SCHEMA_PARAMETER}={self.given_database_schema}"

    @property
    def on_postgresql(self) -> bool:
        """Whether the books are in PostgreSQL; otherwise they are in SQLite."""
        return self.normalized_database_url.startswith("postgresql")

    @property
    def uses_development_jwt_secret(self) -> bool:
        """Whether tokens are signed with the public development secret, which is logged as a warning."""
        return self.in_development and self.given_jwt_secret is None and self.jwt_public_key is None

    @property
    def jwt_algorithm(self) -> JwtAlgorithm:
        """The only algorithm that tokens may have: as set, otherwise that of the key."""
        if self.given_jwt_algorithm:
            return self.given_jwt_algorithm
        return _algorithm_in(self.jwt_public_key) if self.jwt_public_key else JwtAlgorithm.HS256

    @property
    def jwt_signing_key(self) -> str | None:
        """The key that signs tokens; None if only the issuer with the private key can sign them."""
        if self.jwt_algorithm is not JwtAlgorithm.HS256:
            return None
        if self.given_jwt_secret:
            return self.given_jwt_secret.get_secret_value()
        return DEVELOPMENT_JWT_SECRET if self.uses_development_jwt_secret else None

    @property
    def jwt_verification_key(self) -> str:
        """The key that verifies tokens. Raises ``SettingsError`` when none is set."""
        key = self.jwt_signing_key or self.jwt_public_key
        if not key:
            raise SettingsError(_TOKENS_MISSING)
        return key

    @property
    def log_level_payments(self) -> LogLevel:
        """The level of the payment log: as set, otherwise that of all logs."""
        return self.given_log_level_payments or self.log_level

    @property
    def log_format(self) -> LogFormat:
        """The log format: as set, otherwise text on a terminal and JSON elsewhere."""
        return self.given_log_format or (LogFormat.CONSOLE if sys.stderr.isatty() else LogFormat.JSON)


class EmbeddedSettings(Settings):
    """The settings of a process that only calls the library: no secrets for tokens and webhooks are required."""

    embedded: ClassVar[bool] = True


def load_settings(
    env: Mapping[str, str] | None = None,
    env_file: str | Path | None = ".env",
    *,
    overrides: Mapping[str, str] | None = None,
    embedded: bool = False,
) -> Settings:
    """Read and check the settings.

    A name with ``PREFIX`` takes precedence over the bare name, even if that is in the environment and the other in the
    file.

    Args:
        env: the environment; None: this process's.
        env_file: a file with settings that the environment does not have; None: no file.
        overrides: values by bare names, which take precedence over both.
        embedded: this process does not serve HTTP, so settings that only HTTP needs are not required.

    Raises:
        SettingsError: With a line for every wrong setting, by the name under which it was set.
    """
    file = _file(env_file)
    sources = (os.environ if env is None else env, file)
    read_from = dict[str, str]()

    def look_up(name: str) -> tuple[str, str] | None:
        """Return the name under which a setting was set, and its text; None if it was not set."""
        if (overrides or {}).get(name, "").strip():
            return name, (overrides or {})[name]
        names = [(said, source) for said in (f"{PREFIX}{name}", name) for source in sources]
        return next(((said, source[said]) for said, source in names if source.get(said, "").strip()), None)

    def text_of(name: str) -> str | None:
        """Return the text of the setting ``name``, and note in ``read_from`` under which name it was set."""
        given = look_up(name)
        if given is None:
            return None
        read_from[name] = given[0]
        return given[1]

    given = {name: text for name in _REMEDIES if (text := text_of(name)) is not None}
    chosen, problems = _read_gateways(_chosen(given, look_up), text_of)
    settings = None
    try:
        settings = (EmbeddedSettings if embedded else Settings)(**given)  # type: ignore[arg-type] # texts, to be read
    except ValidationError as error:
        problems = [*_explained(error), *problems]
    if settings is not None:
        settings._read_from, settings._gateways = read_from, chosen
        problems = problems or list(_misfits(settings))
    if settings is None or problems:
        raise SettingsError(*_as_given(problems, read_from)) from None
    return settings


def _chosen(given: Mapping[str, str], look_up: Callable[[str], object]) -> tuple[str, ...]:
    """Return the names of the gateways, the default one first; empty if one is malformed."""
    try:
        named = _gateway_names(given.get("PAYMENT_GATEWAYS", "")) or _gateway_names(given.get("PAYMENT_GATEWAY", ""))
    except ValueError:
        return ()
    return named or ("stripe" if look_up("STRIPE_SECRET_KEY") else "fake",)


def _read_gateways(
    names: Iterable[str], text_of: Callable[[str], str | None]
) -> tuple[Mapping[str, ChosenGateway], list[SettingProblem]]:
    """Return the gateways by name with their settings, and the problems of single settings."""
    chosen, problems = dict[str, ChosenGateway](), list[SettingProblem]()
    for name in names:
        plugin = plugin_named(name)
        if plugin is None:
            setting = "PAYMENT_GATEWAYS" if text_of("PAYMENT_GATEWAYS") else "PAYMENT_GATEWAY"
            installed = ", ".join(installed_gateways())
            problems.append(SettingProblem(setting, f"must name gateways that are installed: {installed}"))
            continue
        settings, wrong = read_settings(plugin.settings, text_of)
        problems += wrong
        chosen[name] = ChosenGateway(plugin=plugin, settings=settings)
    return chosen, problems


def _file(path: str | Path | None) -> Mapping[str, str]:
    """Return the assignments in the file at ``path``; empty if it does not exist."""
    if path is None or not Path(path).expanduser().is_file():
        return {}
    try:
        found = dotenv_values(Path(path).expanduser(), encoding="utf-8")
    except UnicodeDecodeError:
        raise SettingsError(SettingProblem(str(path), "must be a text file in UTF-8")) from None
    return {name: value for name, value in found.items() if value is not None}


def _as_given(problems: Iterable[SettingProblem], read_from: Mapping[str, str]) -> Iterator[SettingProblem]:
    """Return the problems, each with the name under which its setting was set."""
    return (evolve(each, setting=read_from.get(each.setting, each.setting)) for each in problems)


_REMEDIES: Final = {field.alias or name: field.description or "" for name, field in Settings.model_fields.items()}


def setting_names() -> frozenset[str]:
    """Return the names of all settings: those of the service, and those of all installed gateways."""
    own = (each.name for plugin in installed_plugins().values() for each in declared(plugin.settings).values())
    return frozenset((*_REMEDIES, *own))


def _explained(error: ValidationError) -> Iterator[SettingProblem]:
    """Yield each wrong setting once, with our text: the library's text may contain the value."""
    for name in dict.fromkeys(str(each["loc"][0]) for each in error.errors(include_input=False)):
        yield SettingProblem(name, _REMEDIES[name])


def normalize_database_url(url: str) -> str:
    """Return an address of SQLite or PostgreSQL in SQLAlchemy's form, with the driver that this service uses.

    Parameters of other drivers are translated to those of libpq, or left out if libpq has no such parameter.

    Raises:
        SettingsError: When it is the address of another database.
    """
    if found := _SQLITE.match(url):
        return f"sqlite+aiosqlite:///{url[found.end() :]}"
    if found := _POSTGRESQL.match(url):
        base, mark, query = url[found.end() :].partition("?")
        return f"postgresql+psycopg://{base}{mark}{_for_libpq(query)}".removesuffix("?")
    raise SettingsError(SettingProblem("DATABASE_URL", _REMEDIES["DATABASE_URL"]))


def _for_libpq(query: str) -> str:
    """Return the parameters of an address with libpq's names; unchanged if they have these already."""
    given = parse_qsl(query, keep_blank_values=True)
    if not any(name == "ssl" or name in _OTHER_DRIVERS for name, _ in given):
        return query
    kept = [(name, value) for name, value in given if name not in _OTHER_DRIVERS]
    ours = [("sslmode", _SSL.get(value, value)) if name == "ssl" else (name, value) for name, value in kept]
    return urlencode(ours, quote_via=quote)


_SSL: Final = {"true": "require", "on": "require", "1": "require", "false": "disable", "off": "disable", "0": "disable"}
"""Values of asyncpg's ``ssl`` as values of libpq's ``sslmode``, where they differ."""


def is_loopback(host: str) -> bool:
    """Return whether ``host`` can only be reached from this machine. Names except ``localhost`` are not resolved."""
    try:
        return host.lower() == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _origin_of(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


# --- settings that do not go together ------------------------------------------------------------------------------

_TOKENS_MISSING: Final = SettingProblem(
    "JWT_SECRET", "set it to 32 bytes or more (or set JWT_PUBLIC_KEY): only the fake gateway on loopback has a default"
)


def _misfits(settings: Settings) -> Iterator[SettingProblem]:
    yield from _gateway_misfits(settings)
    yield from _secret_misfits(settings)
    yield from _token_misfits(settings)
    yield from _fee_misfits(settings)
    yield from _worker_misfits(settings)
    yield from _message_misfits(settings)
    yield from _log_in_misfits(settings)
    if settings.merchant_logo_url and not settings.merchant_name:
        yield SettingProblem("MERCHANT_NAME", "set it: screen readers read it in place of MERCHANT_LOGO_URL")


def _gateway_misfits(settings: Settings) -> Iterator[SettingProblem]:
    if settings.given_gateways and settings.given_gateway not in (None, settings.given_gateways[0]):
        yield SettingProblem(
            "PAYMENT_GATEWAY", "must be the first of PAYMENT_GATEWAYS, which is the default; or leave it out"
        )
    for each in settings._gateways.values():
        yield from missing_settings(each.settings)
        yield from each.settings.problems(settings.service_facts)


def _secret_misfits(settings: Settings) -> Iterator[SettingProblem]:
    """Yield the problems with settings that only a process needs that serves HTTP."""
    if settings.embedded:
        return
    if settings.given_jwt_secret is None and settings.jwt_public_key is None and not settings.in_development:
        yield _TOKENS_MISSING


def _token_misfits(settings: Settings) -> Iterator[SettingProblem]:
    secret, public_key = settings.given_jwt_secret, settings.jwt_public_key
    if secret and len(secret.get_secret_value().encode()) < MIN_SECRET_BYTES:
        yield SettingProblem("JWT_SECRET", "must have 32 bytes or more; make one with: openssl rand -hex 32")
    if secret and secret.get_secret_value().startswith("-----BEGIN"):
        yield SettingProblem("JWT_SECRET", "must not be a key in PEM; a public key goes into JWT_PUBLIC_KEY")
    if secret and public_key and settings.given_jwt_algorithm is None:
        yield SettingProblem(
            "JWT_ALGORITHM", "set it, since both JWT_SECRET and JWT_PUBLIC_KEY are set; or remove one of them"
        )
    yield from _algorithm_misfits(settings)


def _algorithm_misfits(settings: Settings) -> Iterator[SettingProblem]:
    algorithm, public_key = settings.given_jwt_algorithm, settings.jwt_public_key
    if algorithm is None:
        return
    if algorithm is JwtAlgorithm.HS256:
        if public_key and settings.given_jwt_secret is None:
            yield SettingProblem("JWT_ALGORITHM", "HS256 needs JWT_SECRET; with JWT_PUBLIC_KEY choose RS256 or ES256")
    elif public_key is None:
        yield SettingProblem("JWT_PUBLIC_KEY", f"set it: {algorithm} verifies tokens with a public key")
    elif _algorithm_in(public_key) is not algorithm:
        yield SettingProblem("JWT_ALGORITHM", f"must be {_algorithm_in(public_key)}, the algorithm of JWT_PUBLIC_KEY")


def _fee_misfits(settings: Settings) -> Iterator[SettingProblem]:
    least, most = settings.fee_min, settings.fee_max
    if least is not None and most is not None and least > most:
        yield SettingProblem("PAYMENT_FEE_MIN", "must not be above PAYMENT_FEE_MAX")


def _worker_misfits(settings: Settings) -> Iterator[SettingProblem]:
    if settings.workers > 1 and (settings.in_one_process or not settings.on_postgresql):
        yield SettingProblem(
            "WORKERS", "must be 1, unless DATABASE_URL names PostgreSQL and the gateway is not the fake one"
        )


def _message_misfits(settings: Settings) -> Iterator[SettingProblem]:
    if settings.messages_webhook_url and not settings.given_messages_webhook_secrets:
        yield SettingProblem("MESSAGES_WEBHOOK_SECRET", "set it: receivers cannot trust unsigned webhooks")
    if settings.messages_broker_url and settings.messages_broker_url.get_secret_value().startswith("memory://"):
        yield SettingProblem("MESSAGES_BROKER_URL", "must be the address of a broker; one in memory has no receivers")


_OIDC: Final = ("OIDC_ISSUER", "OIDC_CLIENT_ID", "OIDC_CLIENT_SECRET", "OIDC_ROLE_CLAIM")


def _log_in_misfits(settings: Settings) -> Iterator[SettingProblem]:
    given = (settings.oidc_issuer, settings.oidc_client_id, settings.oidc_client_secret, settings.oidc_role_claim)
    missing = [name for name, value in zip(_OIDC, given, strict=True) if not value]
    if len(missing) == len(_OIDC):
        return
    for name in missing:
        yield SettingProblem(name, f"set it: log-in with OpenID Connect needs {', '.join(_OIDC)}")
    if settings.embedded:
        return
    if settings.public_url is None and not settings.listens_on_loopback:
        yield SettingProblem("PUBLIC_URL", "set it: the OpenID provider sends browsers back to this address")
    own = urlsplit(settings.own_address)
    if own.scheme != "https" and not is_loopback(own.hostname or ""):
        yield SettingProblem("PUBLIC_URL", "must begin with https:// for log-in with OpenID Connect")
