# SPDX-License-Identifier: AGPL-3.0-or-later
"""When a server that does not answer is left alone, and until when. Kept on the route, for all.

Only connections count: one that could not be made, or that the server closed with 421. What a
server says about a message never does.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg

FAILURES = 5  # in a row
SHORTEST = timedelta(seconds=30)
LONGEST = timedelta(minutes=15)
# Counted no further: the rest is at its longest by then.
FAILURES_MOST = 100

# A route that was changed meanwhile has not failed. While it rests, connections that began before
# may still fail: they do not prolong it.
FAILED = """
UPDATE relay_route SET failures = least(failures + 1, %(most)s),
    rest_until = CASE WHEN failures + 1 >= %(failures)s THEN %(now)s + least(
        %(shortest)s * 2 ^ least(failures + 1 - %(failures)s, 10), %(longest)s) END
WHERE id = %(route)s AND version = %(version)s
    AND (rest_until IS NULL OR rest_until <= %(now)s)
RETURNING rest_until
"""
# A statement of its own: it has to see the rest that another shift has just begun.
RESTS = """
SELECT rest_until FROM relay_route
WHERE id = %(route)s AND version = %(version)s AND rest_until > %(now)s
"""
WORKED = """
UPDATE relay_route SET failures = 0, rest_until = NULL
WHERE id = %(route)s AND version = %(version)s AND failures > 0
"""


async def failed(
    connection: psycopg.AsyncConnection[Any], route_id: UUID, version: int, now: datetime
) -> datetime | None:
    """Count a failure; returns until when the route rests, None while it does not."""
    values = {
        "route": route_id,
        "version": version,
        "now": now,
        "failures": FAILURES,
        "most": FAILURES_MOST,
        "shortest": SHORTEST,
        "longest": LONGEST,
    }
    row = await (await connection.execute(FAILED, values)).fetchone()
    return row[0] if row else await rests(connection, route_id, version, now)


async def rests(
    connection: psycopg.AsyncConnection[Any], route_id: UUID, version: int, now: datetime
) -> datetime | None:
    """Return until when the route rests as of now, None when it does not."""
    values = {"route": route_id, "version": version, "now": now}
    row = await (await connection.execute(RESTS, values)).fetchone()
    return row[0] if row else None


async def worked(connection: psycopg.AsyncConnection[Any], route_id: UUID, version: int) -> None:
    """Begin to count anew."""
    await connection.execute(WORKED, {"route": route_id, "version": version})


def is_tried_carefully(failures: int) -> bool:
    """Whether one connection at a time is enough, until one works."""
    return failures >= FAILURES
