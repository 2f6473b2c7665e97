# SPDX-License-Identifier: AGPL-3.0-or-later
"""Routes: list, set up, test, pause and resume, remove."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_POST, require_safe

from accounts import clock
from accounts.access import (
    current_membership,
    current_organisation,
    get_for_organisation,
    is_fragment,
    member_context,
    member_required,
    outside_context,
)
from accounts.models.organisations import BUILDERS, READERS
from accounts.refusals import Refused
from accounts.views.answers import form_page, refusal
from relay import probing
from relay import routes as acts
from relay.forms.routes import DirectForm, OwnForm, RouteForm
from relay.models import Route
from relay.smtp.replies import Verdict
from relay.views import onward

PAGE_LENGTH = 50
NEW, EDIT, SHOW = "relay/route_new.html", "relay/route_edit.html", "relay/route.html"
FORMS: dict[str, type[RouteForm]] = {form.kind: form for form in (OwnForm, DirectForm)}


@require_safe
@member_required(*READERS)
def routes(request: HttpRequest) -> HttpResponse:
    rows = list(acts.listed(Route.objects.for_organisation(current_organisation(request).id)))
    page = Paginator(rows, PAGE_LENGTH).get_page(request.GET.get("page"))
    context = {"page": page, "carrying": acts.carrying(rows, clock.now())}
    return render(
        request, "relay/routes.html", context | {"delivers_direct": acts.delivers_direct()}
    )


@form_page
@member_required(*BUILDERS)
@sensitive_post_parameters("secret")
def route_new(request: HttpRequest) -> HttpResponse:
    return _added(request, OwnForm, NEW)


@form_page
@member_required(*BUILDERS)
def direct_new(request: HttpRequest) -> HttpResponse:
    return _added(request, DirectForm, "relay/direct_new.html")


def _added(request: HttpRequest, form_of: type[RouteForm], template: str) -> HttpResponse:
    by = current_membership(request)
    form = form_of(request.POST or None, organisation_id=by.organisation_id)
    if not form.is_valid():
        return render(request, template, {"form": form})
    try:
        row = acts.add(form.details(), by=by)
    except Refused as refused:
        return refusal(request, template, form, refused)
    onward.send_what_waited(by.organisation_id)
    messages.success(request, _added_words(row))
    return redirect("relay:route", row.id)


def _added_words(row: Route) -> str:
    if row.kind == Route.Kind.OWN:
        return _("Saved. Test the connection now, before mail depends on it.")
    return _("Saved. It counts from the next message on.")


@require_safe
@member_required(*READERS)
def route(request: HttpRequest, route_id: UUID) -> HttpResponse:
    return render(request, SHOW, _shown(get_for_organisation(request, Route, route_id)))


def _shown(row: Route) -> dict[str, Any]:
    """Return what the page of a route is made of."""
    rows = list(acts.listed(Route.objects.for_organisation(row.organisation_id)))
    carrying = acts.carrying(rows, clock.now())
    beside = [other for other in rows if other.domain_id == row.domain_id]
    return {
        "route": row,
        "carrying": carrying,
        "carrier": next((other for other in beside if other.id in carrying), None),
        "is_first": beside[:1] == [row],
        "is_last": beside[-1:] == [row],
    }


@form_page
@member_required(*BUILDERS)
@sensitive_post_parameters("secret")
def route_edit(request: HttpRequest, route_id: UUID) -> HttpResponse:
    row = get_for_organisation(request, Route, route_id)
    by, form_of = current_membership(request), FORMS.get(row.kind)
    if form_of is None:
        raise Http404
    known = {name: getattr(row, name) for name in form_of.base_fields if name != "secret"}
    form = form_of(
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
    messages.success(request, _saved(row))
    return redirect("relay:route", row.id)


@require_POST
@member_required(*BUILDERS)
def route_order(request: HttpRequest, route_id: UUID) -> HttpResponse:
    """Move a route up or down among those that serve the same domain."""
    row = get_for_organisation(request, Route, route_id)
    acts.move(row, up=request.POST.get("to") == "up", by=current_membership(request))
    onward.send_what_waited(row.organisation_id)
    return redirect("relay:route", row.id)


def _saved(row: Route) -> str:
    if row.paused_at:
        return _("Saved. The route is still paused: test the connection, then resume it.")
    return _("Saved. It counts from the next message on.")


@require_POST
@outside_context
@member_required(*BUILDERS)
def route_test(request: HttpRequest, route_id: UUID) -> HttpResponse:
    """Try the connection; htmx gets the result alone, everybody else the page with it."""
    with member_context(request):
        row = get_for_organisation(request, Route, route_id)
    if row.kind == Route.Kind.DIRECT:
        raise Http404
    context: dict[str, Any] = {}
    try:
        found = probing.probe(row, by=current_membership(request))
        works = found.outcome.verdict is Verdict.DELIVERED
        context |= {"found": found, "outcome": found.outcome, "works": works}
        if works:
            onward.send_what_waited(row.organisation_id)
    except Refused as refused:
        context["refused"] = str(refused)
    alone = is_fragment(request)
    with member_context(request):
        shown = {"route": row} if alone else _shown(row)
        return render(request, "relay/_route_test.html" if alone else SHOW, shown | context)


@require_POST
@member_required(*BUILDERS)
def route_pause(request: HttpRequest, route_id: UUID) -> HttpResponse:
    row = get_for_organisation(request, Route, route_id)
    acts.pause(row, by=current_membership(request))
    onward.send_what_waited(row.organisation_id)
    messages.success(request, _("Paused. Mail is accepted and waits, no longer than it would."))
    return redirect("relay:route", row.id)


@require_POST
@member_required(*BUILDERS)
def route_resume(request: HttpRequest, route_id: UUID) -> HttpResponse:
    row = get_for_organisation(request, Route, route_id)
    acts.resume(row, by=current_membership(request))
    onward.send_what_waited(row.organisation_id)
    messages.success(request, _("Resumed. What waited for the route goes now."))
    return redirect("relay:route", row.id)


@form_page
@member_required(*BUILDERS)
def route_remove(request: HttpRequest, route_id: UUID) -> HttpResponse:
    row = get_for_organisation(request, Route, route_id)
    if request.method != "POST":
        return render(request, "relay/route_remove.html", {"route": row})
    acts.remove(row, by=current_membership(request))
    onward.send_what_waited(row.organisation_id)
    messages.success(
        request, _("%(name)s is removed, and its secret forgotten.") % {"name": row.name}
    )
    return redirect("relay:routes")
