# SPDX-License-Identifier: AGPL-3.0-or-later
"""Enquiries are forgotten after their period; what is proven and not passed on yet never is."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db.models import Min, Q, QuerySet

from gdpr.models import Enquiry, enquiries


def forget(now: datetime, ahead: timedelta = timedelta()) -> int:
    """Delete what reaches its period within `ahead`; return how many rows."""
    count, _ = _due(now, ahead).delete()
    return count


def count_due(now: datetime, ahead: timedelta = timedelta()) -> int:
    """Return how many rows `forget` would delete."""
    return _due(now, ahead).count()


def oldest() -> datetime | None:
    """Return when the row was received that goes next."""
    found: datetime | None = _ended().aggregate(first=Min("received_at"))["first"]
    return found


def _due(now: datetime, ahead: timedelta) -> QuerySet[Enquiry]:
    limit = now + ahead - timedelta(days=enquiries.ENQUIRY_KEPT_DAYS)
    return _ended().filter(received_at__lte=limit)


def _ended() -> QuerySet[Enquiry]:
    return Enquiry.objects.filter(Q(proven_at=None) | Q(forwarded_at__isnull=False))
