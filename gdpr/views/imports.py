# SPDX-License-Identifier: AGPL-3.0-or-later
"""Bringing one's data along from another installation: uploaded, shown, then taken over."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt, csrf_protect
from django.views.decorators.http import require_POST

from accounts import clock, uploads
from accounts.access import current_person, outside_context, own_context, person_required
from accounts.refusals import Refused
from accounts.views.answers import form_page, limited, refusal, refusals_to
from gdpr.forms import ImportForm
from gdpr.importing import planning, reading, taking

NEW, PLAN = "gdpr/import_new.html", "gdpr/import_plan.html"


# Whoever looks for the token reads the whole form: that is left until the form may be read.
@csrf_exempt
@form_page
@outside_context
@person_required
@never_cache
def import_new(request: HttpRequest) -> HttpResponse:
    """Read an uploaded package and hold it for the person's yes."""
    if request.method == "POST":
        try:
            uploads.demand_small(request, reading.TooLarge)
        except Refused as refused:
            context = {"form": ImportForm(), "refused": str(refused)}
            with own_context(request):
                return limited(render(request, NEW, context), refused)
    return _import_new(request)


@csrf_protect
def _import_new(request: HttpRequest) -> HttpResponse:
    form = ImportForm(request.POST or None, request.FILES or None)
    if not form.is_valid():
        with own_context(request):
            return render(request, NEW, {"form": form})
    try:
        taking.hold(form.cleaned_data["file"], current_person(request), clock.now())
    except Refused as refused:
        with own_context(request):
            return refusal(request, NEW, form, refused)
    return redirect("gdpr:import-plan")


@form_page
@person_required
@never_cache
@refusals_to("gdpr:import")
def import_plan(request: HttpRequest) -> HttpResponse:
    """Show what taking the package over does; a post does it."""
    person = current_person(request)
    if request.method == "POST":
        taking.take(person, clock.now())
        messages.success(request, _("Taken over."))
        return redirect("accounts:profile")
    held = taking.held(person)
    made = planning.plan(held.records, person)
    groups = {fate.name.lower(): lines for fate, lines in planning.lines_by_fate(made)}
    context = {"held": held, "plan": made, **groups}
    return render(request, PLAN, context)


@require_POST
@person_required
def import_discard(request: HttpRequest) -> HttpResponse:
    taking.throw_away(current_person(request))
    messages.success(request, _("Nothing was taken over, and the package is forgotten."))
    return redirect("gdpr:requests")
