# SPDX-License-Identifier: AGPL-3.0-or-later
"""Who may be named beside a person in what is kept about them: colleagues and staff."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from django.db.models import Q

from accounts.models import AuditActor, Membership, Organisation, User
from gdpr.redaction import Circle, Known
from gdpr.subjects import Subject


def around(subject: Subject) -> Circle:
    """Return the people of the person's organisations and the staff, as a package knows them."""
    person_id = subject.person_id
    assert person_id is not None, "a package is of somebody with an account"
    mine = Membership.objects.filter(user=person_id).values("organisation")
    members = Membership.objects.filter(organisation__in=mine).values("user")
    # Whoever has left is in the trail still.
    acted = AuditActor.objects.filter(organisation__in=mine).values("user")
    near = Q(is_staff=True) | Q(pk__in=members) | Q(pk__in=acted)
    people = User.objects.filter(near).exclude(pk=person_id)
    numbers = _numbers(people.values_list("pk", flat=True))
    others = (_known(user, numbers.get(user.pk, [])) for user in people.iterator())
    own = User.objects.filter(pk=person_id).first()
    # The name of an organisation that the person belongs to is no secret.
    kept = Organisation.objects.filter(pk__in=mine).values_list("name", flat=True)
    return Circle(_known(own, []) if own else Known(subject.address), others, kept)


def _numbers(people: Iterable[UUID]) -> dict[UUID, list[str]]:
    """Return by what numbers the audit trail knows each of these people."""
    found: dict[UUID, list[str]] = {}
    for number, user in AuditActor.objects.filter(user__in=people).values_list("pk", "user_id"):
        found.setdefault(user, []).append(str(number))
    return found


def _known(user: User, numbers: Iterable[str]) -> Known:
    return Known(user.email, user.get_full_name(), user.phone, (str(user.pk), *numbers))
