# SPDX-License-Identifier: AGPL-3.0-or-later
"""Cancels mail that waits: nobody gets it, nobody is told, and its content goes at once.

What is cancelled is marked here and ended by a shift. A message whose final dot has left is too
late: if it is not taken, it is not tried again.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet
from django.db.utils import OperationalError

from accounts import audit, clock, limits
from accounts.limits import HOUR, Limit
from accounts.models import Membership
from relay.models import QueuedDelivery

CANCELS = Limit("cancellations", ((60, HOUR),))
# Deliveries in one statement, and in one request of a person, who may go on with another.
BATCH = 5000
MOST = 50_000
# Shifts lock the same rows in another order, and one of both has to begin again.
TRIES = 5


@dataclass(frozen=True, slots=True)
class Scope:
    """One message, one domain's mail (lower case), or all of an organisation's: neither."""

    organisation_id: UUID
    message_id: UUID | None = None
    domain: str | None = None


@dataclass(frozen=True, slots=True)
class Cancelled:
    """So many deliveries were cancelled; others may be left unless `is_all`."""

    count: int
    is_all: bool = True


def cancel(
    message_id: UUID | None = None, domain: str | None = None, *, by: Membership
) -> Cancelled:
    """Cancel a message, or a domain's mail or everything, up to MOST. Raises TooMany."""
    limits.check(CANCELS, str(by.organisation_id))
    scope, now, count = Scope(by.organisation_id, message_id, domain), clock.now(), 0
    while (found := cancel_now(scope, now)) and (count := count + found) < MOST:
        pass
    audit.record(by.user, "organisation.mail-cancelled", by.organisation)
    return Cancelled(count, is_all=not found)


def cancel_now(scope: Scope, now: datetime) -> int:
    """Mark up to BATCH deliveries accepted until `now`; returns how many. Raises OperationalError.

    What is in hand is marked as well: its dot does not leave after that.
    """
    rows = _waiting(scope).filter(accepted_at__lte=now)
    chosen = list(rows.values_list("id", flat=True)[:BATCH])
    for tries in range(TRIES):
        try:
            return _mark(chosen, now) if chosen else 0
        except OperationalError:
            if tries + 1 == TRIES:
                raise
    return 0


@transaction.atomic
def _mark(chosen: list[int], now: datetime) -> int:
    rows = QueuedDelivery.objects.filter(id__in=chosen, cancelled_at=None)
    locked = list(rows.order_by("id").select_for_update().values_list("id", flat=True))
    return QueuedDelivery.objects.filter(id__in=locked).update(
        cancelled_at=now, due_at=now, lane=QueuedDelivery.Lane.ENDING
    )


def _waiting(scope: Scope) -> QuerySet[QueuedDelivery]:
    rows = QueuedDelivery.objects.for_organisation(scope.organisation_id).filter(cancelled_at=None)
    if scope.message_id is not None:
        rows = rows.filter(message_id=scope.message_id)
    if scope.domain is not None:
        rows = rows.filter(domain=scope.domain)
    return rows
