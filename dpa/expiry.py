# SPDX-License-Identifier: AGPL-3.0-or-later
"""When agreements are forgotten: soon where nobody signed, else when no claim can rest on them."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db.models import Q, QuerySet

from dpa.models import Agreement
from dpa.terms import KEPT_DAYS, UNSIGNED_KEPT_DAYS

_NOW = timedelta()


def forget(now: datetime, ahead: timedelta = _NOW) -> int:
    """Delete what is past its period, or will be within `ahead`; return how many. Role `duty`."""
    _, counts = _due(now + ahead).delete()
    return counts.get(Agreement._meta.label, 0)


def count_due(now: datetime, ahead: timedelta = _NOW) -> int:
    return _due(now + ahead).count()


def _due(at: datetime) -> QuerySet[Agreement]:
    unsigned = Q(state=Agreement.State.WITHDRAWN, closed_at__lte=at - timedelta(UNSIGNED_KEPT_DAYS))
    return Agreement.objects.filter(unsigned | Q(closed_at__lte=at - timedelta(KEPT_DAYS)))
