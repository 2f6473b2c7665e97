# SPDX-License-Identifier: AGPL-3.0-or-later
"""Rows of the log go sooner where an organisation chose fewer days (role duty).

A day of the log holds rows of everybody, so these are deleted, in pieces that hold nobody up. What
is not final stays, and goes within the hour of its end: how long mail may wait is bounded.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connection, transaction

from accounts import clock
from relay.models import LogChoice, Message, messages

PIECE = 1_000  # messages
# Beat asks again in an hour; what is left then goes on.
RUN_SECONDS = 60.0
# What a new choice or the end of a long wait lets go may be there until the next look has ended.
PATIENCE = timedelta(minutes=90)
WHENEVER = datetime.max.replace(tzinfo=UTC)

# By the index of the newest, from its other end.
DUE = """
SELECT m.accepted_at, m.id FROM relay_message m
WHERE m.organisation_id = %(organisation)s AND m.accepted_at <= %(until)s
    AND coalesce(m.content_destroyed_at, m.accepted_at) <= %(final)s
    AND NOT EXISTS (SELECT FROM relay_queueddelivery q WHERE q.message_id = m.id)
ORDER BY m.accepted_at, m.id LIMIT %(piece)s
"""
COUNTED = "SELECT count(*) FROM ({rows}) due"
COUNT = COUNTED.format(rows=DUE)
# The bounds name the days; the pairs go down the primary key, which begins with them.
DELETE = """
DELETE FROM {table} WHERE accepted_at >= %(first)s AND accepted_at <= %(last)s
    AND (accepted_at, {message}) IN (SELECT * FROM unnest(%(at)s::timestamptz[], %(ids)s::uuid[]))
"""
# The message last: it is what the others are found by.
OF_A_MESSAGE = ("report", "ending", "messageheader", "attempt", "delivery")
DELETES = [
    *(DELETE.format(table=f"relay_{name}", message="message_id") for name in OF_A_MESSAGE),
    DELETE.format(table="relay_message", message="id"),
]


def forget(now: datetime, ahead: timedelta, seconds: Callable[[], float] = time.monotonic) -> int:
    """Delete what reaches an organisation's days within `ahead`; returns how many rows went."""
    until, gone, left = seconds() + RUN_SECONDS, 0, dict(_bounds(now, ahead))
    # In turns, so that one with millions holds up nobody.
    while left and seconds() < until:
        for organisation_id, bound in list(left.items()):
            rows = _forget_piece(organisation_id, bound)
            gone += rows
            if not rows:
                del left[organisation_id]
    return gone


def count_due(now: datetime, ahead: timedelta) -> int:
    """Return how many messages `forget` would take, with all that is logged of them."""
    return sum(_due(*bound, asked=COUNT)[0][0] for bound in _bounds(now, ahead))


def oldest() -> datetime | None:
    """Return when the oldest mail of the log was accepted, were all to stay for the whole period.

    Mail of an organisation with fewer days counts as so much older: it reaches the whole period
    when it reaches these.
    """
    found = Message.objects.order_by("accepted_at").values_list("accepted_at", flat=True).first()
    return min((found, *_oldest_of_each())) if found else None


def _oldest_of_each() -> Iterator[datetime]:
    final = clock.now() - PATIENCE
    for row in LogChoice.objects.filter(days__lt=messages.LOG_DAYS):
        for accepted_at, _ in _due(row.organisation_id, WHENEVER, final=final, piece=1):
            due_at = max(accepted_at + timedelta(days=row.days), row.changed_at + PATIENCE)
            yield due_at - timedelta(days=messages.LOG_DAYS)


def is_overdue(now: datetime, longest: timedelta) -> bool:
    """Whether something has outlived its organisation's days by more than `longest`."""
    return any(_due(*bound, piece=1) for bound in _bounds(now, -longest))


def _bounds(now: datetime, ahead: timedelta) -> Iterator[tuple[UUID, datetime]]:
    """Yield each organisation with fewer days than the log, and its newest row that is due."""
    rows = LogChoice.objects.filter(days__lt=messages.LOG_DAYS).order_by("organisation_id")
    for organisation_id, days in rows.values_list("organisation_id", "days"):
        yield organisation_id, now - timedelta(days=days) + ahead


def _due(
    organisation_id: UUID,
    until: datetime,
    *,
    final: datetime = WHENEVER,
    piece: int | None = None,
    asked: str = DUE,
) -> list[tuple[Any, ...]]:
    """Return what was accepted until one instant and final until the other."""
    values: dict[str, Any] = {"organisation": organisation_id, "until": until, "final": final}
    with connection.cursor() as cursor:
        cursor.execute(asked, values | {"piece": piece})
        return list(cursor.fetchall())


def _forget_piece(organisation_id: UUID, until: datetime) -> int:
    with transaction.atomic(), connection.cursor() as cursor:
        # Rather again in an hour than in anybody's way.
        cursor.execute("SET LOCAL lock_timeout = '1s'")
        due = _due(organisation_id, until, piece=PIECE)
        if not due:
            return 0
        at, ids = zip(*due, strict=True)
        values = {"at": list(at), "ids": list(ids), "first": at[0], "last": at[-1]}
        gone = 0
        for statement in DELETES:
            cursor.execute(statement, values)
            gone += cursor.rowcount
        return gone
