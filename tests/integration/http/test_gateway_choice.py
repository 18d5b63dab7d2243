"""Choosing the gateway in ``intent``: another one than that of the open payment, an unknown one, one that is away."""

import pytest

from booking_payments.ports.gateway import OutcomeAmbiguous
from tests.integration.http.api import ANN, OPERATOR, Api, Json, moved_in, problem_of
from tests.two_gateways import VISA, Two
from tests.unit.application.failing_gateway import FailingGateway, use_gateway


@pytest.fixture
def two() -> Two:
    return Two()


@pytest.fixture
def api(shared_api: Api, two: Two) -> Api:
    return moved_in(shared_api, two.kit)


def _payments(api: Api) -> list[tuple[str, str]]:
    """Return gateway and status of all payments, oldest first."""
    items: list[Json] = api.get("/api/payments/", OPERATOR).json()["items"]
    return [(each["gateway"], each["status"]) for each in reversed(items)]


def test_the_configuration_lists_the_gateways_with_the_default_first(api: Api) -> None:
    config = api.get("/api/payment/config/", ANN).json()

    assert (config["gateway"], config["gateways"]) == ("fake", ["fake", "other"])


def test_a_payment_is_made_at_the_gateway_that_was_asked_for(api: Api, two: Two) -> None:
    booking_id = api.book()

    paid = api.pay(booking_id, gateway="other").json()

    assert (paid["gateway"], paid["status"]) == ("other", "succeeded")
    assert (two.intents(two.kit.stripe), two.intents(two.stripe)) == ([], ["succeeded"])
    refund = api.post(f"/api/bookings/{booking_id}/payment/refund/", ANN, json={})
    assert (refund.status_code, refund.json()["status"]) == (200, "succeeded")


@pytest.mark.parametrize(("first", "second"), [("fake", "other"), ("other", "fake")])
def test_switching_before_paying_cancels_the_open_payment_first(api: Api, two: Two, first: str, second: str) -> None:
    booking_id = api.book()
    left = api.post(f"/api/bookings/{booking_id}/payment/intent/", ANN, json={"gateway": first}).json()

    paid = api.pay(booking_id, gateway=second).json()

    assert (paid["gateway"], paid["status"]) == (second, "succeeded")
    assert paid["payment_id"] != left["payment_id"]
    assert _payments(api) == [(first, "canceled"), (second, "succeeded")]
    sides = {"fake": two.intents(two.kit.stripe), "other": two.intents(two.stripe)}
    assert (sides[first], sides[second]) == (["canceled"], ["succeeded"])


def test_an_unknown_cancellation_is_503_and_starts_no_second_payment(api: Api, two: Two) -> None:
    booking_id = api.book()
    api.post(f"/api/bookings/{booking_id}/payment/intent/", ANN, json={})
    no_answer = [OutcomeAmbiguous("no answer", code="timeout")] * 3
    use_gateway(two.kit, FailingGateway(two.kit, cancel_intent=no_answer))
    api = moved_in(api, two.kit)

    refused = api.pay(booking_id, gateway="other")

    problem = problem_of(refused)
    assert (problem["status"], problem["outcome_unknown"], "retry-after" in refused.headers) == (503, True, True)
    assert two.intents(two.stripe) == []
    status = api.status(booking_id)
    assert (status["gateway"], status["outcome_unknown"]) == ("fake", True)


def test_once_the_cancellation_is_known_the_other_gateway_is_charged_once(api: Api, two: Two) -> None:
    booking_id = api.book()
    api.post(f"/api/bookings/{booking_id}/payment/intent/", ANN, json={})
    no_answer = [OutcomeAmbiguous("no answer", code="timeout")] * 3
    use_gateway(two.kit, FailingGateway(two.kit, cancel_intent=no_answer))
    api = moved_in(api, two.kit)
    api.pay(booking_id, gateway="other")

    two.kit.clock.advance(two.kit.deps.config.lease)
    again = problem_of(api.pay(booking_id, gateway="other"))

    assert (again["status"], again["code"]) == (409, "already_paid"), "the first request went on by itself"
    status = api.status(booking_id)
    assert (status["gateway"], status["status"]) == ("other", "succeeded")
    assert (two.intents(two.kit.stripe), two.intents(two.stripe)) == (["canceled"], ["succeeded"])


def test_an_unknown_gateway_is_422_and_names_the_configured_ones(api: Api, two: Two) -> None:
    problem = problem_of(api.pay(api.book(), gateway="paypal"))

    assert (problem["status"], problem["code"]) == (422, "gateway_unknown")
    assert problem["detail"].endswith("choose one of: fake, other")
    assert _payments(api) == []


def test_the_gateway_cannot_be_switched_after_paying(api: Api, two: Two) -> None:
    booking_id = api.paid()

    problem = problem_of(api.pay(booking_id, gateway="other"))

    assert problem["status"] == 409
    assert (_payments(api), two.intents(two.stripe)) == ([("fake", "succeeded")], [])


def test_the_method_is_refused_by_the_gateway_that_was_asked_for(api: Api, two: Two) -> None:
    """A refusal by the second gateway leaves the canceled payment of the first, and a payment that can go on."""
    booking_id = api.book()
    api.post(f"/api/bookings/{booking_id}/payment/intent/", ANN, json={})

    declined = problem_of(api.pay(booking_id, "pm_card_chargeDeclined", gateway="other"))
    paid = api.pay(booking_id, VISA).json()

    assert declined["status"] == 402
    assert (paid["gateway"], paid["status"]) == ("other", "succeeded")
    assert _payments(api) == [("fake", "canceled"), ("other", "succeeded")]
