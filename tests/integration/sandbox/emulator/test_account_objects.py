"""The account's balance, fees, reviews, warnings, SetupIntents, webhook endpoints, and search."""

from typing import Any

import pytest

from booking_payments.sandbox.emulator import FakeStripe
from tests.integration.sandbox.emulator.stripe_account import MemoryStore, StripeAccountClient, error, made


class TightAccount(StripeAccountClient):
    """A account whose refunds need a balance that covers them."""

    def __init__(self, store: MemoryStore | None = None) -> None:
        super().__init__()
        self.stripe = FakeStripe(lambda: self.now, store=store, refunds_need_balance=True)


def _amounts(account: StripeAccountClient, state: str) -> dict[str, int]:
    return {each["currency"]: each["amount"] for each in made(account.get("balance"))[state]}


def test_a_charge_is_pending_for_two_days_less_its_fee(account: StripeAccountClient) -> None:
    account.paid(amount=10_000)
    fresh = (_amounts(account, "pending"), _amounts(account, "available"))
    account.wait(days=2)

    assert fresh == ({"usd": 9680}, {"usd": 0})
    assert (_amounts(account, "pending"), _amounts(account, "available")) == ({"usd": 0}, {"usd": 9680})
    (moved,) = account.get("balance_transactions").body["data"]
    assert (moved["status"], moved["fee"], moved["fee_details"][0]["type"]) == ("available", 320, "stripe_fee")


def test_one_card_goes_to_the_available_balance_at_once(account: StripeAccountClient) -> None:
    account.paid("pm_card_bypassPending", amount=10_000)

    assert (_amounts(account, "pending"), _amounts(account, "available")) == ({"usd": 0}, {"usd": 9680})


def test_a_refund_leaves_the_fee_with_stripe(account: StripeAccountClient) -> None:
    account.refunded(account.paid("pm_card_bypassPending", amount=10_000))

    assert _amounts(account, "available") == {"usd": -320}


def test_an_empty_account_has_a_balance(account: StripeAccountClient) -> None:
    assert _amounts(account, "available") == {"usd": 0}


def test_fees_are_in_the_settlement_currency(account: StripeAccountClient) -> None:
    account.stripe.set_settlement("eur", {"usd": "0.5"})
    account.paid(amount=10_000)

    (moved,) = account.get("balance_transactions").body["data"]
    assert (moved["amount"], moved["fee"], moved["net"], moved["currency"]) == (5000, 175, 4825, "eur")


def test_a_fee_is_never_more_than_the_amount(account: StripeAccountClient) -> None:
    account.stripe.set_settlement("eur", {"jpy": "0.0062"})
    account.paid(amount=50, currency="jpy")

    (moved,) = account.get("balance_transactions").body["data"]
    assert (moved["amount"], moved["net"]) == (31, 0)


def test_an_asynchronous_capture_is_booked_a_little_later(account: StripeAccountClient) -> None:
    paid = account.paid(capture_method="automatic_async")
    before = account.charge_of(paid)
    account.wait(seconds=2)
    after = account.charge_of(paid)

    assert (before["balance_transaction"], before["captured"]) == (None, True)
    assert (after["balance_transaction"][:4], account.types()[-1]) == ("txn_", "charge.updated")


def test_a_refund_books_its_charge_first(account: StripeAccountClient) -> None:
    paid = account.paid(capture_method="automatic_async")
    account.refunded(paid)
    account.wait(seconds=2)

    assert [each["type"] for each in account.get("balance_transactions").body["data"]] == ["refund", "charge"]
    assert "charge.updated" not in account.types()


# --- refunds that the balance does not cover


def _overdrawn(account: StripeAccountClient) -> None:
    """The bank takes a charge back that was refunded already."""
    paid = account.paid(amount=10_000)
    account.refunded(paid)
    dispute = made(account.stripe.open_dispute(paid["id"], inquiry=True))
    account.stripe.move_dispute(dispute["id"], "needs_response", keeps_refunds=True)
    other = made(account.stripe.open_dispute(paid["id"], amount=10_000))
    assert (dispute["amount"], other["status"]) == (10_000, "needs_response")


def test_a_card_refund_waits_for_the_balance() -> None:
    account = TightAccount()
    _overdrawn(account)
    paid = account.paid(amount=8000)

    refund = account.refunded(paid)
    account.wait(days=1)
    still = account.read(refund)
    account.paid(amount=20_000)
    account.wait(seconds=1)

    assert (refund["status"], refund["pending_reason"], refund["balance_transaction"]) == (
        "pending",
        "insufficient_funds",
        None,
    )
    assert (still["status"], account.read(refund)["status"]) == ("pending", "succeeded")
    assert "pending_reason" not in account.read(refund)


def test_a_refund_of_another_method_fails_without_a_balance() -> None:
    account = TightAccount()
    _overdrawn(account)
    paid = account.paid("pm_usBankAccount_success", amount=8000)
    account.wait(seconds=2)

    refund = account.refunded(paid)

    assert (refund["status"], refund["failure_reason"]) == ("failed", "insufficient_funds")
    assert (account.charge_of(paid)["amount_refunded"], account.types()[-1]) == (0, "refund.failed")


def test_a_charge_covers_its_own_refund() -> None:
    account = TightAccount()
    for _ in range(3):
        assert account.refunded(account.paid(amount=10_000))["status"] == "succeeded"


def test_a_restart_keeps_balance_and_waiting_refunds() -> None:
    store = MemoryStore()
    account = TightAccount(store)
    _overdrawn(account)
    refund = account.refunded(account.paid(amount=8000))

    account.stripe = FakeStripe(lambda: account.now, store=store, refunds_need_balance=True)
    account.wait(days=1)
    assert account.read(refund)["status"] == "pending"
    account.paid(amount=20_000)
    account.wait(seconds=1)
    assert account.read(refund)["status"] == "succeeded"


# --- reviews and warnings


def test_an_elevated_risk_opens_a_review_that_can_be_approved(account: StripeAccountClient) -> None:
    paid = account.paid("pm_card_riskLevelElevated")
    review = account.get("reviews").body["data"][0]
    approved = made(account.post(f"reviews/{review['id']}/approve"))

    assert (review["open"], review["payment_intent"], account.charge_of(paid)["review"]) == (True, paid["id"], None)
    assert (approved["open"], approved["closed_reason"]) == (False, "approved")
    assert [each for each in account.types() if each.startswith("review")] == ["review.opened", "review.closed"]
    assert account.post(f"reviews/{review['id']}/approve").status == 400


def test_a_full_refund_closes_the_review(account: StripeAccountClient) -> None:
    account.refunded(account.paid("pm_card_riskLevelElevated"))

    assert account.get("reviews").body["data"][0]["closed_reason"] == "refunded"


def test_fraud_warnings_can_be_read(account: StripeAccountClient) -> None:
    account.paid()
    paid = account.paid("pm_card_createIssuerFraudRecord")

    (warning,) = account.get("radar/early_fraud_warnings", payment_intent=paid["id"]).body["data"]
    assert account.get(f"radar/early_fraud_warnings/{warning['id']}").body == warning


# --- SetupIntents


def _customer(account: StripeAccountClient) -> str:
    return str(made(account.post("customers"))["id"])


def test_a_card_is_set_up_for_later(account: StripeAccountClient) -> None:
    customer = _customer(account)
    setup = made(account.post("setup_intents", customer=customer, allowed_payment_method_types=["card"]))
    done = made(account.post(f"setup_intents/{setup['id']}/confirm", payment_method="pm_card_visa"))

    assert (setup["status"], done["status"]) == ("requires_payment_method", "succeeded")
    assert account.paid(done["payment_method"], customer=customer, off_session=True)["status"] == "succeeded"
    assert [each for each in account.types() if "setup" in each] == ["setup_intent.created", "setup_intent.succeeded"]


@pytest.mark.parametrize(("outcome", "status"), [("succeeded", "succeeded"), ("failed", "requires_payment_method")])
def test_a_set_up_can_need_authentication(account: StripeAccountClient, outcome: str, status: str) -> None:
    customer = _customer(account)
    card = "pm_card_authenticationRequiredOnSetup"
    setup = made(
        account.post(
            "setup_intents",
            customer=customer,
            payment_method=card,
            confirm=True,
            automatic_payment_methods={"enabled": True, "allow_redirects": "never"},
        )
    )
    after = made(account.stripe.authenticate_setup(setup["id"], setup["client_secret"], outcome))

    assert (setup["status"], after["status"]) == ("requires_action", status)
    if outcome == "succeeded":
        paid = account.paid(after["payment_method"], customer=customer, off_session=True)
        assert paid["status"] == "succeeded"


def test_a_card_that_declines_is_not_set_up(account: StripeAccountClient) -> None:
    answer = account.post(
        "setup_intents", payment_method="pm_card_chargeDeclined", confirm=True, allowed_payment_method_types=["card"]
    )

    assert (answer.status, error(answer)["setup_intent"]["status"]) == (402, "requires_payment_method")


def test_a_canceled_setup_intent_is_final(account: StripeAccountClient) -> None:
    setup = made(account.post("setup_intents"))
    canceled = made(account.post(f"setup_intents/{setup['id']}/cancel", cancellation_reason="abandoned"))

    assert (canceled["status"], canceled["cancellation_reason"]) == ("canceled", "abandoned")
    assert account.post(f"setup_intents/{setup['id']}/confirm", payment_method="pm_card_visa").status == 400


# --- webhook endpoints


@pytest.mark.parametrize(
    ("params", "param"),
    [
        ({"url": "nowhere"}, "url"),
        ({"url": "ftp://example.com/"}, "url"),
        ({"enabled_events": ["charge.succeded"]}, "enabled_events"),
        ({"enabled_events": ["nonsense.*"]}, "enabled_events"),
        ({"api_version": "2020-99-99"}, "api_version"),
        ({"api_version": "latest"}, "api_version"),
        ({"connect": True}, "connect"),
    ],
)
def test_a_bad_webhook_endpoint_is_refused(account: StripeAccountClient, params: dict[str, Any], param: str) -> None:
    given = {"url": "https://a.example/", "enabled_events": ["*"], **params}

    answer = account.post("webhook_endpoints", **given)

    assert (answer.status, error(answer)["param"]) == (400, param)


def test_an_event_has_the_version_of_its_endpoint(account: StripeAccountClient) -> None:
    common = {"enabled_events": ["payment_intent.created"]}
    old = made(account.post("webhook_endpoints", url="https://a.example/", api_version="2024-06-20", **common))
    new = made(account.post("webhook_endpoints", url="https://b.example/", **common))
    account.intent()

    versions = {each.endpoint_id: each.event["api_version"] for each in account.stripe.pending_deliveries()}
    assert (old["api_version"], new["api_version"]) == ("2024-06-20", None)
    assert (versions[old["id"]], versions[new["id"]]) == ("2024-06-20", "2026-10-28.endive")
    assert account.get("events").body["data"][0]["api_version"] == "2026-10-28.endive"


def test_the_account_has_its_own_version() -> None:
    account = StripeAccountClient()
    account.stripe = FakeStripe(lambda: account.now, api_version="2025-03-31.basil")
    account.stripe.call("POST", "/v1/customers")

    assert account.stripe.events[0]["api_version"] == "2025-03-31.basil"


def test_a_disabled_endpoint_gets_nothing(account: StripeAccountClient) -> None:
    endpoint = made(account.post("webhook_endpoints", url="https://a.example/", enabled_events=["*"]))
    account.intent()
    disabled = made(account.post(f"webhook_endpoints/{endpoint['id']}", disabled=True, description="off"))
    account.intent()
    waiting = {each.endpoint_id for each in account.stripe.deliveries()}
    made(account.post(f"webhook_endpoints/{endpoint['id']}", disabled=False, enabled_events=["charge.succeeded"]))
    account.paid()

    assert (disabled["status"], disabled["description"], waiting) == ("disabled", "off", {None})
    sent = [each.event["type"] for each in account.stripe.deliveries() if each.endpoint_id == endpoint["id"]]
    assert sent == ["charge.succeeded"]


# --- search


def _found(account: StripeAccountClient, kind: str, query: str, **more: Any) -> Any:
    return made(account.get(f"{kind}/search", query=query, **more))


@pytest.mark.parametrize(
    ("query", "amounts"),
    [
        ("status:'succeeded'", [3000, 2000, 1000]),
        ('status:"succeeded" AND amount>1500', [3000, 2000]),
        ("metadata['seat']:'7'", [2000]),
        ("-metadata['seat']:'7'", [3000, 1000, 500]),
        ("metadata['seat']:null", [3000, 1000, 500]),
        ("amount=1000 OR amount:3000", [3000, 1000]),
        ("metadata['seat']:'7' status:'succeeded'", [2000]),
        ("created>=0 AND currency:'USD'", [3000, 2000, 1000, 500]),
        ("status:'canceled'", []),
    ],
)
def test_intents_are_searched(account: StripeAccountClient, query: str, amounts: list[int]) -> None:
    account.intent(amount=500)
    account.paid(amount=1000)
    account.paid(amount=2000, metadata={"seat": "7"})
    account.paid(amount=3000)

    result = _found(account, "payment_intents", query)

    assert ([each["amount"] for each in result["data"]], result["object"]) == (amounts, "search_result")


def test_customers_and_charges_are_searched(account: StripeAccountClient) -> None:
    account.post("customers", email="ann@example.com", name="Ann Marie")
    account.refunded(account.paid(amount=700))

    assert len(_found(account, "customers", "email:'ANN@example.com'")["data"]) == 1
    assert len(_found(account, "customers", "name~'mar'")["data"]) == 1
    assert len(_found(account, "charges", "refunded:'true' AND payment_method_details.card.last4:4242")["data"]) == 1


def test_search_results_are_paged(account: StripeAccountClient) -> None:
    for amount in (100, 200, 300):
        account.paid(amount=amount)
    first = _found(account, "charges", "amount>0", limit=2)
    second = _found(account, "charges", "amount>0", limit=2, page=first["next_page"])

    assert [each["amount"] for each in first["data"] + second["data"]] == [300, 200, 100]
    assert (first["has_more"], second["has_more"], second["next_page"]) == (True, False, None)


@pytest.mark.parametrize(
    "query",
    [
        "status",
        "status:'x' AND",
        "colour:'red'",
        "status>'x'",
        "amount~'1'",
        "amount:'many'",
        "status:'a' AND status:'b' OR status:'c'",
        "name~'a'",
        "status:'a'status:'b'",
        "x['seat']:'7'",
        " ".join(["amount>1"] * 11),
    ],
)
def test_an_invalid_query_is_refused(account: StripeAccountClient, query: str) -> None:
    answer = account.get("payment_intents/search", query=query)

    assert (answer.status, error(answer)["param"]) == (400, "query")


@pytest.mark.parametrize(
    "path",
    ["checkout/sessions", "accounts", "payouts", "transfers", "subscriptions", "invoices", "tokens", "disputes/dp_1/x"],
)
def test_an_endpoint_that_is_not_modelled_says_so(account: StripeAccountClient, path: str) -> None:
    answer = account.post(path)

    assert (answer.status, error(answer)["message"][:12]) == (404, "Not modelled")


def test_an_endpoint_that_stripe_does_not_have_says_so(account: StripeAccountClient) -> None:
    assert "Unrecognized request URL" in error(account.post("seats"))["message"]


def test_the_account_can_be_read(account: StripeAccountClient) -> None:
    read = made(account.get("account"))

    assert (read["id"][:5], read["charges_enabled"], read["default_currency"]) == ("acct_", True, "usd")


def test_a_charge_can_be_changed_afterwards(account: StripeAccountClient) -> None:
    paid = account.paid()
    charge = made(account.post(f"charges/{paid['latest_charge']}", description="row 7", metadata={"seat": "7"}))

    assert (charge["description"], charge["metadata"], account.types()[-1]) == (
        "row 7",
        {"seat": "7"},
        "charge.updated",
    )
