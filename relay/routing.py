# SPDX-License-Identifier: AGPL-3.0-or-later
"""Which route serves a message, or why it waits. A route is at most two seconds old; that there
is none is never an old answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

import psycopg
from django.db import connection as django_connection
from django.db.utils import InterfaceError, OperationalError
from psycopg.rows import class_row

from accounts import vault
from accounts.models import Organisation
from relay import health, pacing, resting
from relay.models import QueuedDelivery, Route
from relay.queue import HotConnection
from relay.smtp.replies import Outcome
from relay.smtp.tls import TlsPolicy
from relay.transports import RouteTarget

Connection = psycopg.AsyncConnection[Any]
Found = TypeVar("Found")

FRESH = timedelta(seconds=2)
RETRY_SECONDS = 0.3
SECRET_PURPOSE = "route-secret"  # noqa: S105 - the name of a purpose

Reason = QueuedDelivery.Reason


def seal_secret(organisation_id: UUID, secret: str) -> bytes:
    """Return what goes into Route.sealed_secret. Open the organisation's context first."""
    return vault.seal(SECRET_PURPOSE, secret.encode(), organisation_id=organisation_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Waits:
    """No route may take the mail now; `until` is when to ask again, where that is known."""

    reason: Reason
    until: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteFacts:
    """A route as it is stored; `domain` is empty when it serves every domain."""

    may_send: bool
    id: UUID | None  # None on the one row of an organisation that has no route
    domain: str = ""
    kind: str = Route.Kind.OWN.value
    provider: str = ""
    provider_domain: str = ""
    takes_over: bool = True
    host: str = ""
    port: int = 0
    security: str = ""
    username: str = ""
    sealed_secret: bytes = field(default=b"", repr=False)
    version: int = 0
    concurrency: int = 1
    rate_per_minute: int | None = None
    failures: int = 0
    rest_until: datetime | None = None
    is_proven: bool = False  # that it works was written down after it last failed
    paused: bool = False
    pause_reason: str = ""

    def rests(self, now: datetime) -> bool:
        """Whether its server is left alone, because it did not answer."""
        return self.rest_until is not None and self.rest_until > now


def choose(routes: list[RouteFacts], domain: str, now: datetime) -> RouteFacts | Waits:
    """Pick the route for mail of a sender's domain from an organisation's, in their order.

    Routes of the domain itself, or of the nearest domain above it, come before general ones. One
    that is paused leaves its mail to the next; one that rests to the next that takes over.
    """
    if not routes or not routes[0].may_send:
        return Waits(reason=Reason.STOPPED)
    serving = _serving([route for route in routes if route.id], domain.lower())
    if not serving:
        return Waits(reason=Reason.NO_ROUTE)
    usable = [route for route in serving if not route.paused]
    if not usable:
        return _wait(serving[0])
    answering = (
        route
        for place, route in enumerate(usable)
        if not route.rests(now) and (route.takes_over or place == 0)
    )
    return next(answering, Waits(reason=Reason.RESTING, until=usable[0].rest_until))


def _serving(routes: list[RouteFacts], domain: str) -> list[RouteFacts]:
    # A label boundary: "ample.example" is not above "example.example".
    named = [r for r in routes if r.domain and f".{domain}".endswith(f".{r.domain}")]
    nearest = max((len(route.domain) for route in named), default=0)
    return [r for r in named if len(r.domain) == nearest] or [r for r in routes if not r.domain]


def _wait(route: RouteFacts) -> Waits:
    refused = route.pause_reason == Route.PauseReason.SIGN_IN_REFUSED
    return Waits(reason=Reason.SIGN_IN_REFUSED if refused else Reason.ROUTE_PAUSED)


ROUTES = """
SELECT o.sending_allowed AND o.standing = ANY(%(carried)s) AS may_send, r.id,
    coalesce(d.name, '') AS domain, coalesce(r.kind, '') AS kind,
    coalesce(r.provider, '') AS provider, coalesce(r.provider_domain, '') AS provider_domain,
    coalesce(r.takes_over, false) AS takes_over,
    coalesce(r.host, '') AS host, coalesce(r.port, 0) AS port,
    coalesce(r.security, '') AS security, coalesce(r.username, '') AS username,
    coalesce(r.sealed_secret, '') AS sealed_secret, coalesce(r.version, 0) AS version,
    coalesce(r.concurrency, 1) AS concurrency, r.rate_per_minute,
    coalesce(r.failures, 0) AS failures, r.rest_until,
    coalesce(r.worked_at > coalesce(r.failed_at, '-infinity'), false) AS is_proven,
    r.paused_at IS NOT NULL AS paused,
    coalesce(r.pause_reason, '') AS pause_reason
FROM accounts_organisation o
LEFT JOIN relay_route r ON r.organisation_id = o.id
LEFT JOIN relay_sendingdomain d ON d.id = r.domain_id
WHERE o.id = %(organisation)s ORDER BY r.priority, r.created_at, r.id
"""
# A secret that was changed meanwhile has not been refused.
PAUSE = """
UPDATE relay_route SET paused_at = %s, pause_reason = %s
WHERE id = %s AND version = %s AND paused_at IS NULL
"""


class Routes:
    """The routes of every organisation whose mail this process carries."""

    def __init__(self, dsn: str, now: Callable[[], datetime]) -> None:
        self._connection = HotConnection(dsn)
        self._one_at_a_time = asyncio.Lock()
        self._now = now
        self._known: dict[UUID, tuple[datetime, list[RouteFacts]]] = {}
        self._secrets: dict[tuple[UUID, int], str] = {}
        # Of the facts that are known now: messages of one route share one object.
        self._targets: dict[UUID, tuple[RouteFacts, RouteTarget]] = {}
        self._failing: set[UUID] = set()
        self._health = health.Health()
        self._held: dict[tuple[UUID, str], datetime] = {}

    async def close(self) -> None:
        await self._connection.close()

    async def is_open(self, organisation_id: UUID, domain: str) -> bool:
        """Whether a route takes mail of a sender's domain, as of two seconds ago."""
        chosen = choose(await self._routes(organisation_id), domain, self._now())
        return not isinstance(chosen, Waits)

    async def target(self, organisation_id: UUID, domain: str) -> RouteTarget | Waits:
        """Return where mail of a sender's domain goes now. Raises psycopg.Error, VaultError.

        Waits for a database that is away.
        """
        now = self._now()
        chosen = choose(await self._routes(organisation_id), domain, now)
        if isinstance(chosen, Waits) and chosen.until is None:
            # Mail waits because of this answer, and a person may have resumed the route since it
            # was read.
            chosen = choose(await self._routes(organisation_id, after=now), domain, now)
        if isinstance(chosen, Waits):
            return chosen
        assert chosen.id is not None
        known, target = self._targets.get(chosen.id, (None, None))
        if target is None or known is not chosen:
            target = await self._target(organisation_id, chosen)
            self._targets[chosen.id] = chosen, target
        return target

    async def _target(self, organisation_id: UUID, chosen: RouteFacts) -> RouteTarget:
        assert chosen.id is not None
        careful = resting.is_tried_carefully(chosen.failures)
        return RouteTarget(
            route_id=chosen.id,
            version=chosen.version,
            kind=chosen.kind,
            provider=chosen.provider,
            provider_domain=chosen.provider_domain,
            host=chosen.host,
            port=chosen.port,
            tls=TlsPolicy(chosen.security),
            username=chosen.username,
            password=await self._password(organisation_id, chosen),
            concurrency=1 if careful else chosen.concurrency,
            rate=chosen.rate_per_minute,
            is_failing=chosen.failures > 0,
            is_proven=chosen.is_proven,
        )

    async def failed(self, target: RouteTarget) -> datetime | None:
        """Count a connection that failed; returns until when the route rests, if it does.

        Waits for a database that is away.
        """
        self._failing.add(target.route_id)
        async with self._one_at_a_time:
            until = await self._at_last(
                lambda connection: resting.failed(
                    connection, target.route_id, target.version, self._now()
                )
            )
            self._forget(target.route_id)
        return until

    async def rests(self, target: RouteTarget) -> datetime | None:
        """Return until when the route rests, as of now; None when it does not.

        Waits for a database that is away.
        """
        async with self._one_at_a_time:
            until = await self._at_last(
                lambda connection: resting.rests(
                    connection, target.route_id, target.version, self._now()
                )
            )
            if until is not None:
                self._forget(target.route_id)
        return until

    async def worked(self, target: RouteTarget) -> None:
        """Note that the server answers, if it did not of late.

        Waits for a database that is away.
        """
        if not target.is_failing and target.route_id not in self._failing:
            return
        self._failing.discard(target.route_id)
        async with self._one_at_a_time:
            await self._at_last(
                lambda connection: resting.worked(connection, target.route_id, target.version)
            )
            self._forget(target.route_id)

    async def heed(self, target: RouteTarget, found: Sequence[Outcome | None]) -> None:
        """Keep how the server was found, for people to read, where that is news.

        Waits for a database that is away.
        """
        said = [outcome for outcome in found if outcome and outcome.stage]
        if not said or not (state := self._health.news(target, said[0], self._now())):
            return
        async with self._one_at_a_time:
            await self._at_last(lambda connection: health.write(connection, target, state))
            self._forget(target.route_id)

    async def pause(self, target: RouteTarget, reason: Route.PauseReason) -> None:
        """Stop using a route until a person resumes it, unless it was changed meanwhile.

        Waits for a database that is away.
        """
        values = [self._now(), reason.value, target.route_id, target.version]
        async with self._one_at_a_time:
            await self._at_last(lambda connection: connection.execute(PAUSE, values))
        self._known.clear()

    async def hold_back(self, organisation_id: UUID, domain: str, until: datetime) -> None:
        """Keep mail of a domain from all shifts, because its route has carried enough.

        Waits for a database that is away.
        """
        turn = organisation_id, domain
        async with self._one_at_a_time:
            if self._held.get(turn) == until:
                return
            await self._at_last(
                lambda connection: pacing.hold(connection, turn, self._now(), until)
            )
            self._held[turn] = until

    def _forget(self, route_id: UUID) -> None:
        """Read the routes again of whoever has this one."""
        for organisation_id, (_, routes) in list(self._known.items()):
            if any(route.id == route_id for route in routes):
                del self._known[organisation_id]

    async def _routes(
        self, organisation_id: UUID, *, after: datetime | None = None
    ) -> list[RouteFacts]:
        """Return routes that are FRESH; `after`: that were read later than this."""
        async with self._one_at_a_time:
            read_at, routes = self._known.get(organisation_id, (None, []))
            now = self._now()
            old = read_at is None or abs(now - read_at) >= FRESH
            if old or (after is not None and read_at is not None and read_at <= after):
                routes = await self._at_last(lambda reads: self._read(reads, organisation_id))
                # From before the reading: what changed during it may be missing.
                self._known[organisation_id] = (now, routes)
            return routes

    async def _at_last(self, act: Callable[[Connection], Awaitable[Found]]) -> Found:
        # Whoever asks holds a lease and renews it: giving up would leave the mail until it ran out.
        while True:
            try:
                async with self._connection.use() as connection:
                    return await act(connection)
            except (psycopg.OperationalError, psycopg.InterfaceError, OSError):
                await asyncio.sleep(RETRY_SECONDS)

    async def _read(self, connection: Connection, organisation_id: UUID) -> list[RouteFacts]:
        async with connection.cursor(row_factory=class_row(RouteFacts)) as cursor:
            carried = [str(standing) for standing in Organisation.CARRIED]
            await cursor.execute(ROUTES, {"organisation": organisation_id, "carried": carried})
            return await cursor.fetchall()

    async def _password(self, organisation_id: UUID, route: RouteFacts) -> str:
        if not route.sealed_secret or route.id is None:
            return ""
        key = (route.id, route.version)
        if key not in self._secrets:
            self._secrets[key] = await _opened_at_last(organisation_id, route.sealed_secret)
        return self._secrets[key]


async def _opened_at_last(organisation_id: UUID, sealed: bytes) -> str:
    while True:
        try:
            # The vault reads the organisation's key through Django, which needs a thread here.
            return await asyncio.to_thread(_opened, organisation_id, sealed)
        except (OperationalError, InterfaceError):
            await asyncio.sleep(RETRY_SECONDS)


def _opened(organisation_id: UUID, sealed: bytes) -> str:
    try:
        return vault.unseal(SECRET_PURPOSE, sealed, organisation_id=organisation_id).decode()
    finally:
        django_connection.close()
