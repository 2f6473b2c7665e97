# SPDX-License-Identifier: AGPL-3.0-or-later
"""Who is told when something is late: staff of what was not passed on, organisations and then
staff of what was not answered. Role `duty`.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import QuerySet

from accounts import alerts
from gdpr import deadlines
from gdpr.deadlines import Stage
from gdpr.enquiries import forwarding, mails
from gdpr.models import Enquiry, ForwardedRequest

# Proven, and not passed on so long after its time.
PATIENCE = timedelta(minutes=15)
LATE = "enquiry-late"
UNANSWERED = "forwarded-unanswered"
# The key of an organisation does not open what it was told.
UNREADABLE = "forwarded-unreadable"
ORDER = ("", *(stage.value for stage in Stage))
# From here on staff hear of it as well.
STAFF_HEAR = frozenset({Stage.LAST_DAYS, Stage.OVERDUE})


def late(now: datetime) -> QuerySet[Enquiry]:
    """Return the proven enquiries that ought to have been passed on."""
    waiting = Enquiry.objects.filter(proven_at__isnull=False, forwarded_at=None)
    return waiting.filter(proven_at__lte=now - PATIENCE - timedelta(hours=1))


def watch(now: datetime) -> int:
    """Alert staff of what was not passed on in time; return how many."""
    found = [str(enquiry_id) for enquiry_id in late(now).values_list("id", flat=True)]
    for enquiry_id in found:
        alerts.raise_alert(LATE, enquiry_id)
    alerts.resolve_others(LATE, found)
    return len(found)


def escalate(now: datetime) -> int:
    """Tell organisations, and at last staff, how far the clocks have run; return how many."""
    rows = list(ForwardedRequest.objects.filter(closed_at=None))
    told = sum(_watch(row, now) for row in rows)
    urgent = [str(row.id) for row in rows if row.escalated in STAFF_HEAR]
    alerts.resolve_others(UNANSWERED, urgent)
    alerts.resolve_others(forwarding.UNHEARD, [str(row.id) for row in rows])
    _watch_keys(rows)
    return told


def _watch_keys(rows: Iterable[ForwardedRequest]) -> None:
    unreadable = [str(row.id) for row in rows if forwarding.readable(row) is None]
    for row_id in unreadable:
        alerts.raise_alert(UNREADABLE, row_id)
    alerts.resolve_others(UNREADABLE, unreadable)


def _watch(row: ForwardedRequest, now: datetime) -> bool:
    stage = deadlines.stage(row.received_at, row.promised_on, now) or ""
    rises = ORDER.index(stage) > ORDER.index(row.escalated)
    if stage == row.escalated:
        return False
    with transaction.atomic():
        # Back after an extension, on otherwise.
        row.escalated = stage
        row.save(update_fields=["escalated"])
        if rises:
            forwarding.tell(row, mails.forwarded_due)
            if stage in STAFF_HEAR:
                alerts.raise_alert(UNANSWERED, str(row.id))
    return rises
