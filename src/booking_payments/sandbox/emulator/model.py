"""``FakeStripe``: the whole model in one class.

``call`` is Stripe's HTTP interface without the HTTP; the other methods act for the other parties: the
customer in the browser, the bank, the operator in Stripe's dashboard, the webhook transport, the network.
"""

import random as random_module
from collections import deque
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from attrs import evolve, frozen

from booking_payments.sandbox.emulator import (
    balance,
    browser,
    charging,
    customer_actions,
    disputes,
    events,
    follow_ups,
    idempotency,
    refunds,
    settings,
    setup_intents,
)
from booking_payments.sandbox.emulator.answers import Json, StripeResponse, copy_json
from booking_payments.sandbox.emulator.cards import Opening
from booking_payments.sandbox.emulator.currencies import DEFAULT_DIGITS
from booking_payments.sandbox.emulator.endpoints import find_endpoint
from booking_payments.sandbox.emulator.errors import (
    Refusal,
    invalid,
    key_in_use,
    lock_timeout,
    rate_limited,
    server_error,
)
from booking_payments.sandbox.emulator.events import EventDelivery
from booking_payments.sandbox.emulator.expansion import expanded, expansions
from booking_payments.sandbox.emulator.faults import NETWORK_FAULTS, Fault, Faults, NetworkFault, Struck
from booking_payments.sandbox.emulator.params import read_params
from booking_payments.sandbox.emulator.records import Record, RequestRef, StripeAccount, moment
from booking_payments.sandbox.emulator.store import FakeStore

API_VERSION: Final = "2026-10-28.endive"
"""The version whose shapes this model answers and sends events in."""

CALLS_KEPT: Final = 100_000
"""How many requests ``FakeStripe.calls`` remembers."""

UNFINISHED: Final = "unfinished_request"
"""Requests that were answered with a 500 and will be completed, by their ids."""


def execute(account: StripeAccount, method: str, path: str, params: Mapping[str, Any]) -> Json:
    """Do what a request asks for; its answer. Raises ``Refusal``."""
    endpoint, id_ = find_endpoint(method, path)
    values = read_params(params, endpoint.fields)
    paths = expansions(values, endpoint.kind, in_list=endpoint.in_list)
    return expanded(account, endpoint.handler(account, values, id_), paths)


def _roll_forward(account: StripeAccount, request: Record) -> None:
    """Complete a request that was answered with a 500, as far as it can still be done."""
    account.remove(request)
    with suppress(Refusal):
        execute(account, request.body["method"], request.body["path"], request.body["params"])


FOLLOW_UPS: Final[Mapping[str, tuple[str, Callable[[StripeAccount, Record], None]]]] = {
    "book_charge": ("charge", charging.book_later),
    "settle_debit": ("payment_intent", charging.settle_debit),
    "expire_voucher": ("payment_intent", charging.pass_voucher_end),
    "expire_authorization": ("payment_intent", charging.expire_authorization),
    "refund_succeeds": ("refund", refunds.succeed_later),
    "refund_fails": ("refund", refunds.fail_later),
    "dispute_won": ("dispute", disputes.win),
    "dispute_lost": ("dispute", disputes.lose),
    "inquiry_escalated": ("dispute", disputes.escalate),
    "inquiry_refunded": ("dispute", disputes.close_refunded_inquiry),
    "dispute_deadline": ("dispute", disputes.pass_deadline),
    "roll_forward": (UNFINISHED, _roll_forward),
}
"""What happens by itself later: action, kind of its object, who does it."""


@frozen
class LoggedCall:
    """A request that reached the model.

    ``key_age``: time since its key was first seen; ``None`` without a key.
    """

    method: str
    path: str
    key: str | None
    key_age: timedelta | None


class FakeStripe:
    """A Stripe account in memory.

    ``clock`` gives timezone-aware UTC times; ``random`` decides every id (the same seed gives the same
    ids); ``follow_up_delay`` is how long banks take; ``store`` keeps the state across restarts;
    ``deliver_in_process`` queues each event for the embedding process, besides the registered webhook
    endpoints; ``amount_digits`` are those of the largest charge that the account takes, in Stripe's minor units;
    ``refused_in_action`` are the changes (``updated``, ``confirmed``) that a server is refused while an intent waits in
    ``requires_action``, as Stripe has done at times; ``bank_pages`` is the origin that serves the page which a customer
    is redirected to (None: Stripe's addresses); with ``refunds_need_balance`` a refund that the balance does not cover
    stays pending, or fails. Not thread-safe.
    """

    def __init__(
        self,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        random: random_module.Random | None = None,
        follow_up_delay: timedelta = timedelta(seconds=2),
        store: FakeStore | None = None,
        *,
        livemode: bool = False,
        api_version: str = API_VERSION,
        deliver_in_process: bool = True,
        amount_digits: int = DEFAULT_DIGITS,
        refused_in_action: Collection[str] = (),
        amount_in_action: bool = False,
        bank_pages: str | None = None,
        refunds_need_balance: bool = False,
    ) -> None:
        self.amount_digits = amount_digits
        self._account = StripeAccount(
            clock=clock,
            random=random or random_module.SystemRandom(),
            follow_up_delay=follow_up_delay,
            livemode=livemode,
            api_version=api_version,
            deliver_in_process=deliver_in_process,
            store=store,
            amount_digits=amount_digits,
            refused_in_action=frozenset(refused_in_action),
            amount_in_action=amount_in_action,
            bank_pages=bank_pages,
            refunds_need_balance=refunds_need_balance,
        )
        self._account.load()
        balance.load(self._account)
        refunds.load(self._account)
        follow_ups.plan_again(self._account)
        self._first_seen: dict[str, datetime] = {}
        self.calls: deque[LoggedCall] = deque(maxlen=CALLS_KEPT)

    # --- Stripe's own interface

    def call(
        self,
        method: str,
        path: str,
        params: Mapping[str, Any] | None = None,
        idempotency_key: str | None = None,
        version: str | None = None,
    ) -> StripeResponse:
        """Answer a request. ``params`` are decoded: nested mappings and lists of text, numbers and booleans.
        ``version`` is the one of ``Stripe-Version``: it decides which parameters there are, not what is answered.

        Raises ``NetworkFault`` when a script says so, nothing else.
        """
        method, path = method.upper(), path.rstrip("/")
        key = idempotency_key if method == "POST" and idempotency_key else None
        self._log(method, path, key)
        struck = self.faults.take(f"{method} {path}")
        try:
            self._apply_due()
            return self._answer_with(struck, method, path, params or {}, key, version)
        finally:
            self._account.flush()

    def _log(self, method: str, path: str, key: str | None) -> None:
        age = None
        if key is not None:
            now = self._account.clock()
            age = now - self._first_seen.setdefault(key, now)
            if len(self._first_seen) > CALLS_KEPT:
                del self._first_seen[next(iter(self._first_seen))]
        self.calls.append(LoggedCall(method, path, key, age))

    def _answer_with(
        self,
        struck: Struck | None,
        method: str,
        path: str,
        params: Mapping[str, Any],
        key: str | None,
        version: str | None,
    ) -> StripeResponse:
        fault = struck.fault if struck else None
        self._begin(key, version)
        if fault in (Fault.TIMEOUT_BEFORE, Fault.RESET_BEFORE):
            raise NetworkFault.of(fault)
        if fault in _INSTEAD:
            return self._refused(_INSTEAD[fault](key))
        answer = self._answer(method, path, params, key, struck)
        if fault is not None and fault in NETWORK_FAULTS:
            raise NetworkFault.of(fault)
        return evolve(answer, delay=struck.delay) if struck and fault is Fault.SLOW else answer

    def _begin(self, key: str | None = None, version: str | None = None) -> None:
        self._account.request = RequestRef(f"req_{self._account.token(14)}", key, version)

    def _answer(
        self, method: str, path: str, params: Mapping[str, Any], key: str | None, struck: Struck | None = None
    ) -> StripeResponse:
        """Replay or execute.

        With the faults ``500_before``, ``500_after`` and ``500_later`` Stripe breaks down when it has begun to execute,
        so 500 is the answer that is saved under the key. A key with a saved answer replays it, and nothing breaks down.
        """
        fault = struck.fault if struck else None
        print_ = idempotency.fingerprint(method, path, params)
        try:
            saved = self._saved(key, print_)
            if saved is not None:
                return evolve(saved, headers={**self._headers(), **saved.headers})
            if struck is not None and fault is Fault.ERROR_LATER:
                self._complete_later(method, path, params, struck.delay)
            if fault in (Fault.ERROR_BEFORE, Fault.ERROR_LATER):
                raise server_error(500, executed=True)
            answer = self._answered(execute(self._account, method, path, params))
            executed = True
        except Refusal as refusal:
            answer, executed = self._refused(refusal), refusal.executed
        if fault is Fault.ERROR_AFTER and executed:
            answer = self._refused(server_error(500, executed=True))
        if key is not None and executed:
            idempotency.save(self._account, key, print_, answer, answer.headers["Request-Id"])
        return answer

    def _saved(self, key: str | None, print_: str) -> StripeResponse | None:
        if key is None:
            return None
        idempotency.check_key(key)
        return idempotency.replay(self._account, key, print_)

    def _complete_later(self, method: str, path: str, params: Mapping[str, Any], delay: timedelta) -> None:
        body = {"method": method, "path": path, "params": copy_json(dict(params))}
        request = self._account.add(UNFINISHED, self._account.new_id(UNFINISHED, "unfinished"), body)
        follow_ups.schedule(self._account, "roll_forward", request.id, delay)

    def _answered(self, body: Json) -> StripeResponse:
        return StripeResponse(200, copy_json(body), self._headers())

    def _refused(self, refusal: Refusal) -> StripeResponse:
        url = f"https://dashboard.stripe.com/test/logs/{self._account.request.id}?t={self._account.now()}"
        error = copy_json({**refusal.error, "request_log_url": url})
        return StripeResponse(refusal.status, {"error": error}, {**self._headers(), **refusal.headers})

    def _headers(self) -> dict[str, str]:
        request = self._account.request
        headers = {"Request-Id": str(request.id), "Stripe-Version": self._account.api_version}
        if request.idempotency_key is not None:
            headers["Idempotency-Key"] = request.idempotency_key
            headers["Original-Request"] = str(request.id)
        return headers

    # --- the customer

    def confirm_as_customer(
        self, intent_id: str, client_secret: str, payment_method: str, return_url: str | None = None
    ) -> StripeResponse:
        """The customer pays in the browser, with a method id, a card number, or a type that redirects (``ideal``) and
        comes back to ``return_url``, under the publishable key."""
        return self._act(
            lambda: customer_actions.confirm_in_browser(
                self._account, intent_id, client_secret, payment_method, return_url
            )
        )

    def authenticate(self, intent_id: str, client_secret: str, outcome: str) -> StripeResponse:
        """The customer leaves the 3-D Secure window: ``succeeded`` or ``failed``; ``processing`` where a method that
        redirects takes its time.

        Answers 200 with the intent.
        """
        return self._act(lambda: customer_actions.authenticate(self._account, intent_id, client_secret, outcome))

    def browser_call(self, method: str, path: str, params: Mapping[str, Any]) -> StripeResponse:
        """Answer a request of a customer's browser, with the publishable key: see ``browser.py``."""
        method, path = method.upper(), path.rstrip("/")
        return self._act(lambda: browser.execute(self._account, method, path, params))

    def authenticate_setup(self, setup_intent_id: str, client_secret: str, outcome: str) -> StripeResponse:
        """The customer leaves the 3-D Secure window of a SetupIntent: ``succeeded`` or ``failed``."""
        return self._act(lambda: setup_intents.authenticate(self._account, setup_intent_id, client_secret, outcome))

    def end_voucher(self, intent_id: str, outcome: str) -> StripeResponse:
        """The customer pays the voucher that an intent shows (``paid``), or lets it expire (``expired``)."""
        return self._act(lambda: customer_actions.end_voucher(self._account, intent_id, outcome))

    def at_bank(self, intent_id: str, key: str) -> StripeResponse:
        """What the bank's page of ``redirect_to_url`` asks for. Answers 200 with the intent, 404 for another key."""
        return self._act(lambda: customer_actions.at_bank(self._account, intent_id, key))

    def leave_bank_page(self, intent_id: str, key: str, outcome: str) -> StripeResponse:
        """The customer leaves that page, with an outcome as of ``authenticate``. Answers 200 with the ``url`` that the
        browser is sent back to."""
        return self._act(lambda: customer_actions.leave_bank_page(self._account, intent_id, key, outcome))

    # --- the dashboard and the bank

    def refund_in_dashboard(self, intent_id: str, amount: int | None = None) -> StripeResponse:
        """An operator refunds in Stripe's dashboard: without metadata and idempotency key."""
        params: Json = {"payment_intent": intent_id} | ({} if amount is None else {"amount": amount})
        return self._act(lambda: refunds.create(self._account, read_params(params, refunds.CREATE_FIELDS), ""))

    def open_dispute(
        self,
        intent_id: str,
        reason: str = "fraudulent",
        inquiry: bool = False,
        *,
        amount: int | None = None,
        status: str | None = None,
        currency: str | None = None,
        case_type: str | None = None,
        refundable: bool | None = None,
    ) -> StripeResponse:
        """The customer's bank disputes, or asks about, the charge of a paid intent; a charge may have several.

        Args:
            intent_id: A paid intent.
            reason: One of ``disputes.REASONS``.
            inquiry: Whether the bank only asks; no money moves.
            amount: What is disputed, in the smallest unit of ``currency``; ``None``: everything captured.
            status: The first status, one of ``disputes.STATUSES``; ``None``: the bank waits for an answer.
            currency: Of the amount; ``None``: the charge's.
            case_type: ``resolution`` (default) or ``block`` for ``prevented``; a block moves no money.
            refundable: ``is_charge_refundable``; ``None``: false while a chargeback is open, else true.

        Returns:
            200 with the dispute; 400 for values that do not fit, 404 for an unknown intent.
        """
        opening = Opening(reason, inquiry, amount, currency, status, case_type, refundable)
        return self._act(lambda: self._open_dispute(intent_id, opening))

    def _open_dispute(self, intent_id: str, opening: Opening) -> Json:
        intent = self._account.require("payment_intent", intent_id, param="intent")
        charge = refunds.successful_charge(self._account, intent)
        if charge is None or not charge.body["captured"]:
            raise invalid("Only a captured charge can be disputed.", executed=True)
        return disputes.open_dispute(self._account, charge, opening).body

    def move_dispute(
        self,
        dispute_id: str,
        status: str,
        *,
        reinstated: int | None = None,
        refundable: bool | None = None,
        case_type: str | None = None,
        keeps_refunds: bool = False,
    ) -> StripeResponse:
        """The bank moves a dispute to any status, in any order, with its balance transactions and events.

        Args:
            dispute_id: The dispute.
            status: One of ``disputes.STATUSES``; the present one, to give money back only.
            reinstated: Money given back, in the smallest unit of the settlement currency; ``None``: the whole amount
                when ``won``, else nothing.
            refundable: ``is_charge_refundable``; ``None``: false while a chargeback is open, else true.
            case_type: ``resolution`` (default) or ``block`` for ``prevented``; a block moves no money.
            keeps_refunds: Refunds made during an inquiry stay succeeded when it becomes a chargeback; by default they
                fail with ``charge_for_pending_refund_disputed``.

        Returns:
            200 with the dispute; 400 for values that do not fit, 404 for an unknown dispute.
        """
        move = disputes.Move(status, reinstated, refundable, case_type, keeps_refunds)
        return self._act(lambda: self._move_dispute(dispute_id, move))

    def _move_dispute(self, dispute_id: str, move: disputes.Move) -> Json:
        dispute = self._account.require("dispute", dispute_id)
        disputes.move_dispute(self._account, dispute, move)
        return dispute.body

    def move_refund(self, refund_id: str, status: str, failure_reason: str = "unknown") -> StripeResponse:
        """The bank moves a refund to another status, if ``refunds.TRANSITIONS`` allows.

        ``failure_reason``: one of ``refunds.FAILURE_REASONS``, for ``failed`` and ``canceled``. A failed or canceled
        refund's money returns to the balance, and the charge's ``amount_refunded`` falls. Answers 200 with the refund.
        """
        return self._act(lambda: self._move_refund(refund_id, status, failure_reason))

    def fail_refund(self, refund_id: str, failure_reason: str = "unknown") -> StripeResponse:
        """The bank sends a refund back, at once or long after it succeeded; its amount is refundable again.

        Returns:
            200 with the refund; 400 when it has failed already, 404 for an unknown one.
        """
        return self.move_refund(refund_id, "failed", failure_reason)

    def _move_refund(self, refund_id: str, status: str, failure_reason: str) -> Json:
        refund = self._account.require("refund", refund_id)
        refunds.check_move(refund, status, failure_reason)
        refunds.move_to(self._account, refund, status, failure_reason)
        return refund.body

    # --- the account

    @property
    def account_settings(self) -> Json:
        """``settlement_currency``, ``rates`` and ``release_as_refund`` as they are now."""
        return settings.current(self._account)

    def set_settlement(self, currency: str | None, rates: Mapping[str, str] | None = None) -> None:
        """Settle in ``currency`` from now on: ``set_settlement("eur", {"usd": "0.92"})``.

        Args:
            currency: Lower-case code; ``None``: every charge settles in its own currency (the default).
            rates: One unit of each currency in ``currency``, as decimal text. Earlier rates stay while the settlement
                currency stays. A currency without a rate settles in itself.

        Raises:
            ValueError: for an unknown currency, and a rate that is no positive decimal number.
        """
        try:
            settings.set_settlement(self._account, currency, rates)
        finally:
            self._account.flush()

    def set_release_as_refund(self, reason: bool | str = True) -> None:
        """List the released part of an authorization as a refund, too, as versions before 2025-03-31.basil did.

        ``reason``: True (a refund without a reason), ``expired_uncaptured_charge``, or False (the default behaviour).
        Such a refund has no metadata and moves no money.

        Raises:
            ValueError: for another text.
        """
        try:
            settings.set_release_as_refund(self._account, reason)
        finally:
            self._account.flush()

    def _act(self, work: Callable[[], Json]) -> StripeResponse:
        self._begin()
        try:
            self._apply_due()
            self._begin()
            return self._answered(work())
        except Refusal as refusal:
            return self._refused(refusal)
        finally:
            self._account.flush()

    # --- time

    def tick(self) -> int:
        """Let everything happen that is due by now; returns how many things did."""
        try:
            return self._apply_due()
        finally:
            self._account.flush()

    def _apply_due(self) -> int:
        self._account.request = RequestRef()
        applied = 0
        for action, target in follow_ups.take_due(self._account):
            kind, apply = FOLLOW_UPS[action]
            apply(self._account, self._account.get(kind, target))
            applied += 1
        if self._account.waiting_refunds:
            refunds.send_waiting(self._account)
        idempotency.prune(self._account)
        events.prune(self._account)
        return applied

    @property
    def next_due_at(self) -> datetime | None:
        """When ``tick`` has something to do next; ``None`` with nothing planned."""
        due = follow_ups.next_due_us(self._account)
        return None if due is None else moment(due)

    # --- events and their delivery

    @property
    def events(self) -> list[Json]:
        """Every event kept, oldest first, as Stripe would send it."""
        return [copy_json(event.body) for event in self._account.table("event").values()]

    def deliveries(self) -> list[EventDelivery]:
        """Everything not yet acknowledged, next attempt first."""
        return events.queue(self._account, due_only=False)

    def pending_deliveries(self, limit: int | None = None) -> list[EventDelivery]:
        """What should be sent now. Report each with ``delivered``; until then it is handed out again."""
        return events.queue(self._account, due_only=True, limit=limit)

    def delivered(self, event_id: str, ok: bool, endpoint_id: str | None = None) -> bool:
        """Say how an attempt went; a failed one comes back with backoff. False when nothing was waiting."""
        try:
            return events.settle(self._account, event_id, ok, endpoint_id)
        finally:
            self._account.flush()

    def webhook_secret(self, endpoint_id: str) -> str:
        """The signing secret of a registered endpoint; raises ``KeyError`` for an unknown one."""
        return str(self._account.get("webhook_endpoint", endpoint_id).private["secret"])

    def set_webhook_secret(self, endpoint_id: str, secret: str) -> None:
        """Sign for this endpoint with a secret of one's own choice."""
        self._account.note(self._account.get("webhook_endpoint", endpoint_id), secret=secret)
        self._account.flush()

    # --- for tests and invariants

    @property
    def faults(self) -> Faults:
        """Scripted faults still to come."""
        return self._account.faults

    def successful_charges(self, intent_id: str) -> int:
        """How many charges of an intent went through, held or captured: never more than one."""
        intent = self._account.find("payment_intent", intent_id)
        charges = [self._account.get("charge", id_) for id_ in intent.private["charges"]] if intent else []
        return sum(charge.body["status"] == "succeeded" for charge in charges)


_INSTEAD: Final[Mapping[Fault | None, Callable[[str | None], Refusal]]] = {
    Fault.CONFLICT: key_in_use,
    Fault.RATE_LIMIT: lambda _: rate_limited(),
    Fault.LOCK_TIMEOUT: lambda _: lock_timeout(),
    Fault.UNAVAILABLE: lambda _: server_error(503),
}
"""Answers given in place of any work."""
