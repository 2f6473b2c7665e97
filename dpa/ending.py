# SPDX-License-Identifier: AGPL-3.0-or-later
"""Customers that have ended: by when all that was processed for them must be gone."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db.models import Min

from accounts.models import AuditEvent, Organisation
from dpa.terms import DELETION_DAYS

CLOSED_BY = ("organisation.closing", "organisation.closed")


def count(now: datetime) -> tuple[int, int]:
    """Return how many ended customers are still here, and how many past their last day.

    Role `duty`: the rows of all customers.
    """
    ended = Organisation.objects.filter(standing__in=Organisation.ENDING)
    told = AuditEvent.objects.filter(action__in=CLOSED_BY, organisation__in=ended)
    first = dict(told.values_list("organisation").annotate(Min("at")))
    identifiers = list(ended.values_list("pk", flat=True))
    return len(identifiers), sum(_is_late(first.get(pk), now) for pk in identifiers)


def _is_late(ended_at: datetime | None, now: datetime) -> bool:
    """The trail forgets later than data must be gone: whose end it does not know is late."""
    return ended_at is None or now > ended_at + timedelta(days=DELETION_DAYS)
