"""Forged signature headers: each one is refused without any other error, in agreement with Stripe's SDK."""

import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from random import Random

import pytest
import stripe

from booking_payments.adapters.gateways.stripe.signature import MAX_HEADER, verify
from booking_payments.adapters.gateways.stripe.webhooks import StripeWebhooks
from booking_payments.ports.webhooks import WebhookRefused, WebhookRequest
from booking_payments.sandbox.signature import sign
from tests.hostile_signatures import AT, BODY, OLD, SECRET, hostile_headers, mac

HEADERS = hostile_headers(BODY, SECRET, AT)
T = int(AT.timestamp())
V1 = mac(b"%d." % T + BODY, SECRET)
DAY = timedelta(hours=24)
"""So long the old secret lives when Stripe rolls it (docs.stripe.com/webhooks#roll-endpoint-secrets)."""


def test_there_are_at_least_eighty_hostile_headers() -> None:
    assert len(HEADERS) >= 80
    assert len(set(HEADERS.values())) == len(HEADERS)


def test_the_valid_header_that_they_are_derived_from_is_accepted() -> None:
    verify(BODY, f"t={T},v1={V1}", (SECRET,), AT)


@pytest.mark.parametrize("name", HEADERS)
def test_a_hostile_header_is_refused_without_another_error(name: str) -> None:
    with pytest.raises(WebhookRefused) as refused:
        verify(BODY, HEADERS[name], (SECRET,), AT)

    assert refused.value.code.startswith("signature_")


@pytest.mark.parametrize(("length", "accepted"), [(MAX_HEADER, True), (MAX_HEADER + 1, False)])
def test_a_header_above_a_kilobyte_is_refused(length: int, accepted: bool) -> None:
    header = f"t={T},v1={V1},x=".ljust(length, "y")

    if accepted:
        verify(BODY, header, (SECRET,), AT)
    else:
        with pytest.raises(WebhookRefused):
            verify(BODY, header, (SECRET,), AT)


@pytest.mark.parametrize(("away", "words"), [(301, "too old"), (-301, "from the future")])
def test_the_refusal_says_whether_the_timestamp_is_old_or_in_the_future(away: int, words: str) -> None:
    with pytest.raises(WebhookRefused, match=words):
        verify(BODY, sign(BODY, SECRET, AT), (SECRET,), AT + timedelta(seconds=away))


# --- rolling the secret


@pytest.mark.parametrize("signed_with", [(SECRET,), (OLD,), (OLD, SECRET), (SECRET, OLD)])
def test_during_a_rotation_old_and_new_secret_are_accepted(signed_with: tuple[str, ...]) -> None:
    header = f"t={T}" + "".join(f",v1={mac(b'%d.' % T + BODY, secret)}" for secret in signed_with)

    verify(BODY, header, (SECRET, OLD), AT)


@pytest.mark.parametrize("configured", [(SECRET,), (OLD,)])
def test_one_configured_secret_is_enough_while_stripe_signs_with_both(configured: tuple[str, ...]) -> None:
    header = f"t={T},v1={mac(b'%d.' % T + BODY, OLD)},v1={V1}"

    verify(BODY, header, configured, AT)


async def test_after_a_rotation_the_old_secret_is_refused() -> None:
    later = AT + DAY
    body = b'{"id": "evt_1", "type": "ping"}'
    request = WebhookRequest(body=body, headers={"Stripe-Signature": sign(body, OLD, later)}, received_at=later)

    with pytest.raises(WebhookRefused) as refused:
        await StripeWebhooks([SECRET]).read(request)

    assert refused.value.code == "signature_wrong"


# --- agreement with Stripe's own SDK

HEADERS_COMPARED = 100_000 if os.environ.get("SIMULATION") == "nightly" else 5_000


def _official(body: bytes, header: str, secret: str) -> bool:
    """Verify with the SDK without its age check, which uses the machine's clock: a slow run must not fail."""
    try:
        return bool(stripe.WebhookSignature.verify_header(body.decode(), header, secret))
    except (stripe.SignatureVerificationError, TypeError, UnicodeDecodeError, ValueError):
        return False


def _ours(body: bytes, header: str, secret: str, now: datetime) -> bool:
    try:
        verify(body, header, (secret,), now)
    except WebhookRefused:
        return False
    return True


def _valid(chance: Random, now: int, count: int) -> Iterator[tuple[bytes, str, str]]:
    """Bodies, headers and secrets as Stripe may send them, also during a rotation and with the test scheme."""
    for _ in range(count):
        body = "".join(chance.choices('abc{}":,\u00e4\u20ac \n0123456789', k=chance.randrange(200))).encode()
        secret = f"whsec_{chance.randbytes(chance.randrange(1, 32)).hex()}"
        at = now - chance.randrange(290)
        parts = [f"v1={mac(b'%d.' % at + body, secret)}"]
        parts += [f"v1={chance.randbytes(32).hex()}" for _ in range(chance.randrange(3))]
        parts += [f"v0={chance.randbytes(32).hex()}" for _ in range(chance.randrange(2))]
        chance.shuffle(parts)
        yield body, ",".join([f"t={at}", *parts]), secret


def test_signatures_that_stripes_sdk_accepts_are_accepted() -> None:
    now = int(time.time())
    disagreed = [
        header
        for body, header, secret in _valid(Random(now), now, HEADERS_COMPARED)
        if not (_ours(body, header, secret, datetime.fromtimestamp(now, UTC)) and _official(body, header, secret))
    ]

    assert disagreed == []


def test_stripes_sdk_accepts_every_accepted_signature() -> None:
    """Valid headers with one character changed: this check may be stricter than the SDK's, never laxer."""
    now, chance = int(time.time()), Random(7)
    laxer = []
    for body, header, secret in _valid(chance, now, HEADERS_COMPARED):
        place = chance.randrange(len(header))
        spoilt = header[:place] + chance.choice("0123456789abcdef=,tv ") + header[place + 1 :]
        if _ours(body, spoilt, secret, datetime.fromtimestamp(now, UTC)) and not _official(body, spoilt, secret):
            laxer.append(spoilt)

    assert laxer == []


def test_the_sdk_creates_the_same_signature() -> None:
    generate = stripe.WebhookSignature.generate_signature_header

    assert generate(BODY.decode(), SECRET, timestamp=T) == sign(BODY, SECRET, AT)
