"""The meaning of settings, values derived from them, and invalid values."""

import base64
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from anyio import to_thread
from attrs import asdict
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

import booking_payments
from booking_payments.adapters.gateways.fake.plugin import webhook_secrets
from booking_payments.adapters.gateways.stripe import amounts
from booking_payments.adapters.sql.migrations import migrate
from booking_payments.application.callers import Caller
from booking_payments.application.views import NewBooking
from booking_payments.domain.errors import RefusedByRule
from booking_payments.domain.events import OperationIntended
from booking_payments.domain.fees import FeeOnRefund, FeePayer
from booking_payments.domain.instructions import CreateIntent, MethodChoice
from booking_payments.domain.money import Currency, Money
from booking_payments.embedding import open_payments
from booking_payments.ports.gateway_settings import declared
from booking_payments.runtime.composition import build, gateways_alone
from booking_payments.runtime.payment_config import payment_config_of
from booking_payments.runtime.plugins import installed_plugins
from booking_payments.runtime.settings import (
    AMOUNT_DIGITS,
    MOST_AMOUNT_DIGITS,
    Rate,
    Settings,
    is_loopback,
    load_settings,
    normalize_database_url,
    setting_names,
)
from booking_payments.runtime.settings_error import SettingsError
from booking_payments.testing import storage_samples as samples

SECRET = "s" * 32
STRIPE = {
    "STRIPE_SECRET_KEY": "sk_test_abc",
    "STRIPE_PUBLISHABLE_KEY": "pk_test_abc",
    "STRIPE_WEBHOOK_SECRET": "whsec_abc",
    "JWT_SECRET": SECRET,
}


def _pem(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> str:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


RSA_KEY = _pem(rsa.generate_private_key(public_exponent=65537, key_size=2048))
WEAK_RSA_KEY = _pem(rsa.generate_private_key(public_exponent=65537, key_size=1024))  # noqa: S505 - weak on purpose
EC_KEY = _pem(ec.generate_private_key(ec.SECP256R1()))
OTHER_CURVE = _pem(ec.generate_private_key(ec.SECP384R1()))


def load(env: Mapping[str, str] | None = None, **more: str) -> Settings:
    return load_settings({**(env or {}), **more}, env_file=None)


def refused(env: Mapping[str, str] | None = None, **more: str) -> list[str]:
    """The names of the settings that are refused."""
    with pytest.raises(SettingsError) as caught:
        load(env, **more)
    return [problem.setting for problem in caught.value.problems]


def message(env: Mapping[str, str] | None = None, **more: str) -> str:
    with pytest.raises(SettingsError) as caught:
        load(env, **more)
    return str(caught.value)


# --- where they come from


def test_nothing_need_be_set_to_try_it_out() -> None:
    settings = load()

    assert (settings.gateway, settings.host, settings.port, settings.workers) == ("fake", "127.0.0.1", 8000, 1)


def test_a_file_is_read(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("PORT=9000\nUNRELATED=1\n")

    assert load_settings({}, file).port == 9000


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("PORT=9000\n")

    assert load_settings({"PORT": "9001"}, file).port == 9001


def test_a_missing_settings_file_is_not_an_error(tmp_path: Path) -> None:
    assert load_settings({}, tmp_path / "none").port == 8000


def test_a_settings_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_bytes(b"PORT=\xff\xfe")

    with pytest.raises(SettingsError, match="UTF-8"):
        load_settings({}, file)


def test_wrong_values_in_the_file_are_refused_by_name(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("PORT=none\n")

    with pytest.raises(SettingsError, match=r"^PORT: "):
        load_settings({}, file)


def test_the_process_environment_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "9002")

    assert load_settings(env_file=None).port == 9002


@pytest.mark.parametrize("empty", ["", "   "])
def test_an_empty_value_counts_as_unset(empty: str) -> None:
    assert load(PORT=empty, PAYMENT_GATEWAY=empty, JWT_SECRET=empty).port == 8000


def test_settings_are_read_only() -> None:
    with pytest.raises(ValueError, match="frozen"):
        setattr(load(), "port", 1)  # noqa: B010 - mypy would not let us


# --- defaults of the contract


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("processing_fee_rate", Decimal("0.03")),
        ("fee_payer", FeePayer.ORGANIZER),
        ("fee_fixed", None),
        ("fee_min", None),
        ("fee_max", None),
        ("fee_refund", FeeOnRefund.KEPT),
        ("retry_attempts", 3),
        ("retry_delay_s", Decimal(1)),
        ("return_url", None),
        ("return_url_origins", ()),
        ("operation_lease_s", 60),
        ("business_time_zone", UTC),
        ("rate_limit_enabled", True),
        ("rate_limit_money", Rate(60, 60)),
        ("rate_limit_address", Rate(600, 60)),
        ("rate_limit_store_url", None),
        ("trusted_proxies", ()),
        ("cors_origins", ()),
        ("hsts_max_age_s", 0),
        ("docs_enabled", True),
        ("max_unpaid_bookings_per_customer", 10),
        ("gateway_max_per_s", 20),
        ("gateway_max_concurrent", 10),
        ("gateway_max_amount_digits", 8),
        ("normalized_database_url", "sqlite+aiosqlite:///booking-payments.db"),
        ("jwt_issuer", None),
        ("jwt_audience", None),
        ("jwt_algorithm", "HS256"),
        ("log_level", "INFO"),
        ("log_level_payments", "INFO"),
    ],
)
def test_default(name: str, value: object) -> None:
    assert getattr(load(), name) == value


# --- the gateway


def test_a_stripe_key_chooses_stripe() -> None:
    assert load(STRIPE).gateway == "stripe"


def test_the_fake_can_be_chosen_beside_a_stripe_key() -> None:
    assert load(STRIPE, PAYMENT_GATEWAY="fake").gateway == "fake"


@pytest.mark.parametrize("missing", sorted(STRIPE))
def test_stripe_does_not_start_without(missing: str) -> None:
    env = {name: value for name, value in STRIPE.items() if name != missing}

    assert refused(env, PAYMENT_GATEWAY="stripe") == [missing]


def test_all_missing_settings_are_named_at_once() -> None:
    assert refused(PAYMENT_GATEWAY="stripe") == [
        "STRIPE_SECRET_KEY",
        "STRIPE_PUBLISHABLE_KEY",
        "STRIPE_WEBHOOK_SECRET",
        "JWT_SECRET",
    ]


def test_each_problem_has_one_line() -> None:
    assert len(message(PAYMENT_GATEWAY="stripe").splitlines()) == 4


def test_webhook_secrets_are_separated_by_commas() -> None:
    settings = load(STRIPE, STRIPE_WEBHOOK_SECRET="whsec_a, whsec_b,")

    assert settings.of_gateway("stripe").webhook_secrets == ("whsec_a", "whsec_b")


def test_a_webhook_secret_of_commas_counts_as_missing() -> None:
    assert refused(STRIPE, STRIPE_WEBHOOK_SECRET=" , ") == ["STRIPE_WEBHOOK_SECRET"]


def test_a_publishable_key_is_not_taken_for_the_secret_key() -> None:
    assert refused(STRIPE, STRIPE_SECRET_KEY="pk_test_abc") == ["STRIPE_SECRET_KEY"]


def test_a_secret_key_is_never_published() -> None:
    assert refused(STRIPE, STRIPE_PUBLISHABLE_KEY="sk_test_abc") == ["STRIPE_PUBLISHABLE_KEY"]


def test_a_restricted_key_is_taken() -> None:
    assert load(STRIPE, STRIPE_SECRET_KEY="rk_test_abc").gateway == "stripe"


def test_live_and_test_keys_do_not_mix() -> None:
    assert refused(STRIPE, STRIPE_PUBLISHABLE_KEY="pk_live_abc") == ["STRIPE_PUBLISHABLE_KEY"]


def test_the_sandbox_is_another_base() -> None:
    assert (
        load(STRIPE, STRIPE_API_BASE="http://127.0.0.1:12111").of_gateway("stripe").api_base == "http://127.0.0.1:12111"
    )


def test_an_api_base_that_is_not_a_url_is_refused() -> None:
    assert refused(STRIPE, STRIPE_API_BASE="ftp://example.com") == ["STRIPE_API_BASE"]


def test_the_settings_of_a_gateway_that_is_not_named_are_not_read() -> None:
    assert load(PAYMENT_GATEWAY="fake", STRIPE_API_BASE="ftp://example.com").gateways == ("fake",)


def test_the_webhook_secret_of_development_is_the_contract_s() -> None:
    assert webhook_secrets(load().of_gateway("fake"), in_development=True) == ("whsec_development",)


def test_a_live_key_does_not_travel_in_the_open() -> None:
    env = {**STRIPE, "STRIPE_SECRET_KEY": "sk_live_abc", "STRIPE_PUBLISHABLE_KEY": "pk_live_abc"}

    assert refused(env, STRIPE_API_BASE="http://proxy.example") == ["STRIPE_API_BASE"]


@pytest.mark.parametrize(
    ("changes", "dispute"),
    [
        ({}, "https://dashboard.stripe.com/test/disputes/{id}"),
        (
            {"STRIPE_SECRET_KEY": "sk_live_abc", "STRIPE_PUBLISHABLE_KEY": "pk_live_abc"},
            "https://dashboard.stripe.com/disputes/{id}",
        ),
        ({"STRIPE_API_BASE": "http://127.0.0.1:12111"}, None),
    ],
)
def test_the_dashboard_of_stripe_is_that_of_the_keys_mode(changes: dict[str, str], dispute: str | None) -> None:
    settings = load({**STRIPE, **changes})

    links = settings.plugins["stripe"].dashboard(settings.of_gateway("stripe"))

    assert (links and links.dispute) == dispute


@pytest.mark.parametrize("script", ["http://127.0.0.1:12111/v3/", "https://js.stripe.com.example/v3/"])
def test_with_a_live_key_only_stripes_own_script_is_loaded(script: str) -> None:
    env = {**STRIPE, "STRIPE_SECRET_KEY": "sk_live_abc", "STRIPE_PUBLISHABLE_KEY": "pk_live_abc"}
    release = "https://js.stripe.com/endive/stripe.js"

    assert refused(env, STRIPE_JS_URL=script) == ["STRIPE_JS_URL"]
    assert load(env, STRIPE_JS_URL=release).of_gateway("stripe").js_url == release
    assert load(STRIPE, STRIPE_JS_URL=script).of_gateway("stripe").js_url == script
    assert refused(STRIPE, STRIPE_JS_URL="/v3/") == ["STRIPE_JS_URL"]


# --- the configuration of payments


@pytest.mark.parametrize("value", ["NaN", "inf", "-0.01", "1", "1.5", "1e-2", "0,03", "3%", "0.03 x", "\u0660.\u0663"])
def test_a_fee_rate_is_a_fraction_below_one(value: str) -> None:
    assert refused(PAYMENT_PROCESSING_FEE_RATE=value) == ["PAYMENT_PROCESSING_FEE_RATE"]


def test_a_fee_rate_may_be_nothing() -> None:
    assert load(PAYMENT_PROCESSING_FEE_RATE="0").processing_fee_rate == 0


@pytest.mark.parametrize("name", ["PAYMENT_FEE_FIXED", "PAYMENT_FEE_MIN", "PAYMENT_FEE_MAX"])
@pytest.mark.parametrize("value", ["NaN", "Infinity", "-1", "1e3", "abc"])
def test_fee_amounts_are_plain_amounts(name: str, value: str) -> None:
    assert refused({name: value}) == [name]


def test_fee_amounts_stay_exact() -> None:
    assert load(PAYMENT_FEE_FIXED="0.30").fee_fixed == Decimal("0.30")


def test_the_least_fee_is_not_above_the_most() -> None:
    assert refused(PAYMENT_FEE_MIN="2", PAYMENT_FEE_MAX="1") == ["PAYMENT_FEE_MIN"]


def test_the_settings_decide_who_pays_the_fee_and_whether_it_is_refunded() -> None:
    settings = load(PAYMENT_FEE_PAYER="customer", PAYMENT_FEE_REFUND="returned")

    assert (settings.fee_payer, settings.fee_refund) == (FeePayer.CUSTOMER, FeeOnRefund.RETURNED)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PAYMENT_GATEWAY", "paypal"),
        ("PAYMENT_FEE_PAYER", "nobody"),
        ("PAYMENT_FEE_REFUND", "maybe"),
        ("PAYMENT_RETRY_ATTEMPTS", "0"),
        ("PAYMENT_RETRY_ATTEMPTS", "1.5"),
        ("PAYMENT_RETRY_DELAY", "-1"),
        ("PAYMENT_RETRY_DELAY", "21"),
        ("PAYMENT_RETURN_URL", "/paid"),
        ("PAYMENT_RETURN_URL", "javascript:alert(1)"),
        ("PAYMENT_RETURN_URL", "https://user@example.com/"),
        ("PAYMENT_RETURN_URL_ORIGINS", "https://example.com/path"),
        ("PAYMENT_RETURN_URL_ORIGINS", "example.com"),
        ("PAYMENT_RETURN_URL_ORIGINS", "https://example.com:x"),
        ("OPERATION_LEASE_S", "0"),
        ("RATE_LIMIT_ENABLED", "perhaps"),
        ("RATE_LIMIT_MONEY", "60"),
        ("RATE_LIMIT_MONEY", "0/minute"),
        ("RATE_LIMIT_ADDRESS", "60/fortnight"),
        ("RATE_LIMIT_STORE_URL", "somewhere"),
        ("RATE_LIMIT_STORE_URL", "memcached://cache"),
        ("RATE_LIMIT_STORE_URL", "redis://"),
        ("RATE_LIMIT_STORE_URL", "redis://cache:port"),
        ("TRUSTED_PROXIES", "*"),
        ("TRUSTED_PROXIES", "0.0.0.0/0"),
        ("TRUSTED_PROXIES", "10.0.0.1,::/0"),
        ("TRUSTED_PROXIES", "10.0.0.1/8"),
        ("TRUSTED_PROXIES", "proxy.example"),
        ("PUBLIC_URL", "pay.example"),
        ("PUBLIC_URL", "https://pay.example/checkout"),
        ("PUBLIC_URL", "https://user@pay.example"),
        ("PUBLIC_URL", "javascript:alert(1)"),
        ("CORS_ORIGINS", "*"),
        ("CORS_ORIGINS", "null"),
        ("CORS_ORIGINS", "https://*.example.com/x"),
        ("HSTS_MAX_AGE_S", "-1"),
        ("DOCS_ENABLED", "perhaps"),
        ("MAX_UNPAID_BOOKINGS_PER_CUSTOMER", "-1"),
        ("GATEWAY_MAX_PER_S", "many"),
        ("GATEWAY_MAX_CONCURRENT", "1_000"),
        ("GATEWAY_MAX_AMOUNT_DIGITS", "7"),
        ("GATEWAY_MAX_AMOUNT_DIGITS", "13"),
        ("BUSINESS_TIME_ZONE", "Europe/Berlyn"),
        ("BUSINESS_TIME_ZONE", "Europe"),
        ("BUSINESS_TIME_ZONE", "+02:00"),
        ("BUSINESS_TIME_ZONE", "/etc/passwd"),
        ("BUSINESS_TIME_ZONE", "../zoneinfo/Europe/Berlin"),
        ("BUSINESS_TIME_ZONE", "Europe/Berlin\0"),
        ("HOST", "http://127.0.0.1"),
        ("HOST", "a b"),
        ("PORT", "0"),
        ("PORT", "65536"),
        ("PORT", "http"),
        ("WORKERS", "0"),
        ("LOG_LEVEL", "LOUD"),
        ("LOG_LEVEL_PAYMENTS", "1"),
        ("LOG_FORMAT", "xml"),
        ("JWT_ALGORITHM", "none"),
        ("JWT_PUBLIC_KEY", "no key"),
    ],
)
def test_refuses(name: str, value: str) -> None:
    assert refused({name: value}) == [name]


@pytest.mark.parametrize(
    ("text", "rate"),
    [("5/second", Rate(5, 1)), ("60/minute", Rate(60, 60)), ("7/hour", Rate(7, 3600)), ("9/day", Rate(9, 86400))],
)
def test_reads_rates(text: str, rate: Rate) -> None:
    assert load(RATE_LIMIT_MONEY=text).rate_limit_money == rate


def test_the_business_time_zone_is_one_of_the_iana_database() -> None:
    settings = load(BUSINESS_TIME_ZONE="Europe/Berlin")

    assert settings.business_time_zone == ZoneInfo("Europe/Berlin")
    assert payment_config_of(settings).time_zone == ZoneInfo("Europe/Berlin")


def test_proxies_are_addresses_and_networks_of_both_kinds() -> None:
    settings = load(TRUSTED_PROXIES="10.0.0.7, 192.168.0.0/16,fd00::/8,2001:DB8::1")

    assert settings.trusted_proxies == ("10.0.0.7/32", "192.168.0.0/16", "fd00::/8", "2001:db8::1/128")


@pytest.mark.parametrize(
    "url",
    ["redis://cache:6379/0", "rediss://:pw@cache", "valkey://cache", "valkeys://cache:6380", "unix:///run/redis.sock"],
)
def test_stores_of_rates(url: str) -> None:
    store = load(RATE_LIMIT_STORE_URL=url).rate_limit_store_url

    assert store is not None
    assert store.get_secret_value() == url


def test_the_memory_store_can_be_named() -> None:
    assert load(RATE_LIMIT_STORE_URL="memory").rate_limit_store_url is None


def test_the_default_return_url_lies_in_an_allowed_origin() -> None:
    settings = load(PAYMENT_RETURN_URL="https://a.example/paid", PAYMENT_RETURN_URL_ORIGINS="https://b.example:8443/")

    assert settings.return_url_origins == ("https://b.example:8443", "https://a.example")


def test_our_own_address_is_a_place_to_come_back_to() -> None:
    settings = load(PUBLIC_URL="https://pay.example/")

    assert (settings.return_url_origins, settings.own_address) == (("https://pay.example",), "https://pay.example")


@pytest.mark.parametrize(
    ("host", "address"),
    [("127.0.0.1", "http://127.0.0.1:8001"), ("::1", "http://[::1]:8001"), ("localhost", "http://localhost:8001")],
)
def test_without_a_public_url_our_own_address_is_where_we_listen(host: str, address: str) -> None:
    settings = load(HOST=host, PORT="8001")

    assert (settings.own_address, settings.return_url_origins) == (address, ())


# --- the database


@pytest.mark.parametrize(
    ("url", "normalized"),
    [
        ("sqlite:///a.db", "sqlite+aiosqlite:///a.db"),
        ("sqlite:////var/a.db", "sqlite+aiosqlite:////var/a.db"),
        ("sqlite+aiosqlite:///a.db", "sqlite+aiosqlite:///a.db"),
        ("postgres://u:p@h:5432/n", "postgresql+psycopg://u:p@h:5432/n"),
        ("postgresql://h/n?sslmode=require", "postgresql+psycopg://h/n?sslmode=require"),
        ("postgresql+psycopg://h/n", "postgresql+psycopg://h/n"),
    ],
)
def test_every_spelling_of_the_database_is_understood(url: str, normalized: str) -> None:
    assert load(DATABASE_URL=url).normalized_database_url == normalized


@pytest.mark.parametrize(
    "url", ["mysql://h/n", "a.db", "sqlite://", "sqlite:///", "sqlite:///:memory:", "postgres://u:p@h:99999/n"]
)
def test_other_databases_are_refused(url: str) -> None:
    assert refused(DATABASE_URL=url) == ["DATABASE_URL"]


def test_a_url_that_was_never_checked_is_refused_too() -> None:
    with pytest.raises(SettingsError, match="DATABASE_URL"):
        normalize_database_url("mysql://h/n")


def test_more_workers_need_postgresql() -> None:
    assert refused(STRIPE, WORKERS="2") == ["WORKERS"]


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ({"PAYMENT_GATEWAY": "stripe", **STRIPE}, ("stripe",)),
        ({"PAYMENT_GATEWAY": "fake"}, ("fake", "stripe")),
        ({"PAYMENT_GATEWAY": "bank_transfer", "BANK_TRANSFER_PAY_TO": "DE02", "JWT_SECRET": SECRET}, ()),
        ({"PAYMENT_GATEWAY": "manual", "JWT_SECRET": SECRET}, ()),
    ],
    ids=lambda value: value["PAYMENT_GATEWAY"] if isinstance(value, dict) else "",
)
async def test_webhooks_are_taken_under_the_names_of_the_gateway(
    given: Mapping[str, str], names: tuple[str, ...], tmp_path: Path
) -> None:
    settings = load_settings({**given, "DATABASE_URL": f"sqlite:///{tmp_path}/books.db"}, None)
    await to_thread.run_sync(migrate, settings.normalized_database_url)

    async with build(settings, serving=True) as services:
        limits = services.limits

    assert limits is not None
    assert limits.webhooks == {f"/api/webhooks/{name}" for name in names}


def test_several_gateways_run_side_by_side() -> None:
    settings = load(STRIPE, PAYMENT_GATEWAYS="stripe, manual")

    assert (settings.gateways, settings.gateway) == (("stripe", "manual"), "stripe")


@pytest.mark.parametrize(
    ("changes", "setting"),
    [
        ({"PAYMENT_GATEWAYS": "stripe,paypal", **STRIPE}, "PAYMENT_GATEWAYS"),
        ({"PAYMENT_GATEWAYS": "fake,fake"}, "PAYMENT_GATEWAYS"),
        ({"PAYMENT_GATEWAYS": "stripe,fake", **STRIPE}, "PAYMENT_GATEWAYS"),
        ({"PAYMENT_GATEWAYS": "fake,manual", "PAYMENT_GATEWAY": "manual"}, "PAYMENT_GATEWAY"),
        ({"PAYMENT_GATEWAYS": "fake,bank_transfer", "JWT_SECRET": SECRET}, "BANK_TRANSFER_PAY_TO"),
    ],
)
def test_gateways_that_do_not_go_together_are_refused(changes: Mapping[str, str], setting: str) -> None:
    assert setting in refused(None, **dict(changes))


def test_more_workers_need_the_stripe_gateway() -> None:
    assert refused(WORKERS="2", DATABASE_URL="postgres://h/n") == ["WORKERS"]


def test_more_workers_run_with_both() -> None:
    assert load(STRIPE, WORKERS="4", DATABASE_URL="postgres://h/n").workers == 4


# --- tokens


def test_development_has_a_secret_that_is_announced() -> None:
    settings = load()

    assert settings.uses_development_jwt_secret
    assert len(settings.jwt_verification_key) >= 32


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.8.8.8", "::1"])
def test_loopback(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "example.com"])
def test_not_loopback(host: str) -> None:
    assert not is_loopback(host)


def test_where_others_can_call_the_development_secrets_are_refused() -> None:
    assert refused(HOST="0.0.0.0") == ["STRIPE_WEBHOOK_SECRET", "JWT_SECRET"]


def test_a_reachable_fake_gateway_does_not_use_the_development_secrets() -> None:
    settings = load(HOST="0.0.0.0", JWT_SECRET=SECRET, STRIPE_WEBHOOK_SECRET="whsec_x")

    assert not settings.uses_development_jwt_secret


def test_a_secret_of_31_bytes_is_too_short() -> None:
    assert refused(JWT_SECRET="s" * 31) == ["JWT_SECRET"]


def test_the_length_of_a_secret_is_counted_in_bytes() -> None:
    assert load(JWT_SECRET="é" * 16).jwt_signing_key == "é" * 16


def test_a_key_file_is_not_a_secret() -> None:
    assert refused(JWT_SECRET=RSA_KEY) == ["JWT_SECRET"]


@pytest.mark.parametrize(("key", "algorithm"), [(RSA_KEY, "RS256"), (EC_KEY, "ES256")])
def test_the_public_key_determines_the_algorithm(key: str, algorithm: str) -> None:
    settings = load(JWT_PUBLIC_KEY=key)

    assert settings.jwt_algorithm == algorithm
    assert settings.jwt_verification_key == key.strip()
    assert settings.jwt_signing_key is None


def test_a_public_key_fits_on_one_line() -> None:
    assert load(JWT_PUBLIC_KEY=EC_KEY.replace("\n", "\\n")).jwt_algorithm == "ES256"


@pytest.mark.parametrize("key", [WEAK_RSA_KEY, OTHER_CURVE])
def test_weak_and_foreign_keys_are_refused(key: str) -> None:
    assert refused(JWT_PUBLIC_KEY=key) == ["JWT_PUBLIC_KEY"]


def test_the_algorithm_fits_the_key() -> None:
    assert refused(JWT_PUBLIC_KEY=RSA_KEY, JWT_ALGORITHM="ES256") == ["JWT_ALGORITHM"]


def test_a_public_key_is_never_a_shared_secret() -> None:
    assert refused(JWT_PUBLIC_KEY=RSA_KEY, JWT_ALGORITHM="HS256") == ["JWT_ALGORITHM"]


def test_a_public_algorithm_needs_a_public_key() -> None:
    assert refused(JWT_SECRET=SECRET, JWT_ALGORITHM="RS256") == ["JWT_PUBLIC_KEY"]


def test_with_both_keys_the_algorithm_is_said() -> None:
    assert refused(JWT_SECRET=SECRET, JWT_PUBLIC_KEY=RSA_KEY) == ["JWT_ALGORITHM"]


def test_with_both_keys_the_algorithm_decides() -> None:
    settings = load(JWT_SECRET=SECRET, JWT_PUBLIC_KEY=RSA_KEY, JWT_ALGORITHM="HS256")

    assert settings.jwt_verification_key == SECRET


def test_settings_that_were_never_checked_verify_no_token() -> None:
    unchecked = Settings.model_construct(host="10.0.0.1")

    with pytest.raises(SettingsError, match="JWT_SECRET"):
        _ = unchecked.jwt_verification_key


# --- logs


@pytest.mark.parametrize("text", ["debug", "DEBUG"])
def test_levels_are_read_in_any_case(text: str) -> None:
    assert load(LOG_LEVEL=text).log_level == "DEBUG"


def test_the_payment_log_has_the_general_level_by_default() -> None:
    assert load(LOG_LEVEL="WARNING").log_level_payments == "WARNING"
    assert load(LOG_LEVEL_PAYMENTS="DEBUG").log_level_payments == "DEBUG"


def test_logs_are_json_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    assert load().log_format == "json"


def test_the_format_can_be_said() -> None:
    assert load(LOG_FORMAT="console").log_format == "console"


# --- secrets stay secret

CANARIES = {
    "STRIPE_SECRET_KEY": "sk_test_canary",
    "STRIPE_PUBLISHABLE_KEY": "pk_test_known_to_browsers",
    "STRIPE_WEBHOOK_SECRET": "whsec_canary1,whsec_canary2",
    "JWT_SECRET": "canary" * 6,
    "DATABASE_URL": "postgres://user:canary@db/name",
    "RATE_LIMIT_STORE_URL": "redis://:canary@cache",
}


def test_no_secret_shows_when_settings_are_printed() -> None:
    settings = load(CANARIES)

    shown = f"{settings!r} {settings} {settings.model_dump()} {settings.of_gateway('stripe')!r} {settings._gateways!r}"
    assert "canary" not in shown


@pytest.mark.parametrize("name", ["STRIPE_SECRET_KEY", "DATABASE_URL", "JWT_SECRET", "JWT_PUBLIC_KEY", "PORT"])
def test_no_value_shows_in_an_error(name: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load({**CANARIES, name: "canary"})

    assert "canary" not in f"{caught.value} {caught.value!r} {caught.value.problems} {caught.value.__cause__}"


# --- messages

SIGNING = "whsec_" + base64.b64encode(b"x" * 32).decode()


def test_webhooks_to_the_booking_app_have_to_be_signed() -> None:
    assert refused(MESSAGES_WEBHOOK_URL="https://app.example/hooks") == ["MESSAGES_WEBHOOK_SECRET"]


def test_several_signing_secrets_are_taken_while_one_is_changed() -> None:
    settings = load(MESSAGES_WEBHOOK_URL="https://app.example/hooks", MESSAGES_WEBHOOK_SECRET=f"{SIGNING}, {SIGNING}")

    assert settings.messages_webhook_secrets == (SIGNING, SIGNING)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MESSAGES_WEBHOOK_URL", "app.example"),
        ("MESSAGES_WEBHOOK_URL", "https://user:password@app.example"),
        ("MESSAGES_WEBHOOK_SECRET", "whsec_short"),
        ("MESSAGES_WEBHOOK_SECRET", f"{SIGNING},other"),
        ("MESSAGES_BROKER_URL", "rabbit"),
        ("MESSAGES_BROKER_URL", "memory://"),
        ("MESSAGES_BROKER_QUEUE", "no spaces"),
        ("MESSAGES_RETRY_ATTEMPTS", "0"),
        ("MESSAGES_RETRY_DELAY", "-1"),
        ("MESSAGES_AFTER_DEAD_LETTER", "skip"),
        ("WORKER_CONCURRENCY", "0"),
    ],
)
def test_wrong_settings_of_messages_and_workers_are_refused(name: str, value: str) -> None:
    more = {"MESSAGES_WEBHOOK_SECRET": SIGNING} if name == "MESSAGES_WEBHOOK_URL" else {}

    assert refused({**more, name: value}) == [name]


def test_secrets_of_messages_are_never_shown() -> None:
    settings = load(MESSAGES_WEBHOOK_SECRET=SIGNING, MESSAGES_BROKER_URL="amqp://me:hunter2@host//")

    assert SIGNING not in repr(settings)
    assert "hunter2" not in repr(settings)


# --- what follows at the gateway


@pytest.mark.parametrize("env", [STRIPE, {}], ids=["stripe", "fake"])
async def test_the_largest_charge_is_that_of_the_settings(env: Mapping[str, str], tmp_path: Path) -> None:
    settings = load(env, DATABASE_URL=f"sqlite:///{tmp_path}/books.db", GATEWAY_MAX_AMOUNT_DIGITS="9")

    async with gateways_alone(settings) as gateways:
        gateway = gateways[settings.gateway]
        gateway.check_charge(Money.parse("1000000", Currency.UGX))
        with pytest.raises(RefusedByRule):
            gateway.check_charge(Money.parse("10000000", Currency.UGX))


# --- which payment methods


def test_the_payment_methods_that_are_taken_are_lists_in_stripes_words() -> None:
    settings = load_settings({**STRIPE, "STRIPE_ALLOWED_METHODS": "card, sepa_debit,card"}, env_file=None)

    assert payment_config_of(settings).methods == MethodChoice(allowed=("card", "sepa_debit"))


def test_excluded_methods_go_with_a_configuration() -> None:
    given = {"STRIPE_EXCLUDED_METHODS": "klarna", "STRIPE_METHOD_CONFIGURATION": "pmc_1"}

    assert payment_config_of(load_settings({**STRIPE, **given}, env_file=None)).methods == MethodChoice(
        excluded=("klarna",), configuration="pmc_1"
    )


@pytest.mark.parametrize("other", [{"STRIPE_EXCLUDED_METHODS": "klarna"}, {"STRIPE_METHOD_CONFIGURATION": "pmc_1"}])
def test_allowed_methods_exclude_the_others(other: dict[str, str]) -> None:
    assert refused(STRIPE, STRIPE_ALLOWED_METHODS="card", **other) == ["STRIPE_ALLOWED_METHODS"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("STRIPE_ALLOWED_METHODS", "Card"),
        ("STRIPE_ALLOWED_METHODS", "card;klarna"),
        ("STRIPE_EXCLUDED_METHODS", "card klarna"),
        ("STRIPE_METHOD_CONFIGURATION", "card"),
    ],
)
def test_an_invalid_payment_method_type_is_refused(name: str, value: str) -> None:
    assert refused(STRIPE, **{name: value}) == [name]


def test_statement_and_receipts_are_as_the_settings_say() -> None:
    terms = payment_config_of(load_settings({**STRIPE, "STATEMENT_DESCRIPTOR_SUFFIX": "NIGHTS"}, env_file=None))
    mailed = payment_config_of(load_settings({**STRIPE, "RECEIPT_EMAILS": "true"}, env_file=None))

    assert (terms.statement_descriptor_suffix, terms.receipt_emails) == ("NIGHTS", False)
    assert (mailed.statement_descriptor_suffix, mailed.receipt_emails) == (None, True)


@pytest.mark.parametrize("suffix", ["ELEVEN CHAR", "2026", "A*B", "NÄCHTE", "it's"])
def test_a_suffix_that_no_statement_takes_stops_the_start(suffix: str) -> None:
    assert refused(STRIPE, STATEMENT_DESCRIPTOR_SUFFIX=suffix) == ["STATEMENT_DESCRIPTOR_SUFFIX"]


# --- the installation


@pytest.mark.parametrize("value", ["two words", "x" * 65, "a/b"])
def test_an_installation_has_a_plain_name(value: str) -> None:
    assert refused(STRIPE, INSTALLATION_ID=value) == ["INSTALLATION_ID"]


async def _installation(folder: Path, **changes: str) -> str | None:
    env = {"DATABASE_URL": f"sqlite:///{folder / 'books.db'}", "JWT_SECRET": "x" * 32, **changes}
    async with open_payments(env, env_file=None, migrate=True, background=False) as payments:
        booking = await payments.register_booking(
            NewBooking(
                reference=f"R-{changes}",
                customer_id="ann",
                amount=Money(1000, Currency.USD),
                event_starts_at=datetime(2100, 1, 1, tzinfo=UTC),
            )
        )
        started = await payments.start_payment(booking.booking.id, Caller.customer("ann", "test"))
        events = [each.event for each in await payments.journal(started.payment.booking_id)]
        [made] = [event.instruction for event in events if isinstance(event, OperationIntended)]
        assert isinstance(made, CreateIntent)
        return made.metadata.get("installation_id")


async def test_an_installation_keeps_its_id_and_the_setting_has_precedence(tmp_path: Path) -> None:
    first, again = await _installation(tmp_path), await _installation(tmp_path, PAYMENT_RETRY_ATTEMPTS="2")
    set_ = await _installation(tmp_path, INSTALLATION_ID="shop-7")

    assert first is not None
    assert (first.startswith("inst_"), again, set_) == (True, first, "shop-7")


# --- names with the prefix


def test_a_name_with_the_prefix_wins_over_the_bare_one() -> None:
    settings = load(PORT="9000", BOOKING_PAYMENTS_PORT="9001")

    assert (settings.port, settings.read_from("PORT"), settings.read_from("HOST")) == (
        9001,
        "BOOKING_PAYMENTS_PORT",
        None,
    )


GATEWAY_OF = {
    each.name: name for name, plugin in installed_plugins().items() for each in declared(plugin.settings).values()
}


@pytest.mark.parametrize("name", sorted(setting_names()))
def test_every_setting_is_read_with_the_prefix(name: str) -> None:
    """Most refuse this value, and name the setting as it was given; a few take it."""
    of = {"PAYMENT_GATEWAYS": GATEWAY_OF[name]} if name in GATEWAY_OF else {}
    bare, prefixed = _read({**of, name: "\x01"}), _read({**of, f"BOOKING_PAYMENTS_{name}": "\x01"})

    assert bare != _read(of)
    assert prefixed == bare.replace(f"{name}: ", f"BOOKING_PAYMENTS_{name}: ")


def _read(env: Mapping[str, str]) -> str:
    try:
        settings = load(env)
    except SettingsError as error:
        return str(error)
    values = {name: str(getattr(settings, name)) for name in Settings.model_fields}
    own = [asdict(settings.of_gateway(name)) for name in settings.gateways]
    return repr((values, own))


def test_a_prefixed_name_in_the_file_wins_over_a_bare_one_in_the_environment(tmp_path: Path) -> None:
    """The environment's may be the host application's."""
    file = tmp_path / ".env"
    file.write_text("BOOKING_PAYMENTS_DATABASE_URL=sqlite:///ours.db\n")

    settings = load_settings({"DATABASE_URL": "mysql://the/host's"}, file)

    assert settings.normalized_database_url == "sqlite+aiosqlite:///ours.db"


def test_an_empty_prefixed_name_counts_as_unset() -> None:
    assert load(PORT="9000", BOOKING_PAYMENTS_PORT=" ").port == 9000


def test_an_invalid_setting_is_named_as_it_was_written() -> None:
    assert refused(BOOKING_PAYMENTS_PORT="none") == ["BOOKING_PAYMENTS_PORT"]


def test_so_is_one_that_does_not_go_with_another() -> None:
    assert refused(BOOKING_PAYMENTS_WORKERS="2") == ["BOOKING_PAYMENTS_WORKERS"]


def test_a_command_line_option_has_precedence_over_every_setting() -> None:
    settings = load_settings({"PORT": "9000", "BOOKING_PAYMENTS_PORT": "9001"}, None, overrides={"PORT": "9002"})

    assert settings.port == 9002


# --- addresses for other drivers


@pytest.mark.parametrize("driver", ["", "+psycopg", "+asyncpg", "+psycopg2", "+pg8000"])
def test_an_address_of_postgresql_may_name_any_driver(driver: str) -> None:
    settings = load(DATABASE_URL=f"postgresql{driver}://ann:p%40ss@db/books")

    assert settings.normalized_database_url == "postgresql+psycopg://ann:p%40ss@db/books"
    assert settings.on_postgresql


@pytest.mark.parametrize("driver", ["", "+aiosqlite", "+pysqlite"])
def test_so_may_one_of_sqlite(driver: str) -> None:
    assert load(DATABASE_URL=f"sqlite{driver}:///books.db").normalized_database_url == "sqlite+aiosqlite:///books.db"


@pytest.mark.parametrize(
    ("given", "ours"),
    [
        ("?ssl=require", "?sslmode=require"),
        ("?ssl=true", "?sslmode=require"),
        ("?ssl=verify-full&application_name=a%20b", "?sslmode=verify-full&application_name=a%20b"),
        ("?prepared_statement_cache_size=0", ""),
        ("?sslmode=require&options=-csearch_path%3Dx", "?sslmode=require&options=-csearch_path%3Dx"),
    ],
)
def test_parameters_of_asyncpg_are_said_in_libpqs_words(given: str, ours: str) -> None:
    url = f"postgresql+asyncpg://db/books{given}"

    assert normalize_database_url(url) == f"postgresql+psycopg://db/books{ours}"


@pytest.mark.parametrize("url", ["mysql+asyncmy://db/books", "postgresql+://db/books", "cockroachdb://db/books"])
def test_other_databases_are_refused_with_any_driver(url: str) -> None:
    assert refused(DATABASE_URL=url) == ["DATABASE_URL"]


# --- embedded


EMBEDDED_STRIPE = {"STRIPE_SECRET_KEY": "sk_test_abc", "STRIPE_PUBLISHABLE_KEY": "pk_test_abc"}


@pytest.mark.parametrize("env", [EMBEDDED_STRIPE, {"HOST": "0.0.0.0", "PAYMENT_GATEWAY": "fake"}])
def test_an_embedded_process_needs_no_secrets_of_interfaces_that_it_does_not_serve(env: Mapping[str, str]) -> None:
    settings = load_settings(env, None, embedded=True)

    assert (settings.of_gateway(settings.gateway).webhook_secrets, settings.jwt_signing_key) == ((), None)


def test_the_service_still_needs_them() -> None:
    assert refused(EMBEDDED_STRIPE) == ["STRIPE_WEBHOOK_SECRET", "JWT_SECRET"]


def test_an_embedded_process_still_refuses_a_weak_secret() -> None:
    with pytest.raises(SettingsError, match=r"^JWT_SECRET: must have 32 bytes"):
        load_settings({**EMBEDDED_STRIPE, "JWT_SECRET": "short"}, None, embedded=True)


def test_the_bounds_of_the_largest_amount_are_those_of_stripe() -> None:
    assert (AMOUNT_DIGITS, MOST_AMOUNT_DIGITS) == (amounts.DIGITS, amounts.MOST_DIGITS)


def test_every_setting_is_read_by_the_program() -> None:
    paths = Path(booking_payments.__file__).parent.rglob("*.py")
    others = [path for path in paths if path.name != "settings.py" or path.parent.name == "runtime"]
    sources = "\n".join(path.read_text(encoding="utf-8") for path in others)
    read = set(re.findall(r"(?:(?<=\bsettings\.)|(?<=\bself\.))\w+", sources))

    assert set(Settings.model_fields) - read == set(), "nothing reads these settings"


FOLDERS = Path(booking_payments.__file__).parent / "adapters" / "gateways"


@pytest.mark.parametrize(
    ("gateway", "field"),
    [(name, field) for name, plugin in installed_plugins().items() for field in declared(plugin.settings)],
)
def test_every_setting_of_a_gateway_is_read_by_the_gateway(gateway: str, field: str) -> None:
    sources = "\n".join(path.read_text(encoding="utf-8") for path in FOLDERS.rglob("*.py"))

    assert re.search(rf"\b(settings|self)\.{field}\b", sources), f"nothing reads the setting {field} of {gateway}"


def test_every_part_of_the_fee_policy_has_a_setting() -> None:
    given = {
        "PAYMENT_PROCESSING_FEE_RATE": "0.05",
        "PAYMENT_FEE_FIXED": "0.30",
        "PAYMENT_FEE_MIN": "0.50",
        "PAYMENT_FEE_MAX": "20.00",
        "PAYMENT_FEE_PAYER": "customer",
        "PAYMENT_FEE_REFUND": "returned",
    }

    fees = payment_config_of(load(given)).fees

    assert samples.unset(fees) == set(), "the settings do not reach these parts of the fee policy"


# --- the checkout


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("MERCHANT_NAME", "x" * 81),
        ("MERCHANT_LOGO_URL", "http://shop.example/logo.svg"),
        ("MERCHANT_LOGO_URL", "https://shop.example;script-src/logo.svg"),
        ("MERCHANT_LOGO_URL", "https://*/logo.svg"),
        ("MERCHANT_COLOR", "red"),
        ("MERCHANT_COLOR", "#fff"),
        ("MERCHANT_SUPPORT_URL", "javascript:alert(1)"),
        ("MERCHANT_SUPPORT_URL", "mailto:nobody"),
        ("MERCHANT_TERMS_URL", "https://user@shop.example/"),
        ("MERCHANT_PRIVACY_URL", "/privacy"),
        ("CHECKOUT_TEMPLATES", "/no/such/folder"),
    ],
)
def test_what_the_checkout_shows_of_the_merchant_is_checked(name: str, wrong: str) -> None:
    assert refused({"MERCHANT_NAME": "Shop", name: wrong}) == [name]


def test_a_logo_needs_the_merchants_name_in_words() -> None:
    assert refused(MERCHANT_LOGO_URL="https://shop.example/logo.svg") == ["MERCHANT_NAME"]
