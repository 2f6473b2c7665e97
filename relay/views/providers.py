# SPDX-License-Identifier: AGPL-3.0-or-later
"""Routes through a customer's account at a provider: set up, change, the address for reports."""

from __future__ import annotations

from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_POST

from accounts.access import current_membership, get_for_organisation, member_required
from accounts.models.organisations import BUILDERS
from accounts.refusals import Refused
from accounts.views.answers import form_page, refusal
from relay import espaccounts as acts
from relay.forms.providers import ProviderForm
from relay.models import Route
from relay.views import onward

NEW, EDIT = "relay/provider_new.html", "relay/provider_edit.html"
KEPT = ("secret", "signing", "outside_eea")


@form_page
@member_required(*BUILDERS)
@sensitive_post_parameters("secret", "signing")
def provider_new(request: HttpRequest) -> HttpResponse:
    by = current_membership(request)
    form = ProviderForm(request.POST or None, organisation_id=by.organisation_id)
    if not form.is_valid():
        return render(request, NEW, {"form": form})
    try:
        row = acts.add(form.details(), by=by)
    except Refused as refused:
        return refusal(request, NEW, form, refused)
    onward.send_what_waited(by.organisation_id)
    messages.success(request, _("Saved. Test the connection now, before mail depends on it."))
    return redirect("relay:route", row.id)


@form_page
@member_required(*BUILDERS)
@sensitive_post_parameters("secret", "signing")
def provider_edit(request: HttpRequest, route_id: UUID) -> HttpResponse:
    row, by = _route(request, route_id), current_membership(request)
    known = {name: getattr(row, name) for name in ProviderForm.base_fields if name not in KEPT}
    known["outside_eea"] = not acts.provider_of(row).in_eea
    form = ProviderForm(
        request.POST or None, organisation_id=by.organisation_id, route=row, initial=known
    )
    if not form.is_valid():
        return render(request, EDIT, {"form": form, "route": row})
    try:
        acts.change(row, form.details(), by=by)
    except Refused as refused:
        return refusal(request, EDIT, form, refused, route=row)
    if set(form.changed_data) - {"name"}:
        onward.send_what_waited(by.organisation_id)
    messages.success(request, _("Saved. It counts from the next message on."))
    return redirect("relay:route", row.id)


@require_POST
@never_cache
@member_required(*BUILDERS)
def route_hook(request: HttpRequest, route_id: UUID) -> HttpResponse:
    """Make the address for reports, and show it this once."""
    row = _route(request, route_id)
    made = acts.renew_hook(row, by=current_membership(request))
    address = settings.SITE_URL.rstrip("/") + reverse("esp-hook", args=[made])
    context = {"route": row, "address": address, "provider": acts.provider_of(row)}
    return render(request, "relay/route_hook.html", context)


def _route(request: HttpRequest, route_id: UUID) -> Route:
    row = get_for_organisation(request, Route, route_id)
    if row.kind != Route.Kind.ESP:
        raise Http404
    return row
