# SPDX-License-Identifier: AGPL-3.0-or-later
"""Sends over connections that are kept for a while. Which servers they lead to is for each kind
of route.
"""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing, suppress
from dataclasses import replace
from functools import partial
from uuid import UUID

from relay.smtp.client import Connection
from relay.smtp.envelope import Envelope
from relay.smtp.handshake import SessionError, Timeouts
from relay.smtp.replies import Outcome, Scope, Stage, Verdict
from relay.smtp.tls import DEMAND_OF_POLICY, Contexts
from relay.smtp.transaction import OnDot, Stale
from relay.transports import Gate, Loader, NotNow, OpenGate, RouteTarget
from relay.transports.seats import Hop, Seat

GOODBYE = 421  # RFC 5321 §3.8: the server closes the connection
# … or takes no mail at all (RFC 7504 §3), or nothing was heard of it.
UNUSABLE = (0, GOODBYE, 521, 556)
RESTING = "resting"  # of QueuedDelivery.Reason


class Dialling(ABC):
    """A transport over SMTP, of one process. Belongs to the event loop that it is used on."""

    line_seconds: float | None = None  # see Hop

    def __init__(
        self,
        *,
        ehlo_name: str,
        contexts: Contexts,
        gate: Gate | None = None,
        timeouts: Timeouts | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ehlo_name = ehlo_name
        self._contexts = contexts
        self._gate = gate or OpenGate()
        self._timeouts = timeouts or Timeouts()
        self._clock = clock
        self._hops: dict[UUID, Hop] = {}
        self._closed = False

    @abstractmethod
    def connections(self, target: RouteTarget) -> AsyncGenerator[Connection, None]:
        """Yield new connections, in the order in which they are to be tried, until one is good.

        Another one is asked for where a server said goodbye before it had taken the sender. Raises
        SessionError when there is no connection at all.
        """
        ...

    async def send(
        self, target: RouteTarget, envelope: Envelope, content: Loader, on_dot: OnDot
    ) -> list[Outcome | None]:
        """Deliver one message; see Transport."""
        hop = self._hops.get(target.hop) or self._new_hop(target)
        seat = await hop.take(target)
        try:
            return await self._send(hop, seat, target, envelope, await content(), on_dot)
        except SessionError as error:
            await self._failed(hop, seat, target, error.outcome)
            return [error.outcome] * len(envelope.recipients)
        finally:
            hop.free(seat)

    async def _send(
        self,
        hop: Hop,
        seat: Seat,
        target: RouteTarget,
        envelope: Envelope,
        content: bytes,
        on_dot: OnDot,
    ) -> list[Outcome | None]:
        outcomes: list[Outcome | None] = []
        # One that turns out dead has said nothing about this message: a new one is the first then.
        with suppress(Stale):
            if connection := await self._kept(seat, target):
                outcomes = await connection.send(envelope, content, on_dot)
                if target.is_failing:
                    await self._learn(hop, seat, target, outcomes)
                return outcomes if target.is_demanded else _undemanded(outcomes, seat, target)
        async with aclosing(self.connections(target)) as connections:
            async for connection in connections:
                await self._leave(seat)
                seat.connection, seat.target = connection, target
                seat.opened_at = self._clock()
                outcomes = await connection.send(envelope, content, on_dot)
                if not _turned_away(outcomes):
                    break
        await self._learn(hop, seat, target, outcomes)
        return outcomes

    async def _kept(self, seat: Seat, target: RouteTarget) -> Connection | None:
        """Return the seat's connection if it has one that fits; what does not fit is closed."""
        if seat.connection is None:
            return None
        if seat.connection.usable and seat.open_for(target):
            return seat.connection
        await self._leave(seat)
        return None

    async def _leave(self, seat: Seat) -> None:
        connection, seat.connection = seat.connection, None
        if connection is not None:
            await connection.close()

    async def _learn(
        self, hop: Hop, seat: Seat, target: RouteTarget, outcomes: Sequence[Outcome | None]
    ) -> None:
        """Note whether the server answers: any word is an answer, but that it closes."""
        codes = {outcome.code for outcome in outcomes if outcome}
        if codes == {GOODBYE}:
            await self._count(hop, seat, target)
        elif any(codes):
            await self._gate.worked(target)

    async def _failed(self, hop: Hop, seat: Seat, target: RouteTarget, outcome: Outcome) -> None:
        if self.is_down(target, outcome):
            await self._count(hop, seat, target)

    def is_down(self, target: RouteTarget, outcome: Outcome) -> bool:
        """Whether no more was learnt than that the server, or the way to it, does not work."""
        unreached = outcome.scope is Scope.INFRASTRUCTURE and outcome.code in UNUSABLE
        # What a message asks for beyond the route says nothing about the route.
        return unreached and not target.is_demanded

    async def _count(self, hop: Hop, seat: Seat, target: RouteTarget) -> None:
        if hop.has_another(seat):
            # It works, and has as many connections as it bears.
            hop.has_enough()
        elif until := await self._gate.failed(target):
            hop.turn_away(NotNow(RESTING, until))

    def let_go(self, name: UUID) -> None:
        """Give up connections to a hop that nobody uses here, because somebody asks for them."""
        if hop := self._hops.get(name):
            hop.let_go()

    @property
    def idle_since(self) -> float | None:
        """Since when the connection is idle that has been for longest, by the loop's clock."""
        idle = (hop.idle_at for hop in self._hops.values())
        return min((since for since in idle if since is not None), default=None)

    def let_go_oldest(self) -> None:
        """Give up the connection that was idle longest, to whichever hop."""
        since = self.idle_since
        if since is not None:
            next(hop for hop in self._hops.values() if hop.idle_at == since).let_go(0)

    def _new_hop(self, target: RouteTarget) -> Hop:
        forget = partial(self._forget, target.hop)
        hop = Hop(
            self._gate,
            forget,
            self._clock,
            closing=self._closed,
            line_seconds=self.line_seconds,
        )
        self._hops[target.hop] = hop
        return hop

    def _forget(self, name: UUID, hop: Hop) -> None:
        if self._hops.get(name) is hop:
            del self._hops[name]

    async def close(self) -> None:
        """Close what is idle and wait for the goodbyes; what is in use closes after its message."""
        self._closed = True
        await asyncio.gather(*(hop.close() for hop in list(self._hops.values())))


def _undemanded(
    outcomes: list[Outcome | None], seat: Seat, target: RouteTarget
) -> list[Outcome | None]:
    """What mail was told over a connection that another message's demand has shaped."""
    if seat.target is None or not seat.target.is_demanded:
        return outcomes
    asked = DEMAND_OF_POLICY[target.tls]
    return [one and replace(one, tls_demand=asked) for one in outcomes]


def _turned_away(outcomes: Sequence[Outcome | None]) -> bool:
    """Whether the server closed before it had taken the sender: another may be asked at once."""
    return all(
        outcome is not None
        and outcome.verdict is Verdict.RETRY
        and (outcome.code, outcome.stage) == (GOODBYE, Stage.MAIL)
        for outcome in outcomes
    )
