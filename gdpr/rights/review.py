# SPDX-License-Identifier: AGPL-3.0-or-later
"""A person instead of figures (GDPR article 22(3)): a domain's mail was stopped automatically.

The stop and its end are relay's (relay/reviews.py); here they follow the request, with its clock.
What somebody asks for are all domains of theirs that are stopped: of the organisations that they
may act for.
"""

from __future__ import annotations

from datetime import datetime

from django.db.models import QuerySet

from accounts.models import Membership, User
from accounts.models.organisations import BUILDERS
from accounts.tenancy import organisation_context
from gdpr import requests, rounds
from gdpr.letters import drafts, writing
from gdpr.models import RequestedRight, Right
from relay import reviews
from relay.models import Review

State = RequestedRight.State
Decision = Review.Decision
NOT_SETTLED = "review-not-settled"  # the alert's kind; its subject is the right's id


def begin(right: RequestedRight, person: User, now: datetime) -> None:
    """Mark what is stopped as waiting for a person. Roles `web` and `duty`."""
    for membership in _acting(person):
        with organisation_context(membership.organisation_id, person_id=person.pk):
            for stopped in reviews.open_ones(membership.organisation_id).filter(decided_at=None):
                reviews.ask(stopped, by=membership)


def follow(right: RequestedRight, to: State, by: User, now: datetime) -> None:
    """Let the mail go on when staff carry the request out, keep it stopped when they refuse.

    Role `staff`.
    """
    if to in (State.ACT, State.REFUSED):
        decision = Decision.RESUMED if to == State.ACT else Decision.KEPT
        for stopped in undecided(right).exclude(decision=decision):
            reviews.decide(stopped, decision, by=by)


def undecided(right: RequestedRight) -> QuerySet[Review]:
    """Return the stops that a person was asked to look at and that still stand."""
    person = right.request.person
    owners = [row.organisation_id for row in _acting(person)] if person else []
    stopped = Review.objects.filter(organisation_id__in=owners, asked_at__isnull=False)
    return stopped.exclude(decision=Decision.RESUMED)


def settle(now: datetime) -> int:
    """Answer the requests whose stops staff have lifted on the page of the stops. Role `duty`.

    Where they decided to keep one, the reasons are still owed: that stays with staff.
    """
    asked = RequestedRight.objects.filter(
        right=Right.REVIEW, state=State.ASSESS, second_look_of=None
    )
    begun = asked.exclude(begun_at=None).select_related("request__person")
    return rounds.each(NOT_SETTLED, begun, lambda right: _settle(right, now))


def _settle(right: RequestedRight, now: datetime) -> bool:
    person = right.request.person
    owners = [row.organisation_id for row in _acting(person)] if person else []
    lifted = Review.objects.filter(
        organisation_id__in=owners, decision=Decision.RESUMED, decided_at__gte=right.begun_at
    )
    if undecided(right).exists() or not lifted.exists():
        return False
    # All or nothing: what is done without its letter nobody hears of.
    for state in (State.ACT, State.DONE):
        requests.move(right, state, requests.SERVICE, now)
    drafts.send(writing.done(right))
    return True


def _acting(person: User) -> QuerySet[Membership]:
    """Return the memberships in which somebody may ask for a person."""
    rows = Membership.objects.filter(user=person, approved_at__isnull=False)
    return rows.filter(role__in=BUILDERS)
