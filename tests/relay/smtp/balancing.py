# SPDX-License-Identifier: AGPL-3.0-or-later
"""What a balancer sends in front of a connection, written from the specification."""

from __future__ import annotations

import struct
from ipaddress import ip_address

SIGNATURE = bytes.fromhex("0d0a0d0a000d0a515549540a")
LOCAL = SIGNATURE + b"\x20\x00\x00\x00"


def proxied(address: str, extra: bytes = b"") -> bytes:
    """The header for a client at `address`, `extra` being additional fields."""
    source = ip_address(address)
    there = ip_address("192.0.2.25" if source.version == 4 else "2001:db8::25")
    family = b"\x11" if source.version == 4 else b"\x21"
    rest = source.packed + there.packed + struct.pack("!HH", 40_000, 587) + extra
    return SIGNATURE + b"\x21" + family + struct.pack("!H", len(rest)) + rest
