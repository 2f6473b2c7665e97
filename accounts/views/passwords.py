# SPDX-License-Identifier: AGPL-3.0-or-later
"""Changing a password, and choosing a new one when it is forgotten."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_safe

from accounts import recovery
from accounts.access import before_own_password, current_person, person_required
from accounts.forms import NewPasswordForm, PasswordChangeForm, ResetRequestForm
from accounts.limits import client_address
from accounts.refusals import Refused
from accounts.views.answers import dead_link, form_page, onward, refusal

CHANGE = "accounts/password_change.html"
REQUEST = "accounts/password_reset.html"


@form_page
@before_own_password
@person_required
@never_cache
@sensitive_post_parameters()
def password_change(request: HttpRequest) -> HttpResponse:
    """Also where a person with a first-sign-in code is sent before anything else."""
    person = current_person(request)
    first = person.must_change_password
    form = PasswordChangeForm(request.POST or None, user=person)
    if not form.is_valid():
        return render(request, CHANGE, {"form": form, "first": first})
    values = form.cleaned_data
    try:
        recovery.change_password(request, values["old_password"], values["new_password"])
    except Refused as refused:
        return refusal(request, CHANGE, form, refused, first=first)
    messages.success(request, _("Your password is changed. Other browsers are signed out."))
    return onward(request) if first else redirect("accounts:security")


@form_page
def password_reset(request: HttpRequest) -> HttpResponse:
    form = ResetRequestForm(request.POST or None)
    if not form.is_valid():
        return render(request, REQUEST, {"form": form})
    try:
        recovery.request_reset(form.cleaned_data["email"], address=client_address(request))
    except Refused as refused:
        return refusal(request, REQUEST, form, refused)
    return redirect("accounts:password-reset-sent")


@require_safe
def password_reset_sent(request: HttpRequest) -> HttpResponse:
    """The same page whether the address is known here or not."""
    return render(request, "accounts/password_reset_sent.html")


@form_page
@never_cache
@sensitive_post_parameters()
def password_reset_confirm(request: HttpRequest, token: str) -> HttpResponse:
    try:
        person = recovery.read_reset(token)
        form = NewPasswordForm(request.POST or None, user=person)
        if form.is_valid():
            recovery.reset_password(token, form.cleaned_data["new_password"])
            messages.success(request, _("Your new password is saved. Sign in with it."))
            return redirect("accounts:sign-in")
    except Refused as refused:
        return dead_link(request, refused)
    return render(request, "accounts/password_reset_confirm.html", {"form": form})
