"""A load generator that costs little: prepared requests over a few connections, each with one request under way."""

import asyncio
import time
from collections import Counter, deque
from collections.abc import Iterator
from statistics import quantiles

from attrs import define, field

ANSWER = b"\r\n\r\n"

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@define
class Load:
    """The measurements: seconds per response, responses by status, and the server's processor time in total."""

    took: list[float] = field(factory=list)
    statuses: Counter[int] = field(factory=Counter)
    seconds: float = 0.0
    processor_s: float = 0.0

    @property
    def per_second(self) -> float:
        return len(self.took) / self.seconds

    @property
    def processor_ms(self) -> float:
        """The server's processor time for one answer."""
        return self.processor_s / len(self.took) * 1000

    def percentile_ms(self, which: int) -> float:
        return quantiles(self.took, n=100)[which - 1] * 1000


async def drive(port: int, requests: Iterator[bytes], *, connections: int, seconds: float) -> Load:
    """Send ``requests`` until the time is over or all are sent."""
    load = Load()
    began = time.perf_counter()
    await asyncio.gather(*[_connection(port, requests, load, began + seconds) for _ in range(connections)])
    load.seconds = time.perf_counter() - began
    return load


async def arrive(port: int, requests: Iterator[bytes], *, per_second: float, seconds: float) -> Load:
    """Send ``requests`` at a pace of their own, however long the answers take; counted from when each was due."""
    load, idle = Load(), deque[Connection]()
    began = time.perf_counter()
    async with asyncio.TaskGroup() as tasks:
        for number in range(int(per_second * seconds)):
            due = began + number / per_second
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            tasks.create_task(_once(port, next(requests), load, due, idle))
    load.seconds = time.perf_counter() - began
    for _, writer in idle:
        writer.close()
    return load


async def _once(port: int, request: bytes, load: Load, due: float, idle: deque[Connection]) -> None:
    reader, writer = await _any(idle, port)
    writer.write(request)
    load.statuses[await _answer(reader)] += 1
    load.took.append(time.perf_counter() - due)
    idle.append((reader, writer))


async def _any(idle: deque[Connection], port: int) -> Connection:
    """The connection that has been idle for longest, unless the server has closed it by then; or a new one."""
    while idle:
        reader, writer = idle.popleft()
        if not reader.at_eof():
            return reader, writer
        writer.close()
    return await asyncio.open_connection("127.0.0.1", port)


async def _connection(port: int, requests: Iterator[bytes], load: Load, until: float) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        while (now := time.perf_counter()) < until and (request := next(requests, None)) is not None:
            writer.write(request)
            load.statuses[await _answer(reader)] += 1
            load.took.append(time.perf_counter() - now)
    finally:
        writer.close()


async def _answer(reader: asyncio.StreamReader) -> int:
    """The status of one answer, read to its end."""
    head = await reader.readuntil(ANSWER)
    length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    await reader.readexactly(int(length.partition(b":")[2]))
    return int(head.split(b" ", 2)[1])
