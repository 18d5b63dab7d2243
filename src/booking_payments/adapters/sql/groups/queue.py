"""Collects tickets into groups: while one group is served, the next one forms.

A ticket that arrives while a place is free becomes the leader. It takes the waiting tickets and starts a task that
serves
them, so that the cancellation of one caller does not cancel the others; then the next waiting ticket becomes leader. A
lone ticket is served at once. A ticket that arrives right after a group waits briefly for as many as that group had:
the callers of a group receive their results together and send their next requests together. Without this pause the
first
of them would always be served alone while the others wait.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Final, Generic, TypeVar

import anyio
from attrs import define, field

from booking_payments.ports.storage import CommitLost
from booking_payments.ports.unit_of_work import LockScope

MOMENT_S: Final = 0.001
"""How long a leader waits for company: less than a commit takes."""

P = TypeVar("P")
R = TypeVar("R")


def _future() -> "asyncio.Future[None]":
    """The cheapest thing that can be waited for; PostgreSQL's driver lives on asyncio in any case."""
    return asyncio.get_running_loop().create_future()


@define(eq=False)
class Ticket(Generic[P, R]):
    """A request to be served. A group contains at most one ticket for each booking, intent or event.

    Attributes:
        group: the task that serves it; None before.
        is_canceled: the caller no longer waits for the result.
    """

    payload: P
    subject: LockScope
    subjects: frozenset[str]
    turn: "asyncio.Future[None]" = field(factory=_future)
    leads: bool = False
    is_canceled: bool = False
    group: "asyncio.Task[None] | None" = None
    _answer: Callable[[], R] | None = None

    @classmethod
    def of(cls, payload: P, subject: LockScope) -> "Ticket[P, R]":
        about = frozenset(each for each in (subject.booking_id, subject.event_id, subject.intent_id) if each)
        return cls(payload, subject, about)

    def call(self) -> None:
        """It is this one's turn: to lead, or to go with its answer."""
        if not self.turn.done():
            self.turn.set_result(None)

    def gets(self, result: R) -> None:
        """Store the result for the caller."""
        self._answer = lambda: result

    def fails(self, error: Exception) -> None:
        """Store the error for the caller."""

        def answer() -> R:
            raise error

        self._answer = answer

    @property
    def is_answered(self) -> bool:
        return self._answer is not None

    def answer(self) -> R:
        """Return the result. Raises the error of the ticket, or ``CommitLost`` when the group ended without either."""
        if self._answer is None:
            raise CommitLost("the transaction was interrupted before its result was known")
        return self._answer()


Serve = Callable[[Sequence[Ticket[P, R]]], Awaitable[None]]


class Queue(Generic[P, R]):
    """Serves at most ``most`` tickets at once, and at most ``at_once`` groups at a time.

    ``serve`` gives each ticket its answer.
    """

    def __init__(self, serve: Serve[P, R], *, most: int, at_once: int) -> None:
        self._serve = serve
        self._most = most
        self._places = at_once
        self._waiting: deque[Ticket[P, R]] = deque()
        self._under_way: set[asyncio.Task[None]] = set()
        self._last_size = 1
        self._enough = anyio.Event()

    async def join(self, payload: P, subject: LockScope) -> R:
        """Serve ``payload`` with others and return its result. Raises its error."""
        ticket: Ticket[P, R] = Ticket.of(payload, subject)
        self._waiting.append(ticket)
        if self._places:
            self._places -= 1
            self._call_next()
        elif self._are_enough:
            self._enough.set()
        try:
            await ticket.turn
            if ticket.leads:
                await self._gather()
                await asyncio.wait({self._lead(ticket)})
        except BaseException:
            await self._leave(ticket)
            raise
        return ticket.answer()

    async def settled(self) -> None:
        """Return when nothing is under way any more."""
        while self._under_way:
            await asyncio.wait(set(self._under_way))

    def _call_next(self) -> None:
        """Ask the first that waits to lead, or give the place up."""
        if self._waiting:
            self._waiting[0].leads = True
            self._waiting[0].call()
        else:
            self._places += 1

    @property
    def _are_enough(self) -> bool:
        return len(self._waiting) >= min(self._last_size, self._most)

    async def _gather(self) -> None:
        if not self._are_enough:
            self._enough = anyio.Event()
            with anyio.move_on_after(MOMENT_S):
                await self._enough.wait()

    async def _leave(self, ticket: Ticket[P, R]) -> None:
        """Remove the ticket of a canceled caller, or wait for its group if it is being served.

        A removed leader passes leadership on. While a group may still write, its callers must not be told that their
        transactions are over, so the cancellation waits for the end of the group.
        """
        if ticket in self._waiting:
            self._waiting.remove(ticket)
            if ticket.leads:
                self._call_next()
        elif ticket.group is not None:
            ticket.is_canceled = True
            await _end_of(ticket.group)

    def _lead(self, leader: Ticket[P, R]) -> "asyncio.Task[None]":
        group = self._take(leader)
        task = asyncio.create_task(self._serve_all(group))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        for ticket in group:
            ticket.group = task
        return task

    async def _serve_all(self, group: Sequence[Ticket[P, R]]) -> None:
        try:
            await self._serve(group)
        finally:
            self._call_next()
            for ticket in group:
                ticket.call()

    def _take(self, leader: Ticket[P, R]) -> list[Ticket[P, R]]:
        group: list[Ticket[P, R]] = []
        taken: set[str] = set()
        later: deque[Ticket[P, R]] = deque()
        self._waiting.remove(leader)
        for ticket in (leader, *self._waiting):
            asked_to_lead = ticket.leads and ticket is not leader
            if len(group) < self._most and taken.isdisjoint(ticket.subjects) and not asked_to_lead:
                group.append(ticket)
                taken |= ticket.subjects
            else:
                later.append(ticket)
        self._waiting = later
        self._last_size = len(group)
        return group


async def _end_of(group: "asyncio.Task[None]") -> None:
    with anyio.CancelScope(shield=True):
        while not group.done():
            with suppress(asyncio.CancelledError):  # said once, it is not forgotten
                await asyncio.wait({group})
