# SPDX-License-Identifier: AGPL-3.0-or-later
"""The organisations of a person: choose one, found one, look after one."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from accounts import standing
from accounts.access import (
    current_membership,
    current_organisation,
    current_person,
    member_required,
    person_required,
)
from accounts.forms import CompanyForm, OrganisationForm
from accounts.middleware import ORGANISATION_KEY
from accounts.models import Membership, Role
from accounts.models.organisations import KEEPERS
from accounts.rectification import rectify_organisation
from accounts.signup import Company, found_organisation
from accounts.views.answers import form_page, step_up_required


@require_safe
@person_required
def organisations(request: HttpRequest) -> HttpResponse:
    memberships = Membership.objects.filter(user=current_person(request))
    ordered = memberships.select_related("organisation").order_by("created_at")
    context = {"memberships": ordered, "current": getattr(request, "membership", None)}
    return render(request, "accounts/organisations.html", context)


@require_POST
@person_required
def organisation_choose(request: HttpRequest, organisation_id: UUID) -> HttpResponse:
    """Work in another of the person's organisations from now on, in this browser."""
    own = Membership.objects.filter(user=current_person(request), approved_at__isnull=False)
    if not own.for_organisation(organisation_id).exists():
        raise Http404
    request.session[ORGANISATION_KEY] = str(organisation_id)
    return redirect("home")


@form_page
@person_required
def organisation_found(request: HttpRequest) -> HttpResponse:
    form = CompanyForm(request.POST or None)
    if form.is_valid():
        details = Company(**form.cleaned_data)
        organisation = found_organisation(current_person(request), details)
        request.session[ORGANISATION_KEY] = str(organisation.id)
        messages.success(request, _("Your organisation is ready."))
        return redirect("home")
    return render(request, "accounts/organisation_found.html", {"form": form})


@form_page
@member_required(*KEEPERS)
def organisation(request: HttpRequest) -> HttpResponse:
    row = current_organisation(request)
    known = {name: getattr(row, name) for name in OrganisationForm.base_fields}
    form = OrganisationForm(request.POST or None, initial=known)
    if form.is_valid():
        rectify_organisation(row, form.cleaned_data, by=current_membership(request).user)
        messages.success(request, _("Saved."))
        return redirect("accounts:organisation")
    return render(request, "accounts/organisation.html", {"form": form})


@form_page
@member_required(Role.OWNER)
@step_up_required
def organisation_close(request: HttpRequest) -> HttpResponse:
    by = current_membership(request)
    if request.method == "POST":
        standing.close(by)
        messages.success(request, _("The organisation is closing. It accepts no more mail."))
        return redirect("accounts:organisation")
    return render(request, "accounts/organisation_close.html")
