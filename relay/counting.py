# SPDX-License-Identifier: AGPL-3.0-or-later
"""Figures of what came in and what became of it: putting together, reading.

Mail itself writes them (relay/queue/{storing,settling}.py), in spans of five minutes and in parts.
They hold no address, so they outlive the log; domains are the customer's own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.db.models import QuerySet, Sum
from django.db.models.functions import TruncDay, TruncHour

from relay.models import Count

FIVE_MINUTES, HOUR, DAY = Count.Span.FIVE_MINUTES, Count.Span.HOUR, Count.Span.DAY
# Spans are put together once nothing that was accepted in them can still be on its way into them,
# and kept so long that a page of hours or of days can be drawn from one kind.
FIVE_MINUTES_KEPT = timedelta(days=2)
HOUR_DAYS = 90
DAY_DAYS = 730

FIGURES = (
    *("messages", "octets", "accepted", "delivered", "deferred", "bounced_hard", "bounced_soft"),
    *("blocked", "expired", "cancelled", "sandboxed", "returned", "returned_hard", "complained"),
)
_SUMS = ", ".join(f"sum({name}) AS {name}" for name in FIGURES)
_NAMES = ", ".join(FIGURES)
_ADDED = ", ".join(f"{name} = c.{name} + excluded.{name}" for name in FIGURES)
# Taken away and put together in one statement: a figure is never there twice, nor gone.
ROLL = f"""
WITH taken AS (
    DELETE FROM relay_count WHERE span = %(fine)s AND starts_at < %(before)s RETURNING *
)
INSERT INTO relay_count AS c (organisation_id, span, starts_at, domain, part, {_NAMES})
SELECT organisation_id, %(coarse)s, date_trunc(%(unit)s, starts_at, 'UTC'), domain, 0, {_SUMS}
FROM taken GROUP BY 1, 3, 4 ORDER BY 1, 3, 4
ON CONFLICT (organisation_id, span, starts_at, domain, part) DO UPDATE SET {_ADDED}
"""  # noqa: S608 - constants


def roll(now: datetime) -> None:
    """Put what is old together, and forget what is older than its period (role duty)."""
    hours, days = now - FIVE_MINUTES_KEPT, now - timedelta(days=HOUR_DAYS)
    _roll(FIVE_MINUTES, HOUR, "hour", hours.replace(minute=0, second=0, microsecond=0))
    _roll(HOUR, DAY, "day", days.replace(hour=0, minute=0, second=0, microsecond=0))
    Count.objects.filter(span=DAY, starts_at__lt=now - timedelta(days=DAY_DAYS)).delete()


def _roll(fine: Count.Span, coarse: Count.Span, unit: str, before: datetime) -> None:
    values: dict[str, Any] = {"fine": fine.value, "coarse": coarse.value}
    values |= {"unit": unit, "before": before}
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(ROLL, values)


@dataclass(frozen=True, slots=True)
class Point:
    """What became of mail from `at` on, for an hour or a day; figures by their names."""

    at: datetime
    figures: dict[str, int]

    @property
    def refused(self) -> int:
        """Refused otherwise than because there is no such address."""
        return self.figures["bounced_soft"] + self.figures["blocked"]

    @property
    def undelivered(self) -> int:
        return sum(self.figures[name] for name in UNDELIVERED)


UNDELIVERED = ("bounced_hard", "bounced_soft", "blocked", "expired")


def of_organisation(organisation_id: UUID, domain: str | None = None) -> QuerySet[Count]:
    """Return the figures of live mail: one domain's, or every one's."""
    rows = Count.objects.for_organisation(organisation_id).exclude(domain="")
    return rows.filter(domain=domain) if domain else rows


def totals(organisation_id: UUID, since: datetime) -> dict[str, int]:
    """Add up what became of mail since then; the span that `since` lies in counts as a whole."""
    rows = of_organisation(organisation_id).filter(starts_at__gte=_floor(since))
    sums = rows.aggregate(**{name: Sum(name, default=0) for name in FIGURES})
    return {name: int(value) for name, value in sums.items()}


def _floor(at: datetime) -> datetime:
    return at.replace(minute=0, second=0, microsecond=0)


def series(
    organisation_id: UUID, span: Count.Span, since: datetime, domain: str | None = None
) -> list[Point]:
    """Return the hours or days (UTC) since then in which anything happened, oldest first."""
    trunc: Any = TruncHour if span == HOUR else TruncDay
    rows = of_organisation(organisation_id, domain).filter(starts_at__gte=since, span__lte=span)
    sums = {f"n_{name}": Sum(name) for name in FIGURES}
    found: Any = (
        rows.annotate(at=trunc("starts_at", tzinfo=UTC))
        .values("at")
        .annotate(**sums)
        .order_by("at")
    )
    return [Point(row["at"], {name: int(row[f"n_{name}"]) for name in FIGURES}) for row in found]


def lines(organisation_id: UUID) -> Iterator[tuple[Any, ...]]:
    """Yield when a span begins, its minutes, the domain and FIGURES: each span and domain once."""
    sums = {f"n_{name}": Sum(name) for name in FIGURES}
    of = ("starts_at", "span", "domain")
    rows: Any = of_organisation(organisation_id).values(*of).annotate(**sums)
    return iter(rows.order_by("starts_at", "domain", "span").values_list(*of, *sums).iterator())


def domains(organisation_id: UUID, since: datetime) -> list[str]:
    """Return the domains that mail was sent from since then."""
    rows = of_organisation(organisation_id).filter(starts_at__gte=since)
    return list(rows.order_by("domain").values_list("domain", flat=True).distinct())
