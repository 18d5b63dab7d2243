"""Clients that others' generators make of the OpenAPI document compile, and pay a booking at a running service.

Three generators: openapi-python-client, which is installed for development; openapi-typescript with openapi-fetch, and
openapi-generator, where they are on the path (``npm install -g openapi-typescript openapi-fetch typescript@5
@openapitools/openapi-generator-cli``; with a folder of one's own: ``PATH=.../node_modules/.bin:$PATH``).
"""

import compileall
import importlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import httpx2
import pytest
from attrs import frozen

from tests import preloaded
from tests.e2e.serving import printed, serving

BOOKING: Final = {
    "customer_id": "ann",
    "amount": "100.00",
    "currency": "usd",
    "event_starts_at": "2190-01-01T20:00:00Z",
}
SCOPES: Final = "bookings:write payments:operate"


@frozen
class Service:
    """A running service: its address, a token of Ann's that may register bookings too, and a file with its document."""

    address: str
    token: str
    document: Path


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    directory = tmp_path_factory.mktemp("clients")
    settings = {"RATE_LIMIT_ENABLED": "false", "LOG_LEVEL": "ERROR"}
    token = printed(directory, "token", "--sub", "ann", "--scope", SCOPES, settings=settings)
    with serving(directory, settings) as address:
        document = directory / "openapi.json"
        document.write_bytes(httpx2.get(f"{address}/schema/openapi.json", trust_env=False).content)
        yield Service(address, token, document)


def run(*command: str, folder: Path) -> str:
    """Return the output of a command. Fails with the output when the command fails."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def tool(name: str) -> str:
    """Where a generator is; the test is skipped where it is not installed."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not on the path; the module's docstring says how to install it")
    return found


def test_a_client_of_openapi_python_client_pays_a_booking(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = tmp_path / "python_client"
    words = ("generate", "--path", str(service.document), "--meta", "none", "--output-path", str(made))
    done = preloaded.ran(["-m", "openapi_python_client", *words], cwd=tmp_path, env=os.environ, timeout=110)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Unable to" not in done.stdout, done.stdout
    assert compileall.compile_dir(made, quiet=2)
    monkeypatch.syspath_prepend(tmp_path)
    client: Any = importlib.import_module("python_client").AuthenticatedClient(service.address, service.token)
    models: Any = importlib.import_module("python_client.models")

    with client:
        new = models.RegisterBooking.from_dict({**BOOKING, "reference": "R-python"})
        booking = _called("bookings.post_api_bookings", client=client, body=new)
        start = models.StartPayment(payment_method_id="pm_card_visa", confirm_immediately=True)
        payment = _called("payment.post_api_bookings_payment_intent", booking.id, client=client, body=start)
        listed = _called("payment.get_api_payments", client=client, reference="R-python")
        quote = _called("payment.get_api_bookings_payment_refund_quote", booking.id, client=client)
        declined = _called(
            "payment.post_api_bookings_payment_confirm", booking.id, client=client, body=models.ConfirmPayment()
        )

    assert (payment.status, payment.amount, payment.dispute) == ("succeeded", "100.00", None)
    assert [each.payment_id for each in listed.items] == [payment.payment_id]
    assert payment.created_at.tzinfo is not None
    assert quote.allowed
    assert isinstance(declined, models.ProblemDetails)
    assert declined.code == "already_paid"


def _called(operation: str, *given: Any, **more: Any) -> Any:
    return importlib.import_module(f"python_client.api.{operation}").sync(*given, **more)


TYPESCRIPT: Final = """
import createClient from "openapi-fetch";
import type { paths } from "./schema";

async function pay(): Promise<void> {
  const headers = { Authorization: `Bearer ${process.env.TOKEN}` };
  const client = createClient<paths>({ baseUrl: process.env.ADDRESS, headers });
  const registered = await client.POST("/api/bookings", {
    body: { ...BOOKING, reference: "R-typescript", refund_policy: null },
  });
  if (!registered.data) throw new Error(registered.error.detail);
  const path = { booking_id: registered.data.id };
  const paid = await client.POST("/api/bookings/{booking_id}/payment/intent", {
    params: { path, header: { "Idempotency-Key": "a-key-of-typescript" } },
    body: { payment_method_id: "pm_card_visa", confirm_immediately: true },
  });
  if (!paid.data) throw new Error(paid.error.detail);
  const opened: string | undefined = paid.data.dispute?.opened_at;
  console.log(JSON.stringify({ status: paid.data.status, amount: paid.data.amount, opened: opened ?? null }));
}

pay();
"""


def test_a_client_of_openapi_typescript_pays_a_booking(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator, compiler, node = tool("openapi-typescript"), tool("tsc"), tool("node")
    run(generator, str(service.document), "-o", "schema.d.ts", folder=tmp_path)
    (tmp_path / "node_modules").symlink_to(Path(generator).absolute().parents[1])
    (tmp_path / "pay.ts").write_text(TYPESCRIPT.replace("...BOOKING", json.dumps(BOOKING)[1:-1]))
    (tmp_path / "globals.d.ts").write_text("declare const process: { env: Record<string, string> };\n")
    options = ("--strict", "--skipLibCheck", "--target", "es2022", "--module", "nodenext", "--lib", "es2022,dom")
    run(compiler, *options, "pay.ts", "globals.d.ts", folder=tmp_path)
    monkeypatch.setenv("ADDRESS", service.address)
    monkeypatch.setenv("TOKEN", service.token)

    told = json.loads(run(node, "pay.js", folder=tmp_path))

    assert told == {"status": "succeeded", "amount": "100.00", "opened": None}


OPENAPI_GENERATOR: Final = """
import os
import openapi_client as made

with made.ApiClient(made.Configuration(os.environ["ADDRESS"], access_token=os.environ["TOKEN"])) as client:
    new = made.RegisterBooking.from_dict({**BOOKING, "reference": "R-generator"})
    booking = made.BookingsApi(client).post_api_bookings(new)
    start = made.StartPayment(payment_method_id="pm_card_visa", confirm_immediately=True)
    payment = made.PaymentApi(client).post_api_bookings_payment_intent(booking.id, start_payment=start)
    print(payment.status, payment.amount, payment.dispute, payment.created_at.tzinfo is not None)
"""


@pytest.mark.timeout(300)
def test_a_client_of_openapi_generator_pays_a_booking(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = tool("openapi-generator-cli")
    run(generator, "generate", "-i", str(service.document), "-g", "python", "-o", "made", folder=tmp_path)
    assert compileall.compile_dir(tmp_path / "made" / "openapi_client", quiet=2)
    environment = tmp_path / "environment"
    run(sys.executable, "-m", "venv", str(environment), folder=tmp_path)
    wanted = str(tmp_path / "made" / "requirements.txt")
    run(str(environment / "bin" / "pip"), "install", "--quiet", "-r", wanted, folder=tmp_path)
    script = OPENAPI_GENERATOR.replace("**BOOKING", json.dumps(BOOKING)[1:-1])
    monkeypatch.setenv("ADDRESS", service.address)
    monkeypatch.setenv("TOKEN", service.token)

    told = run(str(environment / "bin" / "python"), "-c", script, folder=tmp_path / "made")

    assert told.split() == ["succeeded", "100.00", "None", "True"]
