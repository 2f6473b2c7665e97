# SPDX-License-Identifier: AGPL-3.0-or-later
"""Makes mail due before its turn: a person wishes it, or a route came that it waited for."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from django.db.models import Q

from accounts import audit, clock, limits
from accounts.limits import HOUR, Limit
from accounts.models import Membership
from relay import scopes
from relay.models import Hold, QueuedDelivery
from relay.scopes import Done, Scope

# However much becomes due at once, new mail goes before it.
Lane = QueuedDelivery.Lane
# The schedule exists so that nobody's server is stormed.
RETRIES = Limit("retries", ((20, HOUR),))
WAITS_FOR_A_ROUTE = (
    QueuedDelivery.Reason.NO_ROUTE,
    QueuedDelivery.Reason.ROUTE_PAUSED,
    QueuedDelivery.Reason.SIGN_IN_REFUSED,
    QueuedDelivery.Reason.RESTING,
)


def retry(scope: Scope, *, by: Membership) -> Done:
    """Make mail due, the first piece of it. Raises TooMany.

    What a shift has in hand is left alone: its fence would not allow it anyway.
    """
    limits.check(RETRIES, str(by.organisation_id))
    done = retry_now(scope, clock.now(), most=scopes.PIECE)
    audit.record(by.user, "organisation.mail-retried", by.organisation)
    return done


def retry_now(scope: Scope, now: datetime, most: int | None = None) -> Done:
    """Make mail due that is not; all of it, unless `most` says how much is looked at."""
    later = Q(due_at__gt=now, lane__lt=Lane.ENDING)
    return scopes.change(scope, now, lambda ids: _make_due(ids, later, now), most)


def send_what_waited(organisation_id: UUID, now: datetime, most: int | None = None) -> Done:
    """Make mail due that waited for a route, or for servers that its route led to; as `retry_now`.

    By another route it may not go there. What people hold back stays held.
    """
    Hold.objects.for_organisation(organisation_id).filter(reason=Hold.Reason.RESTING).delete()
    waited = Q(reason__in=WAITS_FOR_A_ROUTE, due_at__gt=now, lane__lt=Lane.ENDING)
    return scopes.change(Scope(organisation_id), now, lambda ids: _make_due(ids, waited, now), most)


def _make_due(ids: list[int], where: Q, now: datetime) -> int:
    return scopes.update(ids, where, due_at=now, lane=Lane.AGAIN)
