"""Webhook signatures: the test vector of Stripe's scheme, rotation, and forged headers."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from booking_payments.adapters.gateways.stripe.signature import verify
from booking_payments.adapters.gateways.stripe.webhooks import StripeWebhooks
from booking_payments.ports.webhooks import WebhookRefused
from booking_payments.sandbox.signature import sign

BODY = b'{"id":"evt_test_1","object":"event","type":"payment_intent.succeeded"}'
SECRET = "whsec_test_0123456789abcdef"
OLD_SECRET = "whsec_old_fedcba9876543210"
AT = datetime.fromtimestamp(1_700_000_000, UTC)
V1 = "05f40570408d3e40cd3ac3adc306e5e45465cf6c82899deaa276295775f6d447"
V1_OLD = "560ad70c922b69fc2de2778bd95cba5ad7358ae30165a053db814e20cd3039ac"


def _code(header: str | None, *, body: bytes = BODY, secrets: tuple[str, ...] = (SECRET,), now: datetime = AT) -> str:
    with pytest.raises(WebhookRefused) as refused:
        verify(body, header, secrets, now)
    return refused.value.code


def test_the_known_signature_is_reproduced() -> None:
    assert sign(BODY, SECRET, AT) == f"t=1700000000,v1={V1}"


@pytest.mark.parametrize(
    ("header", "secrets"),
    [
        (f"t=1700000000,v1={V1}", (SECRET,)),
        (f"t=1700000000,v1={V1_OLD},v1={V1}", (SECRET,)),
        (f"t=1700000000,v1={V1_OLD},v1={V1}", (OLD_SECRET,)),
        (f"t=1700000000,v1={V1}", (OLD_SECRET, SECRET)),
        (f"t=1700000000,v1={V1},v0=fake", (SECRET,)),
        (f"v1={V1},t=1700000000", (SECRET,)),
        (f"t=1700000000,v2=new,v1={V1}", (SECRET,)),
    ],
)
def test_a_genuine_signature_is_accepted(header: str, secrets: tuple[str, ...]) -> None:
    assert verify(BODY, header, secrets, AT) is None  # type: ignore[func-returns-value]  # it does not raise


@pytest.mark.parametrize(
    ("header", "code"),
    [
        (None, "signature_missing"),
        ("", "signature_missing"),
        ("nonsense", "signature_malformed"),
        (",,,,", "signature_malformed"),
        (f"v1={V1}", "signature_malformed"),
        (f"t=,v1={V1}", "signature_malformed"),
        (f"t=-1700000000,v1={V1}", "signature_malformed"),
        (f"t=1700000000.0,v1={V1}", "signature_malformed"),
        (f"t=١٧٠٠٠٠٠٠٠٠,v1={V1}", "signature_malformed"),  # noqa: RUF001 - digits of another script, on purpose
        (f"t={'1' * 5000},v1={V1}", "signature_malformed"),
        (f"t=1700000000,t=1700000000,v1={V1}", "signature_malformed"),
        (f"t=1700000000,v1={V1}" + ",v1=" + "0" * 1024, "signature_malformed"),
        ("t=1700000000", "signature_wrong"),
        ("t=1700000000,v1=", "signature_wrong"),
        (f"t=1700000000,v0={V1}", "signature_wrong"),
        (f"t=1700000000,v1={V1.upper()}", "signature_wrong"),
        (f"t=1700000000,v1={V1[:-1]}", "signature_wrong"),
        (f"t=1700000000,v1={V1}0", "signature_wrong"),
        (f"t=1700000000, v1={V1}", "signature_wrong"),
        (f"t=1700000000,V1={V1}", "signature_wrong"),
        (f"t=1700000001,v1={V1}", "signature_wrong"),
        (f"t=1700000000,v1={V1_OLD}", "signature_wrong"),
        ("t=1700000000,v1=ü" + V1[1:], "signature_wrong"),
    ],
)
def test_a_hostile_header_is_refused(header: str | None, code: str) -> None:
    assert _code(header) == code


@pytest.mark.parametrize("body", [BODY + b" ", BODY[:-1], b"", b"\xff\xfe", BODY.replace(b"succeeded", b"canceled!")])
def test_another_body_is_refused(body: bytes) -> None:
    assert _code(sign(BODY, SECRET, AT), body=body) == "signature_wrong"


@pytest.mark.parametrize(
    ("away", "accepted"), [(-301, False), (-300, True), (0, True), (300, True), (301, False), (3600, False)]
)
def test_timestamps_are_accepted_within_five_minutes(away: int, accepted: bool) -> None:
    now = AT + timedelta(seconds=away)
    if accepted:
        verify(BODY, sign(BODY, SECRET, AT), (SECRET,), now)
    else:
        assert _code(sign(BODY, SECRET, AT), now=now) == "signature_stale"


def test_an_empty_secret_accepts_no_signature() -> None:
    assert _code(sign(BODY, "", AT), secrets=("",)) == "signature_wrong"


@pytest.mark.parametrize("secrets", [(), ("",)])
def test_a_reader_without_a_secret_raises(secrets: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="secret"):
        StripeWebhooks(secrets)


@given(header=st.text(max_size=200))
def test_no_header_raises_another_error(header: str) -> None:
    with pytest.raises(WebhookRefused):
        verify(BODY, header, (SECRET,), AT)
