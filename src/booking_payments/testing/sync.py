"""The test kit for tests without an event loop: Django, Flask, scripts."""

from collections.abc import Awaitable, Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Self

from anyio.from_thread import BlockingPortal, start_blocking_portal

from booking_payments.adapters.memory.clock import ManualClock
from booking_payments.adapters.memory.publisher import Consumer
from booking_payments.application.views import PaymentView, WebhookResult
from booking_payments.domain.booking import Booking
from booking_payments.embedding import SyncBookingPayments
from booking_payments.ports.publisher import Message
from booking_payments.testing.kit import PaymentsTestKit


class SyncPaymentsTestKit:
    """``PaymentsTestKit`` whose methods block; a context manager, since its loop runs in a thread while it is open.

    ``consumers`` are called by ``settle``, in the thread of the test: they see what its transaction has written, and
    need no database connection of their own. What one raises ends the test; it gets the same message again with the
    next ``settle``. The other arguments are those of ``PaymentsTestKit``. Nothing of it is on disk or in the network.
    """

    payments: SyncBookingPayments

    def __init__(self, *, consumers: Sequence[Consumer] = (), **options: Any) -> None:
        self.kit = PaymentsTestKit(**options)
        self._consumers, self._told = tuple(consumers), 0
        self._closing = ExitStack()
        self._portal: BlockingPortal | None = None

    def __enter__(self) -> Self:
        self._portal = self._closing.enter_context(start_blocking_portal())
        self.payments = SyncBookingPayments(self.kit.payments, self._portal)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._closing.close()

    @property
    def clock(self) -> ManualClock:
        """The clock, which stands until the test moves it."""
        return self.kit.clock

    @property
    def messages(self) -> list[Message]:
        """All messages to the booking app so far."""
        return list(self.kit.publisher.published)

    def book(self, amount: str = "100.00", **options: Any) -> Booking:
        """A registered booking of Ann's. Arguments as for ``PaymentsTestKit.book``."""
        return self._open.call(lambda: self.kit.book(amount, **options))

    def authenticate(self, view: PaymentView, outcome: str) -> None:
        """The customer leaves the bank's 3-D Secure window: ``succeeded`` or ``failed``."""
        self.kit.authenticate(view, outcome)

    def deliver_webhooks(self) -> list[WebhookResult]:
        """Deliver every event that waits, signed, in order."""
        return self._open.call(self.kit.deliver_webhooks)

    def settle(self) -> None:
        """Advance the clock and run the background work until nothing is due; consumers receive the new messages."""
        self._open.call(self.kit.settle)
        for message in self.messages[self._told :]:
            for consumer in self._consumers:
                waits = consumer(message)
                if waits is not None:
                    self._finish(waits)
            self._told += 1

    def _finish(self, waits: Awaitable[None]) -> None:
        async def finish() -> None:
            await waits

        self._open.call(finish)

    @property
    def _open(self) -> BlockingPortal:
        if self._portal is None:
            raise RuntimeError("open it first: with SyncPaymentsTestKit() as kit: ...")
        return self._portal
