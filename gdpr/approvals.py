# SPDX-License-Identifier: AGPL-3.0-or-later
"""The rule of two people: what one person asks for, another one approves.

Who may approve are the privacy officers, who may decide requests, and the deputy that the settings
name: where there is one officer, the deputy approves what the officer asks for, and the other way
round. When nobody is left who may, the operator is told at once. What follows from an approval
is done by whoever called it (gdpr/deciding.py).
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from django.conf import settings
from django.contrib.auth.models import Permission
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from accounts import alerts, audit
from accounts.addresses import normalised
from accounts.models import User
from accounts.refusals import Refused
from gdpr.models import Approval

What = Approval.What
Decision = Approval.Decision
PERMISSION = {"content_type__app_label": "gdpr", "codename": "change_requestedright"}
WAITING = "approval-waiting"  # the alerts' subject is the approval's id
NOBODY = "approval-nobody"


class SamePerson(Refused):
    text: Promise = _("Somebody else than who asked has to approve it.")


class NotAnOfficer(Refused):
    text: Promise = _("Only a privacy officer or the deputy approves it.")


class DecidedAlready(Refused):
    text: Promise = _("Somebody has decided on it already.")


def ask(what: What, subject_id: UUID, now: datetime, *, by: User | None) -> Approval:
    """Ask a second person; the same approval again while it waits. Roles `staff` and `duty`."""
    found = Approval.objects.filter(what=what, subject_id=subject_id, decided_at=None).first()
    if found is not None:
        return found
    with transaction.atomic():
        made = Approval.objects.create(what=what, subject_id=subject_id, asked_at=now, asked_by=by)
        audit.record_installation(by, "approval.asked", made)
    return made


def is_waiting(what: What, subject_id: UUID) -> bool:
    """Say whether a second person has been asked and has not decided."""
    return Approval.objects.filter(what=what, subject_id=subject_id, decided_at=None).exists()


def decide(approval: Approval, decision: Decision, by: User, now: datetime) -> None:
    """Approve or not. Raises DecidedAlready, SamePerson, NotAnOfficer. Role `staff`."""
    with transaction.atomic():
        row = Approval.objects.select_for_update(of=("self",)).get(pk=approval.pk)
        if row.decided_at is not None:
            raise DecidedAlready
        if row.asked_by_id == by.pk:
            raise SamePerson
        if not is_officer(by):
            raise NotAnOfficer
        row.decision, row.decided_at, row.decided_by = decision, now, by
        row.save(update_fields=["decision", "decided_at", "decided_by"])
        audit.record_installation(by, f"approval.{decision}", row)


def void(what: What, subjects: Collection[UUID], now: datetime) -> int:
    """Let go of what waits for an act that is no longer to be done; `subjects` are ids."""
    waiting = Approval.objects.filter(what=what, subject_id__in=subjects, decided_at=None)
    return waiting.update(decision=Decision.VOID, decided_at=now)


def is_officer(user: User) -> bool:
    """Say whether somebody may decide what the privacy officers decide."""
    return officers().filter(pk=user.pk).exists()


def is_deputy(user: User) -> bool:
    """Say whether the settings name this member of staff as the privacy officers' deputy."""
    named = normalised(settings.PRIVACY_DEPUTY)
    return user.is_staff and bool(named) and user.email == named


def officers() -> QuerySet[User]:
    """Return the staff who may decide requests, and their deputy. Roles `staff` and `duty`."""
    permission = Permission.objects.filter(**PERMISSION)
    may = Q(is_superuser=True) | Q(user_permissions__in=permission)
    may |= Q(groups__permissions__in=permission) | Q(email=normalised(settings.PRIVACY_DEPUTY))
    active = User.objects.filter(is_active=True, is_staff=True, restricted_at=None)
    return active.filter(pk__in=User.objects.filter(may).values("pk"))


def may_approve(approval: Approval) -> QuerySet[User]:
    """Return who could approve it: the officers but for who has asked."""
    asked_by = approval.asked_by_id
    return officers().exclude(pk=asked_by) if asked_by else officers()


def tell() -> None:
    """Keep an alert open for each approval that waits, another when nobody may give it.

    Role `duty`.
    """
    waiting = list(Approval.objects.filter(decided_at=None))
    alone = [approval for approval in waiting if not may_approve(approval).exists()]
    for kind, approvals in ((WAITING, waiting), (NOBODY, alone)):
        subjects = {str(approval.pk) for approval in approvals}
        known = alerts.open_alerts().filter(kind=kind).values_list("subject", flat=True)
        for subject in sorted(subjects - set(known)):
            alerts.raise_alert(kind, subject)
        alerts.resolve_others(kind, subjects)
