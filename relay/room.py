# SPDX-License-Identifier: AGPL-3.0-or-later
"""How much large content one shift holds in memory, in all and of one organisation."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

# Octets: six of the largest messages (relay.smtp.listener.Limits), two of them one organisation's,
# so that whoever has slow servers keeps nobody else's mail waiting.
HELD_MOST = 168 * 1024 * 1024
HELD_OF_ONE = 56 * 1024 * 1024


class Room:
    """Octets in use. Belongs to one event loop."""

    def __init__(self, most: int = HELD_MOST, of_one: int = HELD_OF_ONE) -> None:
        self._most = most
        self._of_one = of_one
        self._held: Counter[UUID] = Counter()
        self._freed = asyncio.Event()

    @asynccontextmanager
    async def hold(self, organisation_id: UUID, octets: int) -> AsyncIterator[None]:
        """Wait until there is room for `octets` more, and take it until the block ends."""
        while not self._fits(organisation_id, octets):
            await self._freed.wait()
        self._held[organisation_id] += octets
        try:
            yield
        finally:
            self._held[organisation_id] -= octets
            if not self._held[organisation_id]:
                del self._held[organisation_id]
            # Everybody who waits looks again; a later wait is for the next to leave.
            freed, self._freed = self._freed, asyncio.Event()
            freed.set()

    def _fits(self, organisation_id: UUID, octets: int) -> bool:
        """Whether there is room; one message alone always finds it, whatever its size."""
        all_held, own = self._held.total(), self._held[organisation_id]
        return (not own or own + octets <= self._of_one) and (
            not all_held or all_held + octets <= self._most
        )
