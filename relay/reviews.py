# SPDX-License-Identifier: AGPL-3.0-or-later
"""A domain's mail that was stopped by figures alone: who is concerned asks for a person, and a
person decides (GDPR article 22(3), where an organisation is one person's).
"""

from __future__ import annotations

from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from accounts import alerts, audit, clock
from accounts.models import Membership, Organisation, User
from accounts.refusals import Refused
from relay.bouncerates import ALERT
from relay.models import Hold, Review

ASKED = "review-asked"  # the alert's kind; its subject is the review's id
Decision = Review.Decision


class Decided(Refused):
    text: Promise = _("Somebody has decided on it already.")


def open_ones(organisation_id: UUID) -> QuerySet[Review]:
    """Return what is stopped of an organisation's mail, the newest first."""
    rows = Review.objects.for_organisation(organisation_id)
    return rows.exclude(decision=Decision.RESUMED).order_by("-opened_at")


def hold(organisation_id: UUID) -> None:
    """Let nobody else ask about an organisation's mail until the transaction ends."""
    # Mail goes on: rows that point at the organisation are written all the same.
    Organisation.objects.select_for_update(no_key=True).get(pk=organisation_id)


@transaction.atomic
def ask(review: Review, *, by: Membership) -> bool:
    """Ask for a person to look; False when that was done already. Raises Decided.

    Staff are told by the worker (`tell`): the portal may raise no alert.
    """
    row = Review.objects.select_for_update().get(pk=review.pk)
    if row.decided_at is not None:
        raise Decided
    if row.asked_at is not None:
        return False
    row.asked_at = clock.now()
    row.save(update_fields=["asked_at"])
    audit.record(by.user, "review.review-asked", row)
    return True


def tell() -> None:
    """Keep an alert open for each review that a person was asked for (role duty)."""
    waiting = Review.objects.filter(decided_at=None).exclude(asked_at=None)
    subjects = [str(identifier) for identifier in waiting.values_list("id", flat=True)]
    known = set(alerts.open_alerts().filter(kind=ASKED).values_list("subject", flat=True))
    for subject in subjects:
        if subject not in known:
            alerts.raise_alert(ASKED, subject)
    alerts.resolve_others(ASKED, subjects)
    stopped = Review.objects.exclude(decision=Decision.RESUMED)
    owners = stopped.values_list("organisation_id", flat=True).distinct()
    alerts.resolve_others(ALERT, [str(owner) for owner in owners])


@transaction.atomic
def decide(review: Review, decision: Decision, *, by: User) -> None:
    """Let the domain's mail go on, or keep it stopped; role staff. Raises Decided.

    What was kept stopped may be let go later.
    """
    row = Review.objects.select_for_update().get(pk=review.pk)
    if row.decision == Decision.RESUMED or row.decision == decision:
        raise Decided
    row.decision, row.decided_at = decision, clock.now()
    row.save(update_fields=["decision", "decided_at"])
    if decision == Decision.RESUMED:
        holds = Hold.objects.for_organisation(row.organisation_id)
        holds.filter(domain=row.domain, reason=Hold.Reason.BOUNCES).delete()
    audit.record(by, "review.review-decided", row, [f"decision-{decision.value}"])
