# SPDX-License-Identifier: AGPL-3.0-or-later
"""The mail servers of a domain: a real name server, real servers on loopback, and one to send."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from uuid import UUID

from config.stack.state import free_port
from relay.destinations import Facts
from relay.egress import Guard
from relay.resolving import Resolver
from relay.smtp import sts
from relay.smtp.handshake import Timeouts
from relay.smtp.replies import Outcome
from relay.smtp.tls import Contexts, TlsPolicy
from relay.transports import RouteTarget
from relay.transports.direct import Direct, World
from tests import build
from tests.relay.smtp.sending import decided
from tests.relay.transports.test_smarthost import CONTEXTS, ENVELOPE, content, nothing
from tests.testbed.dns import NameServer
from tests.testbed.smtp import FarEnd

DOMAIN = "modtager.example"
ROUTE = UUID("019a0000-0000-7000-8000-00000000aaaa")
EHLO = "relay.brevdue.example"
# For what answers, however slowly.
PATIENT = Timeouts(greeting=20, command=20, data=20, dot=20, goodbye=0.2, reused=20)


class Known:
    """What is stored of destinations, as a test has it."""

    def __init__(self, facts: Facts) -> None:
        self._facts = facts

    async def facts(self, name: str) -> Facts:
        assert name == DOMAIN
        return self._facts

    async def close(self) -> None:
        pass


class Published:
    """The policy of the domain, as a test has it."""

    def __init__(self, policy: sts.Policy | None = None) -> None:
        self._policy = policy

    async def holding(self, name: str) -> sts.Policy | None:
        return self._policy

    async def close(self) -> None:
        pass


def policy(mode: sts.Mode, *patterns: str) -> Published:
    return Published(sts.Policy(mode, patterns or ("*.modtager.example",), timedelta(days=1)))


class Net:
    """A name server and mail servers at mx2, mx3, … of the domain, by the end of their address."""

    def __init__(self, dns: NameServer, port: int) -> None:
        self.dns, self.port = dns, port
        self.transports: list[Direct] = []

    def direct(
        self,
        *,
        contexts: Contexts = CONTEXTS,
        facts: Facts | None = None,
        published: Published | None = None,
        ipv4: str = "",
        ipv6: str = "",
        timeouts: Timeouts = PATIENT,
        lifetime: float = 20,
        loopback: bool = True,
    ) -> Direct:
        resolver = Resolver([self.dns.server], lifetime=lifetime)
        guard = Guard(
            lookup=resolver.addresses,
            loopback_ports=frozenset({self.port} if loopback else ()),
            own_names=frozenset({EHLO}),
            refusal_seconds=0,
        )
        world = World(
            names=resolver,
            guard=guard,
            destinations=Known(facts or Facts()),  # type: ignore[arg-type]
            policies=published or Published(),  # type: ignore[arg-type]
            now=lambda: build.NOW,
            random=lambda: 0.5,
            ipv4=ipv4,
            ipv6=ipv6,
            port=self.port,
        )
        made = Direct(ehlo_name=EHLO, contexts=contexts, world=world, timeouts=timeouts)
        self.transports.append(made)
        return made

    async def send(self, transport: Direct | None = None, **more) -> Outcome:
        chosen = transport or self.direct()
        (outcome,) = decided(await chosen.send(target(**more), ENVELOPE, content, nothing))
        return outcome


def target(**more) -> RouteTarget:
    values = {
        "route_id": ROUTE,
        "kind": "direct",
        "destination": DOMAIN,
        "tls": TlsPolicy.OPPORTUNISTIC,
    }
    return RouteTarget(**{**values, **more})


@asynccontextmanager
async def network(*far_ends: FarEnd, zone: str = "") -> AsyncIterator[Net]:
    """Let these servers listen on 127.0.0.2 and up, at one port, preferred in this order."""
    port = free_port()
    records = [zone]
    async with AsyncExitStack() as opened:
        for number, far_end in enumerate(far_ends, 2):
            far_end.address, far_end.port = f"127.0.0.{number}", port
            await opened.enter_async_context(far_end)
            records.append(f"{DOMAIN}. 60 IN MX {number} mx{number}.{DOMAIN}.")
            records.append(f"mx{number}.{DOMAIN}. 60 IN A 127.0.0.{number}")
        net = Net(opened.enter_context(NameServer("\n".join(records))), port)
        try:
            yield net
        finally:
            await asyncio.gather(*(transport.close() for transport in net.transports))
