# SPDX-License-Identifier: AGPL-3.0-or-later
"""The third ledger: a server that has each message on the disk before it answers 250."""

from __future__ import annotations

import asyncio
import os
import random
import re
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from math import inf
from pathlib import Path
from typing import Any

# How long after our 250 the sender may still be about to commit it.
SETTLING_SECONDS = 1.0
MARK = re.compile(rb"^Message-ID:\s*<([^>]*)>", re.MULTILINE)
# The trace header that the service puts in front names the message by its id.
QUEUE_ID = re.compile(rb"\bid ([0-9a-fA-F]{8}-[0-9a-fA-F-]{27})\b")
PATH = re.compile(rb"<(.*?)>")
MOST_REFUSALS = 4
# The route of mail that comes in where that of every organisation does.
ANY_ROUTE = -1
# What a recipient in trouble meets at a try: nothing but "try again" (RFC 5321 §4.2.1).
TROUBLES = ("rcpt", "rcpt", "data", "dot", "421")
REPLIES = {
    "rcpt": b"450 4.2.0 come back later\r\n",
    "data": b"452 4.3.1 no room now\r\n",
    "dot": b"451 4.3.0 not just now\r\n",
    "421": b"421 4.3.2 closing\r\n",
}


@dataclass(frozen=True, slots=True)
class Cut:
    """The time in which a strike could cut deliveries off."""

    since: float
    until: float


@dataclass(frozen=True, slots=True)
class Copy:
    """One message that lies at the far end, for one of its recipients."""

    mark: str
    queue_id: str
    recipient: str
    content: bytes
    begun_at: float  # its MAIL
    answered_at: float  # infinity when it never was
    route: int = 0  # which of the ports it came in by
    is_notice: bool = False  # null reverse-path (RFC 5321 §4.5.5)
    is_rebuilt: bool = False  # put together again from its pieces, by a provider

    def met(self, cut: Cut) -> bool:
        """Whether the sender could be cut off between its dot and noting our answer."""
        return self.begun_at <= cut.until and self.answered_at + SETTLING_SECONDS >= cut.since


@dataclass(slots=True)
class Arrival:
    """A message whose last dot came; `at` by the service's clock."""

    mark: str
    queue_id: str
    sender: str
    recipients: list[str]
    route: int
    host: str  # what its sender called itself
    begun_at: float
    at: float
    answered_at: float = inf
    was_kept: bool = False
    is_rebuilt: bool = False

    @property
    def name(self) -> str:
        """What tells it from others: a notice has no trace of ours, but an id of its own."""
        return self.queue_id if self.sender else self.mark

    def met(self, cut: Cut) -> bool:
        return self.begun_at <= cut.until and self.answered_at + SETTLING_SECONDS >= cut.since


class FarEnd:
    """Takes everything, a little slowly, and counts what is on its way.

    `slowest` is how many seconds it may take before a transaction and before its answer, so that
    strikes meet transactions on their way. While `trouble` (0 to 1) is not 0, so great a part of
    the recipients is turned away a few times, whatever becomes of `trouble` meanwhile.
    """

    def __init__(
        self,
        directory: Path,
        chance: random.Random,
        slowest: float = 0.08,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.directory, self.chance, self.slowest, self.now = directory, chance, slowest, now
        directory.mkdir(parents=True)
        self.trouble = 0.0
        self.deaf = False  # turns everybody away but notices
        self.arrivals: list[float] = []
        self.came: list[Arrival] = []
        self.refusals = 0
        self._left: dict[str, int] = {}  # refusals to come, by recipient
        self._servers: list[asyncio.Server] = []
        self.open = 0
        self._answered: deque[float] = deque(maxlen=1000)

    async def listen(self, talk: Callable[..., Any] | None = None, route: int | None = None) -> int:
        """Open one more port; the routes are counted from 0, unless this one is given."""
        number = len(self._servers) if route is None else route

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await (talk or _Talk)(self, number, reader, writer).run()

        server = await asyncio.start_server(serve, "127.0.0.1", 0, limit=2**20)
        self._servers.append(server)
        return int(server.sockets[0].getsockname()[1])

    def close(self) -> None:
        """Stop listening."""
        for server in self._servers:
            server.close()

    def in_flight(self) -> int:
        """Transactions begun and not answered, or answered so lately that nobody noted it yet."""
        lately = time.monotonic() - SETTLING_SECONDS
        return self.open + sum(instant > lately for instant in self._answered)

    def met_by(self, cut: Cut) -> int:
        """How many transactions of those that came to their dot a strike could cut off."""
        return sum(arrival.met(cut) for arrival in self.came)

    def copies(self) -> list[Copy]:
        """Read the ledger back from the disk, for each recipient."""
        found = []
        for path in sorted(self.directory.glob("*.eml")):
            content, came = path.read_bytes(), self.came[int(path.stem)]
            name, given = names(content)
            for recipient in came.recipients:
                where = came.begun_at, came.answered_at, came.route, not came.sender
                copy = Copy(name or path.name, given, recipient, content, *where)
                found.append(replace(copy, is_rebuilt=came.is_rebuilt))
        return found

    def turns_away(self, recipient: str, sender: str) -> str:
        """What this recipient meets this time; empty when all is well."""
        if self.deaf and sender:
            return "rcpt"
        if recipient not in self._left and self.trouble and sender:
            is_in_trouble = self.chance.random() < self.trouble
            self._left[recipient] = self.chance.randint(1, MOST_REFUSALS) if is_in_trouble else 0
        if not self._left.get(recipient):
            return ""
        self._left[recipient] -= 1
        return self.chance.choice(TROUBLES)

    def put_in_trouble(self, recipient: str, times: int) -> None:
        self._left[recipient] = times

    async def linger(self) -> None:
        await asyncio.sleep(self.chance.random() * self.slowest)

    def keep(self, number: int, content: bytes) -> None:
        with (self.directory / f"{number:06d}.eml").open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        self.arrivals.append(time.monotonic())

    async def take(self, arrival: Arrival, content: bytes, *, is_kept: bool) -> None:
        """Count what came to its end, and keep it unless it is turned away there."""
        number = len(self.came)
        self.came.append(arrival)
        if is_kept:
            arrival.was_kept = True
            self.keep(number, content)
            await self.linger()
        self.answered(arrival)

    def answered(self, arrival: Arrival) -> None:
        arrival.answered_at = time.monotonic()
        self._answered.append(arrival.answered_at)


class _Talk:
    """One connection."""

    def __init__(
        self,
        far_end: FarEnd,
        route: int,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self.far_end, self.route, self.reader, self.writer = far_end, route, reader, writer
        self.begun_at = 0.0
        self.host, self.sender, self.trouble = "", "", ""
        self.recipients: list[str] = []

    async def run(self) -> None:
        try:
            self.writer.write(b"220 far.example ESMTP\r\n")
            while line := await self.reader.readline():
                self.writer.write(await self._answer(line[:4].upper(), line))
                await self.writer.drain()
                if self.trouble == "421":
                    break
        except (OSError, EOFError):
            pass
        finally:
            self._end()
            self.writer.close()

    async def _answer(self, verb: bytes, line: bytes) -> bytes:
        if verb == b"EHLO":
            self.host = line.split()[1].decode()
            return b"250-far.example\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SMTPUTF8\r\n"
        if verb == b"MAIL":
            await self._begin(_address(line))
        if verb == b"RCPT":
            return self._recipient(_address(line))
        if verb == b"DATA":
            return await self._data()
        if verb == b"RSET":
            self._end()
        return b"221 2.0.0 bye\r\n" if verb == b"QUIT" else b"250 2.0.0 good\r\n"

    async def _begin(self, sender: str) -> None:
        self._end()
        self.begun_at, self.sender = time.monotonic(), sender
        self.far_end.open += 1
        await self.far_end.linger()

    def _end(self) -> None:
        self.far_end.open -= bool(self.begun_at)
        self.begun_at, self.sender, self.trouble, self.recipients = 0.0, "", "", []

    def _recipient(self, address: str) -> bytes:
        trouble = self.far_end.turns_away(address, self.sender)
        self.far_end.refusals += bool(trouble)
        if trouble in ("rcpt", "421"):
            self.trouble = "421" if trouble == "421" else self.trouble
            return REPLIES[trouble]
        self.trouble = trouble or self.trouble
        self.recipients.append(address)
        return b"250 2.1.5 good\r\n"

    async def _data(self) -> bytes:
        if not self.recipients:
            return b"554 5.5.1 no valid recipients\r\n"
        if self.trouble == "data":
            self._end()
            return REPLIES["data"]
        self.writer.write(b"354 go on\r\n")
        octets = await self.reader.readuntil(b"\r\n.\r\n")
        reply = await self._take(octets[:-3].replace(b"\r\n..", b"\r\n."))
        self._end()
        return reply

    async def _take(self, content: bytes) -> bytes:
        arrival = Arrival(
            *names(content),
            self.sender,
            self.recipients,
            self.route,
            self.host,
            self.begun_at,
            self.far_end.now(),
        )
        is_kept = self.trouble != "dot"
        await self.far_end.take(arrival, content, is_kept=is_kept)
        return b"250 2.0.0 good\r\n" if is_kept else REPLIES["dot"]


def names(content: bytes) -> tuple[str, str]:
    """A message's own id and the one that the service gave it; empty where there is none."""
    mark, given = MARK.search(content), QUEUE_ID.search(content)
    return mark[1].decode() if mark else "", given[1].decode().lower() if given else ""


def _address(line: bytes) -> str:
    found = PATH.search(line)
    return found[1].decode().lower() if found else ""
