"""A line to the database that fails on cue."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio


class Line:
    """A line to the database that can be cut after a statement has gone through, before its answer comes back; from
    ``falls_silent_after`` such a statement on nothing comes back at all, while the line stands."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.cut_after: bytes | None = None
        self.falls_silent_after: bytes | None = None
        self.cuts = 0

    @asynccontextmanager
    async def laid(self) -> AsyncIterator[int]:
        """The port at this end."""
        server = await asyncio.start_server(self._connect, "127.0.0.1", 0)
        async with server:
            yield server.sockets[0].getsockname()[1]

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answers, questions = await asyncio.open_connection("127.0.0.1", self._port)
        is_cut, is_silent = anyio.Event(), anyio.Event()

        async def ask() -> None:
            while data := await reader.read(65536):
                if self.cut_after is not None and self.cut_after in data:
                    self.cut_after = None
                    self.cuts += 1
                    is_cut.set()
                if self.falls_silent_after is not None and self.falls_silent_after in data:
                    is_silent.set()
                questions.write(data)
            questions.close()

        async def answer() -> None:
            while (data := await answers.read(65536)) and not is_cut.is_set():
                if not is_silent.is_set():
                    writer.write(data)
            writer.close()

        await asyncio.gather(ask(), answer(), return_exceptions=True)
