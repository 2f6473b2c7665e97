# SPDX-License-Identifier: AGPL-3.0-or-later
"""Which addresses mail must not use now, as one shift knows it: at most two seconds old.

Every delivery passes here before anything is done with it, whoever accepted it and when: mail that
was taken in before the restriction, notices of the service's own, and what was put back by hand.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable
from datetime import datetime, timedelta
from uuid import UUID

import psycopg

from relay.discretion import Restricted
from relay.queue import HotConnection, Leased, Work

FRESH = timedelta(seconds=2)
RETRY_SECONDS = 0.3
# All there are, in one statement: they are few, and nobody's mail costs a question of its own.
RESTRICTED = "SELECT organisation_id, address_hash FROM relay_restriction WHERE lifted_at IS NULL"


class Restraints:
    """The restrictions of all organisations."""

    def __init__(self, dsn: str, now: Callable[[], datetime]) -> None:
        self._connection = HotConnection(dsn)
        self._one_at_a_time = asyncio.Lock()
        self._now = now
        self._known: dict[UUID, Restricted] = {}
        self._read_at: datetime | None = None

    async def close(self) -> None:
        """Drop the connection."""
        await self._connection.close()

    async def of(self, organisation_id: UUID) -> Restricted:
        """Return the addresses that an organisation must not use.

        Waits for a database that is away: without an answer nothing leaves.
        """
        if self._is_old():
            await self._refresh()
        return self._known.get(organisation_id) or Restricted(organisation_id)

    async def keep_back(self, work: Work) -> tuple[Leased, ...]:
        """Return the deliveries that must not go now: all of them where the sender is restricted.

        Waits as `of` does.
        """
        restricted = await self.of(work.organisation_id)
        if not restricted.hashes:
            return ()
        if work.sender and work.sender in restricted:
            return work.deliveries
        return tuple(one for one in work.deliveries if one.recipient.address in restricted)

    def _is_old(self) -> bool:
        return self._read_at is None or abs(self._now() - self._read_at) >= FRESH

    async def _refresh(self) -> None:
        async with self._one_at_a_time:
            while self._is_old():
                # From before the reading: what changed during it may be missing.
                now = self._now()
                try:
                    async with self._connection.use() as connection:
                        rows = await (await connection.execute(RESTRICTED)).fetchall()
                except (psycopg.OperationalError, psycopg.InterfaceError, OSError, TimeoutError):
                    await asyncio.sleep(RETRY_SECONDS)
                    continue
                self._known, self._read_at = _by_organisation(rows), now


def _by_organisation(rows: list[tuple[UUID, bytes]]) -> dict[UUID, Restricted]:
    found: defaultdict[UUID, set[bytes]] = defaultdict(set)
    for organisation_id, address_hash in rows:
        found[organisation_id].add(bytes(address_hash))
    return {owner: Restricted(owner, frozenset(hashes)) for owner, hashes in found.items()}
