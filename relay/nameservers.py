# SPDX-License-Identifier: AGPL-3.0-or-later
"""The name servers that RELAY_RESOLVER names, and questions to them about one domain's records."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import dns.asyncresolver
import dns.exception
import dns.nameserver
import dns.resolver
from django.conf import settings

LOOKUP_SECONDS = 5.0

# Of a name and a type; the answers as text, host names in lower case without the dot at the end.
Ask = Callable[[str, str], Awaitable[list[str]]]


class Unreachable(Exception):
    """The name servers gave no answer; that says nothing about the record."""


def nameserver(server: str) -> dns.nameserver.Nameserver:
    """Read one "host:port"; an IPv6 host may stand in brackets. Raises ValueError."""
    host, _, port = server.rpartition(":")
    return dns.nameserver.Do53Nameserver(host.strip("[]"), int(port))


def asker() -> Ask:
    """Return a way to ask RELAY_RESOLVER, or the system's name servers, for LOOKUP_SECONDS at most.

    It raises Unreachable.
    """
    resolver = dns.asyncresolver.Resolver(configure=not settings.RELAY_RESOLVER)
    if settings.RELAY_RESOLVER:
        resolver.nameservers = [nameserver(server) for server in settings.RELAY_RESOLVER]
    resolver.lifetime = LOOKUP_SECONDS

    async def ask(name: str, kind: str) -> list[str]:
        try:
            # Nothing of this machine's search list may be put behind somebody else's name.
            answer = await resolver.resolve(f"{name}.", kind, search=False)
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            return []
        except (dns.exception.DNSException, OSError) as fault:
            raise Unreachable(type(fault).__name__) from None
        return [_text(item, kind) for item in answer]

    return ask


def _text(item: Any, kind: str) -> str:
    if kind == "TXT":
        # RFC 7208 §3.3 for TXT in general: the strings of one record are one value.
        return b"".join(item.strings).decode("ascii", "replace")
    host = item.exchange if kind == "MX" else item.target
    return str(host.to_text(omit_final_dot=True)).lower()
