# SPDX-License-Identifier: AGPL-3.0-or-later
"""The whole queue in figures, across organisations (roles relay, duty and staff); no addresses."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection

from relay.models import Route
from relay.reasons import EXPLAINED, KEPT

DOMAINS_SHOWN = 20
# What is in hand is leased now; what is due should be, and is not. What is held may not go now,
# because somebody, a quota or its route keeps it back.
STATES = ("in_hand", "due", "later", "held", "set_aside", "ending")
COUNTED = f"""
WITH {KEPT}, looked AS (SELECT * FROM relay_queueddelivery), {EXPLAINED}, judged AS (
    SELECT q.*, CASE WHEN q.lease_expires_at >= %(now)s THEN 'in_hand'
        WHEN q.why = 'quarantined' THEN 'set_aside' WHEN q.lane = 2 THEN 'ending'
        WHEN q.why IN ('held', 'over_quota', 'paced') THEN 'held'
        WHEN q.why = q.shut THEN 'held'
        WHEN q.due_at <= %(now)s THEN 'due' ELSE 'later' END AS state
    FROM explained q
), counted AS (
    SELECT grouping(state, why, goes_to, organisation_id) AS kind, coalesce(state, why,
            goes_to, organisation_id::text) COLLATE "C" AS name, count(*) AS waiting,
        count(*) FILTER (WHERE state = 'due') AS due, min(accepted_at) AS oldest_accepted_at
    FROM judged GROUP BY GROUPING SETS ((state), (why), (goes_to), (organisation_id))
), placed AS (
    SELECT *, row_number() OVER (PARTITION BY kind ORDER BY waiting DESC, name) AS place
    FROM counted
)
SELECT kind, name, waiting, due, oldest_accepted_at FROM placed
WHERE kind <> %(domain)s OR place <= %(shown)s ORDER BY kind, place
"""  # noqa: S608 - constants
# grouping(): a bit for each that the row is not grouped by.
_STATE, _WHY, _TO, _ORGANISATION = 0b0111, 0b1011, 0b1101, 0b1110


@dataclass(frozen=True, slots=True)
class OfOrganisation:
    organisation_id: UUID
    waiting: int
    due: int
    oldest_accepted_at: datetime


@dataclass(frozen=True, slots=True)
class Part:
    waiting: int
    oldest_accepted_at: datetime


@dataclass(frozen=True, slots=True)
class Overview:
    """Counts of deliveries; `due` ones should be in hand by now and are not.

    `states` has STATES, `reasons` those of relay/reasons.py, `domains` the recipients' that most
    of it goes to; each only where something waits, the most first.
    """

    waiting: int
    leased: int
    due: int
    oldest_accepted_at: datetime | None
    states: dict[str, Part]
    reasons: dict[str, Part]
    domains: dict[str, Part]
    organisations: tuple[OfOrganisation, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON; instants in ISO 8601."""
        return {name: _plain(value) for name, value in asdict(self).items()}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value) if isinstance(value, UUID) else value


def overview(now: datetime) -> Overview:
    """Count everything; one pass over the queue."""
    with connection.cursor() as cursor:
        cursor.execute(COUNTED, {"now": now, "domain": _TO, "shown": DOMAINS_SHOWN})
        rows = cursor.fetchall()
    states = _parts(rows, _STATE)
    return Overview(
        waiting=sum(part.waiting for part in states.values()),
        leased=_waiting(states, "in_hand"),
        due=_waiting(states, "due"),
        oldest_accepted_at=min((part.oldest_accepted_at for part in states.values()), default=None),
        states=states,
        reasons=_parts(rows, _WHY),
        domains=_parts(rows, _TO),
        organisations=tuple(
            OfOrganisation(UUID(name), *rest) for kind, name, *rest in rows if kind == _ORGANISATION
        ),
    )


def _parts(rows: Iterable[Any], kind: int) -> dict[str, Part]:
    return {
        name.removeprefix("@"): Part(waiting, oldest)
        for found, name, waiting, _, oldest in rows
        if found == kind
    }


def _waiting(states: dict[str, Part], state: str) -> int:
    return states[state].waiting if state in states else 0


@dataclass(frozen=True, slots=True)
class RestingRoute:
    """A route whose server did not answer so often that it is left alone for now."""

    organisation_id: UUID
    route_id: UUID
    failures: int
    rest_until: datetime

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON; the instant in ISO 8601."""
        return {name: _plain(value) for name, value in asdict(self).items()}


def resting(now: datetime) -> tuple[RestingRoute, ...]:
    """Return the routes that rest, the one that rests longest first."""
    rows = Route.objects.filter(rest_until__gt=now).order_by("-rest_until", "id")
    return tuple(
        RestingRoute(row.organisation_id, row.id, row.failures, row.rest_until)
        for row in rows
        if row.rest_until is not None
    )
