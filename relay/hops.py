# SPDX-License-Identifier: AGPL-3.0-or-later
"""What all shifts agree on about a next hop: who may connect, and whether it answers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from relay.permits import Permits
from relay.routing import Routes
from relay.transports import Permit, RouteTarget


@dataclass(frozen=True, slots=True)
class SharedGate:
    """The gate of one shift; see relay.transports.Gate."""

    permits: Permits
    routes: Routes

    async def take(self, target: RouteTarget) -> Permit | None:
        return await self.permits.take(target.route_id, target.concurrency)

    async def give(self, permit: Permit) -> None:
        await self.permits.give(permit)

    async def failed(self, target: RouteTarget) -> datetime | None:
        return await self.routes.failed(target)

    async def worked(self, target: RouteTarget) -> None:
        await self.routes.worked(target)
