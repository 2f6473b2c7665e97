# SPDX-License-Identifier: AGPL-3.0-or-later
"""A TCP proxy between any two processes, with faults by a script for each connection.

    async with Proxy(server_port, lambda number: Course(after=500) if number else PLAIN) as proxy:
        ...  # connect to proxy.port: the first connection is whole, the others are cut

`course` may be exchanged while the proxy runs; it decides about each connection as it is opened.
With `listens`, `seen` holds every octet that passed, as somebody on the line would have read it.
`hold` and `let_go` stop and start everything, `break_off` ends what is open.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Self

CHUNK = 1 << 16
# What ends the content of a message (RFC 5321 §4.1.1.4).
DOT = b"\r\n.\r\n"
# Linger for no time: what is closed so sends a reset (socket(7)).
AT_ONCE = struct.pack("ii", 1, 0)


class Way(Enum):
    """The direction in which octets are counted."""

    UP = auto()  # from whoever connects to the server
    DOWN = auto()


class Then(Enum):
    """What becomes of a connection whose time has come."""

    CLOSE = auto()  # both ends see an orderly end
    RESET = auto()  # both ends see a reset
    STALL = auto()  # nothing passes any more, and nobody is told
    HALF_OPEN = auto()  # the server sees the end; who connected can go on talking to nobody


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """What happens to one connection: `then`, once `after` octets have passed `way`.

    With `after_dot` it is the end of a message's content that passes first, and no answer to it
    comes back. `octets_per_second` holds both ways; 0 is as fast as it goes. `hides` is written
    over wherever the server says it, by what is as long.
    """

    after: int | None = None
    after_dot: bool = False
    way: Way = Way.UP
    then: Then = Then.CLOSE
    octets_per_second: float = 0.0
    hides: bytes = b""


PLAIN = Course()
Choice = Course | Callable[[int], Course]


@dataclass(eq=False)
class _Link:
    """One connection through the proxy, and how far it has come."""

    proxy: Proxy
    course: Course
    near: asyncio.StreamWriter
    far: asyncio.StreamWriter
    passed: dict[Way, int] = field(default_factory=lambda: {Way.UP: 0, Way.DOWN: 0})
    tail: bytes = b""
    over: asyncio.Event = field(default_factory=asyncio.Event)

    async def pump(self, way: Way, reader: asyncio.StreamReader) -> None:
        writer = self.far if way is Way.UP else self.near
        while chunk := await reader.read(CHUNK):
            await self.proxy.flowing.wait()
            if self.over.is_set():
                continue
            if way is Way.DOWN and self.course.hides:
                chunk = chunk.replace(self.course.hides, b"X" * len(self.course.hides))
            piece = chunk[: self._room(way, chunk)]
            self.passed[way] += len(piece)
            if self.proxy.listens:
                self.proxy.seen[way] += piece
            await self._write(writer, piece)
            if len(piece) < len(chunk) or self._is_due(way):
                await self._come_to_it()
        if not self.over.is_set():
            writer.write_eof()

    def _room(self, way: Way, chunk: bytes) -> int:
        """How much of a chunk still passes."""
        if way is not self.course.way:
            return len(chunk)
        if self.course.after_dot:
            return self._up_to_dot(chunk)
        if self.course.after is None:
            return len(chunk)
        return min(len(chunk), self.course.after - self.passed[way])

    def _up_to_dot(self, chunk: bytes) -> int:
        seen = self.tail + chunk
        end = seen.find(DOT)
        self.tail = DOT if end >= 0 else seen[-len(DOT) + 1 :]
        return len(chunk) if end < 0 else end + len(DOT) - (len(seen) - len(chunk))

    def _is_due(self, way: Way) -> bool:
        if way is not self.course.way:
            return False
        if self.course.after_dot:
            return self.tail == DOT
        return self.course.after is not None and self.passed[way] >= self.course.after

    async def _write(self, writer: asyncio.StreamWriter, piece: bytes) -> None:
        if self.course.octets_per_second:
            await asyncio.sleep(len(piece) / self.course.octets_per_second)
        writer.write(piece)
        await writer.drain()

    async def _come_to_it(self) -> None:
        self.over.set()
        self.proxy.faults.append(time.monotonic())
        if self.course.then is Then.RESET:
            self.reset()
        elif self.course.then is Then.CLOSE:
            self.close()
        elif self.course.then is Then.HALF_OPEN:
            self.far.close()

    def reset(self) -> None:
        for writer in (self.near, self.far):
            endpoint = writer.get_extra_info("socket")
            with contextlib.suppress(OSError):
                endpoint.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)
            writer.transport.abort()

    def close(self) -> None:
        self.far.close()
        self.near.close()


class Proxy:
    """Passes connections on to a port of loopback, each along its course."""

    def __init__(
        self,
        target_port: int,
        course: Choice = PLAIN,
        *,
        listens: bool = False,
        address: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        self.target_port, self.course, self.listens = target_port, course, listens
        self.address, self.port = address, port
        self.connections = 0
        self.seen = {Way.UP: bytearray(), Way.DOWN: bytearray()}
        self.faults: list[float] = []  # when a course came to its fault, by the monotonic clock
        self.flowing = asyncio.Event()
        self.flowing.set()
        self._links: set[_Link] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        """Listen on its port, on one of the system's choice, or on the same one as before."""
        self._server = await asyncio.start_server(self._serve, self.address, self.port)
        self.port = int(self._server.sockets[0].getsockname()[1])
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop listening and drop all connections."""
        self._server.close()
        self.break_off()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def hold(self) -> None:
        """Let nothing pass; what is connected stays so, and new connections wait."""
        self.flowing.clear()

    def let_go(self) -> None:
        self.flowing.set()

    def break_off(self) -> None:
        """Reset everything that is open now."""
        for link in list(self._links):
            link.over.set()
            link.reset()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        number, self.connections = self.connections, self.connections + 1
        course = self.course(number) if callable(self.course) else self.course
        try:
            await self.flowing.wait()
            far_reader, far = await asyncio.open_connection("127.0.0.1", self.target_port)
            await self._carry(_Link(self, course, writer, far), reader, far_reader)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            writer.transport.abort()

    async def _carry(
        self, link: _Link, reader: asyncio.StreamReader, far_reader: asyncio.StreamReader
    ) -> None:
        self._links.add(link)
        try:
            await asyncio.gather(link.pump(Way.UP, reader), link.pump(Way.DOWN, far_reader))
        finally:
            self._links.discard(link)
            link.far.transport.abort()
