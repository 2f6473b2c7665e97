# SPDX-License-Identifier: AGPL-3.0-or-later
"""Delivers to an organisation's own mail server."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, replace

from relay.egress import EgressRefusedError, Guard
from relay.smtp import certificate
from relay.smtp.certificate import Certificate
from relay.smtp.client import Connection
from relay.smtp.handshake import Features, SessionError, Target, Timeouts
from relay.smtp.replies import Outcome, Scope, Stage, Verdict
from relay.smtp.tls import Contexts, TlsDemand
from relay.transports import Gate, RouteTarget
from relay.transports.dialling import Dialling


@dataclass(frozen=True, slots=True)
class Probed:
    """What a connection that carries no mail came to; features only where it is ready for some."""

    outcome: Outcome
    features: Features = Features()
    certificate: Certificate | None = None


class Smarthost(Dialling):
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
        super().__init__(
            ehlo_name=ehlo_name, contexts=contexts, gate=gate, timeouts=timeouts, clock=clock
        )
        self._guard = guard

    async def connections(self, target: RouteTarget) -> AsyncGenerator[Connection, None]:
        """Yield the one connection there is to be; see Dialling."""
        yield await self._open(target, self._until())

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
