"""Schemathesis against the running application: requests made of its OpenAPI document, in all phases, with all checks.

What it makes up by itself would mostly end at a 404. So most ids become those of bookings that are there, in every
state, most payment methods become test cards, and most signatures of webhooks become right.
"""

import re
import zlib
from collections import Counter
from collections.abc import Mapping
from itertools import count, cycle
from typing import Any, Final

import schemathesis
from anyio.from_thread import start_blocking_portal
from attrs import define, field
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Receive, Scope, Send
from schemathesis import BaseSchema, Case, HookContext
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import Status, events, from_schema
from schemathesis.generation.meta import TestPhase

from booking_payments.application.dependencies import PaymentConfig
from booking_payments.application.views import RefundOnCancel
from booking_payments.domain.instructions import CaptureMethod
from booking_payments.entrypoints.http.app import create_app
from booking_payments.sandbox.signature import sign
from booking_payments.testing.kit import ANN, SECRET, PaymentsTestKit
from tests.integration.http.api import bearer, services_of

CARDS: Final = (
    "pm_card_visa",
    "pm_card_chargeDeclined",
    "pm_card_authenticationRequired",
    "pm_card_visa_chargeDeclinedInsufficientFunds",
    "pm_card_createDispute",
)
BOOKINGS: Final = 801
"""Enough that some of them are always unused."""

WHO: Final = bearer("ann", "payments:operate bookings:write")
HELD: Final = CaptureMethod.MANUAL

BY_RULE: Final = ["2xx", "401", "402", "403", "404", "409", "422", "429"]
"""Statuses that a request valid by the document may get, because the document does not contain rules and states."""
BEYOND_THE_DOCUMENT: Final = {
    "GET /api/payments": "a cursor is one of ours, years make sense, text is on one line",
    "GET /api/exports/{kind}": "years make sense, text is on one line",
    "PATCH /api/bookings/{booking_id}": "the currency decides on decimals, years make sense, text is on one line",
    "POST /api/events/{event_id}/cancel": "text is on one line and no card number",
    "POST /api/events/{event_id}/reschedule": "years make sense",
    "GET /api/bookings": "a cursor is one of ours, text is on one line",
    "POST /api/bookings": "the currency decides on decimals, years make sense, text is on one line and no card number",
    "POST /api/bookings/{booking_id}/cancel": "text is on one line and no card number",
    "POST /api/bookings/{booking_id}/payment/intent": "return_url lies in an allowed origin",
    "POST /api/bookings/{booking_id}/payment/confirm": "return_url lies in an allowed origin",
    "POST /api/bookings/{booking_id}/payment/retry": "return_url lies in an allowed origin",
    "POST /api/bookings/{booking_id}/payment/refund": "the currency decides on decimals, a note is no card number",
    "POST /api/bookings/{booking_id}/payment/record": "the currency decides on decimals, text is on one line",
    "POST /api/bookings/{booking_id}/payment/capture": "the currency decides on decimals",
    "GET /api/bookings/{booking_id}/payment/refund/quote": "the currency decides on decimals",
    "POST /api/payments/{payment_id}/refund": "the currency decides on decimals, a note is no card number",
    "GET /api/payments/{payment_id}/refund/quote": "the currency decides on decimals",
    "POST /api/payments/{payment_id}/owed/settle": "the currency decides on decimals, a note is no card number",
    "POST /api/webhooks/{gateway}": "only the gateway can sign",
    "POST /_sandbox/payment_intents/{intent_id}/authenticate": "it answers as Stripe does",
}
"""Operations that may respond with 400 to a request valid by the document, and why."""


@define
class Exploration:
    """The requests sent, and the failures of the responses."""

    cases: Counter[str] = field(factory=Counter)
    statuses: Counter[tuple[str, int]] = field(factory=Counter)
    failures: dict[tuple[str, str], str] = field(factory=dict)

    def note(self, event: events.EngineEvent) -> None:
        if isinstance(event, events.ScenarioFinished):
            self._note_scenario(event)
        elif isinstance(event, events.NonFatalError | events.FatalError):
            self.failures["error", type(event).__name__] = repr(event)

    def _note_scenario(self, event: events.ScenarioFinished) -> None:
        recorder = event.recorder
        self.cases[event.phase.value] += len(recorder.cases)
        for case_id, interaction in recorder.interactions.items():
            if interaction.response is not None and case_id in recorder.cases:
                label = recorder.cases[case_id].value.operation.label
                self.statuses[label, interaction.response.status_code] += 1
        for case_id, checks in recorder.checks.items():
            label = recorder.cases[case_id].value.operation.label
            for check in checks:
                if check.status is Status.FAILURE and check.failure_info:
                    failure = check.failure_info
                    told = f"{failure.failure.title}: {failure.failure.message}\n{failure.code_sample}"
                    self.failures.setdefault((check.name, label), told)

    def answered(self, status: int) -> set[str]:
        """Return the operations that responded with this status at least once."""
        return {label for label, seen in self.statuses if seen == status}


@define
class Furnished:
    """Existing ids: bookings, those of them that have a payment, payments, and the payments that owe their customer
    something."""

    bookings: list[str] = field(factory=list)
    with_payment: list[str] = field(factory=list)
    payments: list[str] = field(factory=list)
    owed: list[str] = field(factory=list)


class Likely:
    """Middleware that changes requests so that more of them get past the first checks."""

    def __init__(self, app: ASGIApp, kit: PaymentsTestKit, there: Furnished) -> None:
        self._app, self._kit = app, kit
        self._bookings, self._with_payment = cycle(there.bookings), cycle(there.with_payment)
        self._questions = cycle((self._with_payment, self._with_payment, self._bookings))
        self._payments, self._owed = cycle(there.payments), cycle(there.owed)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        body = self._with_a_card(await _whole(receive))
        scope["path"] = UNKNOWN_BOOKING.sub(self._known, scope["path"])
        scope["path"] = UNKNOWN_PAYMENT.sub(self._known_payment, scope["path"])
        if scope["method"] == "POST" and WEBHOOKS.fullmatch(scope["path"]) and zlib.crc32(body) % 8:
            scope["path"] = "/api/webhooks/stripe/"
            self._sign(scope, body)
        sent = [False]

        async def again() -> Any:
            if sent[0]:
                return await receive()
            sent[0] = True
            return {"type": "http.request", "body": body, "more_body": False}

        await self._app(scope, again, send)

    def _known(self, match: re.Match[str]) -> str:
        """One in eight ids stays unknown. Two in three questions about a payment are for a booking that has one."""
        if not zlib.crc32(match[2].encode()) % 8:
            return match[0]
        of_these = next(self._questions) if match[3].rstrip("/") in QUESTIONS else self._bookings
        return match[1] + next(of_these) + match[3]

    def _known_payment(self, match: re.Match[str]) -> str:
        if not zlib.crc32(match[2].encode()) % 8:
            return match[0]
        return match[1] + next(self._owed if "/owed/" in match[3] else self._payments) + match[3]

    def _with_a_card(self, body: bytes) -> bytes:
        chance = zlib.crc32(body)
        card = CARDS[chance % len(CARDS)].encode()
        return METHOD.sub(rb"\1" + card + rb"\2", body) if chance % 4 else body

    def _sign(self, scope: Scope, body: bytes) -> None:
        signature = sign(body, SECRET, self._kit.clock.now()).encode()
        others = [(name, value) for name, value in scope["headers"] if name != b"stripe-signature"]
        scope["headers"] = [*others, (b"stripe-signature", signature)]


UNKNOWN_BOOKING: Final = re.compile(r"^(/api/bookings/)(?!bk_)([A-Za-z0-9_-]+)(.*)", re.DOTALL)
QUESTIONS: Final = ("/payment/status", "/payment/events", "/payment/refund/quote")
UNKNOWN_PAYMENT: Final = re.compile(r"^(/api/payments/)(?!pay_)([A-Za-z0-9_-]+)(/.*)")
WEBHOOKS: Final = re.compile(r"/api/webhooks/[^/]+/?")
METHOD: Final = re.compile(rb'("payment_method_id": ?")[A-Za-z0-9_]+(")')


async def _whole(receive: Receive) -> bytes:
    body, more = b"", True
    while more:
        message: Any = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body


def explore(examples: int, seed: int, *, one_in: int = 1) -> Exploration:
    """Send the requests that Schemathesis generates from the document: all of its examples, one in ``one_in`` of its
    edge cases, ``examples`` random ones for each operation, and as many sequences.
    """
    kit = PaymentsTestKit(config=PaymentConfig(max_unpaid_bookings=0, capture_by_customer=True))
    with start_blocking_portal() as portal:
        there: Furnished = portal.call(_furnish, kit, BOOKINGS // one_in)
    app: Any = Likely(create_app(services_of(kit)), kit, there)
    schema = schemathesis.openapi.from_asgi("/schema/openapi.json", app, config=_config(examples, seed, WHO))
    _leave_out(schema, one_in)

    return _all_of(schema)


def explore_served(address: str, token: str, examples: int, seed: int) -> Exploration:
    """The same over HTTP without the edge cases and without changed requests; ``token`` has every scope."""
    config = _config(examples, seed, {"Authorization": f"Bearer {token}"})
    config.projects.default.phases.coverage.enabled = False
    return _all_of(schemathesis.openapi.from_url(f"{address}/schema/openapi.json", config=config))


def _leave_out(schema: BaseSchema, one_in: int) -> None:
    numbers = count()

    @schema.hook("filter_case")
    def filter_case(_: HookContext, case: Case[Any]) -> bool:
        is_edge = case.meta is not None and case.meta.phase.name is TestPhase.COVERAGE
        return not is_edge or next(numbers) % one_in == 0


def _all_of(schema: BaseSchema) -> Exploration:
    found = Exploration()
    for event in from_schema(schema).execute():
        found.note(event)
    return found


def _config(examples: int, seed: int, who: Mapping[str, str]) -> SchemathesisConfig:
    allowed = {"expected-statuses": BY_RULE}
    lenient = {"expected-statuses": [*BY_RULE, "400"]}
    return SchemathesisConfig.from_dict(
        {
            "seed": seed,
            "continue-on-failure": True,
            "headers": dict(who),
            "generation": {"max-examples": examples, "database": "none"},
            "phases": {"stateful": {"generation": {"max-examples": examples}}},
            "checks": {"positive_data_acceptance": allowed},
            "operations": [
                {"include-name": name, "checks": {"positive_data_acceptance": lenient}} for name in BEYOND_THE_DOCUMENT
            ],
        }
    )


async def _furnish(kit: PaymentsTestKit, number_of_bookings: int) -> Furnished:
    """Register so many bookings in every state. Every second disputed one is canceled, so that its amount is owed."""
    there = Furnished()
    for number in range(number_of_bookings):
        booking = await kit.book(reference=f"R-furnished-{number}")
        there.bookings.append(booking.id)
        if number % 4 == 1:
            await kit.payments.process_booking_payment(booking, CARDS[number % len(CARDS)])
        elif number % 4 == 2:
            await kit.payments.start_payment(
                booking.id, ANN, payment_method_id=CARDS[0], confirm_immediately=True, capture_method=HELD
            )
        if number % 4 in (1, 2):
            there.with_payment.append(booking.id)
            there.payments.append((await kit.payments.payment_status(booking.id)).payment.id)
        if number % 8 == 1 and CARDS[number % len(CARDS)] == "pm_card_createDispute":
            await kit.deliver_webhooks()
            await kit.payments.cancel_booking(booking.id, refund=RefundOnCancel.FULL)
            there.owed.append(there.payments[-1])
    return there
