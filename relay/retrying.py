# SPDX-License-Identifier: AGPL-3.0-or-later
"""Makes mail due before its turn: a person wishes it, or a route came that it waited for."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from accounts import audit, clock, limits
from accounts.limits import HOUR, Limit
from accounts.models import Membership
from relay.models import QueuedDelivery

# However much becomes due at once, new mail goes before it.
Lane = QueuedDelivery.Lane
# The schedule exists so that nobody's server is stormed.
RETRIES = Limit("retries", ((20, HOUR),))
WAITS_FOR_A_ROUTE = (
    QueuedDelivery.Reason.NO_ROUTE,
    QueuedDelivery.Reason.ROUTE_PAUSED,
    QueuedDelivery.Reason.SIGN_IN_REFUSED,
)


def retry(message_id: UUID | None = None, *, by: Membership) -> int:
    """Make all waiting mail due, or one message's; returns how many deliveries. Raises TooMany."""
    limits.check(RETRIES, str(by.organisation_id))
    count = retry_now(by.organisation_id, clock.now(), message_id)
    audit.record(by.user, "organisation.mail-retried", by.organisation)
    return count


def retry_now(organisation_id: UUID, now: datetime, message_id: UUID | None = None) -> int:
    """Make waiting mail due at once, all of it or one message's; returns how many deliveries.

    What a shift has in hand is left alone: its fence would not allow it anyway.
    """
    rows = QueuedDelivery.objects.for_organisation(organisation_id).filter(
        due_at__gt=now, lease_owner=None, lane__lt=Lane.ENDING
    )
    if message_id:
        rows = rows.filter(message_id=message_id)
    return rows.update(due_at=now, lane=Lane.AGAIN)


def send_what_waited(organisation_id: UUID, now: datetime) -> None:
    """Make mail due that waited for a route, but what a shift has in hand: that one settles it."""
    rows = QueuedDelivery.objects.for_organisation(organisation_id)
    waited = rows.filter(reason__in=WAITS_FOR_A_ROUTE, lease_owner=None, lane__lt=Lane.ENDING)
    waited.update(due_at=now, lane=Lane.AGAIN)


def waits(organisation_id: UUID, message_id: UUID) -> bool:
    """Return whether the organisation has this message and some of it is not final."""
    rows = QueuedDelivery.objects.for_organisation(organisation_id)
    return rows.filter(message_id=message_id).exists()
