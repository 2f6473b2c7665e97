# SPDX-License-Identifier: AGPL-3.0-or-later
"""Customers that have ended: what is left of what was processed for them, and by when it goes."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet

from accounts.models import AuditEvent, Organisation
from dpa.terms import DELETION_DAYS
from gdpr import holds
from relay import restricting, routes, suppressions
from relay.models import Route

CLOSED_BY = frozenset(f"organisation.{standing}" for standing in Organisation.ENDING)
STANDINGS = frozenset(f"organisation.{standing}" for standing in Organisation.Standing)
# Routes and the list go by a nightly act, which must not come after the last day.
NIGHTLY = timedelta(days=1)


def count(now: datetime) -> tuple[int, int]:
    """Return for how many ended customers something is left, and for how many for too long.

    Role `duty`: the rows of all customers.
    """
    left = [row for row in _ended() if not is_over(row)]
    since = _ended_at(left)
    return len(left), sum(_is_late(since.get(row.pk), now) for row in left)


def is_over(organisation: Organisation) -> bool:
    """Return whether the customer has left and nothing is processed for them any more.

    An agreement lasts as long as its processor holds anything (GDPR article 28(3)(g)).
    """
    return organisation.standing in Organisation.ENDING and not any(
        model.objects.for_organisation(organisation.pk).exists() for model in holds.processed()
    )


def forget_own(now: datetime) -> None:
    """Remove what customers keep whose last day is near: nobody of theirs may be left to.

    These are their routes, and the lists of addresses that get no mail or are not used.
    Not at once: they may choose that what is theirs is handed over first, or stay after all.
    Everything else that is processed for them has a period. Role `duty`.
    """
    rows = list(_ended())
    since = _ended_at(rows)
    for row in rows:
        if _is_late(since.get(row.pk), now + NIGHTLY):
            _forget_own_of(row.pk)


def _forget_own_of(organisation_id: UUID) -> None:
    with transaction.atomic():
        # Staff may let the customer stay at this moment.
        if _ended().select_for_update().filter(pk=organisation_id).exists():
            for route in Route.objects.for_organisation(organisation_id):
                routes.remove(route, by=None)
            suppressions.forget_all(organisation_id)
            restricting.forget_all(organisation_id)


def _ended() -> QuerySet[Organisation]:
    return Organisation.objects.filter(standing__in=Organisation.ENDING)


def _ended_at(organisations: Iterable[Organisation]) -> dict[UUID | None, datetime]:
    """Return when each ended for good: one that staff let stay may have closed before."""
    told = AuditEvent.objects.filter(action__in=STANDINGS, organisation__in=organisations)
    ended = dict[UUID | None, datetime]()
    for event in told.order_by("sequence"):
        if event.action in CLOSED_BY:
            ended.setdefault(event.organisation_id, event.at)
        else:
            ended.pop(event.organisation_id, None)
    return ended


def _is_late(ended_at: datetime | None, now: datetime) -> bool:
    """The trail forgets later than data must be gone: whose end it does not know is late."""
    return ended_at is None or now > ended_at + timedelta(days=DELETION_DAYS)
