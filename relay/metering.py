# SPDX-License-Identifier: AGPL-3.0-or-later
"""Counts the mail that leaves against its organisation's quota, and holds back what is above it.

A message counts once, when it is about to be tried for the first time, so neither a retry nor a
wait for a route costs anything; sandbox mail never leaves and never counts. Once a quota is used
up, one row holds all of the organisation's mail until the window ends, or until staff change the
quota (quotas.py); whatever of it waits in the sandbox or for a retry waits as well.

Windows are the hours and days of UTC, so twice a quota can leave around the end of one. The counts
are Redis's: one that forgets them allows a quota a second time in that window. Without Redis each
shift counts for itself, at a quarter of the quota, and holds for a minute at a time.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from uuid import UUID

import psycopg

from relay.limits import DAY, HOUR, Allowance, SharedCounters
from relay.queue import HotConnection, Work

logger = logging.getLogger(__name__)

FRESH = timedelta(seconds=5)
AWAY = timedelta(minutes=1)
# A message that was counted and not tried after all (its route was full) is not counted again.
_REMEMBERED = 10_000

QUOTAS = """
SELECT organisation_id, messages_an_hour, messages_a_day FROM relay_quota
WHERE messages_an_hour IS NOT NULL OR messages_a_day IS NOT NULL
"""
# Nothing is held by a quota that was changed since it was read.
HOLD = """
INSERT INTO relay_hold (organisation_id, reason, held_at, ends_at)
SELECT organisation_id, 'over_quota', %(now)s, %(until)s FROM relay_quota
WHERE organisation_id = %(organisation)s
    AND messages_an_hour IS NOT DISTINCT FROM %(hour)s
    AND messages_a_day IS NOT DISTINCT FROM %(day)s
ON CONFLICT (organisation_id, domain, message_id, reason) DO UPDATE
SET ends_at = greatest(relay_hold.ends_at, excluded.ends_at), held_at = CASE
    WHEN relay_hold.ends_at > excluded.held_at THEN relay_hold.held_at ELSE excluded.held_at END
"""


class Figures(NamedTuple):
    """Messages in an hour and in a day; None: as many as come."""

    hour: int | None
    day: int | None


class Metering:
    """The quotas of all organisations, as one shift sees them."""

    def __init__(self, dsn: str, counters: SharedCounters, now: Callable[[], datetime]) -> None:
        self._connection = HotConnection(dsn)
        self._one_at_a_time = asyncio.Lock()
        self._counters = counters
        # What other shifts hold unspent is lost to an organisation that is held: a hundredth each.
        self._allowance = Allowance(counters, lambda: now().timestamp(), parts=100)
        self._now = now
        self._quotas: dict[UUID, Figures] = {}
        self._read_at: datetime | None = None
        self._counted: dict[UUID, None] = {}

    async def close(self) -> None:
        """Drop the connections."""
        await self._connection.close()
        await self._counters.close()

    async def is_over(self, work: Work) -> bool:
        """Whether this message has to wait, its organisation's mail being held from now on.

        Counts it otherwise. Never raises for a database or a Redis that is away.
        """
        if self._is_old():
            await self._refresh()
        figures = self._quotas.get(work.organisation_id)
        if figures is None or work.message_id in self._counted or not _is_first_try(work):
            return False
        seconds = await self._used_up(work.organisation_id, figures)
        if seconds is None:
            self._remember(work.message_id)
            return False
        await self._hold(work.organisation_id, figures, self._ends_at(seconds))
        return True

    async def _used_up(self, organisation_id: UUID, figures: Figures) -> int | None:
        """Spend one; returns the seconds of the window in which nothing is left, if any."""
        name = f"quota:{organisation_id}"
        if figures.hour is not None and not await self._allowance.take(name, figures.hour, HOUR):
            return HOUR
        if figures.day is not None and not await self._allowance.take(name, figures.day, DAY):
            self._allowance.give_back(name, HOUR)
            return DAY
        return None

    def _ends_at(self, seconds: int) -> datetime:
        now = self._now()
        if self._counters.is_away:
            return now + AWAY
        return datetime.fromtimestamp((now.timestamp() // seconds + 1) * seconds, UTC)

    def _remember(self, message_id: UUID) -> None:
        self._counted[message_id] = None
        if len(self._counted) > _REMEMBERED:
            del self._counted[next(iter(self._counted))]

    def _is_old(self) -> bool:
        return self._read_at is None or abs(self._now() - self._read_at) >= FRESH

    async def _refresh(self) -> None:
        """Read all quotas when they are old: one statement, whoever's mail is carried."""
        async with self._one_at_a_time:
            now = self._now()
            if not self._is_old():
                return
            try:
                async with self._connection.use() as connection:
                    rows = await (await connection.execute(QUOTAS)).fetchall()
            except (psycopg.Error, OSError, TimeoutError) as fault:
                logger.warning("quotas: not read (%s)", type(fault).__name__)
                return
            self._quotas = {organisation: Figures(*figures) for organisation, *figures in rows}
            self._read_at = now

    async def _hold(self, organisation_id: UUID, figures: Figures, until: datetime) -> None:
        values = {"organisation": organisation_id, "now": self._now(), "until": until}
        async with self._one_at_a_time:
            try:
                async with self._connection.use() as connection:
                    held = await connection.execute(HOLD, values | figures._asdict())
                    changed = held.rowcount == 0
            except (psycopg.Error, OSError, TimeoutError) as fault:
                # The mail goes back into the queue and comes again: nothing is lost but a turn.
                logger.warning("quotas: not held (%s)", type(fault).__name__)
                return
            if changed:
                self._read_at = None


def _is_first_try(work: Work) -> bool:
    """Whether this is the message's first try; its first recipient stands for all."""
    return not work.is_sandbox and any(
        lease.position == 0 and lease.attempts == 0 for lease in work.deliveries
    )
