# SPDX-License-Identifier: AGPL-3.0-or-later
"""Identifiers that carry their time: UUID version 7 (RFC 9562, section 5.7)."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from uuid import UUID


def uuid7(now: datetime) -> UUID:
    """Return a new id whose first 48 bits are `now` in milliseconds since 1970."""
    milliseconds = int(now.timestamp() * 1000)
    value = (milliseconds << 80) | int.from_bytes(os.urandom(10), "big")
    value &= ~((0xF << 76) | (0x3 << 62))
    return UUID(int=value | (0x7 << 76) | (0x2 << 62))


def uuid7_time(identifier: UUID) -> datetime:
    """Return the UTC time, to the millisecond, at which the id was made."""
    milliseconds = identifier.int >> 80
    seconds, rest = divmod(milliseconds, 1000)
    return datetime.fromtimestamp(seconds, tz=UTC).replace(microsecond=rest * 1000)
