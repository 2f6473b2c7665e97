# SPDX-License-Identifier: AGPL-3.0-or-later
"""Addresses that are kept and not used: list, restrict one, lift that."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from accounts import clock
from accounts.access import (
    current_membership,
    current_organisation,
    get_for_organisation,
    member_required,
)
from accounts.models import Role
from accounts.models.organisations import KEEPERS
from accounts.refusals import Refused
from accounts.views.answers import form_page, refusal
from relay import restricting as acts
from relay.forms.restrictions import LiftForm, RestrictionForm
from relay.models import Restriction

# Whoever answers people about their data.
ANSWERING = KEEPERS | {Role.PRIVACY}
PAGE_LENGTH = 50
NEW, LIFT = "relay/restriction_new.html", "relay/restriction_lift.html"


@require_safe
@member_required(*ANSWERING)
def listed(request: HttpRequest) -> HttpResponse:
    rows = acts.listed(current_organisation(request).id)
    page = Paginator(rows, PAGE_LENGTH).get_page(request.GET.get("page"))
    return render(request, "relay/restrictions.html", {"page": page})


@form_page
@member_required(*ANSWERING)
def restriction_new(request: HttpRequest) -> HttpResponse:
    form = RestrictionForm(request.POST or None)
    if not form.is_valid():
        return render(request, NEW, {"form": form})
    data, by = form.cleaned_data, current_membership(request)
    try:
        acts.restrict(data["address"], acts.Ground(data["ground"]), by=by)
    except Refused as refused:
        return refusal(request, NEW, form, refused)
    messages.success(request, _("Restricted within seconds. What waits for it is held."))
    return redirect("relay:restrictions")


@form_page
@member_required(*ANSWERING)
def restriction_lift(request: HttpRequest, restriction_id: UUID) -> HttpResponse:
    row = get_for_organisation(request, Restriction, restriction_id)
    if row.lifted_at:
        messages.info(request, _("It is lifted already."))
        return redirect("relay:restrictions")
    form = LiftForm(request.POST or None, initial={"told_on": clock.now().date()})
    if not form.is_valid():
        return render(request, LIFT, {"form": form, "row": row})
    try:
        acts.lift(row, form.cleaned_data["told_on"], by=current_membership(request))
    except Refused as refused:
        return refusal(request, LIFT, form, refused, row=row)
    messages.success(request, _("Lifted. What was held goes within seconds."))
    return redirect("relay:restrictions")
