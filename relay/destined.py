# SPDX-License-Identifier: AGPL-3.0-or-later
"""Where a message goes when no server of a customer's own takes it: one domain after the other."""

from __future__ import annotations

from collections.abc import Iterable

from relay.queue import Leased
from relay.smtp.addresses import AddressError, host_name


def by_destination(deliveries: Iterable[Leased]) -> dict[str, tuple[Leased, ...]]:
    """Return the deliveries of each recipients' domain, which is the key, as A-label."""
    found: dict[str, tuple[Leased, ...]] = {}
    for lease in deliveries:
        name = destination(lease.recipient.address)
        found[name] = (*found.get(name, ()), lease)
    return found


def destination(address: str) -> str:
    """Return the domain of an address as A-label; what is none is left to the name servers."""
    domain = address.rpartition("@")[2].lower()
    try:
        return host_name(domain)
    except AddressError:
        return domain
