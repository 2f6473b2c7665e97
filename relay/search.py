# SPDX-License-Identifier: AGPL-3.0-or-later
"""Search in the log. Equality and ranges only: nothing else is leakproof, so nothing else is fast.

Call everything inside the organisation's context (accounts/tenancy.py).
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any
from uuid import UUID

from django.db import connection
from django.utils import timezone

from accounts import clock, vault
from relay import log
from relay.log import PAGE, Page, Place, Span
from relay.models import Message

PURPOSE = "log-search"
# What no index orders is looked for among so many rows at most before a page is shown.
LOOKED_THROUGH = 10_000
LAST_CHARACTER = "\U0010ffff"

# The index gives the newest first, so the scan ends with the page.
BY_ADDRESS = """
SELECT DISTINCT accepted_at, message_id FROM relay_delivery
WHERE organisation_id = %(organisation)s AND recipient = %(recipient)s
    AND accepted_at >= %(since)s AND accepted_at <= %(at)s
    AND (accepted_at, message_id) < (%(at)s, %(id)s) AND (%(state)s = '' OR state = %(state)s)
ORDER BY accepted_at DESC, message_id DESC LIMIT %(size)s
"""
# Materialised, so that the order wanted never tempts the planner to walk the whole log for it.
BY_BEGINNING = """
WITH found AS MATERIALIZED (
    SELECT accepted_at, message_id FROM relay_delivery
    WHERE organisation_id = %(organisation)s
        AND recipient ~>=~ %(recipient)s AND recipient ~<~ %(beyond)s
        AND accepted_at >= %(since)s AND accepted_at <= %(at)s
        AND (accepted_at, message_id) < (%(at)s, %(id)s) AND (%(state)s = '' OR state = %(state)s)
    LIMIT %(most)s
)
SELECT DISTINCT accepted_at, message_id, (SELECT count(*) < %(most)s FROM found) AS complete
FROM found ORDER BY accepted_at DESC, message_id DESC LIMIT %(size)s
"""
# For what is common, and for a state alone: from message to message, the newest first.
WALK = """
WITH newest AS MATERIALIZED (
    SELECT accepted_at, id, row_number() OVER (ORDER BY accepted_at DESC, id DESC) AS number
    FROM relay_message
    WHERE organisation_id = %(organisation)s
        AND accepted_at >= %(since)s AND accepted_at <= %(at)s
        AND (accepted_at, id) < (%(at)s, %(id)s)
    ORDER BY accepted_at DESC, id DESC LIMIT %(most)s
), judged AS (
    SELECT accepted_at, id, number, EXISTS (
        SELECT FROM relay_delivery d WHERE d.organisation_id = %(organisation)s
            AND d.accepted_at = newest.accepted_at AND d.message_id = newest.id
            AND d.recipient ~>=~ %(recipient)s AND d.recipient ~<~ %(beyond)s
            AND (%(state)s = '' OR d.state = %(state)s)
    ) AS found FROM newest
)
SELECT accepted_at, id, found FROM judged WHERE found OR number = %(most)s
ORDER BY accepted_at DESC, id DESC LIMIT %(size)s
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """What is looked for. `recipient` is lower case; `beginning` says that it is one's start."""

    recipient: str = ""
    beginning: bool = False
    state: str = ""
    day: date | None = None

    def __bool__(self) -> bool:
        return bool(self.recipient or self.state or self.day)

    def sealed(self, organisation_id: UUID) -> str:
        """Return text for an address line: an address in clear would end in every proxy's log."""
        values = [self.recipient, self.beginning, self.state, str(self.day or "")]
        sealed = vault.seal(PURPOSE, json.dumps(values).encode(), organisation_id=organisation_id)
        return base64.urlsafe_b64encode(sealed).decode()


def opened(text: str, organisation_id: UUID) -> Search | None:
    """Read what `sealed` wrote for the same organisation, None for anything else."""
    try:
        sealed = base64.urlsafe_b64decode(text.encode())
        values = json.loads(vault.unseal(PURPOSE, sealed, organisation_id=organisation_id))
    except (ValueError, binascii.Error, vault.VaultError):
        return None
    recipient, beginning, state, day = values
    return Search(
        recipient=recipient,
        beginning=beginning,
        state=state,
        day=date.fromisoformat(day) if day else None,
    )


def find(
    organisation_id: UUID, search: Search, before: Place | None = None, size: int = PAGE
) -> Page:
    """Return matching messages, newest first, below `before`.

    A page that is not full may have a next one: the look ended before the log did.
    """
    if not (search.recipient or search.state):
        return log.newest(organisation_id, before, size, _span(search.day))
    rows = _rows(organisation_id, search, before, size)
    found = [place for place, matches in rows if matches]
    shown = found[:size]
    if len(found) > size:
        onward: Place | None = shown[-1]
    else:
        onward = next((place for place, matches in rows if not matches), None)
    return Page(tuple(_lines(organisation_id, shown)), onward)


def _span(day: date | None) -> Span | None:
    """Return a day of the current zone."""
    if day is None:
        return None
    zone = timezone.get_current_timezone()
    start = datetime.combine(day, time.min, zone)
    return Span(start, datetime.combine(day + timedelta(days=1), time.min, zone))


def _rows(
    organisation_id: UUID, search: Search, before: Place | None, size: int
) -> list[tuple[Place, bool]]:
    """Return places and whether each matches; one that does not is where the look ended."""
    values = _values(organisation_id, search, before, size)
    if search.recipient and not search.beginning:
        return [(Place(at, found), True) for at, found in _ask(BY_ADDRESS, values)]
    if search.recipient:
        rows = _ask(BY_BEGINNING, values)
        if all(complete for *_, complete in rows):
            return [(Place(at, found), True) for at, found, _ in rows]
    return [(Place(at, found), matches) for at, found, matches in _ask(WALK, values)]


def _ask(statement: str, values: dict[str, Any]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return list(cursor.fetchall())


def _values(
    organisation_id: UUID, search: Search, before: Place | None, size: int
) -> dict[str, Any]:
    now = clock.now()
    span = _span(search.day) or Span(now - timedelta(days=366), now + timedelta(days=1))
    return {
        "organisation": organisation_id,
        "recipient": search.recipient,
        "beyond": search.recipient + LAST_CHARACTER,
        "state": search.state,
        "since": span.since,
        "at": before.at if before else span.until,
        "id": before.id if before else UUID(int=0),
        "size": size + 1,
        "most": LOOKED_THROUGH,
    }


def _lines(organisation_id: UUID, places: list[Place]) -> Iterable[log.Line]:
    if not places:
        return ()
    # Each time by itself: the primary key begins with it, and days in between are left out.
    messages = Message.objects.for_organisation(organisation_id).filter(
        accepted_at__in={place.at for place in places}, id__in=[place.id for place in places]
    )
    return log.lines(organisation_id, list(messages.order_by("-accepted_at", "-id")))
