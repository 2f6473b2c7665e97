# SPDX-License-Identifier: AGPL-3.0-or-later
"""Networks in CIDR notation, and whether an address on a socket lies in one. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)

Network = IPv4Network | IPv6Network


def network(text: str) -> Network:
    """Read a network, or one address as the network of it alone. Raises ValueError.

    Bits beyond the prefix are refused: somebody meant another network, or another prefix.
    """
    return ip_network(text.strip())


def is_listed(address: str, networks: Iterable[Network]) -> bool:
    """Whether a connection's peer lies in one of the networks; "" lies in none."""
    peer = _peer(address)
    return peer is not None and any(peer in found for found in networks)


class NetworkTable:
    """Names by network; a look-up costs a step for each length of prefix, not for each network."""

    def __init__(self) -> None:
        self._names: dict[Network, set[str]] = {}
        self._lengths: set[int] = set()

    def add(self, found: Network, name: str) -> None:
        """Name a network; it may bear several names."""
        self._names.setdefault(found, set()).add(name)
        self._lengths.add(found.prefixlen)

    def around(self, address: str) -> list[set[str]]:
        """Return the names of each network that the peer lies in, the most specific first."""
        peer = _peer(address)
        if peer is None:
            return []
        lengths = sorted((n for n in self._lengths if n <= peer.max_prefixlen), reverse=True)
        around = (ip_network((peer, length), strict=False) for length in lengths)
        return [self._names[found] for found in around if found in self._names]


def _peer(address: str) -> IPv4Address | IPv6Address | None:
    try:
        peer = ip_address(address)
    except ValueError:  # no network address, such as ""
        return None
    # On a socket for both families an IPv4 client has such an address (RFC 4291 §2.5.5.2).
    return getattr(peer, "ipv4_mapped", None) or peer
