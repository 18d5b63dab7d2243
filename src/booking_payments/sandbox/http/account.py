"""The model of Stripe as the sandbox runs it: on a clock that can be advanced, for several threads, and resettable."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import wraps
from threading import RLock
from typing import Any, Final

from booking_payments.sandbox.emulator import FakeStripe, StripeResponse
from booking_payments.sandbox.emulator.currencies import DEFAULT_DIGITS
from booking_payments.sandbox.emulator.model import execute

FURTHEST: Final = timedelta(days=36525)
"""How far the clock can be ahead of the system's: a hundred years."""


class SandboxClock:
    """The system's clock, plus the time that it was advanced by."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def now(self) -> datetime:
        """UTC."""
        return datetime.now(UTC) + self.ahead


class SandboxStripe(FakeStripe):
    """Each public verb of the model is safe to call from any thread; ``calls`` is read with ``calls_so_far``."""

    def __init__(
        self, follow_up_delay: timedelta = timedelta(seconds=2), *, amount_digits: int = DEFAULT_DIGITS
    ) -> None:
        self.lock = RLock()
        self.clock = SandboxClock()
        self.follow_up_delay = follow_up_delay
        self.amount_digits = amount_digits
        self._bank_pages: str | None = None
        self.reset()

    def reset(self) -> None:
        """Forget everything: objects, events, endpoints, faults, calls, and what the clock was advanced by."""
        with self.lock:
            self.clock.ahead = timedelta()
            super().__init__(
                self.clock.now,
                follow_up_delay=self.follow_up_delay,
                deliver_in_process=False,
                amount_digits=self.amount_digits,
                bank_pages=self._bank_pages,
                refunds_need_balance=True,
            )

    def serve_bank_at(self, origin: str) -> None:
        """From now on customers are redirected to a page of the sandbox's own, at ``origin``."""
        with self.lock:
            self._bank_pages = self._account.bank_pages = origin

    def advance(self, by: timedelta) -> int:
        """Let time pass and do everything that becomes due; returns how many things were done.

        Raises ``ValueError`` for steps back and beyond a hundred years ahead.
        """
        with self.lock:
            if not timedelta() <= by <= FURTHEST - self.clock.ahead:
                raise ValueError("the clock goes forward only, and not further than a hundred years")
            self.clock.ahead += by
            return self.tick()

    def by_hand(self, method: str, path: str, params: Mapping[str, Any]) -> StripeResponse:
        """A request outside the interface: no fault strikes it, and it is not among the calls."""
        with self.lock:
            return self._act(lambda: execute(self._account, method, path, params))

    def target_of(self, endpoint_id: str) -> tuple[str, str] | None:
        """Address and secret of a webhook endpoint; None when it is gone."""
        with self.lock:
            endpoint = self._account.find("webhook_endpoint", endpoint_id)
            return (endpoint.body["url"], endpoint.private["secret"]) if endpoint else None

    def calls_so_far(self) -> list[Any]:
        """Every request that reached the model, oldest first."""
        with self.lock:
            return list(self.calls)


def _guarded(verb: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(verb)
    def alone(self: SandboxStripe, *args: Any, **kwargs: Any) -> Any:
        with self.lock:
            return verb(self, *args, **kwargs)

    return alone


for _name, _member in list(vars(FakeStripe).items()):
    if _name.startswith("_"):
        continue
    if isinstance(_member, property) and _member.fget is not None:
        setattr(SandboxStripe, _name, property(_guarded(_member.fget)))
    elif callable(_member):
        setattr(SandboxStripe, _name, _guarded(_member))
