# SPDX-License-Identifier: AGPL-3.0-or-later
"""Connections at once per next hop, over all shifts on all hosts: session locks of the database.

A permit is one advisory lock, taken before a connection is opened and kept as long as it is: a
message that finds a kept connection costs nothing here, and a process that dies leaves no permit
behind. A lost session loses its permits; they are taken again before any new one.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any
from uuid import UUID

import psycopg

from relay.queue import HotConnection
from relay.transports import Permit

# Numbers of one hop; a route may have fewer connections (relay/forms/routes.py).
NUMBERS = 64
# Open connections of one shift: a lock of the database's shared table each, and a file here.
MOST = 400
LOOK_SECONDS = 1.0
RETRY_SECONDS = 0.3
CHANNEL = "relay_permits"

# Rows come one by one, so no more than one lock is taken. A lock that this session has would be
# given to it once more: held numbers are never among those tried.
TRY = "SELECT n FROM unnest(%(numbers)s::bigint[]) n WHERE pg_try_advisory_lock(n) LIMIT 1"
TRY_ALL = "SELECT n FROM unnest(%(numbers)s::bigint[]) n WHERE pg_try_advisory_lock(n)"
GIVE = "SELECT pg_advisory_unlock(%s::bigint)"
IN_VAIN = f"SELECT pg_notify('{CHANNEL}', %s)"

Session = psycopg.AsyncConnection[Any]
_AWAY = (psycopg.OperationalError, psycopg.InterfaceError, OSError)


class Permits:
    """The permits of one shift. Whoever asks waits for a database that is away."""

    def __init__(
        self,
        dsn: str,
        *,
        wanted: Callable[[UUID], None] = lambda hop: None,
        crowded: Callable[[], None] = lambda: None,
    ) -> None:
        """`wanted`: another shift asked for one of a hop in vain; `crowded`: MOST are held."""
        self._connection = HotConnection(dsn)
        self._session: Session | None = None  # the one that holds the permits
        self._held: dict[int, Permit] = {}
        self._one_at_a_time = asyncio.Lock()
        self._leaving = False
        self.wanted = wanted
        self.crowded = crowded

    async def take(self, hop: UUID, most: int) -> Permit | None:
        """Return one of a hop's `most` permits, None when others have them. Raises psycopg.Error.

        In vain, the other shifts are asked to give up what they do not use.
        """
        if len(self._held) >= MOST:
            self.crowded()
            return None
        while not self._leaving:
            try:
                async with self._one_session() as session:
                    return await self._take(session, hop, most)
            except _AWAY:
                await asyncio.sleep(RETRY_SECONDS)
        return None

    async def _take(self, session: Session, hop: UUID, most: int) -> Permit | None:
        first = _first(hop)
        numbers = [n for n in range(first, first + min(most, NUMBERS)) if n not in self._held]
        cursor = await session.execute(TRY, {"numbers": numbers})
        row = await cursor.fetchone()
        if row is None:
            await session.execute(IN_VAIN, [str(hop)])
            return None
        permit = self._held[row[0]] = Permit(row[0])
        return permit

    async def give(self, permit: Permit) -> None:
        """Give a permit back; with the database away, it is gone already."""
        if self._leaving:
            return
        try:
            async with self._one_session() as session:
                if self._held.get(permit.number) is permit:
                    await session.execute(GIVE, [permit.number])
        except _AWAY:
            return
        finally:
            if self._held.get(permit.number) is permit:
                del self._held[permit.number]

    async def keep(self) -> None:
        """Notice a lost session, and who asks in vain, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            if self._held:
                with suppress(*_AWAY):
                    async with self._one_session() as session:
                        await session.execute("SELECT 1")

    def leave(self) -> None:
        """Take no more, and give back nothing one by one: all goes with the session."""
        self._leaving = True

    async def close(self) -> None:
        """Give everything back: the locks go with the session."""
        await self._connection.close()

    @asynccontextmanager
    async def _one_session(self) -> AsyncIterator[Session]:
        async with self._one_at_a_time, self._connection.use() as session:
            if session is not self._session:
                await self._begin(session)
                self._session = session
            yield session

    async def _begin(self, session: Session) -> None:
        """Take again what an earlier session had, as far as nobody else has it by now."""
        session.add_notify_handler(lambda notify: self.wanted(UUID(notify.payload)))
        await session.execute(f"LISTEN {CHANNEL}")
        cursor = await session.execute(TRY_ALL, {"numbers": list(self._held)})
        again = {row[0] for row in await cursor.fetchall()}
        for number in self._held.keys() - again:
            self._held.pop(number).is_lost = True


def _first(hop: UUID) -> int:
    """Return the first of a hop's numbers, as a signed bigint; ids are random."""
    return (hop.int >> 70) * NUMBERS - 2**63
