"""One thread, many tasks: the seed decides at every boundary which task continues.

Tasks are plain coroutines that are stepped by hand. They yield control with ``PAUSE`` (any task may continue now) and
with
``Pause(until)`` (not before that time). No event loop, thread or wall clock is involved.
"""

from collections.abc import Awaitable, Callable, Coroutine, Generator
from datetime import datetime, timedelta
from random import Random
from typing import Any, Final, TypeVar

from attrs import define, field

T = TypeVar("T")


@define
class Time:
    """The true time of the simulated world."""

    now: datetime

    def advance(self, duration: timedelta) -> None:
        self.now += duration


class Pause:
    """Yields control until ``until``; with None until the scheduler chooses the task again."""

    __slots__ = ("until",)

    def __init__(self, until: datetime | None = None) -> None:
        self.until = until

    def __await__(self) -> Generator["Pause", None, None]:
        yield self


PAUSE: Final = Pause()


@define(eq=False)
class Task:
    """A coroutine on its way; not before ``ready_at`` is there anything to do."""

    name: str
    coroutine: Coroutine[Any, Any, object]
    ready_at: datetime


@define
class Scheduler:
    """Steps tasks, one at a time, in an order that ``random`` decides. ``before_step`` is asked before each step."""

    time: Time
    random: Random
    before_step: Callable[[], None]
    tasks: list[Task] = field(factory=list)
    steps: int = 0

    def spawn(self, name: str, coroutine: Coroutine[Any, Any, object]) -> None:
        """Have ``coroutine`` take part from now on."""
        self.tasks.append(Task(name, coroutine, self.time.now))

    def step(self) -> None:
        """Let one task go on to its next boundary; without a ready one, time passes until there is one."""
        now = self.time.now
        ready = [task for task in self.tasks if task.ready_at <= now]
        if not ready:
            self.time.now = min(task.ready_at for task in self.tasks)
            return
        self.steps += 1
        self.before_step()
        self._go_on(ready[int(self.random.random() * len(ready))])

    def _go_on(self, task: Task) -> None:
        try:
            pause = task.coroutine.send(None)
        except StopIteration:
            self.tasks.remove(task)
        else:
            task.ready_at = pause.until or self.time.now

    def close(self) -> None:
        """Close all tasks that have not ended."""
        for task in self.tasks:
            task.coroutine.close()
        self.tasks.clear()


def alone(awaitable: Awaitable[T], time: Time) -> T:
    """Run one task without any other and return its result; time passes while it waits."""
    steps = awaitable.__await__()
    try:
        while True:
            pause = next(steps)
            if pause.until is not None:
                time.now = max(time.now, pause.until)
    except StopIteration as end:
        result: T = end.value
        return result
