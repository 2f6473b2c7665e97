# SPDX-License-Identifier: AGPL-3.0-or-later
"""The transports of one process: each message leaves by the one of its route's kind."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from relay.smtp.envelope import Envelope
from relay.smtp.replies import Outcome, Scope, Verdict
from relay.smtp.transaction import OnDot
from relay.transports import Loader, RouteTarget, Transport

# RFC 3463 §3.4: X.3.5 is a system that is not set up for it. It waits, as one route of another
# kind or one more setting lets it go.
NOT_SET_UP = Outcome(
    verdict=Verdict.RETRY,
    scope=Scope.INFRASTRUCTURE,
    enhanced="4.3.5",
    text="this service is not set up for routes of this kind",
)


class Carriers:
    """A transport for every kind of route; see Transport."""

    def __init__(self, by_kind: Mapping[str, Transport]) -> None:
        """`by_kind`: by the values of Route.Kind."""
        self._by_kind = dict(by_kind)

    async def send(
        self, target: RouteTarget, envelope: Envelope, content: Loader, on_dot: OnDot
    ) -> list[Outcome | None]:
        """Deliver one message; see Transport."""
        transport = self._by_kind.get(target.kind)
        if transport is None:
            return [NOT_SET_UP] * len(envelope.recipients)
        return await transport.send(target, envelope, content, on_dot)

    async def close(self) -> None:
        """Close all of them at once."""
        await asyncio.gather(*(transport.close() for transport in self._by_kind.values()))
