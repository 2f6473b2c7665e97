# SPDX-License-Identifier: AGPL-3.0-or-later
"""What the page of waiting mail reads: pages of it, and its counts; both look at so much at most.

Call everything inside the organisation's context (accounts/tenancy.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.db import connection

from relay.log import PAGE, Place
from relay.models import QueuedDelivery
from relay.reasons import EXPLAINED, KEPT, NEXT, Explained, explained
from relay.smtp.addresses import spellings

# Rows that one page of a filtered list is looked for in; the next page goes on from there.
LOOKED_THROUGH = 20_000
# Counts go no further: they are made for each look, so that they show what was just done.
COUNTED_MOST = 20_000
SHOWN = 20
EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)

_LOOKED = """
looked AS MATERIALIZED (
    SELECT q.* FROM relay_queueddelivery q
    WHERE q.organisation_id = %(organisation)s AND q.accepted_at >= %(at)s
        AND (q.accepted_at > %(at)s OR q.id > %(id)s)
    ORDER BY q.accepted_at, q.id LIMIT %(most)s
)
"""
LISTED = f"""
WITH {KEPT}, {_LOOKED}, {EXPLAINED}, judged AS (
    SELECT q.*, row_number() OVER (ORDER BY q.accepted_at, q.id) AS number,
        (%(why)s = '' OR q.why = %(why)s) AND (%(domain)s = '' OR q.domain = %(domain)s)
        AND (%(to)s = '' OR q.goes_to = ANY(%(goes_to)s)) AS matches
    FROM explained q
)
SELECT q.*, {NEXT} AS next_at, lower(q.recipient) = ANY (ARRAY(
    SELECT unnest(spellings) FROM relay_restriction
    WHERE organisation_id = %(organisation)s AND lifted_at IS NULL)) AS is_restricted
FROM judged q WHERE q.matches OR q.number = %(most)s
ORDER BY q.accepted_at, q.id LIMIT %(size)s
"""  # noqa: S608 - constants

COUNTED = f"""
WITH {KEPT}, looked AS MATERIALIZED (
    SELECT q.* FROM relay_queueddelivery q WHERE q.organisation_id = %(organisation)s
    LIMIT %(most)s
), {EXPLAINED}, counted AS (
    SELECT grouping(q.why, q.goes_to, q.domain) AS kind,
        coalesce(q.why, q.goes_to, q.domain) COLLATE "C" AS value, count(*) AS count,
        min(q.accepted_at) AS oldest_at, min({NEXT}) AS next_at
    FROM explained q GROUP BY GROUPING SETS ((q.why), (q.goes_to), (q.domain))
), placed AS (
    SELECT *, row_number() OVER (PARTITION BY kind ORDER BY count DESC, value) AS place FROM counted
)
SELECT kind, value, count, oldest_at, next_at FROM placed WHERE place <= %(shown)s
ORDER BY kind, place
"""  # noqa: S608 - constants
# grouping(): a bit for each that the row is not grouped by.
_WHY, _TO, _DOMAIN = 0b011, 0b101, 0b110


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What of it is shown: a value of reasons.WORDS, the sender's and the recipient's domain."""

    why: str = ""
    domain: str = ""
    to: str = ""

    def __bool__(self) -> bool:
        return bool(self.why or self.domain or self.to)


def listed(
    organisation_id: UUID,
    wanted: Wanted,
    now: datetime,
    after: Place | None = None,
    size: int = PAGE,
) -> tuple[list[Explained], Place | None]:
    """Return waiting deliveries, oldest first, and where to go on.

    A page that is not full may have a next one: the look ended before the queue did.
    """
    most = LOOKED_THROUGH if wanted else size + 1
    values = {
        "organisation": organisation_id,
        "at": after.at if after else EARLIEST,
        "id": after.id if after else 0,
        "why": wanted.why,
        "domain": wanted.domain,
        "to": wanted.to,
        "goes_to": [f"@{name}" for name in spellings(wanted.to)],
        "most": most,
        "size": size + 1,
        "now": now,
    }
    rows: list[Any] = list(QueuedDelivery.objects.raw(LISTED, values))
    shown = [row for row in rows if row.matches][:size]
    ends = rows[-1:] if len(rows) <= size and rows and rows[-1].number == most else []
    last = shown[-1:] if len(rows) > size else ends
    onward = Place(last[0].accepted_at, last[0].id) if last else None
    return [_shown(row) for row in shown], onward


def _shown(row: Any) -> Explained:
    """Show that mail to a restricted address waits, and not to whom (GDPR article 18)."""
    row.recipient = "" if row.is_restricted else row.recipient
    return explained(row)


@dataclass(frozen=True, slots=True)
class Count:
    value: str
    count: int
    oldest_at: datetime
    next_at: datetime | None


@dataclass(frozen=True, slots=True)
class Counts:
    """Of the first COUNTED_MOST deliveries, the most frequent first; `is_all`: there are no more.

    `domains` are of the sender, `destinations` of the recipients.
    """

    total: int = 0
    is_all: bool = True
    reasons: tuple[Count, ...] = ()
    domains: tuple[Count, ...] = ()
    destinations: tuple[Count, ...] = ()
    oldest_at: datetime | None = field(default=None)

    def of(self, why: str) -> int:
        """Return how many wait for a reason."""
        return sum(count.count for count in self.reasons if count.value == why)


def counts(organisation_id: UUID, now: datetime) -> Counts:
    """Count what waits."""
    values: dict[str, Any] = {
        "organisation": organisation_id,
        "most": COUNTED_MOST + 1,
        "shown": SHOWN,
        "now": now,
    }
    with connection.cursor() as cursor:
        cursor.execute(COUNTED, values)
        rows = cursor.fetchall()
    reasons = tuple(_of(rows, _WHY))
    total = sum(one.count for one in reasons)
    return Counts(
        total=min(total, COUNTED_MOST),
        is_all=total <= COUNTED_MOST,
        reasons=reasons,
        domains=tuple(_of(rows, _DOMAIN)),
        destinations=tuple(_of(rows, _TO)),
        oldest_at=min((one.oldest_at for one in reasons), default=None),
    )


def _of(rows: list[Any], kind: int) -> Iterator[Count]:
    # What goes nowhere that has a domain is counted with the others, and has no name.
    return (
        Count(str(value or "").removeprefix("@"), *rest)
        for found, value, *rest in rows
        if found == kind
    )
