# SPDX-License-Identifier: AGPL-3.0-or-later
"""Asks the name servers, in the event loop itself.

The system's own look-up (getaddrinfo) runs in a few threads that nobody can stop: names whose
servers are silent would keep everybody else's mail waiting behind them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path

import dns.asyncresolver
import dns.exception
import dns.name
import dns.rdatatype
import dns.resolver
import dns.reversename
from django.conf import settings

from relay.nameservers import nameserver
from relay.smtp.mx import Exchange, NoSuchName, Unanswered

LIFETIME_SECONDS = 10.0  # of one question, at all name servers together
# An address of one family is there: so long the other may take.
OTHER_FAMILY_SECONDS = 1.0
# Answers are kept as long as they say, but no longer than this.
KEPT_SECONDS = 300.0
KEPT_EMPTY_SECONDS = 60.0
KEPT_MOST = 10_000
SYSTEM = Path("/etc/resolv.conf")


class _Cache(dns.resolver.LRUCache):
    def put(self, key: dns.resolver.CacheKey, value: dns.resolver.Answer) -> None:
        # Names that do not exist are kept under every type at once (RFC 8020). There are servers
        # that deny a name only because it has no IPv6 address (RFC 4074 §4.2), and mail would end.
        if key[1] is dns.rdatatype.ANY:
            return
        longest = KEPT_SECONDS if value.rrset else KEPT_EMPTY_SECONDS
        value.expiration = min(value.expiration, time.time() + longest)
        super().put(key, value)


class Resolver:
    """Belongs to the event loop that it is used on; see relay.smtp.mx.Names for what it raises."""

    def __init__(self, servers: Sequence[str], *, lifetime: float = LIFETIME_SECONDS) -> None:
        """`servers` as RELAY_RESOLVER names them; none: those of the system (resolv.conf)."""
        self._resolver = _configured(servers)
        self._resolver.lifetime = lifetime
        self._resolver.cache = _Cache(KEPT_MOST)

    async def exchanges(self, name: str) -> list[Exchange]:
        """Return the MX records."""
        return [
            Exchange(record.preference, _text(record.exchange))
            for record in await self._ask(_absolute(name), "MX")
        ]

    async def texts(self, name: str) -> list[bytes]:
        """Return the TXT records, the strings of each as one value."""
        return [b"".join(record.strings) for record in await self._ask(_absolute(name), "TXT")]

    async def names(self, address: str) -> list[str]:
        """Return the names of an address (PTR), in lower case. Raises ValueError."""
        try:
            reverse = dns.reversename.from_address(address)
        except dns.exception.SyntaxError:
            raise ValueError("not an address") from None
        return [_text(record.target).lower() for record in await self._ask(reverse, "PTR")]

    async def addresses(self, name: str) -> list[str]:
        """Return the addresses of both families, IPv4 first.

        One family is enough: many servers never answer for the other.
        """
        if name.rstrip(".").lower() == "localhost":  # RFC 6761 §6.3: no server is asked
            return ["127.0.0.1", "::1"]
        absolute = _absolute(name)
        asked = [asyncio.ensure_future(self._family(absolute, kind)) for kind in ("A", "AAAA")]
        try:
            done, waiting = await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
            if waiting:
                is_enough = any(isinstance(task.result(), list) and task.result() for task in done)
                await asyncio.wait(waiting, timeout=OTHER_FAMILY_SECONDS if is_enough else None)
            return _joined([task.result() for task in asked if task.done()])
        finally:
            for task in asked:
                task.cancel()

    async def _family(self, name: dns.name.Name, kind: str) -> list[str] | NoSuchName | Unanswered:
        try:
            return [record.to_text() for record in await self._ask(name, kind)]
        except (NoSuchName, Unanswered) as error:
            return error

    async def _ask(self, name: dns.name.Name, kind: str) -> dns.resolver.Answer:
        """Return the answer, empty when the name has none of this kind."""
        try:
            return await self._resolver.resolve(name, kind, raise_on_no_answer=False, search=False)
        except dns.resolver.NXDOMAIN:
            raise NoSuchName from None
        except (dns.exception.DNSException, OSError):
            raise Unanswered from None


def _joined(found: Sequence[list[str] | NoSuchName | Unanswered]) -> list[str]:
    addresses = [address for family in found if isinstance(family, list) for address in family]
    errors = [family for family in found if not isinstance(family, list)]
    # Denied for one family, the name may exist all the same (RFC 4074 §4.2): silence is no no.
    errors.sort(key=lambda error: isinstance(error, NoSuchName))
    if errors and not addresses:
        raise errors[0]
    return addresses


def _absolute(name: str) -> dns.name.Name:
    """Return a name that no search list is applied to. Raises NoSuchName where it can be none."""
    if "\\" in name:  # an escape of the notation, which no name of a host needs
        raise NoSuchName
    try:
        found = dns.name.from_text(name, idna_codec=dns.name.IDNA_2008_Practical)
    except (dns.exception.DNSException, UnicodeError):
        raise NoSuchName from None
    if found == dns.name.root:
        raise NoSuchName
    return found


def _text(name: dns.name.Name) -> str:
    """Return a name without its last dot, the root as nothing."""
    return name.to_text().rstrip(".")


def _configured(servers: Sequence[str]) -> dns.asyncresolver.Resolver:
    resolver = dns.asyncresolver.Resolver(configure=False)
    if servers:
        resolver.nameservers = [nameserver(server) for server in servers]
        return resolver
    try:
        resolver.read_resolv_conf(SYSTEM)
    except dns.resolver.NoResolverConfiguration:
        resolver.nameservers = ["127.0.0.1"]  # resolv.conf(5): the one of this machine
    return resolver


def from_settings() -> Resolver:
    """Build the resolver that the running process uses."""
    return Resolver(settings.RELAY_RESOLVER)
