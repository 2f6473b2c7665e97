# SPDX-License-Identifier: AGPL-3.0-or-later
"""Giving and ending consents. Opening a link from a mail changes nothing; its button does."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache

from accounts import consents
from accounts.access import current_person, person_required, while_restricted
from accounts.consents import Channel, Purpose
from accounts.forms import ConsentForm
from accounts.refusals import Refused
from accounts.views.answers import dead_link, form_page, refusals_to


@form_page
@while_restricted
@person_required
@refusals_to("accounts:consents")
def choices(request: HttpRequest) -> HttpResponse:
    """What the person has said yes to, with a button beside each that ends it."""
    if _withdrawn(request):
        return redirect("accounts:consents")
    person = current_person(request)
    known = consents.in_force(person)
    # Whose account is restricted can end a consent, and gives none (GDPR article 18).
    taken = list(Purpose) if person.restricted_at else list(known)
    form = ConsentForm(request.POST or None, taken=taken)
    if form.is_valid():
        consents.ask(person, form.ticked(), Channel.PROFILE)
        messages.success(request, _asked(form.ticked()))
        return redirect("accounts:consents")
    lines = [(row, consents.row_words(row)) for row in known.values()]
    return render(request, "accounts/consents.html", {"form": form, "lines": lines})


def _asked(ticked: list[Purpose]) -> str:
    if Purpose.NEWSLETTER in ticked:
        return _("We have sent you a mail. Nothing is sent before you confirm by its link.")
    return _("Saved.")


def _withdrawn(request: HttpRequest) -> bool:
    """End what the pressed button names: one press, as it was to say yes (article 7(3))."""
    named = request.POST.get("withdraw", "")
    if named not in Purpose:
        return False
    consents.withdraw(current_person(request), [Purpose(named)], Channel.PROFILE)
    messages.success(request, _("Withdrawn. What was done until now stays lawful."))
    return True


@form_page
@never_cache
def confirm(request: HttpRequest, token: str) -> HttpResponse:
    try:
        context = {"words": consents.asked_in(token), "done": False}
        if request.method == "POST":
            consents.confirm(token)
            context["done"] = True
    except Refused as refused:
        return dead_link(request, refused)
    return render(request, "accounts/consent_confirm.html", context)


@while_restricted
@form_page
@never_cache
def end(request: HttpRequest, token: str) -> HttpResponse:
    """The link of a mail: no sign-in, the same page whether anything was in force or not."""
    try:
        consents.check_withdrawal(token)
        if request.method == "POST":
            consents.withdraw_by_link(token)
    except Refused as refused:
        return dead_link(request, refused)
    return render(request, "accounts/consent_end.html", {"done": request.method == "POST"})
