# SPDX-License-Identifier: AGPL-3.0-or-later
"""The third ledger: a server that has each message on the disk before it answers 250."""

from __future__ import annotations

import asyncio
import os
import random
import re
import time
from collections import deque
from dataclasses import dataclass
from math import inf
from pathlib import Path

# How long after our 250 the sender may still be about to commit it.
SETTLING_SECONDS = 1.0
MARK = re.compile(rb"^Message-ID: <([^>]*)>", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Cut:
    """The time in which a strike could cut deliveries off."""

    since: float
    until: float


@dataclass(frozen=True, slots=True)
class Copy:
    """One message that lies at the far end."""

    mark: str
    content: bytes
    begun_at: float  # its MAIL
    answered_at: float  # infinity when it never was

    def met(self, cut: Cut) -> bool:
        """Whether the sender could be cut off between its dot and noting our answer."""
        return self.begun_at <= cut.until and self.answered_at + SETTLING_SECONDS >= cut.since


class FarEnd:
    """Takes everything, a little slowly, and counts what is on its way.

    `slowest` is how many seconds it may take before a transaction and before its answer, so that
    strikes meet transactions on their way.
    """

    def __init__(self, directory: Path, chance: random.Random, slowest: float = 0.08) -> None:
        self.directory, self.chance, self.slowest = directory, chance, slowest
        directory.mkdir(parents=True)
        self.arrivals: list[float] = []
        self._spans: list[tuple[float, float]] = []  # of each arrival: begun, answered
        self._open = 0
        self._answered: deque[float] = deque(maxlen=1000)

    async def listen(self) -> int:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=2**20)
        self._server = server
        return int(server.sockets[0].getsockname()[1])

    def in_flight(self) -> int:
        """Transactions begun and not answered, or answered so lately that nobody noted it yet."""
        lately = time.monotonic() - SETTLING_SECONDS
        return self._open + sum(instant > lately for instant in self._answered)

    def copies(self) -> list[Copy]:
        """Read the ledger back from the disk."""
        found = []
        for path in sorted(self.directory.glob("*.eml")):
            content = path.read_bytes()
            mark = MARK.search(content)
            name = mark[1].decode() if mark else path.name
            found.append(Copy(name, content, *self._spans[int(path.stem)]))
        return found

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        begun_at = 0.0
        try:
            writer.write(b"220 far.example ESMTP\r\n")
            while line := await reader.readline():
                verb = line[:4].upper()
                if verb == b"MAIL" and not begun_at:
                    begun_at = time.monotonic()
                    self._open += 1
                    await self._linger()
                if verb == b"DATA":
                    writer.write(b"354 go on\r\n")
                    await self._take(await reader.readuntil(b"\r\n.\r\n"), begun_at)
                    self._open -= 1
                    begun_at = 0.0
                writer.write(_answer(verb))
                await writer.drain()
        except (OSError, EOFError):
            pass
        finally:
            self._open -= bool(begun_at)
            writer.close()

    async def _take(self, octets: bytes, begun_at: float) -> None:
        number = len(self._spans)
        self._spans.append((begun_at, inf))
        self._keep(number, octets[:-3].replace(b"\r\n..", b"\r\n."))
        await self._linger()
        self._answered.append(time.monotonic())
        self._spans[number] = begun_at, self._answered[-1]

    async def _linger(self) -> None:
        await asyncio.sleep(self.chance.random() * self.slowest)

    def _keep(self, number: int, content: bytes) -> None:
        with (self.directory / f"{number:06d}.eml").open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        self.arrivals.append(time.monotonic())


def _answer(verb: bytes) -> bytes:
    if verb == b"EHLO":
        return b"250-far.example\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SMTPUTF8\r\n"
    return b"221 2.0.0 bye\r\n" if verb == b"QUIT" else b"250 2.0.0 good\r\n"
