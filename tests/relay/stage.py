# SPDX-License-Identifier: AGPL-3.0-or-later
"""A shift on stage: a scripted server as the far end, and waits for what the shift did."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.conf import settings

from accounts.models import Organisation
from config.stack.state import free_port
from relay import routing
from relay.backoff import Backoff
from relay.delivery import Courier
from relay.egress import Guard
from relay.limits import SharedCounters
from relay.metering import Metering
from relay.models import Route
from relay.notices import NoticeLimit
from relay.outbound import make_world, sharing_transport
from relay.pacing import Pace
from relay.queue import Accepted, Leases
from relay.resolving import Resolver
from relay.restraints import Restraints
from relay.returning import Returning
from relay.routing import Routes
from relay.shift import Shift, Slot
from relay.signing import DomainSigner
from relay.smtp.tls import make_contexts
from tests import build
from tests.relay import mail
from tests.testbed.certificates import Authority
from tests.testbed.dns import NameServer
from tests.testbed.smtp import FarEnd, Script


def route(organisation: Organisation, **fields: Any) -> UUID:
    values: dict[str, Any] = {
        "name": "server",
        "host": "127.0.0.1",
        "port": 1,
        "security": Route.Security.NONE,
        "created_at": build.NOW,
    }
    with build.as_owner():
        return Route.objects.create(organisation=organisation, **values | fields).id


def to_house(house: Organisation, **fields: Any) -> Callable[[int], None]:
    return lambda port: (route(house, port=port, **fields), None)[1]


def signing_in(house: Organisation) -> Callable[[int], None]:
    """A route with user name and secret over STARTTLS."""

    def prepare(port: int) -> None:
        with build.as_owner():
            secret = routing.seal_secret(house.id, "hemmelig")
        route(
            house,
            port=port,
            security=Route.Security.STARTTLS,
            username="due",
            sealed_secret=secret,
            concurrency=1,
        )

    return prepare


class Stage:
    """A shift against one far end, and a way to wait for what it did."""

    def __init__(
        self,
        far_end: FarEnd,
        *,
        offset: timedelta = timedelta(),
        authority: Authority | None = None,
        dns: NameServer | None = None,
        beside: int | None = None,
    ) -> None:
        """With `dns`, mail also goes straight to the servers that it names, on the same port.

        `beside`: the port of another server that may be reached.
        """
        self.far_end = far_end
        self.open_ports = {far_end.port, beside or far_end.port}
        self.resolver = Resolver([dns.server] if dns else [], lifetime=1)
        self.is_direct = dns is not None
        self.ca_file = str(authority.ca_file) if authority else ""
        self.stopping = False
        self.offset = offset

    def now(self) -> Any:
        return mail.now() + self.offset

    def shift(self, **options: Any) -> Shift:
        sealer, routes = mail.sealer(), Routes(mail.dsn(), self.now)
        guard = Guard(
            lookup=self.resolver.addresses,
            loopback_ports=frozenset(self.open_ports),
            refusal_seconds=0,
        )
        contexts = make_contexts(self.ca_file)
        world = make_world(
            mail.dsn(),
            guard,
            self.resolver,
            contexts,
            now=self.now,
            random=lambda: 0.5,
            concurrency=settings.RELAY_DIRECT_CONNECTIONS,
            port=self.far_end.port,
        )
        permits, transport = sharing_transport(
            mail.dsn(),
            routes,
            ehlo_name="relay.brevdue.example",
            contexts=contexts,
            guard=guard,
            world=world if self.is_direct else None,
        )
        courier = Courier(
            leases=Leases(mail.dsn(), sealer, self.now),
            routes=routes,
            transport=transport,
            pace=Pace(SharedCounters(settings.REDIS_URL), self.now),
            metering=Metering(mail.dsn(), SharedCounters(settings.REDIS_URL), self.now),
            restraints=Restraints(mail.dsn(), self.now),
            sealer=sealer,
            backoff=Backoff(mail.dsn(), self.now),
            now=self.now,
            random=lambda: 0.5,
            hostname="relay.brevdue.example",
            signer=DomainSigner(mail.dsn(), self.now),
            limit=NoticeLimit(SharedCounters(settings.REDIS_URL), self.now),
            paths=Returning(mail.dsn(), "", self.now),
        )
        values: dict[str, Any] = {
            "slot": Slot(mail.dsn(), 1),
            "stop": lambda: self.stopping,
            "hand_over": lambda: False,
            "stop_seconds": 0.3,
        }
        return Shift(courier=courier, permits=permits, **values | options)


async def until(found: Callable[[], Any], seconds: float = 60) -> None:
    async with asyncio.timeout(seconds):
        while not found():
            await asyncio.sleep(0.02)


async def count(sql: str) -> int:
    async with await mail.session() as connection:
        row = await (await connection.execute(sql)).fetchone()
    assert row is not None
    return int(row[0])


WAITING = "SELECT count(*) FROM relay_queueddelivery"
UNTRIED = (
    "SELECT count(*) FROM relay_queueddelivery WHERE lease_owner IS NOT NULL OR reason = 'new'"
)


async def becomes(sql: str, wanted: int, seconds: float = 60) -> None:
    async with asyncio.timeout(seconds):
        while await count(sql) != wanted:
            await asyncio.sleep(0.05)


def carry(
    script: Script,
    *messages: Accepted,
    prepare: Callable[[int], None] = lambda port: None,
    ready: str = UNTRIED,
    offset: timedelta = timedelta(),
    authority: Authority | None = None,
) -> FarEnd:
    """Store messages, work a shift until none is untried, and return the far end."""
    port = free_port()
    prepare(port)

    async def scenario() -> FarEnd:
        await mail.keep(*messages)
        tls = authority.server("127.0.0.1") if authority else None
        async with FarEnd(script, tls, port=port) as far_end:
            stage = Stage(far_end, offset=offset, authority=authority)
            working = asyncio.create_task(stage.shift().run())
            await becomes(ready, 0)
            stage.stopping = True
            await working
            return far_end

    return mail.run(scenario())


# Advisory locks that shifts of this database hold: their slots, which have two numbers, and their
# permits, which have one.
LOCKS = (
    "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = {}"
    " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)
SLOTS, PERMITS = LOCKS.format(2), LOCKS.format(1)
# Sessions of the mail path that wait for another's lock.
BLOCKED = (
    "SELECT count(*) FROM pg_stat_activity"
    " WHERE datname = current_database() AND wait_event_type = 'Lock'"
)


WAITED_FOR = "SELECT (count(*) > 0)::int FROM pg_locks WHERE NOT granted"


async def somebody_waits() -> None:
    """Return once a session waits for a lock of another."""
    await becomes(WAITED_FOR, 1)
