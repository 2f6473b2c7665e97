# SPDX-License-Identifier: AGPL-3.0-or-later
"""Builds the transports of one shift, with what they share with all other shifts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from random import SystemRandom
from typing import Any
from uuid import UUID

from django.conf import settings

from accounts import clock
from relay.destinations import Destinations
from relay.egress import Guard
from relay.hops import SharedGate
from relay.models import Route
from relay.permits import Permits
from relay.resolving import Resolver
from relay.routing import Routes
from relay.smtp.tls import Contexts
from relay.stsfetch import Fetcher
from relay.stspolicies import Policies
from relay.transports import Transport
from relay.transports.carriers import Carriers
from relay.transports.dialling import Dialling
from relay.transports.direct import Direct, World
from relay.transports.esp import Esp
from relay.transports.smarthost import Smarthost

Kind = Route.Kind


def world_from_settings(
    dsn: str, guard: Guard, resolver: Resolver, contexts: Contexts
) -> World | None:
    """Return how other people's mail servers are reached, None where this service reaches none."""
    if not settings.RELAY_DIRECT:
        return None
    return make_world(
        dsn,
        guard,
        resolver,
        contexts,
        now=clock.now,
        random=SystemRandom().random,
        concurrency=settings.RELAY_DIRECT_CONNECTIONS,
        ipv4=settings.RELAY_SOURCE_IPV4,
        ipv6=settings.RELAY_SOURCE_IPV6,
        port=settings.RELAY_DIRECT_PORT,
    )


def make_world(
    dsn: str,
    guard: Guard,
    resolver: Resolver,
    contexts: Contexts,
    *,
    now: Callable[[], datetime],
    **more: Any,
) -> World:
    """Put together what is known and asked of other people's domains; `more` is World's."""
    destinations = Destinations(dsn, now)
    fetcher = Fetcher(resolver, guard, contexts.verified)
    policies = Policies(resolver, fetcher.policy, destinations, now)
    return World(
        names=resolver, guard=guard, destinations=destinations, policies=policies, now=now, **more
    )


def sharing_transport(
    dsn: str,
    routes: Routes,
    *,
    ehlo_name: str,
    contexts: Contexts,
    guard: Guard,
    world: World | None = None,
) -> tuple[Permits, Carriers]:
    """Build transports that share their next hops with all other shifts, and their permits."""
    permits = Permits(dsn)
    of_routes = SharedGate(permits, routes)
    own = Smarthost(ehlo_name=ehlo_name, contexts=contexts, guard=guard, gate=of_routes)
    esp = Esp(
        now=clock.now,
        threads=settings.RELAY_ESP_THREADS,
        gate=of_routes,
        urls=settings.RELAY_ESP_URLS,
    )
    by_kind: dict[str, Transport] = {Kind.OWN.value: own, Kind.ESP.value: esp}
    dialling: list[Dialling] = [own]
    if world is not None:
        gate = SharedGate(permits, world.destinations)
        direct = Direct(ehlo_name=ehlo_name, contexts=contexts, world=world, gate=gate)
        by_kind[Kind.DIRECT.value] = direct
        dialling.append(direct)
    _give_up_spare(permits, dialling)
    return permits, Carriers(by_kind)


def _give_up_spare(permits: Permits, dialling: Sequence[Dialling]) -> None:
    """Let connections go that nobody uses here, when somebody asks for them."""

    def wanted(hop: UUID) -> None:
        for transport in dialling:
            transport.let_go(hop)

    def crowded() -> None:
        idle = [one for one in dialling if one.idle_since is not None]
        if idle:
            min(idle, key=lambda one: one.idle_since or 0.0).let_go_oldest()

    permits.wanted, permits.crowded = wanted, crowded
