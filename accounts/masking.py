# SPDX-License-Identifier: AGPL-3.0-or-later
"""Addresses for people who need to see that there is one, not whose it is."""

from __future__ import annotations


def masked(address: str) -> str:
    """Return the first character and the domain; the null reverse-path stays empty."""
    local, at, domain = address.rpartition("@")
    return f"{local[:1]}•••{at}{domain}" if at else address[:1] + "•••" * bool(address)
