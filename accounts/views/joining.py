# SPDX-License-Identifier: AGPL-3.0-or-later
"""Signing up, and coming in by an invitation. Opening a link from a mail changes nothing."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import get_language
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from accounts import signup, team
from accounts.access import current_person
from accounts.forms import PersonForm, SignUpForm
from accounts.limits import client_address
from accounts.models import Consent
from accounts.refusals import Refused
from accounts.signup import FirstSignIn, Person, SignUp
from accounts.team import FoundInvitation
from accounts.views.answers import dead_link, form_page, refusal

SIGN_UP = "accounts/sign_up.html"
INVITATION = "accounts/invitation.html"


@form_page
def sign_up(request: HttpRequest) -> HttpResponse:
    if request.user.is_authenticated:
        return redirect("home")
    form = SignUpForm(request.POST or None)
    if not form.is_valid():
        return render(request, SIGN_UP, {"form": form})
    try:
        signup.sign_up(_details(form), address=client_address(request))
    except Refused as refused:
        return refusal(request, SIGN_UP, form, refused)
    return redirect("accounts:sign-up-sent")


def _details(form: SignUpForm) -> SignUp:
    consents = {str(purpose) for purpose in Consent.Purpose}
    typed = {name: said for name, said in form.cleaned_data.items() if name not in consents}
    return SignUp(language=get_language() or "da", consents=",".join(form.ticked()), **typed)


@require_safe
def sign_up_sent(request: HttpRequest) -> HttpResponse:
    """The same page whether the address is known here or not."""
    return render(request, "accounts/sign_up_sent.html")


@form_page
@never_cache
def sign_up_confirm(request: HttpRequest, token: str) -> HttpResponse:
    try:
        details = signup.read_confirmation(token)
        if request.method == "POST":
            return _first_sign_in(request, signup.confirm(token))
    except Refused as refused:
        return dead_link(request, refused)
    return render(request, "accounts/sign_up_confirm.html", {"details": details})


def _first_sign_in(request: HttpRequest, first: FirstSignIn) -> HttpResponse:
    """Show the generated code: here, once, and nowhere else."""
    return render(request, "accounts/first_sign_in.html", {"first": first})


@form_page
@never_cache
def invitation(request: HttpRequest, token: str) -> HttpResponse:
    try:
        found = team.find_invitation(token)
        if request.user.is_authenticated:
            return _join(request, token, found)
    except Refused as refused:
        return dead_link(request, refused)
    if found.known:
        return render(request, INVITATION, {"found": found, "next": request.path})
    return _join_new(request, token, found)


def _join(request: HttpRequest, token: str, found: FoundInvitation) -> HttpResponse:
    if request.method != "POST":
        return render(request, INVITATION, {"found": found})
    team.accept(token, current_person(request))
    messages.success(request, _("You have said yes. An owner lets you in."))
    return redirect("accounts:organisations")


def _join_new(request: HttpRequest, token: str, found: FoundInvitation) -> HttpResponse:
    form = PersonForm(request.POST or None)
    if form.is_valid():
        person = Person(**form.cleaned_data, language=get_language() or "da")
        try:
            return _first_sign_in(request, team.accept_new(token, person))
        except Refused as refused:
            return refusal(request, INVITATION, form, refused, found=found)
    return render(request, INVITATION, {"found": found, "form": form})
