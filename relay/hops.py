# SPDX-License-Identifier: AGPL-3.0-or-later
"""What all shifts agree on about a next hop: who may connect, and whether it answers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from relay.models import QueuedDelivery
from relay.permits import Permits
from relay.transports import NotNow, Permit, RouteTarget


class Hops(Protocol):
    """What is stored of next hops: of routes, or of the domains that mail is delivered to."""

    async def failed(self, target: RouteTarget) -> datetime | None:
        """Count a connection that failed; returns until when the hop is left alone, if it is."""
        ...

    async def rests(self, target: RouteTarget) -> datetime | None:
        """Return until when the hop is left alone, as of now; None when it is not."""
        ...

    async def worked(self, target: RouteTarget) -> None:
        """Note that the hop answers."""
        ...


@dataclass(frozen=True, slots=True)
class SharedGate:
    """The gate of one shift; see relay.transports.Gate."""

    permits: Permits
    hops: Hops

    async def take(self, target: RouteTarget) -> Permit | None:
        permit = await self.permits.take(target.hop, target.concurrency)
        if permit is None or not target.is_failing:
            return permit
        try:
            await self._demand_no_rest(target)
        except BaseException:
            # Of a failing route it may be the only one.
            await self.permits.give(permit)
            raise
        return permit

    async def _demand_no_rest(self, target: RouteTarget) -> None:
        """Look anew: whoever had the permit before may have found the server dead still."""
        if until := await self.hops.rests(target):
            raise NotNow(QueuedDelivery.Reason.RESTING.value, until)

    async def give(self, permit: Permit) -> None:
        await self.permits.give(permit)

    async def failed(self, target: RouteTarget) -> datetime | None:
        return await self.hops.failed(target)

    async def worked(self, target: RouteTarget) -> None:
        await self.hops.worked(target)
