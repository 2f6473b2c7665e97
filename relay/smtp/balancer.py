# SPDX-License-Identifier: AGPL-3.0-or-later
"""PROXY protocol version 2: what a balancer says about who connected to it. Pure.

Source: "The PROXY protocol, versions 1 & 2", haproxy.org, section 2.2. Version 1 has no length and
is not read. Additional fields (TLV) are skipped.
"""

from __future__ import annotations

import struct
from ipaddress import IPv4Address, IPv6Address

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
FIXED = 16  # octets: signature, version and command, family, length of the rest
LONGEST = 536  # octets: what every receiver has to take in at once
_LOCAL, _PROXY = 0x20, 0x21
_TCP4, _TCP6 = 0x11, 0x21


class Malformed(ValueError):
    """No header of version 2, or one about something else than a TCP connection."""


def missing(octets: bytes) -> int:
    """How many octets of the header have to come at least, 0 once it is complete.

    Raises Malformed as soon as no continuation can help.
    """
    if not SIGNATURE.startswith(octets[: len(SIGNATURE)]):
        raise Malformed
    if len(octets) < FIXED:
        return FIXED - len(octets)
    rest = int.from_bytes(octets[FIXED - 2 : FIXED], "big")
    if FIXED + rest > LONGEST:
        raise Malformed
    return max(0, FIXED + rest - len(octets))


def read(octets: bytes) -> tuple[str, bytes]:
    """Return the client's address and what follows the complete header. Raises Malformed.

    The address is "" when the balancer speaks for itself (LOCAL): it looks whether we are well.
    """
    command, family, rest = struct.unpack_from("!BBH", octets, len(SIGNATURE))
    following = octets[FIXED + rest :]
    if command == _LOCAL:
        return "", following
    if command != _PROXY:
        raise Malformed
    # Source address, destination address, both ports.
    if family == _TCP4 and rest >= 12:
        return str(IPv4Address(octets[FIXED : FIXED + 4])), following
    if family == _TCP6 and rest >= 36:
        return str(IPv6Address(octets[FIXED : FIXED + 16])), following
    raise Malformed
