# SPDX-License-Identifier: AGPL-3.0-or-later
"""Mail that this service itself fails at: it is struck, at last set aside, and told in the end.

A fault that is raised strikes its message at once. A message that ends the whole process raises
nothing: its lease is taken over, together with those of all that was in hand then. Such suspects
are carried a few at a time, those struck before alone, each written down as begun beforehand; what
is taken over although it was begun is struck. Who was begun alone is struck for the first time as
well, so that the third process that ends over a message is the last. Innocent mail that was in hand
pays with a wait, and with a strike when it was begun just then; the first try that comes to an end
takes its strikes away.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from datetime import datetime, timedelta
from uuid import UUID

from relay.models import Delivery, QueuedDelivery
from relay.queue import Leased, Settlement, Work

State = Delivery.State

STRIKES = 3
# So many are begun at once, of one organisation so many: its server may be silent for minutes.
FEW = 8
EACH = 2
# What ends a process does so soon; who only waits for a server makes room for the next then.
PLACE_SECONDS = 2.0
# So long a process has to last before it carries what may have ended others: processes that are
# ended from outside, one after the other, then strike nothing twice.
QUIET_SECONDS = 5.0
AGAIN_AFTER = (timedelta(minutes=1), timedelta(minutes=5))
# Nothing goes on about mail whose very end fails; the sweeper ends it (sweeping.py).
LATER = timedelta(minutes=15)

Struck = tuple[Leased, datetime, str | None]


def struck(lease: Leased, now: datetime) -> Struck:
    """Decide when a delivery that this service failed at is due again, and its reason if new."""
    if lease.strikes + 1 < STRIKES:
        return lease, now + AGAIN_AFTER[lease.strikes], None
    return lease, max(lease.expires_at, now + LATER), QueuedDelivery.Reason.QUARANTINED.value


def is_set_aside(lease: Leased) -> bool:
    return lease.strikes >= STRIKES


def set_aside(lease: Leased, now: datetime) -> Settlement:
    """Decide what becomes of a delivery that is not touched any more: it waits for its end."""
    if now >= lease.expires_at:
        return Settlement(delivery=lease, state=State.EXPIRED, at=now)
    return Settlement(
        delivery=lease,
        state=State.WAITING,
        at=now,
        due_at=lease.expires_at,
        reason=QueuedDelivery.Reason.QUARANTINED,
    )


class Suspects:
    """The turns of a shift's suspects."""

    def __init__(
        self, quiet_seconds: float = QUIET_SECONDS, place_seconds: float = PLACE_SECONDS
    ) -> None:
        self._quiet_seconds = quiet_seconds
        self._place_seconds = place_seconds
        self._few = asyncio.Semaphore(FEW)
        self._each: defaultdict[UUID, asyncio.Semaphore]
        self._each = defaultdict(lambda: asyncio.Semaphore(EACH))
        self._alone = asyncio.Lock()

    @asynccontextmanager
    async def turn(self, work: Work) -> AsyncIterator[None]:
        """Wait until this message may be begun."""
        if any(lease.strikes for lease in work.deliveries):
            async with self._alone:
                await asyncio.sleep(self._quiet_seconds)
                yield
        else:
            async with self._each[work.organisation_id], self._place():
                yield

    @asynccontextmanager
    async def _place(self) -> AsyncIterator[None]:
        await self._few.acquire()
        place = ExitStack()
        place.callback(self._few.release)
        timer = asyncio.get_running_loop().call_later(self._place_seconds, place.close)
        try:
            yield
        finally:
            timer.cancel()
            place.close()
