# SPDX-License-Identifier: AGPL-3.0-or-later
"""The whole queue in figures, across organisations (roles relay, duty and staff); no addresses."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Count, Min, Q

from relay.models import QueuedDelivery


@dataclass(frozen=True, slots=True)
class OfOrganisation:
    organisation_id: UUID
    waiting: int
    due: int
    oldest_accepted_at: datetime


@dataclass(frozen=True, slots=True)
class Overview:
    """Counts of deliveries; `due` ones should be in hand by now and are not."""

    waiting: int
    leased: int
    due: int
    oldest_accepted_at: datetime | None
    reasons: dict[str, int]
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
    leased = Q(lease_expires_at__gte=now)
    due = Q(due_at__lte=now) & ~leased
    rows = QueuedDelivery.objects.all()
    totals = rows.aggregate(
        waiting=Count("id"),
        leased=Count("id", filter=leased),
        due=Count("id", filter=due),
        oldest_accepted_at=Min("accepted_at"),
    )
    organisations = (
        rows.values("organisation_id")
        .annotate(
            waiting=Count("id"), due=Count("id", filter=due), oldest_accepted_at=Min("accepted_at")
        )
        .order_by("-waiting", "organisation_id")
    )
    return Overview(
        **totals,
        reasons=dict(rows.values_list("reason").annotate(count=Count("id")).order_by("-count")),
        organisations=tuple(OfOrganisation(**row) for row in organisations),
    )
