# SPDX-License-Identifier: AGPL-3.0-or-later
"""Restricting the use of one's own account, taking that back, and objecting to its use."""

from __future__ import annotations

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from accounts import clock
from accounts.access import current_person, person_required, while_restricted
from accounts.views.answers import form_page, refusals_to, step_up_required
from gdpr import propagation
from gdpr.erasing import plan
from gdpr.forms import ObjectionForm, RestrictionForm
from gdpr.models import PersonRestriction
from gdpr.rights import objection as objecting
from gdpr.rights import restriction as acts

PAGE = "gdpr:restriction"
PAGE_LENGTH = 50


@require_safe
@while_restricted
@person_required
@never_cache
def restriction(request: HttpRequest) -> HttpResponse:
    """What is restricted and why; without that, what a restriction would do."""
    person = current_person(request)
    rows = acts.in_force(person)
    context = {
        "rows": rows,
        "own": rows.exclude(ground=PersonRestriction.Ground.COOL_DOWN).exists(),
        "days": acts.NOTICE_DAYS,
        "alone": plan.owned_alone(person.pk),
    }
    return render(request, "gdpr/restriction.html", context)


@form_page
@while_restricted
@person_required
@never_cache
@step_up_required
@refusals_to(PAGE)
def restriction_ask(request: HttpRequest) -> HttpResponse:
    person, form = current_person(request), RestrictionForm(request.POST or None)
    if not form.is_valid():
        context = {"form": form, "alone": plan.owned_alone(person.pk)}
        return render(request, "gdpr/restriction_ask.html", context)
    data = form.cleaned_data
    ground = acts.Ground(data["ground"])
    acts.ask(person, ground, data["words"], clock.now())
    messages.success(request, _("Restricted from now on."))
    return redirect(PAGE)


@form_page
@while_restricted
@person_required
@never_cache
@step_up_required
@refusals_to(PAGE)
def restriction_end(request: HttpRequest) -> HttpResponse:
    """Ask on a page of its own: whoever has to prove first who they are comes back to it."""
    if request.method != "POST":
        return render(request, "gdpr/restriction_end.html")
    acts.lift_own(current_person(request), clock.now())
    messages.success(request, _("Ended. Your account is used as before."))
    return redirect(PAGE)


@require_safe
@while_restricted
@person_required
@never_cache
def told(request: HttpRequest) -> HttpResponse:
    """Which recipients were told of what became of one's data (article 19, its last sentence)."""
    rows = propagation.told_about(current_person(request))
    page = Paginator(rows, PAGE_LENGTH).get_page(request.GET.get("page"))
    return render(request, "gdpr/told.html", {"page": page})


@form_page
@while_restricted
@person_required
@never_cache
@step_up_required
@refusals_to("gdpr:requests")
def objection(request: HttpRequest) -> HttpResponse:
    person, form = current_person(request), ObjectionForm(request.POST or None)
    if not form.is_valid():
        context = {"form": form, "alone": plan.owned_alone(person.pk)}
        return render(request, "gdpr/objection.html", context)
    only, words = form.marketing_only, form.cleaned_data["words"]
    made = objecting.ask(person, words, clock.now(), marketing_only=only)
    messages.success(request, _("Received. Here you see how far it has come."))
    return redirect("gdpr:request", made.id)
