# SPDX-License-Identifier: AGPL-3.0-or-later
"""Guards every connection to a host that a customer named, against reaching what is not theirs.

The deny table is our own: ``is_private`` and ``is_global`` of the standard library let several
forms pass and change between versions. A name is resolved once, and the connection goes to the
address that was checked, so that a second answer (DNS rebinding) never counts.
"""

from __future__ import annotations

import asyncio
import errno
import re
import socket
import unicodedata
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from django.conf import settings

from relay import resolving
from relay.smtp.mx import NoSuchName, Unanswered

PORTS = frozenset({25, 465, 587, 2525})
HTTPS = 443  # of what a recipient's domain publishes; no customer's route leads there
MAX_ADDRESSES = 4
# Every refusal takes this long, whatever its cause: the time must not tell names apart.
REFUSAL_SECONDS = 5.0

Lookup = Callable[[str], Awaitable[list[str]]]

# IANA special-purpose registry (RFC 6890) and multicast, plus two metadata services that sit on
# otherwise public addresses. 100.64.0.0/10 and 169.254.0.0/16 hold the other clouds' services.
_DENIED_V4 = tuple(
    IPv4Network(network)
    for network in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "168.63.129.16/32",
        "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.31.196.0/24",
        "192.52.193.0/24", "192.88.99.0/24", "192.168.0.0/16", "192.175.48.0/24",
        "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
    )
)  # fmt: skip
# Only what IANA has given out for the public network is allowed at all; these parts of it are not:
# protocol assignments with Teredo and ORCHID, documentation (RFC 3849, RFC 9637), AS112.
_PUBLIC_V6 = (IPv6Network("2000::/3"), IPv6Network("64:ff9b::/96"))
_DENIED_V6 = tuple(
    IPv6Network(network)
    for network in ("2001::/23", "2001:db8::/32", "2620:4f:8000::/48", "3fff::/20")
)
_SIX_TO_FOUR = IPv6Network("2002::/16")
_NAT64 = IPv6Network("64:ff9b::/96")
_ISATAP = (0x00005EFE, 0x02005EFE)
# Names of inner networks, whatever a name server says about them: RFC 6761 §6.3, RFC 6762 §3,
# RFC 7686 §2, RFC 8375 §3, and the one that ICANN keeps for private use since 2024.
_INNER = frozenset({"localhost", "local", "internal", "onion", "arpa"})
# A last label like this is read as part of an IPv4 address by some, decimal, octal or hexadecimal.
_NUMBER = re.compile(r"0x[0-9a-f]*|[0-9]+")


class EgressRefusedError(Exception):
    """The one answer to every host and port that may not be reached, or that has no address."""

    def __init__(self) -> None:
        super().__init__("this server address cannot be used")


def is_allowed(address: str) -> bool:
    """Whether a literal address belongs to the public network, in whatever form it is wrapped."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    if isinstance(parsed, IPv4Address):
        return not any(parsed in network for network in _DENIED_V4)
    return _is_allowed_v6(parsed)


def _is_allowed_v6(address: IPv6Address) -> bool:
    if address.ipv4_mapped is not None:
        return is_allowed(str(address.ipv4_mapped))
    if not any(address in network for network in _PUBLIC_V6) or address.scope_id:
        return False
    if any(address in network for network in _DENIED_V6):
        return False
    inner = _embedded_v4(address)
    return inner is None or is_allowed(str(inner))


def _embedded_v4(address: IPv6Address) -> IPv4Address | None:
    """The IPv4 address that a router would unwrap: 6to4, NAT64, ISATAP. Teredo is denied whole."""
    number = int(address)
    if address in _SIX_TO_FOUR:  # RFC 3056 §2
        return IPv4Address(number >> 80 & 0xFFFFFFFF)
    if address in _NAT64:  # RFC 6052 §2.1
        return IPv4Address(number & 0xFFFFFFFF)
    if number >> 32 & 0xFFFFFFFF in _ISATAP:  # RFC 5214 §6.1
        return IPv4Address(number & 0xFFFFFFFF)
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """Decides where a connection may go. ``loopback_ports`` is for development only.

    ``own_addresses``: those by which others reach this service and which no interface bears.
    """

    lookup: Lookup
    loopback_ports: frozenset[int] = frozenset()
    own_names: frozenset[str] = field(default_factory=frozenset)
    own_addresses: frozenset[str] = field(default_factory=frozenset)
    refusal_seconds: float = REFUSAL_SECONDS

    async def addresses(self, host: str, port: int) -> tuple[str, ...]:
        """Return the checked addresses to connect to. Raises EgressRefusedError for all else."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        found = await self._checked(host, port)
        if not found:
            await asyncio.sleep(started + self.refusal_seconds - loop.time())
            raise EgressRefusedError
        return found

    def usable(self, addresses: Iterable[str], port: int) -> tuple[str, ...]:
        """Return those of a mail exchanger's addresses that may be reached, IPv4 before IPv6.

        A recipient's domain is not spoilt by an inner address: nobody named it to reach inside.
        """
        found = [address for address in addresses if self._may_reach(address, port)]
        ordered = sorted(map(_unmapped, found), key=lambda address: ":" in address)
        return tuple(dict.fromkeys(ordered))[:MAX_ADDRESSES]

    async def _checked(self, host: str, port: int) -> tuple[str, ...]:
        name = _plain(host)
        if port not in PORTS | self.loopback_ports or name in self.own_names:
            return ()
        if port not in self.loopback_ports and _is_inner(name):
            return ()
        found = await self._resolve(name)
        # One inner address spoils the name: it was made to reach inside.
        if not all(self._may_reach(address, port) for address in found):
            return ()
        return self.usable(found, port)

    async def _resolve(self, name: str) -> list[str]:
        try:
            return [str(ip_address(name))]
        except ValueError:
            pass
        try:
            async with asyncio.timeout(self.refusal_seconds or REFUSAL_SECONDS):
                return await self.lookup(name)
        except (NoSuchName, Unanswered, TimeoutError):
            return []

    def _may_reach(self, address: str, port: int) -> bool:
        if port in self.loopback_ports and _is_loopback(address):
            return True
        return port in PORTS | {HTTPS} and is_allowed(address) and not self._is_own(address)

    def is_ours(self, name: str, addresses: Iterable[str]) -> bool:
        """Whether a mail exchanger is this service: mail would come back to it for ever."""
        if _plain(name) in self.own_names:
            return True
        # In development every server is on this machine.
        others = (one for one in addresses if not (self.loopback_ports and _is_loopback(one)))
        return any(map(self._is_own, others))

    def _is_own(self, address: str) -> bool:
        forms = {_unmapped(address), _unwrapped(address)}
        return bool(forms & self.own_addresses) or any(map(_is_held, forms))


def _plain(host: str) -> str:
    """Return a name with the dots and digits that others read out of it, without brackets."""
    text = unicodedata.normalize("NFKC", host).replace("\u3002", ".").lower()
    return text.rstrip(".").removeprefix("[").removesuffix("]")


def _is_inner(name: str) -> bool:
    """Whether a name can only be meant for an inner network, or is an address in disguise."""
    try:
        ip_address(name)
    except ValueError:
        labels = name.split(".")
        return len(labels) == 1 or labels[-1] in _INNER or bool(_NUMBER.fullmatch(labels[-1]))
    return False


def _unmapped(address: str) -> str:
    parsed = ip_address(address)
    mapped = parsed.ipv4_mapped if isinstance(parsed, IPv6Address) else None
    return str(mapped or parsed)


def _is_loopback(address: str) -> bool:
    return ip_address(_unmapped(address)).is_loopback


def _unwrapped(address: str) -> str:
    """The IPv4 address inside of one that a router would unwrap, or the address itself."""
    parsed = ip_address(address)
    inner = _embedded_v4(parsed) if isinstance(parsed, IPv6Address) else None
    return str(inner) if inner else _unmapped(address)


def _is_held(address: str) -> bool:
    """Whether this machine holds the address: only then can a socket be bound to it."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((address, 0))
    except OSError as error:
        return error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
    return True


def guard_from_settings(
    resolver: resolving.Resolver | None = None, *, refusal_seconds: float = REFUSAL_SECONDS
) -> Guard:
    """Build the guard that the running process uses. Raises ValueError for a wrong setting.

    The time of a refusal hides causes from people; where none waits for the answer it is 0.
    """
    return Guard(
        lookup=(resolver or resolving.from_settings()).addresses,
        loopback_ports=frozenset(settings.RELAY_EGRESS_LOOPBACK_PORTS),
        own_names=frozenset({settings.RELAY_HOSTNAME.lower()}),
        own_addresses=frozenset(str(ip_address(own)) for own in settings.RELAY_OWN_ADDRESSES),
        refusal_seconds=refusal_seconds,
    )
