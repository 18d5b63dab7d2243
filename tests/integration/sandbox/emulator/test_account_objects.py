"""The account's balance, fees, reviews, warnings, SetupIntents, webhook endpoints, and search."""

from typing import Any

import pytest

from booking_payments.sandbox.emulator import FakeStripe
from tests.integration.sandbox.emulator.shop import MemoryStore, Shop, error, made


class TightShop(Shop):
    """A shop whose refunds need a balance that covers them."""

    def __init__(self, store: MemoryStore | None = None) -> None:
        super().__init__()
        self.stripe = FakeStripe(lambda: self.now, store=store, refunds_need_balance=True)


def _amounts(shop: Shop, state: str) -> dict[str, int]:
    return {each["currency"]: each["amount"] for each in made(shop.get("balance"))[state]}


def test_a_charge_is_pending_for_two_days_less_its_fee(shop: Shop) -> None:
    shop.paid(amount=10_000)
    fresh = (_amounts(shop, "pending"), _amounts(shop, "available"))
    shop.wait(days=2)

    assert fresh == ({"usd": 9680}, {"usd": 0})
    assert (_amounts(shop, "pending"), _amounts(shop, "available")) == ({"usd": 0}, {"usd": 9680})
    (moved,) = shop.get("balance_transactions").body["data"]
    assert (moved["status"], moved["fee"], moved["fee_details"][0]["type"]) == ("available", 320, "stripe_fee")


def test_one_card_goes_to_the_available_balance_at_once(shop: Shop) -> None:
    shop.paid("pm_card_bypassPending", amount=10_000)

    assert (_amounts(shop, "pending"), _amounts(shop, "available")) == ({"usd": 0}, {"usd": 9680})


def test_a_refund_leaves_the_fee_with_stripe(shop: Shop) -> None:
    shop.refunded(shop.paid("pm_card_bypassPending", amount=10_000))

    assert _amounts(shop, "available") == {"usd": -320}


def test_an_empty_account_has_a_balance(shop: Shop) -> None:
    assert _amounts(shop, "available") == {"usd": 0}


def test_fees_are_in_the_settlement_currency(shop: Shop) -> None:
    shop.stripe.set_settlement("eur", {"usd": "0.5"})
    shop.paid(amount=10_000)

    (moved,) = shop.get("balance_transactions").body["data"]
    assert (moved["amount"], moved["fee"], moved["net"], moved["currency"]) == (5000, 175, 4825, "eur")


def test_a_fee_is_never_more_than_the_amount(shop: Shop) -> None:
    shop.stripe.set_settlement("eur", {"jpy": "0.0062"})
    shop.paid(amount=50, currency="jpy")

    (moved,) = shop.get("balance_transactions").body["data"]
    assert (moved["amount"], moved["net"]) == (31, 0)


def test_an_asynchronous_capture_is_booked_a_little_later(shop: Shop) -> None:
    paid = shop.paid(capture_method="automatic_async")
    before = shop.charge_of(paid)
    shop.wait(seconds=2)
    after = shop.charge_of(paid)

    assert (before["balance_transaction"], before["captured"]) == (None, True)
    assert (after["balance_transaction"][:4], shop.types()[-1]) == ("txn_", "charge.updated")


def test_a_refund_books_its_charge_first(shop: Shop) -> None:
    paid = shop.paid(capture_method="automatic_async")
    shop.refunded(paid)
    shop.wait(seconds=2)

    assert [each["type"] for each in shop.get("balance_transactions").body["data"]] == ["refund", "charge"]
    assert "charge.updated" not in shop.types()


# --- refunds that the balance does not cover


def _overdrawn(shop: Shop) -> None:
    """The bank takes a charge back that was refunded already."""
    paid = shop.paid(amount=10_000)
    shop.refunded(paid)
    dispute = made(shop.stripe.open_dispute(paid["id"], inquiry=True))
    shop.stripe.move_dispute(dispute["id"], "needs_response", keeps_refunds=True)
    other = made(shop.stripe.open_dispute(paid["id"], amount=10_000))
    assert (dispute["amount"], other["status"]) == (10_000, "needs_response")


def test_a_card_refund_waits_for_the_balance() -> None:
    shop = TightShop()
    _overdrawn(shop)
    paid = shop.paid(amount=8000)

    refund = shop.refunded(paid)
    shop.wait(days=1)
    still = shop.read(refund)
    shop.paid(amount=20_000)
    shop.wait(seconds=1)

    assert (refund["status"], refund["pending_reason"], refund["balance_transaction"]) == (
        "pending",
        "insufficient_funds",
        None,
    )
    assert (still["status"], shop.read(refund)["status"]) == ("pending", "succeeded")
    assert "pending_reason" not in shop.read(refund)


def test_a_refund_of_another_method_fails_without_a_balance() -> None:
    shop = TightShop()
    _overdrawn(shop)
    paid = shop.paid("pm_usBankAccount_success", amount=8000)
    shop.wait(seconds=2)

    refund = shop.refunded(paid)

    assert (refund["status"], refund["failure_reason"]) == ("failed", "insufficient_funds")
    assert (shop.charge_of(paid)["amount_refunded"], shop.types()[-1]) == (0, "refund.failed")


def test_a_charge_covers_its_own_refund() -> None:
    shop = TightShop()
    for _ in range(3):
        assert shop.refunded(shop.paid(amount=10_000))["status"] == "succeeded"


def test_a_restart_keeps_balance_and_waiting_refunds() -> None:
    store = MemoryStore()
    shop = TightShop(store)
    _overdrawn(shop)
    refund = shop.refunded(shop.paid(amount=8000))

    shop.stripe = FakeStripe(lambda: shop.now, store=store, refunds_need_balance=True)
    shop.wait(days=1)
    assert shop.read(refund)["status"] == "pending"
    shop.paid(amount=20_000)
    shop.wait(seconds=1)
    assert shop.read(refund)["status"] == "succeeded"


# --- reviews and warnings


def test_an_elevated_risk_opens_a_review_that_can_be_approved(shop: Shop) -> None:
    paid = shop.paid("pm_card_riskLevelElevated")
    review = shop.get("reviews").body["data"][0]
    approved = made(shop.post(f"reviews/{review['id']}/approve"))

    assert (review["open"], review["payment_intent"], shop.charge_of(paid)["review"]) == (True, paid["id"], None)
    assert (approved["open"], approved["closed_reason"]) == (False, "approved")
    assert [each for each in shop.types() if each.startswith("review")] == ["review.opened", "review.closed"]
    assert shop.post(f"reviews/{review['id']}/approve").status == 400


def test_a_full_refund_closes_the_review(shop: Shop) -> None:
    shop.refunded(shop.paid("pm_card_riskLevelElevated"))

    assert shop.get("reviews").body["data"][0]["closed_reason"] == "refunded"


def test_fraud_warnings_can_be_read(shop: Shop) -> None:
    shop.paid()
    paid = shop.paid("pm_card_createIssuerFraudRecord")

    (warning,) = shop.get("radar/early_fraud_warnings", payment_intent=paid["id"]).body["data"]
    assert shop.get(f"radar/early_fraud_warnings/{warning['id']}").body == warning


# --- SetupIntents


def _customer(shop: Shop) -> str:
    return str(made(shop.post("customers"))["id"])


def test_a_card_is_set_up_for_later(shop: Shop) -> None:
    customer = _customer(shop)
    setup = made(shop.post("setup_intents", customer=customer, allowed_payment_method_types=["card"]))
    done = made(shop.post(f"setup_intents/{setup['id']}/confirm", payment_method="pm_card_visa"))

    assert (setup["status"], done["status"]) == ("requires_payment_method", "succeeded")
    assert shop.paid(done["payment_method"], customer=customer, off_session=True)["status"] == "succeeded"
    assert [each for each in shop.types() if "setup" in each] == ["setup_intent.created", "setup_intent.succeeded"]


@pytest.mark.parametrize(("outcome", "status"), [("succeeded", "succeeded"), ("failed", "requires_payment_method")])
def test_a_set_up_can_need_authentication(shop: Shop, outcome: str, status: str) -> None:
    customer = _customer(shop)
    card = "pm_card_authenticationRequiredOnSetup"
    setup = made(
        shop.post(
            "setup_intents",
            customer=customer,
            payment_method=card,
            confirm=True,
            automatic_payment_methods={"enabled": True, "allow_redirects": "never"},
        )
    )
    after = made(shop.stripe.authenticate_setup(setup["id"], setup["client_secret"], outcome))

    assert (setup["status"], after["status"]) == ("requires_action", status)
    if outcome == "succeeded":
        paid = shop.paid(after["payment_method"], customer=customer, off_session=True)
        assert paid["status"] == "succeeded"


def test_a_card_that_declines_is_not_set_up(shop: Shop) -> None:
    answer = shop.post(
        "setup_intents", payment_method="pm_card_chargeDeclined", confirm=True, allowed_payment_method_types=["card"]
    )

    assert (answer.status, error(answer)["setup_intent"]["status"]) == (402, "requires_payment_method")


def test_a_canceled_setup_intent_is_final(shop: Shop) -> None:
    setup = made(shop.post("setup_intents"))
    canceled = made(shop.post(f"setup_intents/{setup['id']}/cancel", cancellation_reason="abandoned"))

    assert (canceled["status"], canceled["cancellation_reason"]) == ("canceled", "abandoned")
    assert shop.post(f"setup_intents/{setup['id']}/confirm", payment_method="pm_card_visa").status == 400


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
def test_a_bad_webhook_endpoint_is_refused(shop: Shop, params: dict[str, Any], param: str) -> None:
    given = {"url": "https://a.example/", "enabled_events": ["*"], **params}

    answer = shop.post("webhook_endpoints", **given)

    assert (answer.status, error(answer)["param"]) == (400, param)


def test_an_event_has_the_version_of_its_endpoint(shop: Shop) -> None:
    common = {"enabled_events": ["payment_intent.created"]}
    old = made(shop.post("webhook_endpoints", url="https://a.example/", api_version="2024-06-20", **common))
    new = made(shop.post("webhook_endpoints", url="https://b.example/", **common))
    shop.intent()

    versions = {each.endpoint_id: each.event["api_version"] for each in shop.stripe.pending_deliveries()}
    assert (old["api_version"], new["api_version"]) == ("2024-06-20", None)
    assert (versions[old["id"]], versions[new["id"]]) == ("2024-06-20", "2026-10-28.endive")
    assert shop.get("events").body["data"][0]["api_version"] == "2026-10-28.endive"


def test_the_account_has_a_version_of_its_own() -> None:
    shop = Shop()
    shop.stripe = FakeStripe(lambda: shop.now, api_version="2025-03-31.basil")
    shop.stripe.call("POST", "/v1/customers")

    assert shop.stripe.events[0]["api_version"] == "2025-03-31.basil"


def test_a_disabled_endpoint_gets_nothing(shop: Shop) -> None:
    endpoint = made(shop.post("webhook_endpoints", url="https://a.example/", enabled_events=["*"]))
    shop.intent()
    disabled = made(shop.post(f"webhook_endpoints/{endpoint['id']}", disabled=True, description="off"))
    shop.intent()
    waiting = {each.endpoint_id for each in shop.stripe.deliveries()}
    made(shop.post(f"webhook_endpoints/{endpoint['id']}", disabled=False, enabled_events=["charge.succeeded"]))
    shop.paid()

    assert (disabled["status"], disabled["description"], waiting) == ("disabled", "off", {None})
    sent = [each.event["type"] for each in shop.stripe.deliveries() if each.endpoint_id == endpoint["id"]]
    assert sent == ["charge.succeeded"]


# --- search


def _found(shop: Shop, kind: str, query: str, **more: Any) -> Any:
    return made(shop.get(f"{kind}/search", query=query, **more))


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
def test_intents_are_searched(shop: Shop, query: str, amounts: list[int]) -> None:
    shop.intent(amount=500)
    shop.paid(amount=1000)
    shop.paid(amount=2000, metadata={"seat": "7"})
    shop.paid(amount=3000)

    result = _found(shop, "payment_intents", query)

    assert ([each["amount"] for each in result["data"]], result["object"]) == (amounts, "search_result")


def test_customers_and_charges_are_searched(shop: Shop) -> None:
    shop.post("customers", email="ann@example.com", name="Ann Marie")
    shop.refunded(shop.paid(amount=700))

    assert len(_found(shop, "customers", "email:'ANN@example.com'")["data"]) == 1
    assert len(_found(shop, "customers", "name~'mar'")["data"]) == 1
    assert len(_found(shop, "charges", "refunded:'true' AND payment_method_details.card.last4:4242")["data"]) == 1


def test_search_results_are_paged(shop: Shop) -> None:
    for amount in (100, 200, 300):
        shop.paid(amount=amount)
    first = _found(shop, "charges", "amount>0", limit=2)
    second = _found(shop, "charges", "amount>0", limit=2, page=first["next_page"])

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
def test_a_bad_query_is_refused(shop: Shop, query: str) -> None:
    answer = shop.get("payment_intents/search", query=query)

    assert (answer.status, error(answer)["param"]) == (400, "query")


@pytest.mark.parametrize(
    "path",
    ["checkout/sessions", "accounts", "payouts", "transfers", "subscriptions", "invoices", "tokens", "disputes/dp_1/x"],
)
def test_an_endpoint_that_is_not_modelled_says_so(shop: Shop, path: str) -> None:
    answer = shop.post(path)

    assert (answer.status, error(answer)["message"][:12]) == (404, "Not modelled")


def test_an_endpoint_that_stripe_does_not_have_says_so(shop: Shop) -> None:
    assert "Unrecognized request URL" in error(shop.post("seats"))["message"]


def test_the_account_can_be_read(shop: Shop) -> None:
    account = made(shop.get("account"))

    assert (account["id"][:5], account["charges_enabled"], account["default_currency"]) == ("acct_", True, "usd")


def test_a_charge_can_be_changed_afterwards(shop: Shop) -> None:
    paid = shop.paid()
    charge = made(shop.post(f"charges/{paid['latest_charge']}", description="row 7", metadata={"seat": "7"}))

    assert (charge["description"], charge["metadata"], shop.types()[-1]) == ("row 7", {"seat": "7"}, "charge.updated")
