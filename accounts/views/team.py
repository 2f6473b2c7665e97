# SPDX-License-Identifier: AGPL-3.0-or-later
"""The team: who is in it, with which role, and who is on the way in or out."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from accounts import roster, team
from accounts.access import (
    current_membership,
    current_organisation,
    get_for_organisation,
    member_required,
)
from accounts.forms import InviteForm, RoleForm
from accounts.models import Invitation, Membership, Role
from accounts.models.organisations import KEEPERS
from accounts.refusals import Refused
from accounts.views.answers import form_page, refusal, refusals_to

PAGE_LENGTH = 100
INVITE = "accounts/invite.html"
ROLE = "accounts/member_role.html"


@require_safe
@member_required()
def members(request: HttpRequest) -> HttpResponse:
    organisation = current_organisation(request)
    # The others see names and roles, not addresses.
    role = current_membership(request).role
    keeper = role in KEEPERS
    pages = Paginator(roster.members(organisation.id), PAGE_LENGTH)
    page = pages.get_page(request.GET.get("page"))
    context = {
        "page": page,
        "managed": {row.pk for row in page if roster.manages(role, row.role)},
        "second_factor": roster.with_second_factor(),
        "keeper": keeper,
        "waiting": roster.waiting(organisation.id) if keeper else (),
        "invitations": roster.invitations(organisation.id) if keeper else (),
    }
    return render(request, "accounts/team.html", context)


@form_page
@member_required(*KEEPERS)
def invite(request: HttpRequest) -> HttpResponse:
    by = current_membership(request)
    form = InviteForm(request.POST or None, roles=roster.roles_to_give(by.role))
    if not form.is_valid():
        return render(request, INVITE, {"form": form})
    try:
        team.invite(form.cleaned_data["email"], form.chosen_role(), by=by)
    except Refused as refused:
        return refusal(request, INVITE, form, refused)
    messages.success(request, _("The invitation is on its way."))
    return redirect("accounts:team")


@form_page
@member_required(*KEEPERS)
@refusals_to("accounts:team")
def invitation_withdraw(request: HttpRequest, invitation_id: UUID) -> HttpResponse:
    row = _open_invitation(request, invitation_id)
    if request.method != "POST":
        return render(request, "accounts/invitation_withdraw.html", {"invitation": row})
    team.withdraw(row, by=current_membership(request))
    messages.success(request, _("The invitation is withdrawn: its link opens nothing now."))
    return redirect("accounts:team")


@require_POST
@member_required(*KEEPERS)
@refusals_to("accounts:team")
def invitation_resend(request: HttpRequest, invitation_id: UUID) -> HttpResponse:
    """Send a fresh link; the old one opens nothing afterwards."""
    row = _open_invitation(request, invitation_id)
    team.invite(row.email, Role(row.role), by=current_membership(request))
    messages.success(request, _("A new link is on its way; the old one opens nothing now."))
    return redirect("accounts:team")


def _open_invitation(request: HttpRequest, invitation_id: UUID) -> Invitation:
    row = get_for_organisation(request, Invitation, invitation_id)
    if row.accepted_at is not None:
        raise Http404
    return row


@require_POST
@member_required(Role.OWNER)
@refusals_to("accounts:team")
def member_approve(request: HttpRequest, membership_id: UUID) -> HttpResponse:
    row = get_for_organisation(request, Membership, membership_id)
    team.approve(row, by=current_membership(request))
    messages.success(request, _("%(name)s is in.") % {"name": row.user.get_full_name()})
    return redirect("accounts:team")


@form_page
@member_required(Role.OWNER)
@refusals_to("accounts:team")
def member_refuse(request: HttpRequest, membership_id: UUID) -> HttpResponse:
    row = get_for_organisation(request, Membership, membership_id)
    if row.approved_at is not None:
        raise Http404
    if request.method != "POST":
        return render(request, "accounts/member_refuse.html", {"member": row})
    team.refuse(row, by=current_membership(request))
    messages.success(request, _("Refused: the person has not come in."))
    return redirect("accounts:team")


@form_page
@member_required(*KEEPERS)
def member_role(request: HttpRequest, membership_id: UUID) -> HttpResponse:
    row = get_for_organisation(request, Membership, membership_id)
    by = current_membership(request)
    _demand_manages(by, row)
    form = RoleForm(
        request.POST or None, roles=roster.roles_to_give(by.role), initial={"role": row.role}
    )
    if not form.is_valid():
        return render(request, ROLE, {"form": form, "member": row})
    try:
        team.change_role(row, form.chosen_role(), by=by)
    except Refused as refused:
        return refusal(request, ROLE, form, refused, member=row)
    messages.success(request, _("The role is changed."))
    return redirect("accounts:team")


def _demand_manages(by: Membership, row: Membership) -> None:
    """The act refuses this too; a page that could only end in a refusal is not shown."""
    if not roster.manages(by.role, row.role):
        raise PermissionDenied


@form_page
@member_required()
@refusals_to("accounts:team")
def member_remove(request: HttpRequest, membership_id: UUID) -> HttpResponse:
    """Take a member out; everybody may leave, so the own membership is open to every role."""
    row = get_for_organisation(request, Membership, membership_id)
    by = current_membership(request)
    leaves = row.id == by.id
    if not leaves:
        _demand_manages(by, row)
    if request.method != "POST":
        return render(request, "accounts/member_remove.html", {"member": row, "leaves": leaves})
    name = row.user.get_full_name()
    team.remove(row, by=by)
    messages.success(request, _("%(name)s is out of the organisation.") % {"name": name})
    return redirect("accounts:organisations" if leaves else "accounts:team")
