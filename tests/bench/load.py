# SPDX-License-Identifier: AGPL-3.0-or-later
"""The load and the far end of a benchmark: one light SMTP client and one light sink, both asyncio.

The same client and the same sink stand on either side of whatever is measured, so their cost
weighs on both alike. The client waits for each reply, as the mail libraries of applications do.
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import ssl
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from itertools import chain
from typing import cast

LOOPBACK = "127.0.0.1"
SENDER = "hej@bench.example"
RECIPIENT = "erik@modtager.example"
MARK = b"Message-ID: <"
CAPABILITIES = b"250-sink.example\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SMTPUTF8\r\n"
HELLO = b"EHLO client.example\r\n"
# What a conversation yields instead of octets: nothing more to say, and the handshake of TLS.
EXHAUSTED, HANDSHAKE = b"", b"\0"


class LoadError(Exception):
    """The load could not be carried: a refusal, a broken connection or too long a wait."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What to send where. `seconds` bounds the whole run.

    With `rate` (messages a second) each message has its time, whatever became of those before it,
    and counts from then: a server that falls behind cannot slow its own measure down.
    """

    port: int
    messages: int
    sessions: int = 20
    octets: int = 4096
    reuse: bool
    username: str = ""
    password: str = ""
    tls: ssl.SSLContext | None = None
    server_name: str = ""
    sender: str = SENDER
    rate: float = 0.0
    seconds: float = 120.0


@dataclass(slots=True)
class Result:
    """Figures of one run; seconds from the first connection on."""

    messages: int
    accepted_seconds: float = 0.0
    delivered_seconds: float = 0.0
    duplicates: int = 0
    reply_seconds: list[float] = field(default_factory=list)
    ciphers: set[tuple[str, str]] = field(default_factory=set)  # of TLS: its version and cipher

    @property
    def rate(self) -> float:
        """Messages a second, accepted and delivered."""
        return self.messages / self.delivered_seconds


LINE = b"Due over Danmark, brevdue over fjord og sund, og hjem igen inden aften.\r\n"
TEXT = LINE * 100


def compose(mark: str, octets: int, sender: str = SENDER) -> bytes:
    """A message of exactly this size, and after it the dot that ends DATA (RFC 5321 §4.1.1.4)."""
    head = (
        f"From: Hej <{sender}>\r\nTo: Erik <{RECIPIENT}>\r\nSubject: Faktura\r\n"
        f"Date: Fri, 20 Nov 2026 12:00:00 +0000\r\nMessage-ID: <{mark}>\r\n\r\n"
    ).encode()
    room = octets - len(head) - 2
    return head + TEXT[:room].rstrip().ljust(room, b"x") + b"\r\n.\r\n"


Conversation = Generator[tuple[bytes, bytes], None, None]


def conversation(load: Load, numbers: Iterator[int], run: str) -> Conversation:
    """Yield (expected reply, next octets to send) for one connection."""
    yield b"220", HELLO
    if load.tls:
        yield b"250", b"STARTTLS\r\n"
        yield b"220", HANDSHAKE
        yield b"", HELLO
    if load.username:
        secret = base64.b64encode(f"\0{load.username}\0{load.password}".encode())
        yield b"250", b"AUTH PLAIN " + secret + b"\r\n"
    ready = b"235" if load.username else b"250"
    for number in numbers:
        yield ready, f"MAIL FROM:<{load.sender}>\r\n".encode()
        yield b"250", f"RCPT TO:<{RECIPIENT}>\r\n".encode()
        yield b"250", b"DATA\r\n"
        yield b"354", compose(f"{run}.{number}@bench.example", load.octets, load.sender)
        ready = b"250"
        if not load.reuse:
            break
    yield ready, b"QUIT\r\n"
    yield b"221", EXHAUSTED


class Client(asyncio.Protocol):
    """One connection that follows a conversation; `done` gets what went wrong, or None."""

    def __init__(self, load: Load, script: Conversation, result: Result) -> None:
        self.load, self.script, self.result = load, script, result
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.expected, self.octets = next(script)
        self.reply = b""
        self.in_content = False
        self.sent_at = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self.reply += data
        # The last line of a reply has a space after its code (RFC 5321 §4.2.1).
        if not self.reply.endswith(b"\n") or self.reply[self.reply.rfind(b"\n", 0, -1) + 4] != 32:
            return
        reply, self.reply = self.reply, b""
        if not reply.startswith(self.expected):
            self._leave(LoadError(f"expected {self.expected!r}, got {reply!r}"))
            return
        if self.in_content:
            self.result.reply_seconds.append(time.perf_counter() - self.sent_at)
        self._say()

    def _say(self) -> None:
        self.in_content = self.expected == b"354"
        self.sent_at = time.perf_counter()
        octets = self.octets
        if octets is EXHAUSTED:
            self._leave(None)
            return
        if octets is HANDSHAKE:
            self.handshake = asyncio.create_task(self._encrypt())
        else:
            self.transport.write(octets)
        self.expected, self.octets = next(self.script)

    async def _encrypt(self) -> None:
        """Shake hands, in full for each connection, and go on with the conversation (RFC 3207)."""
        assert self.load.tls is not None
        try:
            transport = await asyncio.get_running_loop().start_tls(
                self.transport, self, self.load.tls, server_hostname=self.load.server_name
            )
        except OSError as problem:
            self._leave(LoadError(f"no TLS ({type(problem).__name__})"))
            return
        assert transport is not None
        self.transport = transport
        name, version, _ = transport.get_extra_info("cipher")
        self.result.ciphers.add((version, name))
        self._say()

    def connection_lost(self, problem: Exception | None) -> None:
        self._leave(LoadError("the server closed the connection"))

    def _leave(self, problem: LoadError | None) -> None:
        if not self.done.done():
            if problem:
                self.done.set_exception(problem)
            else:
                self.done.set_result(None)
            self.transport.close()


class PacedClient(Client):
    """A client whose messages have their time: `ticks` numbers those of all connections."""

    def __init__(
        self, load: Load, script: Conversation, result: Result, begun: float, ticks: Iterator[int]
    ) -> None:
        super().__init__(load, script, result)
        self.begun, self.ticks, self.due = begun, ticks, 0.0

    def _say(self) -> None:
        if self.octets.startswith(b"MAIL "):
            self.due = self.begun + next(self.ticks) / self.load.rate
            wait = self.due - time.perf_counter()
            if wait > 0:
                asyncio.get_running_loop().call_later(wait, super()._say)
                return
        super()._say()
        if self.in_content:
            self.sent_at = self.due


class Sink:
    """The far end: takes every message, remembers which marks it saw and when it saw the last."""

    def __init__(self) -> None:
        self.seen: set[bytes] = set()
        self.duplicates = 0
        self.wanted = 0
        self.complete: asyncio.Future[float] | None = None

    async def listen(self) -> int:
        """Start listening on loopback; returns the port."""
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: SinkConnection(self), LOOPBACK, 0, backlog=1000)
        return int(server.sockets[0].getsockname()[1])

    def expect(self, messages: int) -> asyncio.Future[float]:
        """Forget what was seen; the future gets the instant at which so many have come."""
        self.seen.clear()
        self.duplicates, self.wanted = 0, messages
        self.complete = asyncio.get_running_loop().create_future()
        return self.complete

    def take(self, content: bytes) -> None:
        start = content.index(MARK) + len(MARK)
        mark = content[start : content.index(b">", start)]
        self.duplicates += mark in self.seen
        self.seen.add(mark)
        if len(self.seen) >= self.wanted and self.complete and not self.complete.done():
            self.complete.set_result(time.perf_counter())


class SinkConnection(asyncio.Protocol):
    """As little of an SMTP server as a correct client needs; commands may come in batches."""

    def __init__(self, sink: Sink) -> None:
        self.sink = sink
        self.waiting = b""
        self.in_content = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.write(b"220 sink.example ESMTP\r\n")

    def data_received(self, data: bytes) -> None:
        self.waiting += data
        replies = []
        while (reply := self._step()) is not None:
            replies.append(reply)
        if replies:
            self.transport.write(b"".join(replies))
        if replies and replies[-1].startswith(b"221"):
            self.transport.close()

    def _step(self) -> bytes | None:
        """The reply to the next command or content; None when more octets are needed."""
        content, end, rest = self.waiting.partition(b"\r\n.\r\n" if self.in_content else b"\r\n")
        if not end:
            return None
        self.waiting = rest
        if self.in_content:
            self.in_content = False
            self.sink.take(content)
            return b"250 2.0.0 taken\r\n"
        return self._answer(content[:4].upper())

    def _answer(self, verb: bytes) -> bytes:
        if verb == b"DATA":
            self.in_content = True
            return b"354 go on\r\n"
        if verb == b"EHLO":
            return CAPABILITIES
        return b"221 2.0.0 bye\r\n" if verb == b"QUIT" else b"250 2.1.0 good\r\n"


async def carry(load: Load, sink: Sink, run: str) -> Result:
    """Send the load through the server at its port and wait until the sink has all of it."""
    complete = sink.expect(load.messages)
    begun = time.perf_counter()
    async with asyncio.timeout(load.seconds):
        result = await submit(load, run)
        result.delivered_seconds = await complete - begun
    result.duplicates = sink.duplicates
    return result


async def submit(load: Load, run: str) -> Result:
    """Send the load and wait until all of it is taken, not until it is delivered."""
    result = Result(load.messages)
    numbers = iter(range(load.messages))
    begun = time.perf_counter()
    ticks = itertools.count()

    def client(first: int) -> Client:
        script = conversation(load, chain([first], numbers), run)
        if load.rate:
            return PacedClient(load, script, result, begun, ticks)
        return Client(load, script, result)

    async with asyncio.TaskGroup() as sessions:
        for _ in range(load.sessions):
            sessions.create_task(_session(load.port, numbers, client))
    result.accepted_seconds = time.perf_counter() - begun
    return result


async def _session(port: int, numbers: Iterator[int], client: Callable[[int], Client]) -> None:
    loop = asyncio.get_running_loop()
    for first in numbers:
        one = client(first)
        await loop.create_connection(lambda one=one: one, LOOPBACK, port)  # type: ignore[misc]
        try:
            await one.done
        finally:
            one.transport.close()
