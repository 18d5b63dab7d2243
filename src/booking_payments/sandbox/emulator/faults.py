"""Scripted faults: the network and Stripe failing on cue."""

import re
from datetime import timedelta
from enum import Enum
from typing import Final

from attrs import define, field, frozen

WEBHOOK: Final = "webhook"


class Fault(Enum):
    """What can be scripted. ``before``: nothing happened; ``after``: the request took effect.

    All kinds of 500 are saved under the idempotency key, as Stripe does once an endpoint has begun to execute: a
    request that is repeated with its key gets the same 500 and does nothing. With ``500_later`` Stripe completes the
    request by itself ("rolls forward"), a delay after it has answered.
    """

    TIMEOUT_BEFORE = "timeout_before"
    TIMEOUT_AFTER = "timeout_after"
    RESET_BEFORE = "reset_before"
    RESET_AFTER = "reset_after"
    CONFLICT = "409"
    RATE_LIMIT = "429_limit"
    LOCK_TIMEOUT = "429_lock"
    ERROR_BEFORE = "500_before"
    ERROR_AFTER = "500_after"
    ERROR_LATER = "500_later"
    UNAVAILABLE = "503"
    SLOW = "slow"
    DUPLICATE = "duplicate"
    DELAY = "delay"
    SHUFFLE = "shuffle"
    DROP = "drop"


DELIVERY_FAULTS: Final = frozenset({Fault.DUPLICATE, Fault.DELAY, Fault.SHUFFLE, Fault.DROP})
NETWORK_FAULTS: Final = frozenset({Fault.TIMEOUT_BEFORE, Fault.TIMEOUT_AFTER, Fault.RESET_BEFORE, Fault.RESET_AFTER})


class NetworkFault(Exception):  # noqa: N818 - named like the faults it stands for
    """No answer came back.

    ``kind``: ``timeout`` or ``reset``; ``applied``: whether Stripe had done the work.
    """

    def __init__(self, kind: str, applied: bool) -> None:
        super().__init__(f"{kind} {'after' if applied else 'before'} the request took effect")
        self.kind = kind
        self.applied = applied

    @classmethod
    def of(cls, fault: Fault) -> "NetworkFault":
        kind, when = fault.value.split("_")
        return cls(kind, when == "after")


@define
class Script:
    """A fault still to come, ``times`` more."""

    match: str
    pattern: re.Pattern[str]
    fault: Fault
    times: int
    delay: timedelta


@frozen
class Struck:
    """A fault that applies to one request or delivery; ``delay`` matters to ``slow``, ``500_later`` and ``delay``."""

    fault: Fault
    delay: timedelta


@define
class Faults:
    """The faults still to come, first scripted first."""

    _scripts: list[Script] = field(factory=list)

    def script(self, match: str, fault: str, times: int = 1, delay: timedelta = timedelta(seconds=5)) -> None:
        """Let the next ``times`` requests that match fail.

        ``match``: ``"POST /v1/refunds"``, ``"POST /v1/payment_intents/{id}/confirm"``, ``"GET /v1/*"`` or
        ``"webhook"`` for deliveries; ``{...}`` stands for one path segment, ``*`` for anything. Raises
        ``ValueError`` for an unknown fault, one that does not fit the match, or ``times`` under 1.
        """
        kind = Fault(fault)
        if (kind in DELIVERY_FAULTS) != (match == WEBHOOK):
            raise ValueError(f"fault {fault!r} cannot strike {match!r}")
        if times < 1:
            raise ValueError("times must be at least 1")
        self._scripts.append(Script(match, _pattern(match), kind, times, delay))

    def coming(self) -> list[Script]:
        """Every fault still to come, first scripted first."""
        return list(self._scripts)

    def clear(self) -> None:
        """Forget every fault still to come."""
        self._scripts.clear()

    def take(self, target: str) -> Struck | None:
        """The fault for this request (``"METHOD /path"``) or delivery, used up by one."""
        for script in self._scripts:
            if script.pattern.fullmatch(target):
                return self._use(script)
        return None

    def _use(self, script: Script) -> Struck:
        script.times -= 1
        if script.times == 0:
            self._scripts.remove(script)
        return Struck(script.fault, script.delay)


def _pattern(match: str) -> re.Pattern[str]:
    pieces = re.split(r"(\{[^{}/]*\}|\*)", match)
    return re.compile("".join(_piece(piece) for piece in pieces))


def _piece(piece: str) -> str:
    if piece == "*":
        return ".*"
    return "[^/]+" if piece.startswith("{") and piece.endswith("}") else re.escape(piece)
