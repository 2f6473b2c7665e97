# SPDX-License-Identifier: AGPL-3.0-or-later
"""Leaves a domain that mail is delivered to alone: what waits for it is kept from every claim.

Only of the sender's domains that found it so: mail of another may leave by a server of its own.
A hold does that from one moment to the next. A claim would still walk all that it keeps back, and
what waits for others of the same sender stands behind it; so it is put off as well, piece by piece.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg

from relay.models import Hold
from relay.pacing import HOLD
from relay.queue import HotConnection
from relay.smtp.addresses import spellings

logger = logging.getLogger(__name__)

# What is put off comes back in pieces, one after the other: all at once it would only be put off
# again. Nothing waits much longer for that, should the domain answer soon.
PIECE = 1000
MOST = 100  # pieces at once; what is left has its turn the next time
SPREAD = timedelta(minutes=10)
# For less than this the hold is enough.
SHORTEST = timedelta(seconds=5)
RETRY_SECONDS = 0.3
# Whoever changes a route lets go of what is held; where that changes nothing, it is held again.
HOLD_AGAIN = timedelta(seconds=5)

# What a claim has in hand is nothing to wait for. By its reason it is let go when who sends it
# changes the route (retrying.py).
PUT_OFF = """
WITH chosen AS MATERIALIZED (
    SELECT q.id FROM relay_queueddelivery q
    WHERE q.organisation_id = %(organisation)s AND q.domain = %(domain)s
        AND q.lane < 2 AND q.due_at < %(until)s
        AND q.lease_owner IS NULL
        AND lower(substring(q.recipient FROM '@[^@]*$')) = ANY(%(to)s)
    LIMIT %(piece)s FOR UPDATE SKIP LOCKED
)
UPDATE relay_queueddelivery q SET reason = coalesce(nullif(%(reason)s, ''), q.reason),
    due_at = least(%(due_at)s, greatest(q.expires_at, q.due_at))
FROM chosen WHERE q.id = chosen.id
"""

Turn = tuple[UUID, str]  # an organisation and one of its domains

_AWAY = (psycopg.OperationalError, psycopg.InterfaceError, OSError)


class Backoff:
    """What one shift leaves alone."""

    def __init__(self, dsn: str, now: Callable[[], datetime]) -> None:
        self._connection = HotConnection(dsn)
        self._one_at_a_time = asyncio.Lock()
        self._now = now
        # Until when, and since when that is known.
        self._held: dict[tuple[Turn, str], tuple[datetime, datetime]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def leave_alone(
        self, turn: Turn, destination: str, until: datetime, reason: str = ""
    ) -> None:
        """Keep a turn's mail to a domain back. Waits for a database that is away.

        `reason`: of NotNow; why the mail waits, where that is news.
        """
        now, place = self._now(), (turn, destination)
        known, held_at = self._held.get(place, (None, now))
        if known == until and now - held_at < HOLD_AGAIN:
            return
        lasting = {one: held for one, held in self._held.items() if held[0] > now}
        self._held = lasting | {place: (until, now)}
        to = [f"@{name}" for name in spellings(destination)]
        await self._hold(turn, to, now, until)
        if until - now >= SHORTEST:
            task = asyncio.create_task(self._put_off(turn, to, now, until, reason))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Put nothing off any more; the holds end by themselves."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._connection.close()

    async def _hold(self, turn: Turn, to: list[str], now: datetime, until: datetime) -> None:
        organisation, domain = turn
        values = {"organisation": organisation, "reason": Hold.Reason.RESTING.value}
        values |= {"now": now, "until": until}
        for name in to:
            while await self._done(HOLD, values | {"domain": f"{domain} {name}"}) is None:
                await asyncio.sleep(RETRY_SECONDS)

    async def _done(self, statement: str, values: dict[str, Any]) -> int | None:
        """Run a statement; returns how many rows it wrote, None when the database is away."""
        try:
            async with self._one_at_a_time, self._connection.use() as connection:
                return (await connection.execute(statement, values)).rowcount
        except _AWAY:
            return None

    async def _put_off(
        self, turn: Turn, to: list[str], now: datetime, until: datetime, reason: str
    ) -> None:
        organisation, domain = turn
        values = {"organisation": organisation, "domain": domain, "to": to}
        values |= {"until": until, "piece": PIECE, "reason": reason}
        for number in range(MOST):
            due_at = until + min(number * (until - now), SPREAD)
            try:
                count = await self._done(PUT_OFF, values | {"due_at": due_at})
            except psycopg.Error as fault:
                logger.error("backoff: nothing is put off: %s", type(fault).__name__)
                return
            # With the database away the hold is enough: it costs time, not mail.
            if count is None or count < PIECE:
                return
