"""A TCP proxy that loses answers of the database on cue."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio


class FaultyTcpProxy:
    """Forwards one client and the database to each other, and loses answers.

    Attributes:
        cut_after: when these bytes pass to the database, both sides are disconnected once it has answered, and the
            answer is lost. Once only; None: never.
        silent_after: once these bytes have passed, no answer reaches the client any more, while it stays connected.
        cuts: how often a connection was cut.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self.cut_after: bytes | None = None
        self.silent_after: bytes | None = None
        self.cuts = 0

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[int]:
        """Accept connections while the context lasts; yields the port."""
        server = await asyncio.start_server(self._connect, "127.0.0.1", 0)
        async with server:
            yield server.sockets[0].getsockname()[1]

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answers, questions = await asyncio.open_connection("127.0.0.1", self._port)
        cut, silent = anyio.Event(), anyio.Event()

        async def ask() -> None:
            while data := await reader.read(65536):
                if self.cut_after is not None and self.cut_after in data:
                    self.cut_after = None
                    self.cuts += 1
                    cut.set()
                if self.silent_after is not None and self.silent_after in data:
                    silent.set()
                questions.write(data)
            questions.close()

        async def answer() -> None:
            while (data := await answers.read(65536)) and not cut.is_set():
                if not silent.is_set():
                    writer.write(data)
            writer.close()

        await asyncio.gather(ask(), answer(), return_exceptions=True)
