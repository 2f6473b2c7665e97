# SPDX-License-Identifier: AGPL-3.0-or-later
"""Who belongs to an organisation: invited by mail, let in by an owner, changed, removed.

`by` is the acting person's own membership; everything about it runs in the organisation's context.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from django.db import connection
from django.db.models import QuerySet
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from accounts import audit, clock, emails, limits, links, roster, signin, vault
from accounts.addresses import normalised
from accounts.expiry import INVITATION_DAYS
from accounts.models import Invitation, Membership, Role, User
from accounts.refusals import NotAllowed, Refused
from accounts.signup import FirstSignIn, Person, new_person
from accounts.tenancy import organisation_context

TOKEN_OCTETS = 20


class AlreadyMember(Refused):
    text: Promise = _("This person is in the organisation already.")


class WrongPerson(Refused):
    text: Promise = _("The invitation is for another address than the one you are signed in with.")


class LastOwner(Refused):
    text: Promise = _("An organisation needs an owner: make somebody else an owner first.")


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundInvitation:
    organisation_name: str
    email: str
    role: str
    known: bool  # the address has an account: sign in instead of making one


def invite(email: str, role: Role, *, by: Membership) -> Invitation:
    """Mail an invitation, in place of an older one. Raises NotAllowed, AlreadyMember, TooMany."""
    _demand_manager(by, role)
    email = normalised(email)
    if _members(by.organisation_id).filter(user__email=email).exists():
        raise AlreadyMember
    limits.check(limits.INVITATIONS, str(by.organisation_id))
    token, now = secrets.token_urlsafe(TOKEN_OCTETS), clock.now()
    with organisation_context(by.organisation_id, person_id=by.user_id):
        for older in _invitations(by.organisation_id).filter(email=email).select_for_update():
            _demand_manager(by, Role(older.role), of=older)
            older.delete()
        invitation = Invitation.objects.create(
            organisation_id=by.organisation_id,
            email=email,
            role=role,
            token_hash=_token_hash(token),
            invited_by_id=by.user_id,
            created_at=now,
            expires_at=now + timedelta(days=INVITATION_DAYS),
        )
        emails.invitation(invitation, by.user, token)
        audit.record(by.user, "invitation.sent", invitation, ["role"])
    return invitation


def withdraw(invitation: Invitation, *, by: Membership) -> None:
    """Void an invitation. Raises NotAllowed."""
    _demand_manager(by, Role(invitation.role), of=invitation)
    with organisation_context(by.organisation_id, person_id=by.user_id):
        audit.record(by.user, "invitation.withdrawn", invitation)
        invitation.delete()


def find_invitation(token: str) -> FoundInvitation:
    """Return what an invitation says. Raises links.LinkInvalid, links.LinkExpired."""
    invitation_id, organisation_id = _look_up(token)
    with organisation_context(organisation_id):
        invitation = _open_invitation(invitation_id, organisation_id)
        return FoundInvitation(
            organisation_name=invitation.organisation.name,
            email=invitation.email,
            role=invitation.get_role_display(),
            known=signin.person_for_email(invitation.email) is not None,
        )


def accept(token: str, user: User) -> Membership:
    """Take up an invitation as a person who is signed in; an owner must still let them in.

    Raises links.LinkInvalid, links.LinkExpired, WrongPerson, AlreadyMember.
    """
    invitation_id, organisation_id = _look_up(token)
    with organisation_context(organisation_id, person_id=user.id):
        invitation = _open_invitation(invitation_id, organisation_id)
        if invitation.email != user.email:
            raise WrongPerson
        return _take_up(invitation, user)


def accept_new(token: str, person: Person) -> FirstSignIn:
    """Take up an invitation as somebody without an account; the mail proved the address.

    Raises links.LinkInvalid, links.LinkExpired, signup.AlreadyConfirmed.
    """
    invitation_id, organisation_id = _look_up(token)
    with organisation_context(organisation_id):
        email = _open_invitation(invitation_id, organisation_id).email

    def take_up(user: User) -> None:
        _take_up(_open_invitation(invitation_id, organisation_id), user)

    return new_person(email, person, organisation_id, take_up)


def approve(membership: Membership, *, by: Membership) -> None:
    """Let a person in who took up an invitation. Raises NotAllowed."""
    with organisation_context(by.organisation_id, person_id=by.user_id):
        _read_again(by, membership)
        _demand_owner(by, membership)
        # One of two clicks at the same time lets the person in; the other changes nothing.
        waiting = _members(by.organisation_id).filter(pk=membership.pk, approved_at=None)
        if not waiting.update(approved_at=clock.now(), approved_by=by.user):
            return
        emails.membership_approved(membership)
        audit.record(by.user, "membership.approved", membership)


def refuse(membership: Membership, *, by: Membership) -> None:
    """Do not let a person in. Raises NotAllowed, also about one who is in."""
    with organisation_context(by.organisation_id, person_id=by.user_id):
        _read_again(by, membership)
        _demand_owner(by, membership)
        if membership.approved_at is not None:
            raise NotAllowed
        emails.membership_refused(membership)
        audit.record(by.user, "membership.refused", membership)
        membership.delete()


def change_role(membership: Membership, role: Role, *, by: Membership) -> None:
    """Give a member another role; their sessions and open invitations end.

    Raises NotAllowed, LastOwner.
    """
    with organisation_context(by.organisation_id, person_id=by.user_id):
        _read_again(by, membership)
        _demand_manager(by, role, Role(membership.role), of=membership)
        if role != Role.OWNER:
            _demand_another_owner(membership)
        membership.role = role
        membership.save(update_fields=["role"])
        _end_access(membership)
        emails.role_changed(membership)
        audit.record(by.user, "membership.role-changed", membership, ["role"])


def remove(membership: Membership, *, by: Membership) -> None:
    """End a membership, another's or one's own. Raises NotAllowed, LastOwner."""
    with organisation_context(by.organisation_id, person_id=by.user_id):
        _read_again(by, membership)
        if membership.pk != by.pk:
            _demand_manager(by, Role(membership.role), of=membership)
        _demand_another_owner(membership)
        _end_access(membership)
        emails.membership_ended(membership)
        audit.record(by.user, "membership.ended", membership)
        membership.delete()


def _demand_manager(
    by: Membership, *roles: Role, of: Membership | Invitation | None = None
) -> None:
    _demand(by, all(roster.manages(by.role, role) for role in roles), of)


def _demand_owner(by: Membership, of: Membership) -> None:
    _demand(by, by.role == Role.OWNER, of)


def _demand(by: Membership, allowed: bool, of: Membership | Invitation | None) -> None:
    elsewhere = of is not None and of.organisation_id != by.organisation_id
    if not allowed or by.approved_at is None or elsewhere:
        raise NotAllowed


def _read_again(*memberships: Membership) -> None:
    """Take roles as they are in the database, which changes nobody's until this act is done.

    So two owners cannot remove each other at the same moment. Raises NotAllowed for one that is
    gone meanwhile.
    """
    rows = hold(memberships[0].organisation_id)
    for membership in memberships:
        if membership.pk not in rows:
            raise NotAllowed
        membership.role = rows[membership.pk].role
        membership.approved_at = rows[membership.pk].approved_at


def _demand_another_owner(membership: Membership) -> None:
    others = owners(membership.organisation_id).exclude(pk=membership.pk)
    if membership.role == Role.OWNER and not others.exists():
        raise LastOwner


def _end_access(membership: Membership) -> None:
    signin.end_sessions(membership.user_id)
    _invitations(membership.organisation_id).filter(invited_by_id=membership.user_id).delete()


def hold(organisation_id: UUID) -> dict[UUID, Membership]:
    """Let nobody else change who belongs to an organisation until the transaction ends.

    Return the memberships as they are in the database, by their ids.
    """
    with organisation_context(organisation_id):
        locked = _members(organisation_id).order_by("pk").select_for_update()
        return {row.pk: row for row in locked}


def _members(organisation_id: UUID) -> QuerySet[Membership]:
    return Membership.objects.for_organisation(organisation_id)


def owners(organisation_id: UUID) -> QuerySet[Membership]:
    """Return those who can act as owner now: let in, and not restricted."""
    rows = _members(organisation_id).filter(role=Role.OWNER, approved_at__isnull=False)
    return rows.filter(user__restricted_at=None)


def _invitations(organisation_id: UUID) -> QuerySet[Invitation]:
    """Return the organisation's invitations that were not taken up yet."""
    return Invitation.objects.for_organisation(organisation_id).filter(accepted_at=None)


def _look_up(token: str) -> tuple[UUID, UUID]:
    """Return the ids of invitation and organisation, before any context is open."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT invitation_id, organisation_id FROM accounts_invitation_for_token(%s)",
            [_token_hash(token)],
        )
        row = cursor.fetchone()
    if row is None:
        raise links.LinkInvalid
    return row[0], row[1]


def _open_invitation(invitation_id: UUID, organisation_id: UUID) -> Invitation:
    rows = (
        _invitations(organisation_id).select_related("organisation").select_for_update(of=("self",))
    )
    invitation = rows.filter(pk=invitation_id).first()
    if invitation is None:
        raise links.LinkInvalid
    if invitation.expires_at <= clock.now():
        raise links.LinkExpired
    return invitation


def _take_up(invitation: Invitation, user: User) -> Membership:
    if _members(invitation.organisation_id).filter(user=user).exists():
        raise AlreadyMember
    now = clock.now()
    invitation.accepted_at = now
    invitation.save(update_fields=["accepted_at"])
    membership = Membership.objects.create(
        organisation_id=invitation.organisation_id, user=user, role=invitation.role, created_at=now
    )
    for owner in owners(membership.organisation_id):
        emails.membership_waiting(membership, owner.user)
    audit.record(user, "membership.requested", membership)
    return membership


def _token_hash(token: str) -> bytes:
    return vault.keyed_hash("invitation", token.encode())
