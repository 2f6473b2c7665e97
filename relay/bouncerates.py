# SPDX-License-Identifier: AGPL-3.0-or-later
"""Stops a domain's mail when too much of it goes to addresses that do not exist (role duty).

Receivers take that for a bought list, and then refuse mail of everybody who sends from here. What
waits is held; what comes is answered 451 at MAIL (relay/submission.py). A person decides.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import IntegrityError, connection, transaction

from accounts import alerts, emails, roster
from accounts.models.organisations import BUILDERS
from accounts.turns import turn
from relay.models import Hold, Review

WINDOW = timedelta(minutes=60)
# Fewer deliveries than this say nothing about a domain.
LEAST = 200
MOST_PERCENT = 5

ALERT = "bounce-rate"  # its subject is the organisation's id

# What was decided to go on begins anew: only what came after counts again. A mail that came back
# after it was taken is among those that ended already.
RATES = """
SELECT c.organisation_id, c.domain, sum(c.delivered + c.bounced_hard + c.bounced_soft + c.blocked
    + c.expired) AS done, sum(c.bounced_hard + c.returned_hard) AS hard
FROM relay_count c
WHERE c.span = 5 AND c.starts_at > %(since)s AND c.domain <> ''
    AND NOT EXISTS (SELECT FROM relay_review r WHERE r.organisation_id = c.organisation_id
        AND r.domain = c.domain AND (r.decision <> 'resumed' OR r.decided_at >= c.starts_at))
GROUP BY 1, 2
HAVING sum(c.bounced_hard + c.returned_hard) * 100 > %(percent)s
        * sum(c.delivered + c.bounced_hard + c.bounced_soft
        + c.blocked + c.expired)
    AND sum(c.delivered + c.bounced_hard + c.bounced_soft + c.blocked + c.expired) >= %(least)s
"""


@dataclass(frozen=True, slots=True)
class Rate:
    """Deliveries of one domain that ended within WINDOW, and those to no such address."""

    organisation_id: UUID
    domain: str
    done: int
    hard: int


def look(now: datetime) -> int:
    """Stop every domain whose rate is too high; returns how many. One worker at a time."""
    with turn("bounce-rates") as mine:
        return sum(_stop(rate, now) for rate in _too_high(now)) if mine else 0


def _too_high(now: datetime) -> list[Rate]:
    values: dict[str, Any] = {"since": now - WINDOW, "percent": MOST_PERCENT, "least": LEAST}
    with connection.cursor() as cursor:
        cursor.execute(RATES, values)
        return [Rate(*row) for row in cursor.fetchall()]


def _stop(rate: Rate, now: datetime) -> bool:
    try:
        with transaction.atomic():
            review = Review.objects.create(
                organisation_id=rate.organisation_id,
                domain=rate.domain,
                opened_at=now,
                done=rate.done,
                hard=rate.hard,
            )
            hold(review, now)
            _tell(review)
            alerts.raise_alert(ALERT, str(rate.organisation_id))
    except IntegrityError:
        return False  # somebody else was quicker, or the organisation is gone
    return True


def hold(review: Review, now: datetime) -> None:
    """Hold back what waits of the domain, until somebody decides."""
    Hold.objects.get_or_create(
        organisation_id=review.organisation_id,
        message_id=None,
        domain=review.domain,
        reason=Hold.Reason.BOUNCES,
        defaults={"held_at": now},
    )


def _tell(review: Review) -> None:
    menders = roster.members(review.organisation_id)
    for membership in menders.filter(role__in=BUILDERS, user__is_active=True):
        emails.domain_stopped(membership, review.id, review.domain)
