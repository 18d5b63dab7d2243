"""Tickets that arrive together are served together: while one group is under way, the next one gathers.

There is no timer and no task of its own. Whoever comes first and finds a place leads: it takes what waits, serves it,
and asks the next one that waits to lead. Alone, a ticket waits for nobody.
"""

from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

import anyio
from attrs import define, field

from booking_payments.ports.storage import StorageConflict, Subject

P = TypeVar("P")
R = TypeVar("R")


@define(eq=False)
class Ticket(Generic[P, R]):
    """Something to be served. Of tickets about the same booking, intent or event only one is in a group."""

    payload: P
    subject: Subject
    turn: anyio.Event = field(factory=anyio.Event)
    leads: bool = False
    _answer: Callable[[], R] | None = None

    @property
    def subjects(self) -> frozenset[str]:
        about = self.subject
        return frozenset(each for each in (about.booking_id, about.event_id, about.intent_id) if each)

    def gets(self, result: R) -> None:
        """This is what it was served."""
        self._answer = lambda: result

    def fails(self, error: Exception) -> None:
        """This is what it met."""

        def answer() -> R:
            raise error

        self._answer = answer

    def answer(self) -> R:
        """What it was served. Raises what it met."""
        if self._answer is None:
            raise StorageConflict("the database was left in the middle; try again")
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

    async def join(self, payload: P, subject: Subject) -> R:
        """What ``payload`` is served. Raises what it meets."""
        ticket = Ticket[P, R](payload, subject)
        self._waiting.append(ticket)
        if self._places:
            self._places -= 1
            self._call_next()
        try:
            await ticket.turn.wait()
        except BaseException:
            self._leave(ticket)
            raise
        if ticket.leads:
            await self._lead(ticket)
        return ticket.answer()

    def _call_next(self) -> None:
        """Ask the first that waits to lead, or give the place up."""
        if self._waiting:
            self._waiting[0].leads = True
            self._waiting[0].turn.set()
        else:
            self._places += 1

    def _leave(self, ticket: Ticket[P, R]) -> None:
        """Whoever goes away while waiting hands on what it was asked for."""
        if ticket in self._waiting:
            self._waiting.remove(ticket)
            if ticket.leads:
                self._call_next()

    async def _lead(self, leader: Ticket[P, R]) -> None:
        group = self._take(leader)
        try:
            with anyio.CancelScope(shield=True):
                await self._serve(group)
        finally:
            self._call_next()
            for ticket in group:
                ticket.turn.set()

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
        return group
