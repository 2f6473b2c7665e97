# SPDX-License-Identifier: AGPL-3.0-or-later
"""A second look at an answer: another person than the first decides, on a clock of its own.

It is a request beside the first, whose answer stands until this one is given. Where one privacy
officer has answered, the deputy looks again; where nobody is left who may, the operator is told.
"""

from __future__ import annotations

from datetime import datetime

from django.db import transaction
from django.db.models import QuerySet
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from accounts import alerts
from accounts.models import AuditActor, User
from accounts.refusals import Refused
from gdpr import approvals, requests
from gdpr.letters import drafts, writing
from gdpr.models import RequestedRight, Step

ALERT = "second-look-nobody"  # its subject is the right's id


class SameDecider(Refused):
    text: Promise = _("You gave the first answer; somebody else has to look at it again.")


def ask(row: RequestedRight, person: User, words: str, now: datetime) -> RequestedRight:
    """Ask for a second look at an answer; the person says why, or nothing. Role `web`.

    Raises IllegalMove where requests.may_look_again says no.
    """
    with transaction.atomic():
        second = requests.look_again(row, requests.person(person), now, details=words)
        drafts.send(writing.again_asked(second))
    return second


def demand_another(row: RequestedRight, by: User) -> None:
    """Raises SameDecider when `by` gave the answer that is looked at again."""
    if first_deciders(row).filter(pk=by.pk).exists():
        raise SameDecider


def first_deciders(row: RequestedRight) -> QuerySet[User]:
    """Return who of the staff gave the answer that is looked at again. Roles `staff`, `duty`."""
    answers = Step.objects.filter(
        right=row.second_look_of_id, kind__in=RequestedRight.FINAL, by=Step.By.STAFF
    )
    actors = AuditActor.objects.filter(pk__in=answers.values("actor_id"))
    return User.objects.filter(pk__in=actors.values("user_id"))


def tell() -> None:
    """Keep an alert open for each second look that nobody may decide. Role `duty`."""
    looks = RequestedRight.objects.filter(second_look_of__isnull=False, closed_at=None)
    alone = {str(row.pk) for row in looks if not _others(row).exists()}
    known = alerts.open_alerts().filter(kind=ALERT).values_list("subject", flat=True)
    for subject in sorted(alone - set(known)):
        alerts.raise_alert(ALERT, subject)
    alerts.resolve_others(ALERT, alone)


def _others(row: RequestedRight) -> QuerySet[User]:
    return approvals.officers().exclude(pk__in=first_deciders(row).values("pk"))
