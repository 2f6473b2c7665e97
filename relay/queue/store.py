# SPDX-License-Identifier: AGPL-3.0-or-later
"""Takes accepted mail in: each commit takes along what came meanwhile; large mail has its own."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Self
from uuid import UUID

import psycopg
from django.conf import settings

from accounts import alerts, clock
from accounts.vault import HourKey, KeyringAway, VaultError
from relay.partitions import DAY_MISSING
from relay.queue.batching import GroupCommit, Stopped
from relay.queue.columns import Sealed
from relay.queue.connection import Connection, HotConnection, Now, conninfo
from relay.queue.entries import Accepted, StoreUnavailable
from relay.queue.sealing import Sealer, keyring_directory
from relay.queue.statements import anything_waits, organisation_keys, register_hour_key
from relay.queue.storing import a_part, store

logger = logging.getLogger(__name__)

STORE_MOST = 200
STORE_OCTETS = 8 * 1024 * 1024
# Sealing more than this takes so long that it must not hold up the event loop, and writing it so
# long that it must not hold up other mail.
LARGE = 1024 * 1024
FRESH_KEYS = 3
ALERT_AGAIN = timedelta(minutes=1)
KEYRING_AWAY = "keyring-away"  # the alerts' kinds
DATABASE_FULL = "database-full"
# The SQLSTATE of a full disk, and of an error of the disk itself.
DISK_STATES = {"53100", "58030"}

Stored = Callable[[Collection[UUID]], None]  # whose mail was stored


class Store:
    """Takes accepted mail in. `store` returns after the commit, and only then."""

    def __init__(
        self, dsn: str, sealer: Sealer, now: Now, stored: Stored = lambda organisations: None
    ) -> None:
        """`stored` is called after each commit: it wakes the shifts, and must not block."""
        self._sealer = sealer
        self._now = now
        self._stored = stored
        self._registered = ""
        self._alerted: dict[str, datetime] = {}
        self._owed = ""
        self._connections = HotConnection(dsn), HotConnection(dsn)
        # Of the figures: neither of the two waits for the other's.
        self._parts = {hot: a_part() for hot in self._connections}
        self._small, self._large = map(self._group, self._connections)

    def _group(self, hot: HotConnection) -> GroupCommit[Accepted]:
        return GroupCommit[Accepted](
            partial(self._write, hot),
            most=STORE_MOST,
            weigh=lambda message: len(message.content),
            capacity=STORE_OCTETS,
        )

    @classmethod
    def of_settings(cls, stored: Stored = lambda organisations: None) -> Self:
        """Return a store for this process's database, keyring and clock."""
        return cls(conninfo(), Sealer(keyring_directory()), clock.now, stored)

    async def start(self) -> None:
        self._small.start()
        self._large.start()

    async def stop(self) -> None:
        """Store what waits, then close."""
        await asyncio.gather(self._small.stop(), self._large.stop())
        for hot in self._connections:
            await hot.close()

    async def store(self, message: Accepted) -> None:
        """Return once the message is committed. Raises StoreUnavailable."""
        group = self._large if len(message.content) > LARGE else self._small
        try:
            await group.submit(message)
        except Stopped:
            raise StoreUnavailable("stopping") from None

    async def _write(
        self, hot: HotConnection, batch: Sequence[Accepted]
    ) -> list[StoreUnavailable | None]:
        try:
            stored = await self._commit(hot, batch)
            if self._owed and await self._alert(hot, self._owed):
                self._owed = ""
            return stored
        except (psycopg.DataError, psycopg.IntegrityError) as fault:
            if _lacks_partition(fault):
                logger.critical("store: the log has no partition for the day; mail is answered 451")
                await self._alert(hot, DAY_MISSING)
                return [StoreUnavailable("no partition")] * len(batch)
            # One message that cannot be stored must not take its neighbours along.
            if len(batch) == 1:
                return [_unavailable(fault)]
            return [(await self._write(hot, [message]))[0] for message in batch]
        except KeyringAway as fault:
            await self._alert(hot, KEYRING_AWAY)
            return [_unavailable(fault)] * len(batch)
        except Exception as fault:  # noqa: BLE001 - whatever it is, nothing is known to be stored
            if getattr(fault, "sqlstate", None) in DISK_STATES:
                # The alert is a row as well: it is written with the first mail that fits again.
                self._owed = DATABASE_FULL
                logger.critical("store: the database's disk is full or broken")
            return [_unavailable(fault)] * len(batch)

    async def _alert(self, hot: HotConnection, kind: str) -> bool:
        """Tell the operator, once a minute; return whether they know, as telling may fail too."""
        now, last = self._now(), self._alerted.get(kind)
        if last and now - last < ALERT_AGAIN:
            return True
        try:
            async with hot.use() as connection:
                await alerts.raise_alert_on(connection, kind)
        except (psycopg.Error, OSError, VaultError):
            return False
        self._alerted[kind] = now
        return True

    async def _commit(
        self, hot: HotConnection, batch: Sequence[Accepted]
    ) -> list[StoreUnavailable | None]:
        now = self._now()
        async with hot.use() as connection:
            await learn_organisations(
                connection, self._sealer, {message.organisation_id for message in batch}, now
            )
            known = {m.organisation_id for m in batch if self._sealer.knows(m.organisation_id)}
            if known:
                kept = [message for message in batch if message.organisation_id in known]
                await self._commit_sealed(connection, kept, now, self._parts[hot])
                self._stored(known)
        # What the sealer knows now does not count: the other group may have learnt a key meanwhile.
        return [None if m.organisation_id in known else StoreUnavailable("no key") for m in batch]

    async def _commit_sealed(
        self, connection: Connection, batch: Sequence[Accepted], now: datetime, part: int
    ) -> None:
        closed = ""
        for _ in range(FRESH_KEYS):
            hour_key = await self._hour_key(connection, now, closed)
            if await store(connection, hour_key.id, await self._seal(batch, hour_key), part):
                return
            closed, now = hour_key.id, self._now()
        raise StoreUnavailable("hour keys are closed as soon as they are made")

    async def _hour_key(self, connection: Connection, now: datetime, closed: str) -> HourKey:
        """Return a key whose row is committed. Raises KeyringAway, OSError."""
        try:
            hour_key = self._sealer.hour_key(now, closed=closed)
        except KeyringAway:
            # With nothing waiting there is nothing that a keyring elsewhere could open.
            if not settings.VAULT_MAKE_KEYS or await anything_waits(connection):
                raise
            self._sealer.make_keyring()
            hour_key = self._sealer.hour_key(now, closed=closed)
        if hour_key.id != self._registered:
            await register_hour_key(connection, hour_key.id)
            self._registered = hour_key.id
        return hour_key

    async def _seal(self, batch: Sequence[Accepted], hour_key: HourKey) -> list[Sealed]:
        return [
            self._sealer.seal_for_store(message, hour_key)
            if len(message.content) <= LARGE
            else await asyncio.to_thread(self._sealer.seal_for_store, message, hour_key)
            for message in batch
        ]


async def learn_organisations(
    connection: Connection, sealer: Sealer, wanted: Iterable[UUID], now: datetime
) -> None:
    """Make sure that the sealer has read these organisations' keys within its period."""
    missing = sealer.missing(wanted, now)
    if missing:
        sealer.learn(missing, await organisation_keys(connection, missing), now)


def _lacks_partition(fault: psycopg.Error) -> bool:
    # PostgreSQL reports it as a check that failed, but as one without a name.
    return isinstance(fault, psycopg.errors.CheckViolation) and not fault.diag.constraint_name


def _unavailable(fault: Exception) -> StoreUnavailable:
    # The fault's own text may quote the row, and so an address: its kind says enough.
    state = getattr(fault, "sqlstate", None) or type(fault).__name__
    logger.error("store: unavailable (%s)", state)
    return StoreUnavailable(state)
