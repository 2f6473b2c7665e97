# SPDX-License-Identifier: AGPL-3.0-or-later
"""The name servers that RELAY_RESOLVER names."""

from __future__ import annotations

import dns.nameserver


def nameserver(server: str) -> dns.nameserver.Nameserver:
    """Read one "host:port"; an IPv6 host may stand in brackets. Raises ValueError."""
    host, _, port = server.rpartition(":")
    return dns.nameserver.Do53Nameserver(host.strip("[]"), int(port))
