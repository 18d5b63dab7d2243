"""The settings of the log-in at an OpenID provider: what belongs together, and what is not accepted."""

import pytest

from booking_payments.entrypoints.cli.doctor import _identity_provider
from booking_payments.runtime.settings import load_settings
from booking_payments.runtime.settings_error import SettingsError
from tests.openid_provider import CLIENT_ID, CLIENT_SECRET, ISSUER

GIVEN = {
    "JWT_SECRET": "a-secret-of-the-tests-with-32-bytes-or-more",
    "PUBLIC_URL": "https://pay.example",
    "OIDC_ISSUER": ISSUER,
    "OIDC_CLIENT_ID": CLIENT_ID,
    "OIDC_CLIENT_SECRET": CLIENT_SECRET,
    "OIDC_ROLE_CLAIM": "roles",
}


def test_the_provider_is_optional_and_its_defaults_are_the_roles_of_the_console() -> None:
    without = load_settings({"JWT_SECRET": GIVEN["JWT_SECRET"]}, env_file=None)
    settings = load_settings({**GIVEN, "OIDC_READ_VALUES": "a, b"}, env_file=None)

    assert without.oidc_issuer is None
    assert (settings.oidc_read_values, settings.oidc_operate_values) == (("a", "b"), ("payments:operate",))
    assert CLIENT_SECRET not in repr(settings)


@pytest.mark.parametrize(
    ("changes", "setting"),
    [
        ({"OIDC_ISSUER": ""}, "OIDC_ISSUER"),
        ({"OIDC_CLIENT_ID": ""}, "OIDC_CLIENT_ID"),
        ({"OIDC_CLIENT_SECRET": ""}, "OIDC_CLIENT_SECRET"),
        ({"OIDC_ROLE_CLAIM": ""}, "OIDC_ROLE_CLAIM"),
        ({"OIDC_ISSUER": "http://id.example"}, "OIDC_ISSUER"),
        ({"OIDC_ISSUER": "https://id.example/?realm=x"}, "OIDC_ISSUER"),
        ({"OIDC_ISSUER": "https://user:word@id.example"}, "OIDC_ISSUER"),
        ({"OIDC_ISSUER": "id.example"}, "OIDC_ISSUER"),
        ({"OIDC_SCOPES": "profile email"}, "OIDC_SCOPES"),
        ({"OIDC_ENDPOINT_HOSTS": "https://token.example/"}, "OIDC_ENDPOINT_HOSTS"),
        ({"PUBLIC_URL": "http://pay.example"}, "PUBLIC_URL"),
        ({"PUBLIC_URL": "", "HOST": "0.0.0.0"}, "PUBLIC_URL"),
        ({"CONSOLE_SESSION_IDLE_S": "59"}, "CONSOLE_SESSION_IDLE_S"),
        ({"CONSOLE_SESSION_LIFETIME_S": "0"}, "CONSOLE_SESSION_LIFETIME_S"),
    ],
)
def test_what_does_not_fit_is_named(changes: dict[str, str], setting: str) -> None:
    with pytest.raises(SettingsError) as raised:
        load_settings({**GIVEN, **changes}, env_file=None)

    assert setting in {problem.setting for problem in raised.value.problems}


def test_a_provider_on_this_machine_needs_no_tls() -> None:
    settings = load_settings(
        {**GIVEN, "PUBLIC_URL": "", "OIDC_ISSUER": "http://localhost:8080/realms/x"}, env_file=None
    )

    assert settings.own_address == "http://127.0.0.1:8000"


def test_doctor_says_that_the_provider_cannot_be_reached() -> None:
    settings = load_settings({**GIVEN, "OIDC_ISSUER": "http://127.0.0.1:1"}, env_file=None)

    (check,) = _identity_provider(settings)

    assert (check.name, check.ok) == ("log-in", False)
    assert "127.0.0.1 cannot be reached" in check.detail
    assert "OIDC_" in (check.remedy or "")
