# SPDX-License-Identifier: AGPL-3.0-or-later
"""When agreements end and are forgotten: soon where not both signed, else when no claim is left."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Q, QuerySet

from accounts.models import Organisation
from dpa import ending, offering
from dpa.models import Agreement, AgreementEvent
from dpa.terms import KEPT_DAYS, UNSIGNED_KEPT_DAYS

_NOW = timedelta()

State = Agreement.State


def forget(now: datetime, ahead: timedelta = _NOW) -> int:
    """Delete what is past its period, or will be within `ahead`; return how many. Role `duty`.

    First empty organisations that are closed and end their agreements, so that their period runs.
    """
    ending.forget_own(now)
    _end_all(now)
    _, counts = _due(now + ahead).delete()
    return counts.get(Agreement._meta.label, 0)


def count_due(now: datetime, ahead: timedelta = _NOW) -> int:
    return _due(now + ahead).count()


def _due(at: datetime) -> QuerySet[Agreement]:
    short, long = at - timedelta(UNSIGNED_KEPT_DAYS), at - timedelta(KEPT_DAYS)
    offered = Q(state=State.OFFERED, offered_at__lte=short)
    withdrawn = Q(state=State.WITHDRAWN, closed_at__lte=short)
    return Agreement.objects.filter(offered | withdrawn | Q(closed_at__lte=long))


def _end_all(now: datetime) -> None:
    leaving = Agreement.objects.filter(
        state=State.IN_FORCE, organisation__standing__in=Organisation.ENDING
    )
    for pk in leaving.values_list("pk", flat=True):
        with transaction.atomic():
            row = offering.locked(pk)
            if row is not None and row.state == State.IN_FORCE and ending.is_over(row.organisation):
                offering.close(row, State.ENDED, AgreementEvent.Act.ENDED, now)
