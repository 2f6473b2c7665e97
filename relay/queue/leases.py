# SPDX-License-Identifier: AGPL-3.0-or-later
"""What a shift leases: mail handed out, and taken back with what became of it, by commits.

Claims, dot marks, renewals, settlements and releases that came in since the last commit go
together in one pipelined transaction. The statements are in modules of their own.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import psycopg
from psycopg.errors import DeadlockDetected, QueryCanceled

from accounts import alerts
from accounts.vault import HourKey, VaultError
from relay.queue import delays, settling, statements, storing
from relay.queue.batching import GroupCommit
from relay.queue.connection import CONNECT_SECONDS, Connection, HotConnection, Now
from relay.queue.entries import Accepted, Ask, Claimed, Leased, Settlement, Work
from relay.queue.sealing import Sealer
from relay.queue.store import ALERT_AGAIN, learn_organisations
from relay.queue.storing import a_part

logger = logging.getLogger(__name__)

MOST = 1000
RETRY_SECONDS = 0.5
DEADLOCKS = 3
# Settlements go together, as no connection waits for them. Until then a crash repeats the mail.
SETTLE_SECONDS = 0.02
SETTLE_ENOUGH = 100


class Refused(Exception):
    """This one item cannot be written; names the SQLSTATE, if any, and never a value."""


class TookTooLong(Refused):
    """The database cancelled the statement, most often for a lock; says nothing of the item."""


class LeaseLost(Exception):
    """A lease ran out, or its delivery was cancelled: nothing more may be sent under it."""


class _KeyClosed(Exception):
    """The hour key was closed in between; the transaction starts again under another."""


@dataclass(frozen=True, slots=True)
class Claim:
    ask: Ask


@dataclass(frozen=True, slots=True)
class PutOff:
    held: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class PutOffNext:
    ask: Ask


@dataclass(frozen=True, slots=True)
class Mark:
    leases: tuple[Leased, ...]


@dataclass(frozen=True, slots=True)
class Renew:
    leases: tuple[Leased, ...]


@dataclass(frozen=True, slots=True)
class Begin:
    leases: tuple[Leased, ...]


@dataclass(frozen=True, slots=True)
class Strike:
    struck: tuple[tuple[Leased, datetime, str | None], ...]


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
class Delayed:
    """Claims what its sender is to be told of."""


@dataclass(frozen=True, slots=True)
class Read:
    message_id: UUID


@dataclass(frozen=True, slots=True)
class Learn:
    """Asks for nothing in the transaction: the keys are read before it."""

    organisations: tuple[UUID, ...]


Item = (
    Claim
    | PutOff
    | PutOffNext
    | Mark
    | Renew
    | Begin
    | Strike
    | Release
    | Settle
    | Read
    | Delayed
    | Learn
)
Cursor = psycopg.AsyncCursor[Any]
# One statement for all of a batch.
_BATCHED: frozenset[type[Any]] = frozenset({Mark, Renew, Begin, Strike, Release})


class Leases:
    """What one shift does with the queue; `owner` is the name on its leases.

    Every call waits for its commit, also while the database is away: what was sent must be
    settled, however late, and the fence decides whether it still counts.
    """

    def __init__(self, dsn: str, sealer: Sealer, now: Now) -> None:
        self.owner = uuid4()
        self._connection = HotConnection(dsn)
        self._dsn = dsn
        self._alerted: dict[tuple[str, str], datetime] = {}
        self._sealer = sealer
        self._now = now
        self._leaving = False
        self._cut_off: list[asyncio.Future[Any]] = []
        self._registered = ""
        self._part = a_part()
        self._group = GroupCommit[Item](
            self._write, most=MOST, patience=SETTLE_SECONDS, enough=SETTLE_ENOUGH
        )

    async def start(self) -> None:
        self._group.start()

    def leave(self) -> None:
        """Give up on a database that is away: what is not written runs out with its lease."""
        self._leaving = True

    async def stop(self) -> None:
        """Write what waits, then close."""
        self.leave()
        await self._give_back_cut_off()
        await self._group.stop()
        await self._connection.close()

    async def claim(self, ask: Ask) -> Claimed:
        """Lease due deliveries. Raises Refused when one of them cannot even be read."""
        found: Claimed = await self._handed_out(Claim(ask))
        return found

    async def put_off(self, held: tuple[tuple[int, int], ...]) -> None:
        """Strike leased rows that cannot be read, by id and fence. Raises Refused."""
        await self._group.submit(PutOff(held))

    async def put_off_next(self, ask: Ask) -> None:
        """Strike, unread, what a claim would give. Raises Refused."""
        await self._group.submit(PutOffNext(ask))

    async def delayed(self) -> list[Work]:
        """Lease mail whose senders are to be told of the delay, without its content."""
        found: list[Work] = await self._handed_out(Delayed())
        return found

    async def _handed_out(self, item: Claim | Delayed) -> Any:
        claim = self._group.submit(item)
        try:
            return await asyncio.shield(claim)
        except asyncio.CancelledError:
            # It may be written already, and what nobody has in hand would run out with its lease.
            self._cut_off.append(claim)
            raise

    async def _give_back_cut_off(self) -> None:
        for claim in self._cut_off:
            with suppress(Refused):
                found = await claim
                works = found.works if isinstance(found, Claimed) else found
                self.give_back(tuple(lease for work in works for lease in work.deliveries))

    async def mark_dots(self, leases: tuple[Leased, ...]) -> None:
        """Return once the mark is committed for all of them. Raises LeaseLost: then for none.

        A cancelled delivery counts as lost. After LeaseLost the dot must not leave.
        """
        held = await self._group.submit(Mark(leases))
        if not all(lease.id in held for lease in leases):
            raise LeaseLost

    async def renew(self, leases: tuple[Leased, ...]) -> frozenset[int]:
        """Keep the leases; returns the ids of those still held."""
        held: frozenset[int] = await self._group.submit(Renew(leases))
        return held

    async def begin(self, leases: tuple[Leased, ...]) -> None:
        """Return once it is committed that these suspects are being carried. Raises LeaseLost."""
        held = await self._group.submit(Begin(leases))
        if not all(lease.id in held for lease in leases):
            raise LeaseLost

    async def strike(self, struck: tuple[tuple[Leased, datetime, str | None], ...]) -> None:
        """Hand back what this service failed at: when each is due, and its reason when new."""
        await self._group.submit(Strike(struck))

    async def release(
        self, leases: tuple[Leased, ...], due_at: datetime | None = None, reason: str | None = None
    ) -> None:
        """Hand unsent work back without counting a try."""
        await self._group.submit(Release(leases, due_at, reason))

    def give_back(self, leases: tuple[Leased, ...]) -> None:
        """Hand unsent work back with the next commit, and do not wait for it."""
        self._group.submit(Release(leases))

    async def settle(
        self, work: Work, settlements: tuple[Settlement, ...], notice: Accepted | None = None
    ) -> frozenset[int]:
        """Write what became of deliveries; returns the ids of those that were still held.

        The notice to the sender is stored in the same commit, when any of them was. Raises
        Refused when it cannot be stored, and then nothing is written.
        """
        settle = self._group.submit(Settle(work, settlements, notice), patient=True)
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
        if last and now - last < ALERT_AGAIN:
            return
        self._alerted[kind, subject] = now
        # On a connection of its own: a mail that cannot be sealed must not take the batch along.
        with suppress(psycopg.Error, OSError, VaultError):
            async with await psycopg.AsyncConnection.connect(
                self._dsn, autocommit=True, connect_timeout=CONNECT_SECONDS
            ) as connection:
                await alerts.raise_alert_on(connection, kind, subject)

    async def _write(self, items: Sequence[Item]) -> list[Any]:
        deadlocks = 0
        while True:
            try:
                return await self._commit(items)
            except DeadlockDetected as fault:
                # Whoever it was goes on now, so that the same batch mostly comes through.
                deadlocks += 1
                if deadlocks >= DEADLOCKS:
                    return await self._one_by_one(items, fault)
            except QueryCanceled as fault:
                # The database is there: somebody holds what one of the items waits for.
                return await self._one_by_one(items, fault)
            except (psycopg.OperationalError, psycopg.InterfaceError, OSError) as fault:
                # Nothing is known of the last try, and nearly all may safely be written again:
                # the fence lets a settlement count once, and a lost claim runs out by itself.
                logger.warning("leases: the database is away (%s)", type(fault).__name__)
                if self._leaving:
                    return [Refused(type(fault).__name__)] * len(items)
                await asyncio.sleep(RETRY_SECONDS)
                if any(isinstance(item, PutOffNext) for item in items):
                    return await self._write_but_put_off(items)
            except psycopg.Error as fault:
                return await self._one_by_one(items, fault)

    async def _one_by_one(self, items: Sequence[Item], fault: psycopg.Error) -> list[Any]:
        if len(items) > 1:
            # One that cannot be written must not take its neighbours along.
            return [(await self._write([item]))[0] for item in items]
        logger.error("leases: refused (%s)", fault.sqlstate)
        is_late = isinstance(fault, QueryCanceled)
        return [(TookTooLong if is_late else Refused)(str(fault.sqlstate))]

    async def _write_but_put_off(self, items: Sequence[Item]) -> list[Any]:
        """Write again without what has no fence: done twice, it would strike the mail behind.

        The next claim shows whether it was done.
        """
        again = [item for item in items if not isinstance(item, PutOffNext)]
        written = iter(await self._write(again) if again else ())
        return [Refused() if isinstance(item, PutOffNext) else next(written) for item in items]

    async def _commit(self, items: Sequence[Item]) -> list[Any]:
        closed = ""
        while True:
            # Before the transaction: a disk that is full is no database that is away.
            hour_key = self._hour_key(items, closed)
            try:
                return await self._transact(items, hour_key)
            except _KeyClosed as fault:
                closed = fault.args[0]

    def _hour_key(self, items: Sequence[Item], closed: str) -> HourKey | None:
        """Return the key to seal notices under; None without notices, or when none can be made."""
        if not any(isinstance(item, Settle) and item.notice for item in items):
            return None
        try:
            return self._sealer.hour_key(self._now(), closed=closed)
        except (OSError, VaultError) as fault:
            logger.error("leases: no hour key for notices (%s)", type(fault).__name__)
            return None

    async def _transact(self, items: Sequence[Item], hour_key: HourKey | None) -> list[Any]:
        now = self._now()
        async with self._connection.use() as connection:
            await self._prepare(connection, items, now, hour_key)
            fit = [self._can_store(item, hour_key) for item in items]
            ready = [item for item, is_fit in zip(items, fit, strict=True) if is_fit]
            async with _together(connection, ready, hour_key):
                cursors = await self._execute(connection, ready, now)
                held: dict[type[Any], frozenset[int]] = {}
                if hour_key and Settle in cursors:
                    held[Settle] = _ids(await cursors.pop(Settle).fetchall())
                    await self._store_notices(connection, ready, held[Settle], hour_key)
                own = [await self._own(connection, item, now) for item in items]
            held |= {kind: _ids(await cursor.fetchall()) for kind, cursor in cursors.items()}
            return [
                await _result(item, cursor)
                if cursor
                else held.get(type(item))
                if is_fit
                else Refused()
                for item, is_fit, cursor in zip(items, fit, own, strict=True)
            ]

    def _can_store(self, item: Item, hour_key: HourKey | None) -> bool:
        """Whether the keys are there for what the item brings along."""
        if not isinstance(item, Settle) or item.notice is None:
            return True
        return hour_key is not None and self._sealer.knows(item.notice.organisation_id)

    async def _execute(
        self, connection: Connection, items: Sequence[Item], now: datetime
    ) -> dict[type[Any], Cursor]:
        """Run the statements that take a whole batch; each gives the ids still held."""
        cursors: dict[type[Any], Cursor] = {}
        renewed = [lease for item in items if isinstance(item, Renew) for lease in item.leases]
        if renewed:
            cursors[Renew] = await statements.renew(connection, self.owner, renewed, now)
        marked = [item.leases for item in items if isinstance(item, Mark)]
        if marked:
            cursors[Mark] = await statements.mark_dots(connection, self.owner, marked, now)
        settled = [(s.work, one) for s in items if isinstance(s, Settle) for one in s.settlements]
        if settled:
            cursors[Settle] = await settling.settle(
                connection, self.owner, settled, now, self._part
            )
        begun = [lease for item in items if isinstance(item, Begin) for lease in item.leases]
        if begun:
            cursors[Begin] = await statements.begin(connection, self.owner, begun, now)
        struck = [one for item in items if isinstance(item, Strike) for one in item.struck]
        if struck:
            cursors[Strike] = await statements.strike(connection, self.owner, struck)
        freed = [item for item in items if isinstance(item, Release)]
        back = [(lease, item.due_at, item.reason) for item in freed for lease in item.leases]
        if back:
            cursors[Release] = await statements.release(connection, self.owner, back)
        return cursors

    async def _own(self, connection: Connection, item: Item, now: datetime) -> Cursor | None:
        """Run the statements that belong to one item, after all others."""
        if isinstance(item, Claim):
            return await statements.claim(connection, self.owner, item.ask, now)
        if isinstance(item, PutOff):
            return await statements.put_off(connection, self.owner, item.held, now)
        if isinstance(item, PutOffNext):
            return await statements.put_off_next(connection, item.ask, now)
        if isinstance(item, Delayed):
            return await delays.delayed(connection, self.owner, now)
        if isinstance(item, Read):
            return await statements.content(connection, item.message_id)
        return None

    async def _prepare(
        self,
        connection: Connection,
        items: Sequence[Item],
        now: datetime,
        hour_key: HourKey | None,
    ) -> None:
        """Read the keys that are asked for, and commit the row of the one that seals notices."""
        wanted = {i for item in items if isinstance(item, Learn) for i in item.organisations}
        noticed = {s.notice.organisation_id for s in items if isinstance(s, Settle) and s.notice}
        if wanted or noticed:
            await learn_organisations(connection, self._sealer, wanted | noticed, now)
        if hour_key and hour_key.id != self._registered:
            await statements.register_hour_key(connection, hour_key.id)
            self._registered = hour_key.id

    async def _store_notices(
        self,
        connection: Connection,
        items: Sequence[Item],
        held: frozenset[int],
        hour_key: HourKey,
    ) -> None:
        """Store the notices of settlements that count; a late worker's notice does not."""
        notices = [
            item.notice
            for item in items
            if isinstance(item, Settle)
            and item.notice
            and any(settlement.delivery.id in held for settlement in item.settlements)
        ]
        sealed = [self._sealer.seal_for_store(notice, hour_key) for notice in notices]
        if sealed and not await storing.store(connection, hour_key.id, sealed, self._part):
            raise _KeyClosed(hour_key.id)


@asynccontextmanager
async def _together(
    connection: Connection, items: Sequence[Item], hour_key: HourKey | None
) -> AsyncIterator[None]:
    """Send the statements of a batch as one transaction, with as few words as that takes."""
    kinds = {type(item) for item in items}
    is_one = len(kinds) == 1 and (len(items) == 1 or kinds <= _BATCHED)
    if is_one and Settle not in kinds and not hour_key:
        yield  # one statement
    elif not hour_key:
        # What is sent before a Sync is one transaction (PostgreSQL: message flow, pipelining).
        async with connection.pipeline():
            try:
                yield
            except psycopg.Error:
                raise
            except BaseException:
                # Without a Sync none of it happens.
                await connection.close()
                raise
    else:
        # An hour key that is closed by now takes all of it back.
        async with connection.pipeline(), connection.transaction():
            yield


async def _result(item: Item, cursor: Cursor) -> Any:
    if isinstance(item, Claim):
        return await statements.claimed(cursor)
    rows = await cursor.fetchall()
    return delays.works(rows) if isinstance(item, Delayed) else rows


def _ids(rows: Sequence[Any]) -> frozenset[int]:
    return frozenset(row[0] for row in rows)
