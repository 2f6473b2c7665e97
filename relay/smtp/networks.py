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
    return narrowest(address, networks) is not None


def narrowest(address: str, networks: Iterable[Network]) -> Network | None:
    """Return the most specific network that the peer lies in."""
    peer = _peer(address)
    if peer is None:
        return None
    return max(
        (found for found in networks if peer in found),
        key=lambda found: found.prefixlen,
        default=None,
    )


def _peer(address: str) -> IPv4Address | IPv6Address | None:
    try:
        peer = ip_address(address)
    except ValueError:  # no network address, such as ""
        return None
    # On a socket for both families an IPv4 client has such an address (RFC 4291 §2.5.5.2).
    return getattr(peer, "ipv4_mapped", None) or peer
