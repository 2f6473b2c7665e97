# SPDX-License-Identifier: AGPL-3.0-or-later
"""The log's rows about one address, day by day and message by message, along its indexes.

The inventory's paths lead from a recipient, or a sender, to all that is logged of the same mail.
Followed as conditions they would be asked of each row of the log; here the messages come first, by
the index that has the address, and what belongs to them by its primary key.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Any, TypeAlias
from uuid import UUID

from django.db import connection

from gdpr.correspondents.whom import Correspondent

# Messages of one statement, and of one transaction.
PIECE = 1_000
DAY = timedelta(days=1)
LEAST = UUID(int=0)

Place: TypeAlias = tuple[datetime, UUID]

_PLACES = """
SELECT DISTINCT accepted_at, {message} FROM {table}
WHERE organisation_id = %(organisation)s AND {address} = ANY(%(written)s)
    AND accepted_at >= %(since)s AND accepted_at < %(before)s AND accepted_at <= %(until)s
    AND (accepted_at, {message}) > (%(at)s, %(id)s)
ORDER BY accepted_at, {message} LIMIT %(piece)s
"""
SENT = _PLACES.format(table="relay_message", message="id", address="sender")
RECEIVED = _PLACES.format(table="relay_delivery", message="message_id", address="recipient")

# As _PLACES without a place to go on from: for a page.
_COUNT = """
SELECT count(*) FROM {table} WHERE organisation_id = %(organisation)s
    AND {address} = ANY(%(written)s) AND accepted_at <= %(until)s
"""
_DAYS = """
SELECT DISTINCT (accepted_at AT TIME ZONE 'UTC')::date FROM {table}
WHERE organisation_id = %(organisation)s AND {address} = ANY(%(written)s)
    AND accepted_at <= %(until)s
ORDER BY 1
"""
DAYS_SENT = _DAYS.format(table="relay_message", address="sender")
DAYS_RECEIVED = _DAYS.format(table="relay_delivery", address="recipient")
COUNT_SENT = _COUNT.format(table="relay_message", address="sender")
COUNT_RECEIVED = _COUNT.format(table="relay_delivery", address="recipient")


@dataclass(frozen=True, slots=True)
class Piece:
    """Some messages of one day, in order, that the address sent or received."""

    places: tuple[Place, ...]
    is_sent: bool

    @property
    def values(self) -> dict[str, Any]:
        """Return the bounds, which name the day, and the keys, as parameters of statements."""
        at, ids = zip(*self.places, strict=True)
        return {"at": list(at), "ids": list(ids), "first": at[0], "last": at[-1]}


def pieces(whom: Correspondent) -> Iterator[Piece]:
    """Yield the messages that the address sent, then those that it received, oldest first.

    A message of both kinds comes twice, unless it was changed in between.
    """
    for statement, is_sent in ((SENT, True), (RECEIVED, False)):
        for since in _days(DAYS_SENT if is_sent else DAYS_RECEIVED, whom):
            yield from _of_day(statement, whom, since, is_sent=is_sent)


def _days(statement: str, whom: Correspondent) -> list[datetime]:
    """Return the starts of the days that have mail of the address: most days of a log have none."""
    return [datetime.combine(day, time(), UTC) for (day,) in ask(statement, _values(whom))]


def _of_day(
    statement: str, whom: Correspondent, since: datetime, *, is_sent: bool
) -> Iterator[Piece]:
    place: Place = (since, LEAST)
    while True:
        values = {
            **_values(whom),
            "since": since,
            "before": since + DAY,
            "at": place[0],
            "id": place[1],
            "piece": PIECE,
        }
        found = tuple(ask(statement, values))
        if found:
            yield Piece(found, is_sent)
            place = found[-1]
        if len(found) < PIECE:
            return


def count(statement: str, whom: Correspondent) -> int:
    ((rows,),) = ask(statement, _values(whom))
    return int(rows)


def _values(whom: Correspondent) -> dict[str, Any]:
    return {
        "organisation": whom.organisation_id,
        "written": list(whom.written),
        "until": whom.until,
    }


def ask(statement: str, values: dict[str, Any]) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return list(cursor.fetchall())
