# SPDX-License-Identifier: AGPL-3.0-or-later
"""The second factor: asked for at sign-in, set up, renewed and removed."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters

from accounts import twofactor
from accounts.access import before_second_factor, current_person, is_verified, person_required
from accounts.forms import EnrolForm, PasswordForm, TokenForm
from accounts.refusals import Refused
from accounts.views.answers import (
    destination,
    form_page,
    onward,
    refusal,
    refusals_to,
    remember_destination,
    step_up_required,
)

PROMPT = "accounts/second_factor.html"
STEP_UP = "accounts/step_up.html"
ENROL = "accounts/second_factor_enrol.html"


@form_page
@before_second_factor
@person_required
@never_cache
@sensitive_post_parameters("token")
def second_factor(request: HttpRequest) -> HttpResponse:
    """Ask for the second factor at sign-in: a value from the app, or a backup code."""
    if not _waits(request):
        return onward(request)
    form = TokenForm(request.POST or None)
    if not form.is_valid():
        return render(request, PROMPT, {"form": form})
    try:
        twofactor.verify(request, form.cleaned_data["token"])
    except Refused as refused:
        return refusal(request, PROMPT, form, refused)
    return onward(request)


def _waits(request: HttpRequest) -> bool:
    """Say whether the person has a second factor that this session has not seen."""
    person = current_person(request)
    return twofactor.has_device(person) and not is_verified(person)


@form_page
@before_second_factor
@person_required
@never_cache
@sensitive_post_parameters("password", "token")
def step_up(request: HttpRequest) -> HttpResponse:
    """Ask again for the second factor, or for the password of a person who has none."""
    remember_destination(request)
    if _waits(request):
        return redirect("accounts:second-factor")
    kind = TokenForm if twofactor.has_device(current_person(request)) else PasswordForm
    form = kind(request.POST or None)
    if not form.is_valid():
        return render(request, STEP_UP, {"form": form})
    try:
        twofactor.step_up(request, **form.cleaned_data)
    except Refused as refused:
        return refusal(request, STEP_UP, form, refused)
    return onward(request)


@form_page
@before_second_factor
@person_required
@never_cache
@sensitive_post_parameters("token")
@step_up_required
def second_factor_enrol(request: HttpRequest) -> HttpResponse:
    """Set up an authenticator app, the first or a new one in place of the old."""
    form = EnrolForm(request.POST or None)
    if form.is_valid():
        try:
            return _show_codes(request, twofactor.confirm(request, form.cleaned_data["token"]))
        except Refused as refused:
            enrolment = twofactor.enrolment(request)
            return refusal(request, ENROL, form, refused, **_offer(request, enrolment))
    return render(request, ENROL, {"form": form, **_offer(request, twofactor.enrolment(request))})


def _offer(request: HttpRequest, enrolment: twofactor.Enrolment) -> dict[str, object]:
    renews = twofactor.has_device(current_person(request))
    return {"enrolment": enrolment, "renews": renews}


def _show_codes(request: HttpRequest, codes: list[str]) -> HttpResponse:
    """Show backup codes: here, once, and nowhere else."""
    person = current_person(request)
    context = {"codes": codes, "file": "\n".join(codes), "onward": destination(request)}
    return render(request, "accounts/backup_codes.html", context | {"person": person})


@form_page
@person_required
@never_cache
@step_up_required
@refusals_to("accounts:security")
def backup_codes_renew(request: HttpRequest) -> HttpResponse:
    if not twofactor.has_device(current_person(request)):
        return redirect("accounts:security")
    if request.method == "POST":
        return _show_codes(request, twofactor.new_backup_codes(request))
    return render(request, "accounts/backup_codes_renew.html")


@form_page
@person_required
@never_cache
@step_up_required
@refusals_to("accounts:security")
def second_factor_remove(request: HttpRequest) -> HttpResponse:
    if not twofactor.has_device(current_person(request)):
        return redirect("accounts:security")
    if request.method == "POST":
        twofactor.remove(request)
        messages.success(request, _("Your second factor is removed."))
        return redirect("accounts:security")
    return render(request, "accounts/second_factor_remove.html")
