# SPDX-License-Identifier: AGPL-3.0-or-later
"""Which policy of a recipient's domain holds now (RFC 8461 §5).

A policy that is known holds until it expires, whatever happens to the record or to the web server
meanwhile: whoever can make them fail could otherwise take the encryption away.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Protocol

from relay.destinations import Destinations, Known
from relay.smtp import sts
from relay.smtp.mx import NoSuchName, Unanswered
from relay.stsfetch import Unfetched

# A domain's record is looked at so often while mail goes there, by each process.
LOOK_AGAIN = timedelta(minutes=5)
# RFC 8461 §3.3: so old, a policy is fetched again, however long it would last.
REFRESH = timedelta(days=1)
KEPT_MOST = 10_000


class Texts(Protocol):
    """Asks for TXT records; raises NoSuchName and Unanswered."""

    async def texts(self, name: str) -> list[bytes]: ...


class Policies:
    """The policies that this process goes by."""

    def __init__(
        self,
        names: Texts,
        fetch: Callable[[str], Awaitable[sts.Policy]],
        destinations: Destinations,
        now: Callable[[], datetime],
    ) -> None:
        """`fetch` raises Unfetched."""
        self._names = names
        self._fetch = fetch
        self._destinations = destinations
        self._now = now
        self._looked_at: OrderedDict[str, datetime] = OrderedDict()
        self._looking: dict[str, asyncio.Task[None]] = {}

    async def holding(self, name: str) -> sts.Policy | None:
        """Return the policy of a domain, None when it has none; `name` is an A-label."""
        now = self._now()
        looked_at = self._looked_at.get(name)
        if looked_at is None or abs(now - looked_at) >= LOOK_AGAIN:
            await self._look_together(name)
        known = (await self._destinations.facts(name)).known
        return known.policy if known is not None and now < known.expires_at else None

    async def close(self) -> None:
        """Look no further."""
        tasks = list(self._looking.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _look_together(self, name: str) -> None:
        """Look once, however many messages wait for it; who is cut off takes nobody along."""
        task = self._looking.get(name)
        if task is None:
            task = self._looking[name] = asyncio.create_task(self._look(name))
            task.add_done_callback(lambda _: self._looking.pop(name, None))
        await asyncio.shield(task)

    async def _look(self, name: str) -> None:
        now = self._now()
        known = (await self._destinations.facts(name)).known
        identifier = await self._announced(name)
        is_young = known is not None and now < min(known.fetched_at + REFRESH, known.expires_at)
        if identifier and not (is_young and known is not None and known.id == identifier):
            try:
                policy = await self._fetch(name)
            except Unfetched:
                pass
            else:
                await self._destinations.keep(
                    name, Known(id=identifier, policy=policy, fetched_at=now)
                )
        self._looked_at[name] = now
        self._looked_at.move_to_end(name)
        if len(self._looked_at) > KEPT_MOST:
            self._looked_at.popitem(last=False)

    async def _announced(self, name: str) -> str:
        try:
            return sts.policy_id(await self._names.texts(f"{sts.RECORD}.{name}"))
        except (NoSuchName, Unanswered):
            return ""
