"""A TCP proxy that delays, cuts, swallows or refuses, in place of a bad network.

The kernel at hand has no `netem`, so that loss is what loss looks like to a program: connections
that stand still for a while, or break. One proxy stands before the broker's second listener, whose
advertised address it is, one before ClickHouse.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from random import Random

HOST = "127.0.0.1"
CHUNK = 1 << 16
CUT_ONE_IN = 30
STALL_ONE_IN = 10
STALL_S = 0.3
READ_ONLY, FULL = 242, 243
ANSWERS = {
    READ_ONLY: b"Code: 242. DB::Exception: Table is in readonly mode. (TABLE_IS_READ_ONLY)",
    FULL: b"Code: 243. DB::Exception: Cannot reserve 1 MiB: no space. (NOT_ENOUGH_SPACE)",
}


@dataclass
class Weather:
    """What befalls the connections now, and how often something has."""

    delay_s: float = 0.0
    is_cut: bool = False  # nothing comes through, no connection is made, none is closed
    is_lossy: bool = False
    refusal: int = 0  # ClickHouse's code with which inserts are refused; 0: they are not
    touched: int = field(default=0)


class Proxy:
    """Listens on one port, speaks to another."""

    def __init__(self, target: int, chance: Random) -> None:
        self._target, self._chance = target, chance
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.weather = Weather()
        self.callers = 0

    async def start(self, port: int = 0) -> int:
        """Listen; return the port."""
        self._server = await asyncio.start_server(self._connected, HOST, port)
        return int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Close everything."""
        if self._server is not None:
            self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
        self.clear()

    def clear(self) -> None:
        """Good weather again."""
        self.weather = Weather(touched=self.weather.touched)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.callers += 1
        try:
            await self._passable()
            there, back = await asyncio.open_connection(HOST, self._target)
            try:
                await self._both(reader, writer, there, back)
            finally:
                back.close()
        except (OSError, asyncio.CancelledError):
            pass  # the other side is away, or the run is over: the client's connection closes
        finally:
            writer.close()
            self._tasks.discard(task)

    async def _both(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        there: asyncio.StreamReader,
        back: asyncio.StreamWriter,
    ) -> None:
        ways = {
            asyncio.create_task(self._copy(reader, back, writer)),
            asyncio.create_task(self._copy(there, writer, None)),
        }
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)

    async def _copy(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        refuse: asyncio.StreamWriter | None,
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(CHUNK):
                weather = self.weather
                if weather.refusal and refuse is not None and b"INSERT" in data[:2000]:
                    weather.touched += 1
                    await _refuse(refuse, weather.refusal)
                    return
                if weather.delay_s:
                    weather.touched += 1
                    await asyncio.sleep(weather.delay_s)
                if weather.is_lossy:
                    if self._chance.randrange(CUT_ONE_IN) == 0:
                        weather.touched += 1
                        return
                    if self._chance.randrange(STALL_ONE_IN) == 0:
                        weather.touched += 1
                        await asyncio.sleep(STALL_S)
                await self._passable()
                writer.write(data)
                await writer.drain()

    async def _passable(self) -> None:
        if self.weather.is_cut:
            self.weather.touched += 1
        while self.weather.is_cut:  # noqa: ASYNC110 - the weather is an attribute
            await asyncio.sleep(0.02)


async def _refuse(writer: asyncio.StreamWriter, code: int) -> None:
    body = ANSWERS[code]
    writer.write(
        b"HTTP/1.1 500 Internal Server Error\r\nX-ClickHouse-Exception-Code: %d\r\n"
        b"Connection: close\r\nContent-Length: %d\r\n\r\n" % (code, len(body)) + body
    )
    await writer.drain()
