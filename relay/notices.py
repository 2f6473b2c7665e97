# SPDX-License-Identifier: AGPL-3.0-or-later
"""How many notifications an organisation's senders get a minute, from all processes together.

Counted by minutes of the clock: around the end of one, twice as many may go within a minute.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from uuid import UUID

from relay.limits import MINUTE, Allowance, SharedCounters

NOTICES_A_MINUTE = 60
_MINUTE = timedelta(seconds=MINUTE)
_MOST_KEYS = 10_000


class NoticeLimit:
    """Grants notices one by one, so that no process keeps any that another one needs."""

    def __init__(
        self,
        counters: SharedCounters,
        now: Callable[[], datetime],
        most: int = NOTICES_A_MINUTE,
    ) -> None:
        self._counters = counters
        self._allowance = Allowance(counters, lambda: now().timestamp(), parts=max(1, most))
        self._most = most
        self._later: dict[UUID, datetime] = {}

    async def grants(self, organisation_id: UUID) -> bool:
        """Whether one more notice may go, and is counted."""
        return await self._allowance.take(f"notices:{organisation_id}", self._most, MINUTE)

    async def turn(self, organisation_id: UUID, now: datetime) -> datetime:
        """Return `now` and count one more notice; or when to ask again, if there were too many."""
        if await self.grants(organisation_id):
            return now
        # One after the other, so that they do not all come back to a full minute.
        turn = max(now + _MINUTE, self._later.get(organisation_id, now))
        if len(self._later) >= _MOST_KEYS:
            self._later.clear()
        self._later[organisation_id] = turn + _MINUTE / self._most
        return turn

    async def close(self) -> None:
        """Drop the connections."""
        await self._counters.close()
