# SPDX-License-Identifier: AGPL-3.0-or-later
"""What an organisation has chosen, whom it does not write to, and what is counted of its mail."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from accounts.models import Organisation
from relay.models import Count, LogChoice, Restriction, Review, Suppression


def make(organisation: Organisation, now: datetime) -> None:
    """One row in each of these tables, as the owner of the tables."""
    of: dict[str, Any] = {"organisation": organisation}
    LogChoice.objects.create(**of, profile=LogChoice.Profile.HEADERS, changed_at=now)
    Suppression.objects.create(
        **of,
        address_hash=organisation.id.bytes,
        address="nej@tak.example",
        address_until=datetime.now(UTC) + timedelta(days=1),
        reason=Suppression.Reason.BY_PERSON,
        created_at=now,
    )
    Restriction.objects.create(
        **of,
        address_hash=organisation.id.bytes,
        address="vent@tak.example",
        spellings=["vent@tak.example"],
        address_until=datetime.now(UTC) + timedelta(days=1),
        ground=Restriction.Ground.ACCURACY,
        restricted_at=now,
    )
    Count.objects.create(**of, span=Count.Span.FIVE_MINUTES, starts_at=now, domain="x", part=0)
    Review.objects.create(**of, domain="kunde.example", opened_at=now, done=300, hard=30)
