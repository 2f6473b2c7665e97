# SPDX-License-Identifier: AGPL-3.0-or-later
"""Cancels mail that waits: nobody gets it, nobody is told, and its content goes at once.

What is cancelled is marked here and ended by a shift. A message whose final dot has left is too
late: if it is not taken, it is not tried again.
"""

from __future__ import annotations

from datetime import datetime

from django.db import transaction
from django.db.models import Q
from django.db.utils import OperationalError

from accounts import audit, clock, limits
from accounts.limits import HOUR, Limit
from accounts.models import Membership
from relay import scopes
from relay.models import QueuedDelivery
from relay.scopes import Done, Scope

CANCELS = Limit("cancellations", ((60, HOUR),))
# Shifts lock the same rows in another order, and one of both has to begin again.
TRIES = 5


def cancel(scope: Scope, *, by: Membership) -> Done:
    """Cancel a message, a domain's mail or everything, the first piece of it. Raises TooMany.

    Its rows stay locked until the request ends, and a shift may have some of them in hand: its
    marks and renewals, of everybody's mail, wait as long. A task goes on with the others.
    """
    limits.check(CANCELS, str(by.organisation_id))
    done = cancel_now(scope, clock.now(), most=scopes.PIECE)
    audit.record(by.user, "organisation.mail-cancelled", by.organisation)
    return done


def cancel_now(scope: Scope, now: datetime, most: int | None = None) -> Done:
    """Mark what was accepted until `now`; all of it, unless `most` says how much is looked at.

    What is in hand is marked as well: its dot does not leave after that. Raises OperationalError.
    """
    return scopes.change(scope, now, lambda ids: mark(ids, now), most)


def mark(chosen: list[int], now: datetime) -> int:
    """Mark these deliveries; returns how many were not before. Raises OperationalError."""
    for tries in range(TRIES):
        try:
            return _mark(chosen, now)
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


def give_up(chosen: list[int], now: datetime) -> int:
    """Let these deliveries have waited as long as they may: a shift ends them, and tells senders.

    What a shift has in hand is left alone, and so is what is cancelled; returns how many are not.
    """
    where = Q(cancelled_at=None, expires_at__gt=now)
    return scopes.update(chosen, where, expires_at=now, due_at=now, lane=QueuedDelivery.Lane.ENDING)
