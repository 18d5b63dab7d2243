"""The official SDK against the sandbox: what a merchant does."""

from datetime import timedelta

import pytest
import stripe

from booking_payments.testing.sandbox import Sandbox
from tests.integration.sandbox.http.sdk import card, connected, debit, unpaid


def test_a_card_is_charged(client: stripe.StripeClient) -> None:
    intent = client.v1.payment_intents.create(card())

    assert (intent.status, intent.amount_received) == ("succeeded", 10000)


async def test_the_asynchronous_client_runs_on_the_same_event_loop() -> None:
    async with Sandbox() as sandbox:
        http = stripe.HTTPXClient(timeout=10)
        client = stripe.StripeClient("sk_test_any", base_addresses={"api": sandbox.url}, http_client=http)
        intent = await client.v1.payment_intents.create_async(card())
        await http.close_async()  # type: ignore[no-untyped-call]

        assert sandbox.stripe.successful_charges(intent.id) == 1


def test_an_intent_is_made_changed_and_confirmed_later(client: stripe.StripeClient) -> None:
    made = client.v1.payment_intents.create(unpaid())
    client.v1.payment_intents.update(made.id, {"metadata": {"seat": "7", "0": "zero"}})
    paid = client.v1.payment_intents.confirm(made.id, {"payment_method": "pm_card_mastercard"})

    assert (made.status, paid.status, paid.metadata.to_dict()) == (
        "requires_payment_method",
        "succeeded",
        {"seat": "7", "0": "zero"},
    )


def test_a_decline_carries_its_codes_and_the_intent(client: stripe.StripeClient) -> None:
    with pytest.raises(stripe.CardError) as declined:
        client.v1.payment_intents.create(card("pm_card_visa_chargeDeclinedInsufficientFunds"))

    error = declined.value.error
    assert error is not None
    assert (declined.value.http_status, error.code, error.decline_code) == (402, "card_declined", "insufficient_funds")
    assert error.payment_intent is not None
    assert error.payment_intent.status == "requires_payment_method"


@pytest.mark.parametrize(("outcome", "status"), [("succeeded", "succeeded"), ("failed", "requires_payment_method")])
def test_the_customer_passes_or_fails_3d_secure(
    sandbox: Sandbox, client: stripe.StripeClient, outcome: str, status: str
) -> None:
    waiting = client.v1.payment_intents.create(card("pm_card_authenticationRequired"))
    sandbox.play(f"/payment_intents/{waiting.id}/authenticate", client_secret=waiting.client_secret, outcome=outcome)

    assert waiting.status == "requires_action"
    assert client.v1.payment_intents.retrieve(waiting.id).status == status


def test_held_money_is_captured_in_part(client: stripe.StripeClient) -> None:
    held = client.v1.payment_intents.create(card(capture_method="manual"))
    captured = client.v1.payment_intents.capture(held.id, {"amount_to_capture": 4000})

    assert (held.amount_capturable, captured.amount_received) == (10000, 4000)


def test_an_intent_is_canceled(client: stripe.StripeClient) -> None:
    held = client.v1.payment_intents.create(card(capture_method="manual"))

    canceled = client.v1.payment_intents.cancel(held.id, {"cancellation_reason": "abandoned"})

    assert (canceled.status, canceled.cancellation_reason) == ("canceled", "abandoned")


def test_refunds_are_made_and_listed(client: stripe.StripeClient) -> None:
    intent = client.v1.payment_intents.create(card())
    refund = client.v1.refunds.create({"payment_intent": intent.id, "amount": 2500, "metadata": {"refund_id": "r"}})
    listed = client.v1.refunds.list({"payment_intent": intent.id})

    assert (refund.status, [each.id for each in listed.data]) == ("succeeded", [refund.id])


def test_a_pending_refund_succeeds_when_its_time_has_come(sandbox: Sandbox, client: stripe.StripeClient) -> None:
    intent = client.v1.payment_intents.create(card("pm_card_pendingRefund"))
    refund = client.v1.refunds.create({"payment_intent": intent.id})
    sandbox.advance(timedelta(seconds=3))

    assert (refund.status, client.v1.refunds.retrieve(refund.id).status) == ("pending", "succeeded")


@pytest.mark.parametrize(("words", "status"), [("winning_evidence", "won"), ("losing_evidence", "lost")])
def test_the_magic_words_decide_a_dispute(
    sandbox: Sandbox, client: stripe.StripeClient, words: str, status: str
) -> None:
    intent = client.v1.payment_intents.create(card("pm_card_createDispute"))
    dispute = client.v1.disputes.list({"payment_intent": intent.id}).data[0]
    client.v1.disputes.update(dispute.id, {"evidence": {"uncategorized_text": words}, "submit": True})
    sandbox.advance(timedelta(seconds=10))

    assert (dispute.status, client.v1.disputes.retrieve(dispute.id).status) == ("needs_response", status)


@pytest.mark.parametrize(
    ("iban", "status"),
    [("DE89370400440532013000", "succeeded"), ("DE62370400440532013001", "requires_payment_method")],
)
def test_a_bank_debit_settles_later(sandbox: Sandbox, client: stripe.StripeClient, iban: str, status: str) -> None:
    intent = debit(client, iban)
    sandbox.advance(timedelta(seconds=3))

    assert (intent.status, client.v1.payment_intents.retrieve(intent.id).status) == ("processing", status)


def test_a_list_is_paged_by_the_sdk_itself(client: stripe.StripeClient) -> None:
    made = [client.v1.payment_intents.create(card()).id for _ in range(7)]

    listed = [intent.id for intent in client.v1.payment_intents.list({"limit": 3}).auto_paging_iter()]

    assert listed == made[::-1]


def test_a_list_is_paged_backwards(client: stripe.StripeClient) -> None:
    made = [client.v1.payment_intents.create(card()).id for _ in range(4)]

    page = client.v1.payment_intents.list({"limit": 2, "ending_before": made[0]})

    assert ([intent.id for intent in page.data], page.has_more) == ([made[2], made[1]], True)


def test_a_list_is_filtered_by_time(sandbox: Sandbox, client: stripe.StripeClient) -> None:
    early = client.v1.payment_intents.create(card())
    sandbox.advance(timedelta(hours=1))
    late = client.v1.payment_intents.create(card())

    listed = client.v1.payment_intents.list({"created": {"gt": early.created}})

    assert [intent.id for intent in listed.data] == [late.id]


def test_objects_are_expanded_in_answers_and_lists(client: stripe.StripeClient) -> None:
    params = card(expand=["latest_charge.balance_transaction"], capture_method="automatic")
    intent = client.v1.payment_intents.create(params)
    listed = client.v1.payment_intents.list({"expand": ["data.latest_charge"]})

    assert isinstance(intent.latest_charge, stripe.Charge)
    assert isinstance(intent.latest_charge.balance_transaction, stripe.BalanceTransaction)
    assert isinstance(listed.data[0].latest_charge, stripe.Charge)


def test_the_same_key_has_one_effect(sandbox: Sandbox, client: stripe.StripeClient) -> None:
    first = client.v1.payment_intents.create(card(), {"idempotency_key": "k"})
    again = client.v1.payment_intents.create(card(), {"idempotency_key": "k"})

    assert (again.id, len(client.v1.charges.list().data)) == (first.id, 1)
    assert first.last_response is not None
    assert again.last_response is not None
    headers, replayed = first.last_response.headers, again.last_response.headers
    assert (headers.get("idempotent-replayed"), replayed["idempotent-replayed"]) == (None, "true")
    assert replayed["original-request"] == headers["request-id"] != replayed["request-id"]


def test_the_same_key_for_something_else_is_refused(client: stripe.StripeClient) -> None:
    client.v1.payment_intents.create(card(), {"idempotency_key": "k"})

    with pytest.raises(stripe.IdempotencyError) as refused:
        client.v1.payment_intents.create(card(amount=20000), {"idempotency_key": "k"})

    assert (refused.value.http_status, refused.value.code) == (400, None)


def test_an_unknown_id_is_missing(client: stripe.StripeClient) -> None:
    with pytest.raises(stripe.InvalidRequestError) as refused:
        client.v1.payment_intents.retrieve("pi_nobody_has_this")

    assert (refused.value.http_status, refused.value.code) == (404, "resource_missing")


def test_events_can_be_read_back(client: stripe.StripeClient) -> None:
    client.v1.payment_intents.create(card())

    newest = client.v1.events.list({"types": ["payment_intent.succeeded"]}).data[0]

    assert client.v1.events.retrieve(newest.id).data.object["amount"] == 10000


def test_customers_and_their_methods_are_kept(client: stripe.StripeClient) -> None:
    customer = client.v1.customers.create({"name": "Ann", "email": "ann@example.com"})
    intent = client.v1.payment_intents.create(card(customer=customer.id))

    assert client.v1.customers.retrieve(customer.id).name == "Ann"
    assert intent.customer == customer.id


def test_a_webhook_endpoint_is_made_listed_and_deleted(client: stripe.StripeClient) -> None:
    made = client.v1.webhook_endpoints.create({"url": "http://127.0.0.1:9/", "enabled_events": ["*"]})
    listed = client.v1.webhook_endpoints.list().data
    client.v1.webhook_endpoints.delete(made.id)

    assert made.secret is not None
    assert made.secret.startswith("whsec_")
    assert [each.id for each in listed] == [made.id]
    assert client.v1.webhook_endpoints.list().data == []


def test_any_other_key_is_turned_away(sandbox: Sandbox) -> None:
    with connected(sandbox.url, "sk_live_0123456789") as client, pytest.raises(stripe.AuthenticationError) as refused:
        client.v1.payment_intents.list()

    assert refused.value.http_status == 401
    assert "0123456789" not in str(refused.value)
