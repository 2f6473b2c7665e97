# SPDX-License-Identifier: AGPL-3.0-or-later
"""A shift's desk: hands out leased mail and takes back what became of it, one commit at a time.

Claims, dot marks, renewals, settlements and releases that came in since the last commit go
together in one pipelined transaction. The statements are in relay/queue.py.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import psycopg

from accounts import alerts
from accounts.vault import HourKey, VaultError
from relay import queue
from relay.batching import GroupCommit
from relay.connection import CONNECT_SECONDS, HotConnection
from relay.entries import Accepted, Leased, Settlement, Work
from relay.queue import Clock
from relay.sealing import Sealer

logger = logging.getLogger(__name__)

MOST = 1000
RETRY_SECONDS = 0.5


class DeskFault(Exception):
    """The database refused this one item; names the SQLSTATE, never a value."""


class LeaseLost(Exception):
    """The lease ran out and somebody else has the delivery: nothing more may be sent for it."""


class _KeyClosed(Exception):
    """The hour key was closed in between; the transaction starts again under another."""


@dataclass(frozen=True, slots=True)
class Claim:
    limit: int
    crowded: tuple[UUID, ...] = ()


@dataclass(frozen=True, slots=True)
class Mark:
    leases: tuple[Leased, ...]


@dataclass(frozen=True, slots=True)
class Renew:
    leases: tuple[Leased, ...]


@dataclass(frozen=True, slots=True)
class Release:
    leases: tuple[Leased, ...]
    due_at: datetime | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Settle:
    """Settlements of one message, and the notice to its sender that they bring about."""

    work: Work
    settlements: tuple[Settlement, ...]
    notice: Accepted | None = None


@dataclass(frozen=True, slots=True)
class Read:
    message_id: UUID


@dataclass(frozen=True, slots=True)
class Learn:
    """Asks for nothing in the transaction: the keys are read before it."""

    organisations: tuple[UUID, ...]


Slip = Claim | Mark | Renew | Release | Settle | Read | Learn
Connection = psycopg.AsyncConnection[Any]
Cursor = psycopg.AsyncCursor[Any]


class Desk:
    """What one shift does with the queue; `owner` is the name on its leases.

    Every call waits for its commit, also while the database is away: what was sent must be
    settled, however late, and the fence decides whether it still counts.
    """

    def __init__(self, dsn: str, sealer: Sealer, now: Clock) -> None:
        self.owner = uuid4()
        self._connection = HotConnection(dsn)
        self._dsn = dsn
        self._alerted: dict[tuple[str, str], datetime] = {}
        self._sealer = sealer
        self._now = now
        self._leaving = False
        self._registered = ""
        self._group = GroupCommit[Slip](self._write, most=MOST)

    async def start(self) -> None:
        self._group.start()

    async def stop(self) -> None:
        """Write what waits, then close; gives up on a database that is away."""
        self._leaving = True
        await self._group.stop()
        await self._connection.close()

    async def claim(self, limit: int, crowded: tuple[UUID, ...] = ()) -> list[Work]:
        """Lease up to `limit` due deliveries, none of the organisations in `crowded`."""
        return queue.works(await self._group.submit(Claim(limit, crowded)))

    async def mark_dots(self, leases: tuple[Leased, ...]) -> None:
        """Return once the mark is committed. Raises LeaseLost: then the dot must not leave."""
        held = await self._group.submit(Mark(leases))
        if not all(lease.id in held for lease in leases):
            raise LeaseLost

    async def renew(self, leases: tuple[Leased, ...]) -> frozenset[int]:
        """Keep the leases; returns the ids of those still held."""
        held: frozenset[int] = await self._group.submit(Renew(leases))
        return held

    async def release(
        self, leases: tuple[Leased, ...], due_at: datetime | None = None, reason: str | None = None
    ) -> None:
        """Hand unsent work back without counting a try."""
        await self._group.submit(Release(leases, due_at, reason))

    async def settle(
        self, work: Work, settlements: tuple[Settlement, ...], notice: Accepted | None = None
    ) -> frozenset[int]:
        """Write what became of deliveries; returns the ids of those that were still held.

        The notice to the sender is stored in the same commit, when any of them was.
        """
        settle = self._group.submit(Settle(work, settlements, notice))
        # What was sent is settled even when whoever sent it is cut off.
        held: frozenset[int] = await asyncio.shield(settle)
        return held

    async def content(self, message_id: UUID) -> bytes | None:
        """Return the sealed bytes of a message that came without them, None when they are gone."""
        rows = await self._group.submit(Read(message_id))
        return bytes(rows[0][0]) if rows else None

    async def learn(self, organisations: set[UUID]) -> None:
        """Have the sealer read the keys of these organisations."""
        await self._group.submit(Learn(tuple(organisations)))

    async def alert(self, kind: str, subject: str) -> None:
        """Tell the operator, once a minute for each subject; that telling may fail as well."""
        now, last = self._now(), self._alerted.get((kind, subject))
        if last and now - last < queue.ALERT_AGAIN:
            return
        self._alerted[kind, subject] = now
        # On a connection of its own: a mail that cannot be sealed must not take the batch along.
        with suppress(psycopg.Error, OSError, VaultError):
            async with await psycopg.AsyncConnection.connect(
                self._dsn, autocommit=True, connect_timeout=CONNECT_SECONDS
            ) as connection:
                await alerts.raise_alert_on(connection, kind, subject)

    async def _write(self, slips: Sequence[Slip]) -> list[Any]:
        while True:
            try:
                return await self._commit(slips)
            except (psycopg.OperationalError, psycopg.InterfaceError, OSError) as fault:
                # Nothing is known of the last try, and all of it may safely be written again:
                # the fence lets a settlement count once, and a lost claim runs out by itself.
                logger.warning("desk: the database is away (%s)", type(fault).__name__)
                if self._leaving:
                    return [DeskFault(type(fault).__name__)] * len(slips)
                await asyncio.sleep(RETRY_SECONDS)
            except psycopg.Error as fault:
                if len(slips) == 1:
                    logger.error("desk: refused (%s)", fault.sqlstate)
                    return [DeskFault(str(fault.sqlstate))]
                # One that cannot be written must not take its neighbours along.
                return [(await self._write([slip]))[0] for slip in slips]

    async def _commit(self, slips: Sequence[Slip]) -> list[Any]:
        closed = ""
        while True:
            try:
                return await self._transact(slips, closed)
            except _KeyClosed as fault:
                closed = fault.args[0]

    async def _transact(self, slips: Sequence[Slip], closed: str) -> list[Any]:
        now = self._now()
        async with self._connection.use() as connection:
            hour_key = await self._prepare(connection, slips, now, closed)
            async with connection.pipeline(), connection.transaction():
                cursors = await self._execute(connection, slips, now)
                held: dict[type[Any], frozenset[int]] = {}
                if hour_key:
                    held[Settle] = _ids(await cursors.pop(Settle).fetchall())
                    await self._store_notices(connection, slips, held[Settle], hour_key)
                own = [await self._own(connection, slip, now) for slip in slips]
            held |= {kind: _ids(await cursor.fetchall()) for kind, cursor in cursors.items()}
            return [
                await cursor.fetchall() if cursor else held.get(type(slip))
                for slip, cursor in zip(slips, own, strict=True)
            ]

    async def _execute(
        self, connection: Connection, slips: Sequence[Slip], now: datetime
    ) -> dict[type[Any], Cursor]:
        """Run the statements that take a whole batch; each gives the ids still held."""
        cursors: dict[type[Any], Cursor] = {}
        renewed = [lease for slip in slips if isinstance(slip, Renew) for lease in slip.leases]
        if renewed:
            cursors[Renew] = await queue.renew(connection, self.owner, renewed, now)
        marked = [lease for slip in slips if isinstance(slip, Mark) for lease in slip.leases]
        if marked:
            cursors[Mark] = await queue.mark_dots(connection, self.owner, marked, now)
        settled = [(s.work, one) for s in slips if isinstance(s, Settle) for one in s.settlements]
        if settled:
            cursors[Settle] = await queue.settle(connection, self.owner, settled, now)
        back = [
            (lease, slip.due_at, slip.reason)
            for slip in slips
            if isinstance(slip, Release)
            for lease in slip.leases
        ]
        if back:
            cursors[Release] = await queue.release(connection, self.owner, back)
        return cursors

    async def _own(self, connection: Connection, slip: Slip, now: datetime) -> Cursor | None:
        """Run the statements that belong to one slip, after all others."""
        if isinstance(slip, Claim):
            return await queue.claim(connection, self.owner, slip.limit, now, slip.crowded)
        if isinstance(slip, Read):
            return await queue.content(connection, slip.message_id)
        return None

    async def _prepare(
        self, connection: Connection, slips: Sequence[Slip], now: datetime, closed: str
    ) -> HourKey | None:
        """Read the keys that are asked for; returns the one to seal notices under, if any."""
        wanted = {i for slip in slips if isinstance(slip, Learn) for i in slip.organisations}
        noticed = {s.notice.organisation_id for s in slips if isinstance(s, Settle) and s.notice}
        if wanted or noticed:
            await queue.learn_organisations(connection, self._sealer, wanted | noticed, now)
        if not noticed:
            return None
        hour_key = self._sealer.hour_key(now, closed=closed)
        if hour_key.id != self._registered:
            await queue.register_hour_key(connection, hour_key.id)
            self._registered = hour_key.id
        return hour_key

    async def _store_notices(
        self,
        connection: Connection,
        slips: Sequence[Slip],
        held: frozenset[int],
        hour_key: HourKey,
    ) -> None:
        """Store the notices of settlements that count; a late worker's notice does not."""
        notices = [
            slip.notice
            for slip in slips
            if isinstance(slip, Settle)
            and slip.notice
            and any(settlement.delivery.id in held for settlement in slip.settlements)
            and self._sealer.knows(slip.notice.organisation_id)
        ]
        sealed = [self._sealer.seal_for_store(notice, hour_key) for notice in notices]
        if sealed and not await queue.store(connection, hour_key.id, sealed):
            raise _KeyClosed(hour_key.id)


def _ids(rows: Sequence[Any]) -> frozenset[int]:
    return frozenset(row[0] for row in rows)
