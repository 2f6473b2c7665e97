# SPDX-License-Identifier: AGPL-3.0-or-later
"""Delivers straight to the mail servers of the recipients' domain (RFC 5321 §5).

Connections are shared by all organisations: nobody signs in, so there is nothing that one of them
could use of another's; a connection carries mail only of those who demand no more encryption than
it has.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass, replace
from datetime import datetime

from relay import resting
from relay.destinations import Destinations, Facts
from relay.egress import Guard
from relay.smtp import mx, sts
from relay.smtp.client import Connection
from relay.smtp.envelope import Envelope
from relay.smtp.handshake import SessionError, Target, Timeouts
from relay.smtp.mx import Host, Names, Nowhere
from relay.smtp.replies import Outcome, Scope, Stage, Verdict
from relay.smtp.tls import DEMAND_OF_POLICY, Contexts, TlsDemand, TlsPolicy
from relay.smtp.transaction import OnDot
from relay.stspolicies import Policies
from relay.transports import Gate, Loader, NotNow, RouteTarget
from relay.transports.busy import ELSEWHERE, Busy
from relay.transports.dialling import RESTING, Dialling

# For one message; the next try begins with the first host again.
MAX_CONNECTS = 8
# Greeting and EHLO of one host alone may take as long (RFC 5321 §4.5.3.2).
BEFORE_MAIL_SECONDS = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """The mail servers of other people: how they are found and reached, and what is known of them.

    `ipv4` and `ipv6` are the addresses that connections come from: without the first it is the
    system's choice, without the second no server is reached over IPv6. `concurrency`: connections
    to one domain, over all processes.
    """

    names: Names
    guard: Guard
    destinations: Destinations
    policies: Policies
    now: Callable[[], datetime]
    random: Callable[[], float]
    concurrency: int = 20
    ipv4: str = ""
    ipv6: str = ""
    port: int = 25

    def hosts(self, domain: str) -> AsyncGenerator[Host | Nowhere, None]:
        """Yield the servers of a domain; see mx.hosts."""
        return mx.hosts(domain, self.names, is_ours=self.guard.is_ours, random=self.random)

    def usable(self, host: Host) -> list[str]:
        """Return the addresses of a host that a connection may go to."""
        found = self.guard.usable(host.addresses, self.port)
        return [address for address in found if self.ipv6 or ":" not in address]

    def source(self, address: str) -> str:
        """Return the address that a connection to this one comes from."""
        return self.ipv6 if ":" in address else self.ipv4


class Direct(Dialling):
    """Transport of one process. Belongs to the event loop that it is used on."""

    # Mail to others, of the same sender, waits behind what waits here.
    line_seconds = 2.0

    def __init__(
        self,
        *,
        ehlo_name: str,
        contexts: Contexts,
        world: World,
        gate: Gate | None = None,
        timeouts: Timeouts | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(
            ehlo_name=ehlo_name, contexts=contexts, gate=gate, timeouts=timeouts, clock=clock
        )
        self._world = world
        self._busy = Busy()

    async def send(
        self, target: RouteTarget, envelope: Envelope, content: Loader, on_dot: OnDot
    ) -> list[Outcome | None]:
        """Deliver one message to recipients of `target.destination`; see Transport.

        NotNow always says until when.
        """
        facts = await self._world.destinations.facts(target.destination)
        if facts.rests(self._world.now()):
            raise NotNow(RESTING, facts.rest_until)
        policy = await self._world.policies.holding(target.destination)
        aimed = self._aimed(target, facts, policy)
        try:
            outcomes = await super().send(aimed, envelope, content, on_dot)
        except NotNow as not_now:
            if not_now.until is None:
                raise NotNow(not_now.reason, self._busy_until(aimed)) from None
            raise
        if any(outcome and outcome.code for outcome in outcomes):
            self._busy.moved(target.destination)
        return outcomes

    def _busy_until(self, target: RouteTarget) -> datetime:
        now = self._world.now()
        if target.hop not in self._hops:
            return now + ELSEWHERE
        return self._busy.until(target.destination, now)

    def _aimed(self, target: RouteTarget, facts: Facts, policy: sts.Policy | None) -> RouteTarget:
        """Return what is the same for whoever demands the same of this domain's servers."""
        tls, demand = target.tls, DEMAND_OF_POLICY[target.tls]
        patterns: tuple[str, ...] = ()
        if target.is_demanded:
            demand = TlsDemand.MESSAGE
        if policy is not None and policy.mode is not sts.Mode.NONE and not target.waives:
            tls, demand, patterns = _with_policy(policy, tls, demand)
        careful = resting.is_tried_carefully(facts.failures)
        return RouteTarget(
            route_id=target.hop,
            kind=target.kind,
            destination=target.destination,
            tls=TlsPolicy.STARTTLS if tls is TlsPolicy.IMPLICIT else tls,
            demand=demand,
            patterns=patterns,
            concurrency=1 if careful else self._world.concurrency,
            is_failing=facts.failures > 0,
        )

    async def connections(self, target: RouteTarget) -> AsyncGenerator[Connection, None]:
        """Try host by host; see Dialling. One that answered once is not tried again."""
        until = asyncio.get_running_loop().time() + BEFORE_MAIL_SECONDS
        refusals: list[Outcome] = []
        connects, is_found = 0, False
        async with aclosing(self._candidates(target)) as candidates:
            async for candidate in candidates:
                if isinstance(candidate, Outcome):
                    refusals.append(candidate)
                    continue
                left = until - asyncio.get_running_loop().time()
                if connects == MAX_CONNECTS or left <= 0:
                    refusals.append(_outcome(UNTRIED, target, candidate.host))
                    break
                connects += 1
                try:
                    connection = await self._connect(candidate, left)
                except SessionError as error:
                    refusals.append(error.outcome)
                    continue
                is_found = True
                yield connection
        if not is_found:
            raise SessionError(_weighed(refusals))

    async def _candidates(self, target: RouteTarget) -> AsyncGenerator[Target | Outcome, None]:
        """Yield one address after the other, or why a host has none that may be tried."""
        async with aclosing(self._world.hosts(target.destination)) as hosts:
            async for host in hosts:
                if isinstance(host, Nowhere):
                    yield _outcome(host, target)
                elif target.patterns and not sts.allows(target.patterns, host.name):
                    yield _outcome(UNNAMED, target, host.name)
                elif not (usable := self._world.usable(host)):
                    yield _outcome(mx.ADDRESSLESS, target, host.name)
                else:
                    for address in usable:
                        yield Target(
                            host=host.name,
                            address=address,
                            port=self._world.port,
                            tls=target.tls,
                            is_mx=True,
                            demand=TlsDemand(target.demand),
                            source=self._world.source(address),
                        )

    async def _connect(self, candidate: Target, seconds: float) -> Connection:
        return await Connection.open(
            candidate,
            ehlo_name=self._ehlo_name,
            contexts=self._contexts,
            timeouts=replace(self._timeouts, session=min(self._timeouts.session, seconds)),
        )

    def is_down(self, target: RouteTarget, outcome: Outcome) -> bool:
        """See Dialling. That a channel is not as some of the senders demand it is no failure."""
        is_secure_enough = not outcome.enhanced.startswith("4.7.")
        is_temporary = outcome.verdict is Verdict.RETRY
        return is_temporary and is_secure_enough and super().is_down(target, outcome)

    async def close(self) -> None:
        """See Dialling."""
        await super().close()
        await self._world.policies.close()
        await self._world.destinations.close()


# RFC 8461 §5: such a host is not a mail server of the domain, whatever the DNS says.
UNNAMED = Nowhere(
    Verdict.RETRY,
    Scope.INFRASTRUCTURE,
    "4.7.5",
    "the mail server is none of those that the recipient's domain names in its policy (MTA-STS)",
)
# What those before it answered says nothing about it: mail does not end on that.
UNTRIED = Nowhere(
    Verdict.RETRY,
    Scope.INFRASTRUCTURE,
    "4.4.1",
    "no mail server of the recipient's domain took the mail, and not all of them were tried",
)


def _with_policy(
    policy: sts.Policy, tls: TlsPolicy, demand: TlsDemand
) -> tuple[TlsPolicy, TlsDemand, tuple[str, ...]]:
    if policy.mode is sts.Mode.ENFORCE:
        is_stricter = demand in (TlsDemand.NONE, TlsDemand.MAY)
        return TlsPolicy.STARTTLS, TlsDemand.STS if is_stricter else demand, policy.mx
    return tls, TlsDemand.STS_TESTING if demand is TlsDemand.MAY else demand, ()


def _outcome(nowhere: Nowhere, target: RouteTarget, host: str = "") -> Outcome:
    return Outcome(
        verdict=nowhere.verdict,
        scope=nowhere.scope,
        enhanced=nowhere.enhanced,
        text=nowhere.text,
        remote_host=host,
        stage=Stage.CONNECT,
        tls_demand=target.demand,
        is_hard=nowhere.verdict is Verdict.BOUNCED and nowhere.scope is Scope.RECIPIENT,
    )


def _weighed(refusals: list[Outcome]) -> Outcome:
    """Return what all hosts together mean: only where each ends the mail, it ends.

    The last word counts; but a host that was left out says less than one that was tried.
    """
    temporary = [one for one in refusals if one.verdict is Verdict.RETRY]
    tried = [one for one in temporary if one.remote_address]
    return (tried or temporary or refusals)[-1]
