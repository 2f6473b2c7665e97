# SPDX-License-Identifier: AGPL-3.0-or-later
"""A person's wish that waiting mail be tried now instead of when its turn comes."""

from __future__ import annotations

from uuid import UUID

from accounts import audit, clock, limits
from accounts.limits import HOUR, Limit
from accounts.models import Membership
from relay import log
from relay.models import QueuedDelivery

# The schedule exists so that nobody's server is stormed.
RETRIES = Limit("retries", ((20, HOUR),))


def retry(message_id: UUID | None = None, *, by: Membership) -> int:
    """Make all waiting mail due, or one message's; returns how many deliveries. Raises TooMany."""
    limits.check(RETRIES, str(by.organisation_id))
    count = log.retry_now(by.organisation_id, clock.now(), message_id)
    audit.record(by.user, "organisation.mail-retried", by.organisation)
    return count


def waits(organisation_id: UUID, message_id: UUID) -> bool:
    """Return whether the organisation has this message and some of it is not final."""
    rows = QueuedDelivery.objects.for_organisation(organisation_id)
    return rows.filter(message_id=message_id).exists()
