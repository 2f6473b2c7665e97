# SPDX-License-Identifier: AGPL-3.0-or-later
"""Tells the people behind a route that it paused itself. The pause itself: routing.py."""

from __future__ import annotations

from uuid import UUID

from django.db import transaction
from django.db.models import F, Q, QuerySet

from accounts import emails, roster
from accounts.models.organisations import BUILDERS
from relay.models import Route


def tell() -> int:
    """Mail those who can mend it, once for each pause (role duty); returns how many pauses.

    The row that says so is written by the mail path, which sees no people and may have no Redis.
    """
    return sum(map(_tell, _untold().values_list("id", flat=True)))


def _untold() -> QuerySet[Route]:
    paused = Route.objects.filter(pause_reason=Route.PauseReason.SIGN_IN_REFUSED)
    # A pause is known by its instant: resumed and paused again, the route has another one.
    return paused.filter(Q(pause_told_at=None) | ~Q(pause_told_at=F("paused_at")))


@transaction.atomic
def _tell(route_id: UUID) -> bool:
    """Write the mails of one pause; False when another worker or a person was quicker."""
    rows = _untold().select_for_update(skip_locked=True, of=("self",))
    route = rows.filter(pk=route_id).first()
    if route is None:
        return False
    menders = roster.members(route.organisation_id).filter(role__in=BUILDERS, user__is_active=True)
    for membership in menders:
        emails.route_paused(membership, route.id, route.name, route.host)
    route.pause_told_at = route.paused_at
    route.save(update_fields=["pause_told_at"])
    return True
