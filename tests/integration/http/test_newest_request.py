"""Repeated requests over HTTP with changed arguments: each is carried out or refused with a code, and a verdict
belongs to its payment method.

Payment methods have distinct ids here, as a front end creates them: ``pm_card_visa`` creates a new one at each use.
"""

import json
from collections.abc import Sequence
from typing import Any, Final

import pytest

from booking_payments.testing.kit import PaymentsTestKit
from tests.integration.http.api import ANN, OPERATOR, Api, Json, moved_in, problem_of

THREE_D_SECURE: Final = "authenticationRequired"
LOST: Final = "visa_chargeDeclinedLostCard"
BACK: Final = "https://shop.example/back"
ELSEWHERE: Final = "https://shop.example/elsewhere"
REFUSING: Final = [(), ("confirmed",), ("updated", "confirmed")]

Step = tuple[str, Json]


def method(api: Api, name: str) -> str:
    """Create a payment method that behaves like the test card of this name."""
    params = {"type": "card", "card": {"token": f"tok_{name}"}}
    answer = api.kit.stripe.call("POST", "/v1/payment_methods", params)
    assert answer.ok, answer.body
    return str(answer.body["id"])


def ask(api: Api, booking_id: str, step: str, **body: Any) -> Any:
    return api.post(f"/api/bookings/{booking_id}/payment/{step}/", ANN, json=body)


def in_browser(api: Api, payment: Json, card: str) -> None:
    api.kit.stripe.confirm_as_customer(payment["payment_intent_id"], payment["client_secret"], card)


def authenticate(api: Api, payment: Json, outcome: str) -> None:
    body = {"client_secret": payment["client_secret"], "outcome": outcome}
    path = f"/_sandbox/payment_intents/{payment['payment_intent_id']}/authenticate"
    assert api.post(path, json=body).status_code == 200


def intents(api: Api) -> list[Json]:
    found: list[Json] = api.kit.stripe.call("GET", "/v1/payment_intents", {"limit": 100}).body["data"]
    return found


def charges(api: Api) -> int:
    """Return how many charges of all intents succeeded."""
    return sum(api.kit.stripe.successful_charges(each["id"]) for each in intents(api))


def events(api: Api, booking_id: str, *types: str) -> list[tuple[str, Json]]:
    journal = api.get(f"/api/bookings/{booking_id}/payment/events/", OPERATOR).json()["events"]
    return [(each["type"], each["data"]) for each in journal if each["type"] in types]


# --- the newest method is charged


@pytest.mark.parametrize(
    ("steps", "brand"),
    [
        ([("intent", {"payment_method_id": "pm_card_visa"})], "visa"),
        ([("intent", {}), ("intent", {"payment_method_id": "pm_card_mastercard"})], "mastercard"),
        (
            [
                ("intent", {"payment_method_id": "pm_card_visa"}),
                ("intent", {"payment_method_id": "pm_card_mastercard"}),
            ],
            "mastercard",
        ),
        (
            [
                ("intent", {"payment_method_id": "pm_card_visa"}),
                ("intent", {"payment_method_id": "pm_card_mastercard"}),
                ("intent", {}),
            ],
            "mastercard",
        ),
        (
            [
                ("intent", {"payment_method_id": "pm_card_visa"}),
                ("intent", {"payment_method_id": "pm_card_mastercard", "return_url": BACK}),
            ],
            "mastercard",
        ),
        (
            [
                ("intent", {"payment_method_id": "pm_card_chargeDeclined", "confirm_immediately": True}),
                ("intent", {"payment_method_id": "pm_card_mastercard"}),
            ],
            "mastercard",
        ),
        (
            [
                ("intent", {"payment_method_id": "pm_card_authenticationRequired", "confirm_immediately": True}),
                ("intent", {"payment_method_id": "pm_card_mastercard"}),
            ],
            "mastercard",
        ),
    ],
)
@pytest.mark.parametrize("refused", REFUSING)
def test_a_confirmation_charges_the_last_named_method(
    api: Api, steps: Sequence[Step], brand: str, refused: Sequence[str]
) -> None:
    api = moved_in(api, PaymentsTestKit(refused_in_action=refused))
    booking_id = api.book()
    for step, body in steps:
        ask(api, booking_id, step, **body)

    paid = ask(api, booking_id, "confirm").json()

    assert (paid["status"], paid["method"]["brand"], charges(api)) == ("succeeded", brand, 1)


def test_a_burnt_method_is_not_attached_again(api: Api) -> None:
    booking_id, lost = api.book(), method(api, LOST)
    first = problem_of(api.pay(booking_id, lost))
    calls = len(api.kit.stripe.calls)

    again = problem_of(ask(api, booking_id, "intent", payment_method_id=lost))

    assert (again["status"], again["code"], len(api.kit.stripe.calls)) == (402, first["code"], calls)


@pytest.mark.parametrize(
    ("method_id", "body", "code"),
    [
        ("pm_card_visa", {"payment_method_id": "pm_card_mastercard"}, "already_paid"),
        ("pm_usBankAccount_processing", {"payment_method_id": "pm_card_visa"}, "payment_processing"),
    ],
)
def test_another_method_for_a_paid_or_processing_payment_is_refused(
    api: Api, method_id: str, body: Json, code: str
) -> None:
    booking_id = api.book()
    api.pay(booking_id, method_id)

    problem = problem_of(ask(api, booking_id, "intent", **body))

    assert (problem["status"], problem["code"]) == (409, code)


# --- the capture method is chosen once


@pytest.mark.parametrize("confirm", [False, True])
@pytest.mark.parametrize("began", ["started", "attached", "in action"])
@pytest.mark.parametrize(("first", "then"), [("automatic", "manual"), ("manual", "automatic")])
def test_an_open_payment_keeps_its_capture_method(api: Api, began: str, confirm: bool, first: str, then: str) -> None:
    booking_id, card = api.book(), "pm_card_authenticationRequired" if began == "in action" else "pm_card_visa"
    given: Json = {} if began == "started" else {"payment_method_id": card}
    ask(api, booking_id, "intent", capture_method=first, confirm_immediately=began == "in action", **given)

    body = {"payment_method_id": card, "capture_method": then, "confirm_immediately": confirm}
    problem = problem_of(ask(api, booking_id, "intent", **body))

    assert (problem["status"], problem["code"], charges(api)) == (409, "capture_method_fixed", 0)


def test_after_a_cancellation_another_capture_method_can_be_chosen(api: Api) -> None:
    booking_id = api.book()
    ask(api, booking_id, "intent")
    ask(api, booking_id, "cancel")

    held = api.pay(booking_id, capture_method="manual").json()

    assert held["status"] == "requires_capture"


# --- the return URL


@pytest.mark.parametrize("first", [None, BACK])
@pytest.mark.parametrize("confirm", [False, True])
def test_the_newest_return_url_is_used(api: Api, first: str | None, confirm: bool) -> None:
    booking_id = api.book()
    ask(api, booking_id, "intent", **({"return_url": first} if first else {}))

    body = {"return_url": ELSEWHERE, "payment_method_id": f"pm_card_{THREE_D_SECURE}", "confirm_immediately": confirm}
    ask(api, booking_id, "intent", **body)
    acting = ask(api, booking_id, "confirm").json()

    assert acting["next_action"]["redirect_to_url"]["return_url"] == ELSEWHERE


def test_an_intent_without_redirects_is_replaced_when_a_return_url_is_given(api: Api) -> None:
    booking_id = api.book()
    first = ask(api, booking_id, "intent").json()

    second = ask(api, booking_id, "intent", return_url=BACK).json()
    third = ask(api, booking_id, "intent", return_url=BACK).json()

    assert first["payment_intent_id"] != second["payment_intent_id"] == third["payment_intent_id"]
    taken = {each["id"]: each["automatic_payment_methods"]["allow_redirects"] for each in intents(api)}
    assert taken[second["payment_intent_id"]] == "always"
    states = {each["id"]: each["status"] for each in intents(api)}
    assert states[first["payment_intent_id"]] == "canceled"


@pytest.mark.parametrize("given", [{}, {"payment_method_id": f"pm_card_{THREE_D_SECURE}"}], ids=["none", "the same"])
def test_an_open_authentication_keeps_its_return_url(api: Api, given: Json) -> None:
    booking_id = api.book()
    api.pay(booking_id, f"pm_card_{THREE_D_SECURE}", return_url=BACK)

    problem = problem_of(ask(api, booking_id, "confirm", return_url=ELSEWHERE, **given))
    same = ask(api, booking_id, "confirm", return_url=BACK, **given).json()

    assert (problem["status"], problem["code"]) == (409, "action_pending")
    assert (same["status"], same["attempts_made"]) == ("requires_action", 0)


# --- another method during an authentication

ANOTHER: Final = [
    ("confirm", {}),
    ("retry", {}),
    ("intent", {"confirm_immediately": True}),
]


@pytest.mark.parametrize(("step", "body"), ANOTHER)
@pytest.mark.parametrize("refused", REFUSING)
def test_another_method_can_be_charged_during_an_authentication(
    api: Api, step: str, body: Json, refused: Sequence[str]
) -> None:
    api = moved_in(api, PaymentsTestKit(refused_in_action=refused))
    booking_id = api.book()
    first = api.pay(booking_id, method(api, THREE_D_SECURE)).json()

    paid = ask(api, booking_id, step, payment_method_id=method(api, "mastercard"), **body).json()

    assert (paid["status"], paid["method"]["brand"], charges(api)) == ("succeeded", "mastercard", 1)
    states = sorted(each["status"] for each in intents(api))
    assert states == (["canceled", "succeeded"] if "updated" in refused else ["succeeded"])
    assert (paid["payment_intent_id"] == first["payment_intent_id"]) == ("updated" not in refused)
    assert api.get(f"/api/bookings/{booking_id}/", ANN).json()["status"] == "confirmed"


@pytest.mark.parametrize("refused", REFUSING)
def test_a_declined_second_method_leaves_the_payment_open(api: Api, refused: Sequence[str]) -> None:
    api = moved_in(api, PaymentsTestKit(refused_in_action=refused))
    booking_id = api.book()
    api.pay(booking_id, method(api, THREE_D_SECURE))

    problem = problem_of(ask(api, booking_id, "retry", payment_method_id=method(api, "chargeDeclined")))
    status = api.status(booking_id)

    assert (problem["status"], status["status"], status["attempts_left"]) == (402, "requires_payment_method", 2)


@pytest.mark.parametrize(("step", "body"), ANOTHER)
def test_the_method_in_authentication_is_not_charged_again(api: Api, step: str, body: Json) -> None:
    booking_id, card = api.book(), method(api, THREE_D_SECURE)
    first = api.pay(booking_id, card).json()

    again = ask(api, booking_id, step, payment_method_id=card, **body).json()

    assert (again["status"], again["next_action"]) == ("requires_action", first["next_action"])
    assert len(events(api, booking_id, "attempt_started")) == 1


# --- a verdict belongs to its method


def test_a_decline_in_the_browser_does_not_decline_the_method_in_authentication(api: Api) -> None:
    booking_id, ours, theirs = api.book(), method(api, THREE_D_SECURE), method(api, LOST)
    waiting = api.pay(booking_id, ours).json()
    in_browser(api, waiting, theirs)
    api.deliver_all()

    refused = events(api, booking_id, "attempt_started", "attempt_refused", "attempt_dropped")
    assert [(kind, data["number"], data.get("payment_method_id")) for kind, data in refused] == [
        ("attempt_started", 1, ours),
        ("attempt_dropped", 1, None),
        ("attempt_started", 2, theirs),
        ("attempt_refused", 2, theirs),
    ]
    assert refused[2][1]["origin"] == "client"
    assert (api.status(booking_id)["attempts_made"], api.status(booking_id)["next_action"]) == (1, None)
    assert ask(api, booking_id, "retry", payment_method_id=ours).json()["status"] == "requires_action"
    assert problem_of(ask(api, booking_id, "retry", payment_method_id=theirs))["status"] == 402


def test_a_success_in_the_browser_is_recorded_with_its_method(api: Api) -> None:
    booking_id, theirs = api.book(), method(api, "mastercard")
    waiting = api.pay(booking_id, method(api, THREE_D_SECURE)).json()
    in_browser(api, waiting, theirs)
    api.deliver_all()

    ((_, data),) = events(api, booking_id, "payment_succeeded")
    assert (data["attempt"], data["payment_method_id"]) == (2, theirs)
    assert api.status(booking_id)["attempts_made"] == 1


def test_the_method_of_an_attempt_is_the_one_in_stripes_response(api: Api) -> None:
    booking_id = api.book()
    waiting = api.pay(booking_id, f"pm_card_{THREE_D_SECURE}").json()
    in_browser(api, waiting, "pm_card_chargeDeclined")
    api.deliver_all()

    numbers = [data["number"] for _, data in events(api, booking_id, "attempt_refused")]
    assert numbers == [2]


def test_a_failed_authentication_declines_its_own_method(api: Api) -> None:
    booking_id = api.book()
    authenticate(api, api.pay(booking_id, method(api, THREE_D_SECURE)).json(), "failed")
    api.deliver_all()

    assert [data["number"] for _, data in events(api, booking_id, "attempt_refused")] == [1]
    assert len(events(api, booking_id, "attempt_started")) == 1


# --- the next action is current


@pytest.mark.parametrize("how", ["webhook", "look", "repeated start"])
@pytest.mark.parametrize("same", [False, True], ids=["another card", "the same card"])
def test_the_next_action_is_the_current_one(api: Api, how: str, same: bool) -> None:
    booking_id, ours = api.book(), method(api, THREE_D_SECURE)
    before = api.pay(booking_id, ours).json()
    in_browser(api, before, ours if same else method(api, "threeDSecure2Required"))

    if how == "webhook":
        api.deliver_all()
    elif how == "look":
        ask(api, booking_id, "confirm")
    else:
        ask(api, booking_id, "intent", payment_method_id=ours, confirm_immediately=True)

    after, intent = api.status(booking_id), intents(api)[0]
    assert after["next_action"] == intent["next_action"] != before["next_action"]


def test_an_older_event_does_not_restore_a_completed_action(api: Api) -> None:
    booking_id = api.book()
    first = api.pay(booking_id, method(api, THREE_D_SECURE)).json()
    in_browser(api, first, method(api, "threeDSecure2Required"))
    events = api.kit.stripe.call("GET", "/v1/events", {"limit": 100}).body["data"]
    api.deliver_all()
    current = api.status(booking_id)["next_action"]

    for number, event in enumerate(events):
        api.deliver(json.dumps({**event, "id": f"evt_again_{number}"}).encode())

    assert api.status(booking_id)["next_action"] == current


def test_the_next_action_is_removed_when_it_is_obsolete(api: Api) -> None:
    booking_id = api.book()
    authenticate(api, api.pay(booking_id, method(api, THREE_D_SECURE)).json(), "failed")
    api.deliver_all()

    status = api.status(booking_id)
    assert (status["requires_action"], status["next_action"]) == (False, None)


def test_a_decline_is_not_attributed_to_a_method_named_later(api: Api) -> None:
    booking_id = api.book()
    api.pay(booking_id, "pm_card_chargeDeclined")

    attached = ask(api, booking_id, "intent", payment_method_id="pm_card_visa").json()

    told = (attached["status"], attached["error"], attached["error_code"], attached["decline_code"])
    assert told == ("requires_confirmation", None, None, None)


# --- the booking's next payment


@pytest.mark.parametrize("card", ["visa", "mastercard"])
@pytest.mark.parametrize("given", [{}, {"client": "stripe_js"}])
def test_an_intent_replaced_for_redirects_passes_its_method_on(api: Api, card: str, given: Json) -> None:
    booking_id = api.book()
    ask(api, booking_id, "intent", payment_method_id="pm_card_amex")
    ask(api, booking_id, "intent", payment_method_id=method(api, card))
    room_made = ask(api, booking_id, "intent", return_url=BACK, **given).json()

    paid = ask(api, booking_id, "confirm").json()

    assert room_made["status"] == "requires_confirmation"
    assert (paid["status"], paid["method"]["brand"], charges(api)) == ("succeeded", card, 1)


def test_a_declined_method_is_not_passed_on(api: Api) -> None:
    booking_id = api.book()
    ask(api, booking_id, "intent", payment_method_id="pm_card_chargeDeclined")
    ask(api, booking_id, "confirm")

    room_made = ask(api, booking_id, "intent", return_url=BACK).json()

    assert (room_made["status"], room_made["attempts_left"]) == ("requires_payment_method", 2)


def test_a_burnt_card_is_refused_by_a_replacing_payment(api: Api) -> None:
    api = moved_in(api, PaymentsTestKit(refused_in_action=("updated", "confirmed")))
    booking_id, lost = api.book(), method(api, LOST)
    first = problem_of(api.pay(booking_id, lost))
    waiting = ask(api, booking_id, "retry", payment_method_id=method(api, THREE_D_SECURE)).json()
    acting = ask(api, booking_id, "retry", payment_method_id=method(api, "threeDSecure2Required")).json()
    calls = len(api.kit.stripe.calls)

    again = problem_of(ask(api, booking_id, "retry", payment_method_id=lost))

    assert (acting["status"], acting["payment_id"] != waiting["payment_id"]) == ("requires_action", True)
    assert (again["status"], again["code"], again["decline_code"]) == (402, first["code"], first["decline_code"])
    assert len(api.kit.stripe.calls) == calls


@pytest.mark.parametrize("step", ["intent", "intent and confirm", "retry"])
@pytest.mark.parametrize("given_up", [1, 2])
def test_a_burnt_card_is_refused_after_its_payment_was_canceled(api: Api, step: str, given_up: int) -> None:
    booking_id, lost = api.book(), method(api, LOST)
    api.pay(booking_id, lost)
    for _ in range(given_up):
        ask(api, booking_id, "cancel")
        ask(api, booking_id, "intent")
    if step != "retry":
        ask(api, booking_id, "cancel")

    body = {"payment_method_id": lost, **({"confirm_immediately": True} if step == "intent and confirm" else {})}
    problem = problem_of(ask(api, booking_id, "retry" if step == "retry" else "intent", **body))

    assert (problem["status"], problem["code"], problem["decline_code"]) == (402, "card_declined", "generic_decline")
    assert ask(api, booking_id, "intent", payment_method_id="pm_card_visa").json()["status"] == "requires_confirmation"


def test_canceling_a_payment_does_not_reset_the_attempts(api: Api) -> None:
    booking_id = api.book()
    left = []
    for _ in range(2):
        api.pay(booking_id, "pm_card_chargeDeclined")
        ask(api, booking_id, "cancel")
        left.append(ask(api, booking_id, "intent").json()["attempts_left"])
    ask(api, booking_id, "retry", payment_method_id="pm_card_chargeDeclined")

    booking = api.get(f"/api/bookings/{booking_id}/", ANN).json()
    assert (left, booking["status"], booking["reason"]) == ([2, 1], "expired", "attempts_exhausted")


@pytest.mark.parametrize("step", ["cancel", "intent"])
def test_a_verdict_in_the_browser_counts_after_its_payment_was_canceled(api: Api, step: str) -> None:
    booking_id, lost = api.book(), method(api, LOST)
    in_browser(api, ask(api, booking_id, "intent").json(), lost)

    body = {"return_url": BACK} if step == "intent" else {}  # replaced by an intent that allows redirects
    ask(api, booking_id, step, **body)
    left = ask(api, booking_id, "intent").json()["attempts_left"]
    api.deliver_all()

    problem = problem_of(ask(api, booking_id, "retry", payment_method_id=lost))
    assert (left, problem["status"], problem["code"]) == (2, 402, "card_declined")


# --- changes at the gateway that are not stored yet


@pytest.mark.parametrize(
    ("step", "body"), [("confirm", {}), ("retry", {}), ("intent", {"confirm_immediately": True}), ("intent", {})]
)
def test_a_method_can_be_charged_again_after_its_authentication_failed(api: Api, step: str, body: Json) -> None:
    booking_id, card = api.book(), method(api, THREE_D_SECURE)
    first = api.pay(booking_id, card).json()
    authenticate(api, first, "failed")  # and the webhook is late

    again = ask(api, booking_id, step, payment_method_id=card, **body).json()
    if not body and step == "intent":
        again = ask(api, booking_id, "confirm").json()

    assert (again["status"], again["attempts_left"]) == ("requires_action", 2)
    assert again["next_action"] != first["next_action"]


def test_an_open_authentication_refuses_another_return_url_at_the_start(api: Api) -> None:
    booking_id, card = api.book(), method(api, THREE_D_SECURE)
    first = api.pay(booking_id, card, return_url=BACK).json()

    problem = problem_of(ask(api, booking_id, "intent", return_url=ELSEWHERE, payment_method_id=card))
    same = ask(api, booking_id, "intent", return_url=BACK, payment_method_id=card).json()

    assert (problem["status"], problem["code"]) == (409, "action_pending")
    assert same["next_action"] == first["next_action"]


def test_continuing_an_open_authentication_with_another_return_url_is_accepted(api: Api) -> None:
    booking_id, card = api.book(), method(api, THREE_D_SECURE)
    first = api.pay(booking_id, card, return_url=BACK).json()

    page = ask(api, booking_id, "intent", return_url=ELSEWHERE).json()
    authenticate(api, first, "failed")
    acting = ask(api, booking_id, "retry", payment_method_id=card).json()

    assert (page["client_secret"], page["next_action"]) == (first["client_secret"], first["next_action"])
    assert acting["next_action"]["redirect_to_url"]["return_url"] == ELSEWHERE


def test_a_return_url_is_stored_after_an_authentication_whose_webhook_is_late(api: Api) -> None:
    booking_id, card = api.book(), method(api, THREE_D_SECURE)
    authenticate(api, api.pay(booking_id, card, return_url=BACK).json(), "failed")

    ask(api, booking_id, "intent", return_url=ELSEWHERE)
    acting = ask(api, booking_id, "retry", payment_method_id=card).json()

    assert acting["next_action"]["redirect_to_url"]["return_url"] == ELSEWHERE
