"""An in-memory installation for tests: the real use cases over the in-memory adapters, with a clock that tests set."""

import json
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from random import Random

from attrs import evolve

from booking_payments.adapters.gateways.fake.gateway import FakeGateway, due_deliveries
from booking_payments.adapters.gateways.stripe import amounts
from booking_payments.adapters.gateways.stripe.webhooks import StripeWebhooks
from booking_payments.adapters.memory.clock import ManualClock
from booking_payments.adapters.memory.ids import RandomIds
from booking_payments.adapters.memory.publisher import CallablePublisher, Consumer, MemoryPublisher
from booking_payments.adapters.memory.stores import MemoryStorage
from booking_payments.application.callers import Caller
from booking_payments.application.dependencies import Dependencies, PaymentConfig
from booking_payments.application.gateways import ConnectedGateway
from booking_payments.application.payments import BookingPayments
from booking_payments.application.views import NewBooking, PaymentView, WebhookResult
from booking_payments.domain.booking import NO_DETAILS, Booking, BookingDetails, Item
from booking_payments.domain.instructions import CaptureMethod
from booking_payments.domain.money import Currency, Money
from booking_payments.domain.refunds import RefundPolicy
from booking_payments.ports.publisher import Message, python_channel
from booking_payments.ports.storage import Storage
from booking_payments.sandbox.emulator import FakeStripe
from booking_payments.sandbox.signature import sign

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
CHANNEL = python_channel("app")
"""The channel of the kit's publisher."""
SECRET = "whsec_tests"  # noqa: S105 - signs events of the fake gateway, in this process
ANN = Caller.customer("ann", "test")
OPERATOR = Caller.operator_of("olga", "test")


class _Both:
    """Keeps each message, once the consumers have taken it."""

    def __init__(self, kept: MemoryPublisher, consumers: Sequence[Consumer]) -> None:
        self._kept, self._consumers = kept, CallablePublisher(*consumers)

    async def publish(self, message: Message) -> None:
        await self._consumers.publish(message)
        await self._kept.publish(message)


class PaymentsTestKit:
    """An in-memory installation for tests: everything that a test needs to pay a booking, with the real use cases.

    Args:
        config: None: the default configuration, except that customers may choose the capture method.
        storage: None: a new one in memory.
        seed: of ids and all other random values.
        gateway_behind: how far the gateway's clock is behind the service's.
        amount_digits: digits of the gateway's largest charge, in Stripe's minor units.
        refused_in_action: calls that the gateway refuses while the customer has to act.
        refunds_need_balance: the gateway refuses or delays refunds that the merchant's balance does not cover.
        consumers: functions that receive messages, async or not; ``settle`` calls them.
        others: gateways in addition to the fake one, by name.
    """

    def __init__(
        self,
        *,
        config: PaymentConfig | None = None,
        storage: Storage | None = None,
        seed: int = 1,
        gateway_behind: timedelta = timedelta(0),
        amount_digits: int = amounts.DIGITS,
        refused_in_action: Collection[str] = (),
        amount_in_action: bool = False,
        refunds_need_balance: bool = False,
        consumers: Sequence[Consumer] = (),
        others: Mapping[str, ConnectedGateway] | None = None,
    ) -> None:
        random = Random(seed)  # noqa: S311 - repeatable on purpose
        self.clock = ManualClock(NOW)
        self.stripe = FakeStripe(
            lambda: self.clock.now() - gateway_behind,
            random,
            amount_digits=amount_digits,
            refused_in_action=refused_in_action,
            amount_in_action=amount_in_action,
            refunds_need_balance=refunds_need_balance,
        )
        self.publisher = MemoryPublisher()
        self.storage: Storage = storage or MemoryStorage()
        self.deps = Dependencies(
            storage=self.storage,
            gateway=FakeGateway(self.stripe, self.clock),
            webhooks=StripeWebhooks([SECRET]),
            webhook_names=("fake", "stripe"),
            others=others or {},
            channels={CHANNEL: _Both(self.publisher, consumers)},
            clock=self.clock,
            ids=RandomIds(random),
            random=random,
            config=config or PaymentConfig(capture_by_customer=True),
        )
        self.payments = BookingPayments(self.deps)
        self._made = 0

    async def book(
        self,
        amount: str | None = "100.00",
        *,
        currency: Currency = Currency.USD,
        items: Mapping[str, tuple[int, str]] | None = None,
        event_id: str | None = None,
        reference: str = "R-1",
        starts_in: timedelta = timedelta(days=30),
        expires_in: timedelta | None = None,
        refund_policy: RefundPolicy | None = None,
        capture_method: CaptureMethod | None = None,
        details: BookingDetails = NO_DETAILS,
    ) -> Booking:
        """A registered booking of Ann's. ``items`` are quantity and price of one unit, by id; they make the price."""
        new = NewBooking(
            reference=reference,
            customer_id="ann",
            amount=Money.parse(amount, currency) if amount is not None and not items else None,
            items=tuple(
                Item(id=its, label=its, quantity=quantity, unit_amount=Money.parse(price, currency))
                for its, (quantity, price) in (items or {}).items()
            ),
            event_id=event_id,
            event_starts_at=self.clock.now() + starts_in,
            expires_at=self.clock.now() + expires_in if expires_in else None,
            refund_policy=refund_policy,
            details=evolve(details, capture_method=capture_method or details.capture_method),
        )
        return (await self.payments.register_booking(new)).booking

    def authenticate(self, view: PaymentView, outcome: str) -> None:
        """The customer leaves the bank's 3-D Secure window: ``succeeded`` or ``failed``."""
        secret = view.client_action.client_secret if view.client_action else None
        answer = self.stripe.authenticate(view.payment.intent_id or "", secret or "", outcome)
        if not answer.ok:
            raise ValueError(answer.body["error"]["message"])

    async def settle(self) -> None:
        """Let time pass, and do the background work, until nothing is due any more."""
        for _ in range(10):
            self.clock.advance(timedelta(minutes=4))
            await self.deliver_webhooks()
            await self.payments.work()

    async def deliver_webhooks(self) -> list[WebhookResult]:
        """Deliver every event that waits, signed, in order."""
        results = []
        for event_id, endpoint, body in list(due_deliveries(self.stripe)):
            results.append(await self.deliver(body))
            self.stripe.delivered(event_id, True, endpoint)
        return results

    async def deliver_event(self, kind: str, subject: dict[str, object]) -> WebhookResult:
        """Deliver a made-up event about ``subject`` with a valid signature."""
        self._made += 1
        event = {"id": f"evt_made_{self._made}", "object": "event", "type": kind, "data": {"object": subject}}
        return await self.deliver(json.dumps(event).encode())

    async def deliver(self, body: bytes) -> WebhookResult:
        """Deliver one body, signed now."""
        return await self.payments.receive_webhook(body, {"Stripe-Signature": sign(body, SECRET, self.clock.now())})
