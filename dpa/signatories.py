# SPDX-License-Identifier: AGPL-3.0-or-later
"""Who may sign for an organisation: its owners, and members whom an owner has named."""

from __future__ import annotations

from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet

from accounts import audit, clock
from accounts.models import Membership, Role
from accounts.models.organisations import KEEPERS
from accounts.refusals import NotAllowed
from dpa.models import Signatory

# Who may read agreements; a named signatory may, whatever the role.
AGREEMENT_READERS = KEEPERS | {Role.PRIVACY}


def may_sign(membership: Membership) -> bool:
    return membership.role == Role.OWNER or is_named(membership)


def may_read(membership: Membership) -> bool:
    return membership.role in AGREEMENT_READERS or is_named(membership)


def is_named(membership: Membership) -> bool:
    return Signatory.objects.filter(membership=membership).exists()


def named(membership: Membership) -> QuerySet[Signatory]:
    """Return the named signatories of the member's organisation."""
    rows = Signatory.objects.for_organisation(membership.organisation_id)
    return rows.select_related("membership__user").order_by("named_at")


def nameable(membership: Membership) -> QuerySet[Membership]:
    """Return the members who could be named: approved, no owner, not named yet."""
    members = Membership.objects.for_organisation(membership.organisation_id)
    already = Exists(Signatory.objects.filter(membership=OuterRef("pk")))
    free = members.filter(~already, approved_at__isnull=False).exclude(role=Role.OWNER)
    return free.select_related("user").order_by("user__first_name", "user__last_name")


def name(member: Membership, *, by: Membership) -> None:
    """Let a member sign; harmless when they may already. Raises NotAllowed."""
    if by.role != Role.OWNER or member.approved_at is None:
        raise NotAllowed
    with transaction.atomic():
        row, made = Signatory.objects.get_or_create(
            membership=member,
            defaults={"organisation_id": member.organisation_id, "named_at": clock.now()},
        )
        if made:
            audit.record(by.user, "signatory.named", row)


def withdraw(signatory: Signatory, *, by: Membership) -> None:
    """Take the right away; what was signed stays signed. Raises NotAllowed."""
    if by.role != Role.OWNER:
        raise NotAllowed
    with transaction.atomic():
        audit.record(by.user, "signatory.withdrawn", signatory)
        signatory.delete()
