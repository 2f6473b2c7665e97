# SPDX-License-Identifier: AGPL-3.0-or-later
"""Delivers to an organisation's own mail server, over connections that are kept for a while."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from uuid import UUID

from relay.egress import EgressRefusedError, Guard
from relay.smtp import certificate
from relay.smtp.certificate import Certificate
from relay.smtp.client import Connection
from relay.smtp.envelope import Envelope
from relay.smtp.handshake import Features, SessionError, Target, Timeouts
from relay.smtp.replies import Outcome, Scope, Stage, Verdict
from relay.smtp.tls import Contexts, TlsDemand
from relay.smtp.transaction import OnDot, Stale
from relay.transports import Gate, Loader, NotNow, OpenGate, RouteTarget
from relay.transports.seats import Hop, Seat

GOODBYE = 421  # RFC 5321 §3.8: the server closes the connection
# … or takes no mail at all (RFC 7504 §3), or nothing was heard of it.
UNUSABLE = (0, GOODBYE, 521, 556)
RESTING = "resting"  # of QueuedDelivery.Reason


@dataclass(frozen=True, slots=True)
class Probed:
    """What a connection that carries no mail came to; features only where it is ready for some."""

    outcome: Outcome
    features: Features = Features()
    certificate: Certificate | None = None


class Smarthost:
    """Transport of one process. Belongs to the event loop that it is used on."""

    def __init__(
        self,
        *,
        ehlo_name: str,
        contexts: Contexts,
        guard: Guard,
        gate: Gate | None = None,
        timeouts: Timeouts | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ehlo_name = ehlo_name
        self._contexts = contexts
        self._guard = guard
        self._gate = gate or OpenGate()
        self._timeouts = timeouts or Timeouts()
        self._clock = clock
        self._hops: dict[UUID, Hop] = {}
        self._closed = False

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
        while True:
            connection = await self._connected(seat, target)
            try:
                outcomes = await connection.send(envelope, content, on_dot)
            except Stale:
                # Nothing was said about this message: the next connection counts as the first.
                continue
            if target.is_failing or connection.sent == 1:
                await self._learn(hop, seat, target, outcomes)
            return outcomes

    async def _connected(self, seat: Seat, target: RouteTarget) -> Connection:
        """Return the seat's connection, a new one where it has none that fits."""
        if seat.connection is not None:
            if seat.connection.usable and seat.open_for(target):
                return seat.connection
            await seat.connection.close()
            seat.connection = None
        seat.connection = await self._open(target, self._until())
        seat.target, seat.opened_at = target, self._clock()
        return seat.connection

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
        """Count what says nothing but that the server, or the way to it, does not work."""
        unreached = outcome.scope is Scope.INFRASTRUCTURE and outcome.code in UNUSABLE
        # What a message asks for beyond the route says nothing about the route.
        if unreached and not target.is_demanded:
            await self._count(hop, seat, target)

    async def _count(self, hop: Hop, seat: Seat, target: RouteTarget) -> None:
        if hop.has_another(seat):
            # It works, and has as many connections as it bears.
            hop.has_enough()
        elif until := await self._gate.failed(target):
            hop.turn_away(NotNow(RESTING, until))

    async def probe(self, target: RouteTarget) -> Probed:
        """Connect, encrypt and sign in without sending; DELIVERED means that the route works."""
        until = self._until()
        try:
            connection = await self._open(target, until)
        except SessionError as error:
            shown = await self._shown(target, error.outcome, until) if error.tls else None
            return Probed(error.outcome, certificate=shown)
        found = Probed(
            connection.peer.outcome(Verdict.DELIVERED, Scope.ROUTE, "2.0.0", "", stage=Stage.MAIL),
            connection.features,
            certificate.read(connection.certificate),
        )
        await connection.close()
        return found

    async def _shown(
        self, target: RouteTarget, failed: Outcome, until: float
    ) -> Certificate | None:
        """Look at the certificate that was not accepted: on a connection that carries nothing."""
        lenient = Contexts(self._contexts.unverified, self._contexts.unverified)
        stranger = replace(target, username="", password="")
        try:
            connection = await self._connect(stranger, failed.remote_address, until, lenient)
        except SessionError:
            return None
        found = certificate.read(connection.certificate)
        await connection.close()
        return found

    async def _open(self, target: RouteTarget, until: float) -> Connection:
        """Try the target's addresses in turn. Raises SessionError with what the last one said."""
        try:
            addresses = await self._guard.addresses(target.host, target.port)
        except EgressRefusedError as error:
            raise SessionError(_refused(target, str(error))) from None
        for address in addresses[:-1]:
            try:
                return await self._connect(target, address, until)
            except SessionError as error:
                # A wrong password is wrong at every address, and each try counts against it.
                if error.outcome.scope is Scope.ROUTE:
                    raise
        return await self._connect(target, addresses[-1], until)

    async def _connect(
        self, target: RouteTarget, address: str, until: float, contexts: Contexts | None = None
    ) -> Connection:
        return await Connection.open(
            Target(
                host=target.host,
                address=address,
                port=target.port,
                tls=target.tls,
                username=target.username,
                password=target.password,
                demand=TlsDemand.MESSAGE if target.is_demanded else None,
            ),
            ehlo_name=self._ehlo_name,
            contexts=contexts or self._contexts,
            timeouts=replace(self._timeouts, session=until - _now()),
        )

    def _until(self) -> float:
        """By when a connection that is begun now has to be ready for mail."""
        return _now() + self._timeouts.session

    def let_go(self, name: UUID) -> None:
        """Give up connections to a hop that nobody uses here, because somebody asks for them."""
        if hop := self._hops.get(name):
            hop.let_go()

    def let_go_oldest(self) -> None:
        """Give up the connection that was idle longest, of whichever route."""
        idle = [(hop.idle_at, hop) for hop in self._hops.values() if hop.idle_at is not None]
        if idle:
            _, hop = min(idle, key=lambda one: one[0])
            hop.let_go(0)

    def _new_hop(self, target: RouteTarget) -> Hop:
        forget = partial(self._forget, target.hop)
        hop = Hop(self._gate, forget, self._clock, closing=self._closed)
        self._hops[target.hop] = hop
        return hop

    def _forget(self, name: UUID, hop: Hop) -> None:
        if self._hops.get(name) is hop:
            del self._hops[name]

    async def close(self) -> None:
        """Close what is idle and wait for the goodbyes; what is in use closes after its message."""
        self._closed = True
        await asyncio.gather(*(hop.close() for hop in list(self._hops.values())))


def _now() -> float:
    return asyncio.get_running_loop().time()


def _refused(target: RouteTarget, text: str) -> Outcome:
    """Waits rather than bounces, because a name without an address may have one tomorrow."""
    return Outcome(
        verdict=Verdict.RETRY,
        scope=Scope.INFRASTRUCTURE,
        enhanced="4.4.4",
        text=text,
        remote_host=target.host,
        stage=Stage.CONNECT,
    )
