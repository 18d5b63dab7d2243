"""The examples, run as a user would: in a separate process and folder, over HTTP."""

import hashlib
import hmac
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx2
import pytest
from attrs import frozen

from booking_payments.testing.sandbox import Sandbox
from tests import preloaded
from tests.e2e.serving import environment
from tests.integration.postgres import PostgresServer
from tests.ports import free_port

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
ENV = environment()
SECRET = "whsec_development"
SERVERS: dict[str, list[list[str]]] = {
    "fastapi": [["-m", "uvicorn", "fastapi_app:app", "--app-dir", str(EXAMPLES), "--port", "PORT"]],
    "litestar": [["-m", "uvicorn", "litestar_app:app", "--app-dir", str(EXAMPLES), "--port", "PORT"]],
    "flask": [["-m", "flask", "--app", str(EXAMPLES / "flask_app.py"), "run", "--port", "PORT"]],
    "django": [
        [str(EXAMPLES / "django_app.py"), "migrate"],
        [str(EXAMPLES / "django_app.py"), "runserver", "--noreload", "PORT"],
    ],
}


def test_the_script_pays_and_refunds_and_can_be_run_again_in_the_same_folder(tmp_path: Path) -> None:
    for _ in range(2):
        done = preloaded.ran([str(EXAMPLES / "script.py")], cwd=tmp_path, env=ENV)
        assert done.stdout == "True\nTrue\n", done.stderr


def test_the_script_is_short() -> None:
    lines = [line for line in (EXAMPLES / "script.py").read_text().splitlines()[1:] if line.strip()]

    assert len(lines) <= 15


def test_the_evening_changes_and_is_canceled_and_everything_goes_back(tmp_path: Path) -> None:
    done = preloaded.ran([str(EXAMPLES / "evening.py")], cwd=tmp_path, env=ENV)

    assert done.stdout.splitlines() == [
        "paid 70.00 eur",
        "one seat gives back 30.00 eur",
        "the booking costs 40.00 eur",
        "the booking costs 30.00 eur",
        "moved 1 booking",
        "canceling gives back 30.00 eur",
        "canceled; an operator has to act: False",
        "refunded 70.00 eur",
    ], done.stderr


@contextmanager
def running(
    commands: Sequence[Sequence[str]], folder: Path, settings: Mapping[str, str] | None = None
) -> Iterator[httpx2.Client]:
    """Run the commands; the last one serves until the block ends. ``PORT`` in an argument or a setting is replaced
    by the service's port.
    """
    port = free_port()
    env = {**ENV, **{name: value.replace("PORT", str(port)) for name, value in (settings or {}).items()}}
    *before, serve = ([str(port) if each == "PORT" else each for each in one] for one in commands)
    for command in before:
        preloaded.ran(command, cwd=folder, env=env).check_returncode()
    with (folder / "serve.log").open("wb") as log:
        process = preloaded.started(serve, cwd=folder, env=env, stdout=log, stderr=log)
        try:
            with httpx2.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=20) as client:
                _wait(client, process, folder / "serve.log")
                yield client
        finally:
            process.terminate()
            process.wait(20)


def _wait(client: httpx2.Client, process: preloaded.ForkedProcess, log: Path) -> None:
    for _ in range(600):
        assert process.poll() is None, log.read_text()
        try:
            client.get("/")
        except httpx2.TransportError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError(log.read_text())


Service = tuple[str, httpx2.Client]
WITH_A_WEBHOOK_URL = ("fastapi", "django")
"""Examples whose fake gateway posts its webhooks here; that of the others delivers them within the process."""


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Where each of the example services runs."""
    return {name: tmp_path_factory.mktemp(name) for name in SERVERS}


@pytest.fixture(scope="module", params=SERVERS)
def service(request: pytest.FixtureRequest, folders: dict[str, Path]) -> Iterator[Service]:
    """Each of the example services."""
    name = request.param
    webhooks = {"FAKE_WEBHOOK_URL": "http://127.0.0.1:PORT/webhooks/stripe"} if name in WITH_A_WEBHOOK_URL else {}
    with running(SERVERS[name], folders[name], webhooks) as client:
        yield name, client


def send(service: Service, path: str, **fields: str) -> httpx2.Response:
    """Pay for a seat. Flask and Django expect a form, the others a query."""
    name, client = service
    return client.post(path, data=fields) if name in ("flask", "django") else client.post(path, params=fields)


def pay(service: Service, seat: str, card: str) -> httpx2.Response:
    booking_id = send(service, f"/seats/{seat}/hold", customer="ann").json()["booking"]
    path = f"/seats/{seat}/pay" if service[0] == "django" else f"/bookings/{booking_id}/pay"
    return send(service, path, customer="ann", card=card)


def test_a_seat_can_be_held_and_paid(service: Service) -> None:
    answer = pay(service, "A-1", "pm_card_visa")

    assert (answer.status_code, answer.json()["status"]) == (200, "succeeded")


def test_a_declined_card_is_reported(service: Service) -> None:
    answer = pay(service, "A-2", "pm_card_chargeDeclined")

    assert answer.status_code == 402
    assert "declined" in answer.text


def test_holding_a_seat_again_returns_the_booking_and_is_a_conflict_for_another_customer(service: Service) -> None:
    first, again = (send(service, "/seats/B-1/hold", customer="ann") for _ in range(2))
    other = send(service, "/seats/B-1/hold", customer="bob")

    assert first.is_success, first.text
    assert again.json() == first.json()
    assert other.status_code == 409


def test_paying_twice_is_a_conflict_without_a_second_charge(service: Service) -> None:
    assert pay(service, "B-2", "pm_card_visa").status_code == 200

    assert pay(service, "B-2", "pm_card_visa").status_code == 409


def test_paying_for_a_seat_without_a_booking_is_404(service: Service) -> None:
    path = "/seats/nowhere/pay" if service[0] == "django" else "/bookings/bk_unknown/pay"

    assert send(service, path, customer="ann", card="pm_card_visa").status_code == 404


def test_paying_for_the_seat_of_another_customer_is_404(service: Service) -> None:
    booking_id = send(service, "/seats/B-3/hold", customer="ann").json()["booking"]
    path = "/seats/B-3/pay" if service[0] == "django" else f"/bookings/{booking_id}/pay"

    assert send(service, path, customer="bob", card="pm_card_visa").status_code == 404


def test_a_missing_field_is_400(service: Service) -> None:
    assert send(service, "/seats/B-4/hold").status_code in (400, 422)


def test_a_webhook_is_verified_by_its_raw_bytes(service: Service) -> None:
    body = b'{"id": "evt_1", "object": "event", "type": "customer.created", "livemode": false, "data": {"object": {}}}'
    at = int(time.time())
    signature = hmac.new(SECRET.encode(), b"%d." % at + body, hashlib.sha256).hexdigest()
    headers = {"Stripe-Signature": f"t={at},v1={signature}", "Content-Type": "application/json"}

    answer = service[1].post("/webhooks/stripe", content=body, headers=headers)

    assert (answer.status_code, answer.json()) == (200, {"outcome": "ignored"})


def test_a_forged_webhook_is_refused(service: Service) -> None:
    answer = service[1].post("/webhooks/stripe", content=b"{}", headers={"Stripe-Signature": "t=1,v1=00"})

    assert answer.status_code == 400


@pytest.mark.parametrize("service", WITH_A_WEBHOOK_URL, indirect=True)
def test_the_fake_gateway_delivers_webhooks_to_a_configured_route(service: Service, folders: dict[str, Path]) -> None:
    log = folders[service[0]] / "serve.log"
    pay(service, "C-1", "pm_card_visa")
    taken = re.compile(r"POST /webhooks/stripe HTTP/1.1\" 200")
    for _ in range(600):
        if taken.search(log.read_text()):
            return
        time.sleep(0.05)
    raise AssertionError(log.read_text())


# --- with PostgreSQL, and with the gateway of Stripe

ON_POSTGRESQL = ("fastapi", "django")


@frozen
class InFrontOfStripe:
    """An example service whose gateway is Stripe's, in front of a sandbox."""

    name: str
    client: httpx2.Client
    sandbox: Sandbox
    folder: Path

    def pay(self, seat: str, card: str) -> httpx2.Response:
        return pay((self.name, self.client), seat, card)


@pytest.fixture(scope="module", params=SERVERS)
def in_front_of_stripe(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[InFrontOfStripe]:
    """Each of the example services, those of ``ON_POSTGRESQL`` with a database there."""
    name, folder = request.param, tmp_path_factory.mktemp("in-front-of-stripe")
    with ExitStack() as stack:
        sandbox = stack.enter_context(Sandbox())
        settings = {
            "STRIPE_API_BASE": sandbox.url,
            "STRIPE_SECRET_KEY": "sk_test_example",
            "STRIPE_PUBLISHABLE_KEY": "pk_test_example",
            "STRIPE_WEBHOOK_SECRET": SECRET,
            "JWT_SECRET": "a-secret-of-the-examples-of-32-bytes",
            "PAYMENT_RETRY_DELAY": "0",
        }
        if name in ON_POSTGRESQL:
            server: PostgresServer = request.getfixturevalue("postgres_server")
            settings["DATABASE_URL"] = stack.enter_context(server.database())
        client = stack.enter_context(running(SERVERS[name], folder, settings))
        yield InFrontOfStripe(name, client, sandbox, folder)


@pytest.mark.parametrize("in_front_of_stripe", ON_POSTGRESQL, indirect=True)
def test_on_postgresql_seats_and_payments_share_a_database(in_front_of_stripe: InFrontOfStripe) -> None:
    answers = [in_front_of_stripe.pay("A-1", "pm_card_visa") for _ in range(2)]
    declined = in_front_of_stripe.pay("A-2", "pm_card_chargeDeclined")

    assert [each.status_code for each in [*answers, declined]] == [200, 409, 402]
    assert answers[0].json()["status"] == "succeeded"
    assert not (in_front_of_stripe.folder / "seats.sqlite3").exists()
    assert not (in_front_of_stripe.folder / "booking-payments.db").exists()


def test_an_unknown_outcome_is_pending_and_not_a_decline(in_front_of_stripe: InFrontOfStripe) -> None:
    fault = {"match": "POST /v1/payment_intents", "times": 9, "fault": "reset_after"}
    faults = f"{in_front_of_stripe.sandbox.url}/_sandbox/faults"
    httpx2.post(faults, json=fault, trust_env=False).raise_for_status()

    answer = in_front_of_stripe.pay("A-3", "pm_card_visa")

    httpx2.delete(faults, trust_env=False).raise_for_status()
    assert (answer.status_code, answer.json()["status"]) == (200, "pending")
