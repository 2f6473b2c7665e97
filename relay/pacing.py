# SPDX-License-Identifier: AGPL-3.0-or-later
"""How many messages a minute a route carries, over all shifts. What is more waits as a set.

Counted by minutes of the clock: around the end of one, twice as many may go within a minute.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import psycopg

from relay.limits import MINUTE, Allowance, SharedCounters
from relay.models import QueuedDelivery
from relay.transports import NotNow, RouteTarget

PACED = QueuedDelivery.Reason.PACED.value

# One row keeps back all mail of a domain; several shifts find out at the same time.
HOLD = """
INSERT INTO relay_hold (organisation_id, domain, reason, held_at, ends_at)
VALUES (%(organisation)s, %(domain)s, %(reason)s, %(now)s, %(until)s)
ON CONFLICT ON CONSTRAINT hold_once DO UPDATE
    SET held_at = EXCLUDED.held_at, ends_at = EXCLUDED.ends_at
    WHERE relay_hold.ends_at < EXCLUDED.ends_at
"""


class Pace:
    """What routes with a rate may still carry."""

    def __init__(self, counters: SharedCounters, now: Callable[[], datetime]) -> None:
        self._counters = counters
        self._now = now
        self._allowance = Allowance(counters, lambda: now().timestamp())
        self._used_up: dict[UUID, datetime] = {}

    async def spend(self, target: RouteTarget) -> None:
        """Count one message of a route that has a rate. Raises NotNow when it has no more."""
        assert target.rate is not None
        now = self._now()
        until = self._used_up.get(target.route_id, now)
        if now < until:
            raise NotNow(PACED, until)
        if not await self._allowance.take(f"route:{target.route_id}", target.rate, MINUTE):
            until = _end_of_minute(now)
            self._used_up[target.route_id] = until
            raise NotNow(PACED, until)

    async def close(self) -> None:
        await self._counters.close()


def _end_of_minute(now: datetime) -> datetime:
    return datetime.fromtimestamp((now.timestamp() // MINUTE + 1) * MINUTE, UTC)


async def hold(
    connection: psycopg.AsyncConnection[Any],
    turn: tuple[UUID, str],
    now: datetime,
    until: datetime,
) -> None:
    """Keep back what waits of an organisation's domain."""
    organisation, domain = turn
    values = {"organisation": organisation, "domain": domain, "reason": PACED}
    await connection.execute(HOLD, values | {"now": now, "until": until})
