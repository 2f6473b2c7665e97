# SPDX-License-Identifier: AGPL-3.0-or-later
"""Who may sign besides the owners: named and withdrawn by an owner."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _

from accounts.access import current_membership, get_for_organisation, member_required
from accounts.models import Role
from accounts.views.answers import form_page, step_up_required
from dpa import signatories as acts
from dpa.forms import SignatoryForm
from dpa.models import Signatory


@form_page
@member_required(Role.OWNER)
@step_up_required
def signatories(request: HttpRequest) -> HttpResponse:
    by = current_membership(request)
    form = SignatoryForm(request.POST or None, by=by)
    if form.is_valid():
        member = form.cleaned_data["member"]
        acts.name(member, by=by)
        name = member.user.get_full_name()
        messages.success(request, _("%(name)s may sign now.") % {"name": name})
        return redirect("dpa:signatories")
    context = {"form": form, "named": acts.named(by), "nameable": acts.nameable(by).exists()}
    return render(request, "dpa/signatories.html", context)


@form_page
@member_required(Role.OWNER)
@step_up_required
def signatory_withdraw(request: HttpRequest, signatory_id: UUID) -> HttpResponse:
    row = get_for_organisation(request, Signatory, signatory_id)
    name = row.membership.user.get_full_name()
    if request.method != "POST":
        return render(request, "dpa/signatory_withdraw.html", {"signatory": row, "name": name})
    acts.withdraw(row, by=current_membership(request))
    messages.success(request, _("%(name)s may not sign any more.") % {"name": name})
    return redirect("dpa:signatories")
