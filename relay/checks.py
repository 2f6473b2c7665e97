# SPDX-License-Identifier: AGPL-3.0-or-later
"""Settings that only a development stack may have; `check --deploy` refuses them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

from django.conf import settings
from django.core.checks import Error, Tags, Warning, register

from relay import resolving
from relay.resolving import Resolver
from relay.smtp.mx import NoSuchName, Unanswered


@dataclass(frozen=True, slots=True)
class Development:
    """A setting that has its `usual` value in a service; what it `does` otherwise."""

    number: int
    name: str
    does: str
    usual: Any


DEVELOPMENT = (
    Development(
        1, "RELAY_EGRESS_LOOPBACK_PORTS", "lets routes lead to this machine's own ports", []
    ),
    Development(2, "RELAY_ALLOW_PLAINTEXT_AUTH", "lets passwords travel without TLS", False),
    Development(
        3, "RELAY_DEVELOPMENT_DOMAINS", "believes in reserved domains without a proof", False
    ),
    Development(4, "RELAY_DIRECT_PORT", "is not the port that mail servers take mail on", 25),
    Development(
        5,
        "RELAY_ESP_URLS",
        "sends customers' mail and keys to other addresses than providers'",
        {},
    ),
)


@register(Tags.security, deploy=True)
def check_development_settings(**kwargs: Any) -> list[Error]:
    return [
        Error(f"{one.name} {one.does}.", hint="Unset it.", id=f"relay.E{one.number:03}")
        for one in DEVELOPMENT
        if getattr(settings, one.name) != one.usual
    ]


@register(Tags.security, deploy=True)
def check_source_addresses(**kwargs: Any) -> list[Warning]:
    """Other people's mail servers take little mail from an address that bears no name."""
    if not settings.RELAY_DIRECT:
        return []
    return asyncio.run(_unnamed_sources())


async def _unnamed_sources() -> list[Warning]:
    resolver = resolving.from_settings()
    return [
        Warning(
            f"{setting}: the address and RELAY_HOSTNAME do not name each other in the DNS.",
            hint="Set the address's PTR record to RELAY_HOSTNAME, and its A or AAAA back.",
            id="relay.W001",
        )
        for setting, address in _sources()
        if not address or not await _name_each_other(resolver, address)
    ]


def _sources() -> Iterator[tuple[str, str]]:
    yield "RELAY_SOURCE_IPV4", settings.RELAY_SOURCE_IPV4
    if settings.RELAY_SOURCE_IPV6:
        yield "RELAY_SOURCE_IPV6", settings.RELAY_SOURCE_IPV6


async def _name_each_other(resolver: Resolver, address: str) -> bool:
    """RFC 1912 §2.1: for every address a PTR that leads back to it."""
    name = settings.RELAY_HOSTNAME.lower()
    try:
        forward = {ip_address(one) for one in await resolver.addresses(name)}
        return name in await resolver.names(address) and ip_address(address) in forward
    except (NoSuchName, Unanswered, ValueError):
        return False
