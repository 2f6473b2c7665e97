# SPDX-License-Identifier: AGPL-3.0-or-later
"""What is done about each right: the one table of it.

BEGUN is done by the service, once, as soon as it is proven who asks; where a right runs by itself
(gdpr/courses.py), as soon as it may run. In the portal that is in the act of asking (role `web`),
for every other channel within the minute (role `duty`). FOLLOWING is done when staff decide about a
right, before their decision is written down (role `staff`); it raises Refused to stop it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime

from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import translation

from accounts import alerts
from accounts.models import User
from accounts.refusals import Refused
from gdpr import packages, requests
from gdpr.courses import AUTOMATIC
from gdpr.models import RequestedRight, Right
from gdpr.rights import consent, erasure, objection, restriction, review

logger = logging.getLogger(__name__)

State = RequestedRight.State
Begin = Callable[[RequestedRight, User, datetime], object]
Follow = Callable[[RequestedRight, State, User, datetime], None]

BEGUN: dict[str, Begin] = {
    Right.ACCESS: packages.order,
    Right.PORTABILITY: packages.order,
    Right.CONSENT: consent.begin,
    Right.ERASURE: erasure.begin,
    Right.OBJECTION: objection.begin,
    Right.RESTRICTION: restriction.begin,
    Right.REVIEW: review.begin,
}
FOLLOWING: dict[str, Follow] = {
    Right.ERASURE: erasure.leave_to_staff,
    Right.REVIEW: review.follow,
}
ALERT = "request-not-begun"


def begin(row: RequestedRight, person: User, now: datetime) -> None:
    """Do what is done by itself about a right. Raises Refused."""
    requests.mark_begun(row, now)
    BEGUN[row.right](row, person, now)


def follow(row: RequestedRight, to: State, by: User, now: datetime) -> None:
    """Have what a right is about follow what staff decide. Raises Refused."""
    if row.right in FOLLOWING:
        FOLLOWING[row.right](row, to, by, now)


def due() -> QuerySet[RequestedRight]:
    """Return the rights of proven people that the service has not begun with. Role `duty`."""
    may_run = Q(right__in=AUTOMATIC, state=State.ACT)
    may_run |= ~Q(right__in=AUTOMATIC) & Q(state__in=[State.ASSESS, State.ACT])
    known = RequestedRight.objects.filter(may_run, request__person__isnull=False)
    return known.filter(right__in=list(BEGUN), begun_at=None).order_by("promised_on")


def begin_due(now: datetime) -> int:
    """Begin with every right that is due, whatever its channel; return how many. Role `duty`."""
    begun = sum(_try_to_begin(row, now) for row in due().select_related("request__person"))
    unbegun = RequestedRight.objects.filter(closed_at=None, begun_at=None)
    alerts.resolve_others(ALERT, [str(key) for key in unbegun.values_list("pk", flat=True)])
    return begun


def _try_to_begin(row: RequestedRight, now: datetime) -> bool:
    try:
        return _begin_now(row, now)
    except Refused as refused:
        _leave_to_staff(row, refused, now)
    except Exception as error:  # noqa: BLE001 - those behind it do not wait for a fault of one
        # Its text can hold what the person wrote: only its kind is kept.
        logger.error("right %s not begun: %s", row.pk, type(error).__name__)
    alerts.raise_alert(ALERT, str(row.pk))
    return False


def _begin_now(row: RequestedRight, now: datetime) -> bool:
    with transaction.atomic():
        requests.hold(row)
        person = row.request.person
        # Somebody may have taken it over, or back, since the list was made.
        if person is None or not due().filter(pk=row.pk).exists():
            return False
        begin(row, person, now)
    return True


def _leave_to_staff(row: RequestedRight, refused: Refused, now: datetime) -> None:
    """Say in the person's language what stands in the way; people see to it.

    What people assess is theirs already, and tried again: its alert stands as long as it fails.
    """
    if row.right not in AUTOMATIC:
        return
    with translation.override(row.request.language):
        reason = str(refused)
    requests.move(row, State.ASSESS, requests.SERVICE, now, reason=reason)
