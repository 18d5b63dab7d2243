"""The log of a run: what happened, in order, as text and as one hash that two equal runs share."""

from datetime import datetime
from hashlib import blake2b
from typing import NamedTuple

from attrs import define, field


class LogEntry(NamedTuple):
    """One entry: the time, the actor, and the action."""

    at: datetime
    who: str
    what: str

    def __str__(self) -> str:
        return f"{self.at:%m-%d %H:%M:%S.%f}  {self.who:<14} {self.what}"


@define
class RunLog:
    """Collects lines."""

    lines: list[LogEntry] = field(factory=list)

    def tell(self, at: datetime, who: str, what: str) -> None:
        """Add a line."""
        self.lines.append(LogEntry(at, who, what))

    def trace(self) -> str:
        """The hash of all lines."""
        lines = "".join(f"{at.isoformat()}|{who}|{what}\n" for at, who, what in self.lines)
        return blake2b(lines.encode(), digest_size=16).hexdigest()

    def text(self) -> str:
        """All lines, for people."""
        return "\n".join(str(line) for line in self.lines)
