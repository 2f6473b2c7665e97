# SPDX-License-Identifier: AGPL-3.0-or-later
"""The team as its page shows it: who is in, who waits, who is invited."""

from __future__ import annotations

from uuid import UUID

from django.db import connection
from django.db.models import Exists, OuterRef, QuerySet

from accounts.models import Invitation, Membership, Organisation, Role
from accounts.models.organisations import KEEPERS


def members(organisation_id: UUID) -> QuerySet[Membership]:
    """Return the approved members, the longest here first."""
    rows = Membership.objects.for_organisation(organisation_id).filter(approved_at__isnull=False)
    return rows.select_related("user").order_by("created_at", "id")


def waiting(organisation_id: UUID) -> QuerySet[Membership]:
    """Return those who have said yes and wait for an owner."""
    rows = Membership.objects.for_organisation(organisation_id).filter(approved_at=None)
    return rows.select_related("user").order_by("created_at", "id")


def silenced() -> QuerySet[Organisation]:
    """Return the organisations that go on and whose owners are all restricted. Role `duty`.

    Nobody can act as owner there, and no mail to an owner leaves (accounts/emails.py).
    """
    owners = Membership.objects.for_organisation(OuterRef("pk")).filter(
        role=Role.OWNER,
        approved_at__isnull=False,
        user__is_active=True,
    )
    alive = Organisation.objects.exclude(standing__in=Organisation.ENDING)
    return alive.filter(
        Exists(owners.filter(user__restricted_at__isnull=False)),
        ~Exists(owners.filter(user__restricted_at=None)),
    )


def invitations(organisation_id: UUID) -> QuerySet[Invitation]:
    """Return the invitations that nobody has answered, the newest first."""
    rows = Invitation.objects.for_organisation(organisation_id).filter(accepted_at=None)
    return rows.order_by("-created_at")


def with_second_factor() -> set[UUID]:
    """Return the ids of the current organisation's people who have a second factor."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT accounts_members_with_second_factor()")
        return {row[0] for row in cursor.fetchall()}


def manages(role: str, other: str) -> bool:
    """Say whether a member with `role` looks after one with `other`: only owners after owners."""
    return role == Role.OWNER or (role in KEEPERS and other != Role.OWNER)


def roles_to_give(role: str) -> list[Role]:
    """Return the roles that a keeper of the team may give: only an owner makes an owner."""
    return [given for given in Role if given != Role.OWNER or role == Role.OWNER]
